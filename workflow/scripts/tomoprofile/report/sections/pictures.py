"""What was measured, drawn on slices far from and near the substrate."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ...domains.objects import ObjectsMetadata
from ...tables import CALIBRATED, at_level
from ...volume.plane import Plane
from ...volume.store import Store
from ..triplets import Measured, draw_triplet
from ..zones import plateau
from .section import Content


def build(
    volume: Store,
    probability: Store,
    objects: Path,
    levels: dict[str, ObjectsMetadata],
    plane: Plane,
    zones: pd.DataFrame,
) -> Content:
    """Return one triplet for the plateau and one for the zone at the substrate."""
    rows = at_level(zones, CALIBRATED)
    shown = [(rows.iloc[plateau(zones)], False)]
    if plane.has_depth:
        shown.append((rows.iloc[0], True))
    measured = Measured(volume, probability, objects, levels[CALIBRATED], plane)
    return Content({"triplets": [draw_triplet(*zone, measured) for zone in shown]})
