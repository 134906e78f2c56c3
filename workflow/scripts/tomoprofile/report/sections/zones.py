"""The table of zones, and how domains lie in each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ...tables import DIAMETERS, ESTIMATES, at_level
from ...volume.plane import Plane
from ..divisions import Divisions
from ..numbers import Estimate, count, depth_range, estimate, short
from ..segmentation import Segmentation
from .section import Content


@dataclass(frozen=True)
class ZoneRow:
    """One row of the table of zones, in display units."""

    zone: str
    depths: str
    estimates: tuple[Estimate, Estimate, Estimate]
    n_domains: str
    diameters: tuple[tuple[str, str], ...]  # the value and its interval, where there is one
    nearest: Estimate
    nearest_sd: str
    clark_evans: float


def build(zones: pd.DataFrame, segmentation: Segmentation, divisions: Divisions, plane: Plane) -> Content:
    """Return the rows at the calibrated level; without depth, when there is no profile, the blocks are told here."""
    told = None if plane.has_depth else divisions.told(has_depth=False)
    words = {"zones": list(_rows(zones)), "segmentation": segmentation, "divisions": told}
    return Content(words, tables={"zones": zones})


def _rows(zones: pd.DataFrame) -> Iterator[ZoneRow]:
    for row in at_level(zones, "calibrated").to_dict("records"):
        ratio, diameter, density = (
            estimate(zones, row["zone"], name, factor) for name, factor in zip(ESTIMATES, (100, 1, 1), strict=True)
        )
        yield ZoneRow(
            zone=row["zone"],
            depths=depth_range(row["from_um"], row["to_um"]),
            estimates=(ratio, diameter, density),
            n_domains=count(row["n_domains"]),
            diameters=tuple(_diameter(estimate(zones, row["zone"], name)) for name in DIAMETERS),
            nearest=estimate(zones, row["zone"], "nearest_mean_um"),
            nearest_sd=short(row["nearest_sd_um"]),
            clark_evans=float(row["clark_evans"]),
        )


def _diameter(number: Estimate) -> tuple[str, str]:
    return number.text if math.isfinite(number.value) else "–", number.interval
