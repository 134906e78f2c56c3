"""The table of zones, read and checked once, so that the pages need not check it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..errors import Fault, InputError
from ..tables import CALIBRATED, GIVEN_MASK, LEVELS, ZONES, at_level, has_flag, of_class


def read_zones(path: Path) -> dict[str, pd.DataFrame]:
    """Return ``zones.parquet`` by class, each in its own order, nearest to the substrate first.

    Raises
    ------
    InputError
        When the file cannot be read, lacks a column or has no zone of a class at one of the levels.
    """
    table = ZONES.read(path)
    zones = {name: of_class(table, name) for name in table["class"].unique()}
    for name, rows in zones.items():
        missing = [level for level in LEVELS if level not in set(rows["level"])]
        if missing:
            problem = f"the class {name} has no row with the level {' or '.join(missing)}"
            raise InputError(Fault(str(path), "", problem, "Remove it and run the workflow again."))
    return zones


def plateau(zones: pd.DataFrame) -> int:
    """Return which of the zones, counted from 0, is the last that the scan reaches; 0 when it reaches none."""
    reached = at_level(zones, CALIBRATED)["volume_ratio"].notna()
    return int(reached[reached].index[-1]) if reached.any() else 0


def whole_domains(sizes: pd.DataFrame, zone: str) -> int:
    """Return how many domains of a zone are whole, so that their size is known; ``sizes.parquet`` counts them."""
    return int(sizes.loc[sizes["zone"] == zone, "n_domains"].sum())


def mask_was_given(zones: pd.DataFrame) -> bool:
    """Return whether the domains come from a mask that was given, so that no boundary band is known."""
    return bool(has_flag(zones, GIVEN_MASK).any())
