"""What was measured, drawn on slices far from and near the substrate."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ...volume.plane import Plane
from ...volume.store import Store
from ..tables import at_level, plateau
from ..triplets import draw_triplet
from .section import Content


def build(volume: Store, probability: Store, run_file: Path, plane: Plane, zones: pd.DataFrame) -> Content:
    """Return one triplet for the plateau and one for the zone at the substrate."""
    rows = at_level(zones, "calibrated")
    shown = ((rows.iloc[plateau(zones)], False), (rows.iloc[0], True))
    return Content({"triplets": [draw_triplet(*zone, volume, probability, run_file, plane) for zone in shown]})
