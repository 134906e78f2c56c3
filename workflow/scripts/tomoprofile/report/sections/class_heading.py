"""Where the sections of one of several classes begin."""

from __future__ import annotations

import pandas as pd

from ...domains.objects import ObjectsMetadata
from ...tables import CALIBRATED
from .section import Content


def build(levels: dict[str, ObjectsMetadata], domains: pd.DataFrame) -> Content:
    """Return the name of the class, and whether any of its domains were found."""
    return Content({"name": levels[CALIBRATED].name, "empty": domains.empty})
