"""The measured classes side by side, each in the zone farthest from the substrate."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ...tables import CALIBRATED, ESTIMATES, at_level
from ..flags import domain_flags, zone_flags
from ..numbers import Estimate, count, depth_range, estimate
from ..zones import plateau
from .section import Content


@dataclass(frozen=True)
class ClassRow:
    """One class in display units."""

    name: str
    depths: str
    estimates: tuple[Estimate, ...]
    n_domains: str
    flags: tuple[str, ...]


def build(zones: dict[str, pd.DataFrame], domains: dict[str, pd.DataFrame]) -> Content:
    """Return a row for each class."""
    return Content({"classes": [_row(name, zones[name], domains[name]) for name in zones]})


def _row(name: str, zones: pd.DataFrame, domains: pd.DataFrame) -> ClassRow:
    calibrated = at_level(zones, CALIBRATED)
    last = calibrated.iloc[plateau(zones)]
    flags = [] if domains.empty else [*zone_flags(zones), *domain_flags(domains)]
    return ClassRow(
        name,
        depth_range(last["from_um"], last["to_um"]),
        tuple(
            estimate(zones, last["zone"], column, factor) for column, factor in zip(ESTIMATES, (100, 1, 1), strict=True)
        ),
        count(calibrated["n_domains"].sum()),
        tuple(flag.title for flag in flags if flag.severity != "note"),
    )
