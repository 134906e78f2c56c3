"""What the earlier stages wrote, read and checked once, so that the pages need no doubts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from ..errors import Fault, InputError
from ..profile.tables import GIVEN

LEVELS = ("low", "calibrated", "high")
ESTIMATES = ("volume_ratio", "mean_equivalent_diameter_um", "number_density_per_mm3")
DIAMETERS = (
    "diameter_min_um",
    "diameter_p10_um",
    "diameter_median_um",
    "diameter_p90_um",
    "diameter_max_um",
    "volume_weighted_diameter_um",
)
_ENDS = ("", "_lo", "_hi")
_COMMON = (
    "level",
    "n_domains",
    *(f"{name}{end}" for name in ESTIMATES for end in _ENDS),
    *DIAMETERS,
    *(f"{name}{end}" for name in ("diameter_median_um", "volume_weighted_diameter_um") for end in _ENDS[1:]),
)
_PROFILE = ("depth_um", "depth_lo_um", "depth_hi_um", "resin_um3", "domain_um3", *_COMMON, "flag")
_NEAREST = (*(f"nearest_mean_um{end}" for end in _ENDS), "nearest_sd_um", "clark_evans")
_ZONES = ("zone", "from_um", "to_um", *_COMMON, *_NEAREST)
_BREAKPOINTS = ("quantity", *(f"depth_um{end}" for end in _ENDS), "change", "slope_before", "slope_after", "flag")
_CORRELATION = ("zone", "lag_um", *(f"s2{end}" for end in _ENDS), "autocovariance", "pairs")
_SIZES = (
    "zone",
    "diameter_lo_um",
    "diameter_hi_um",
    "n_domains",
    *(f"number_density_per_mm3{end}" for end in _ENDS),
    "volume_ratio_share",
)
_DOMAINS = (
    "domain_id",
    "volume_um3",
    "equivalent_diameter_um",
    "centroid_z_um",
    "centroid_y_um",
    "centroid_x_um",
    "depth_um",
    "cavities",
    "edge_weight",
    "flag",
)
_REMEDY = "Remove it and run the workflow again."


def read_profile(path: Path) -> pd.DataFrame:
    """Return ``profile.parquet``, sorted by depth; an absent reason in ``flag`` is the empty string.

    Raises
    ------
    InputError
        When the file cannot be read or lacks a column.
    """
    profile = _read(path, _PROFILE)
    profile["flag"] = profile["flag"].fillna("")
    return profile.sort_values("depth_um", ignore_index=True)


def read_zones(path: Path) -> pd.DataFrame:
    """Return ``zones.parquet`` in its own order, nearest to the substrate first.

    Raises
    ------
    InputError
        When the file cannot be read, lacks a column or has no zone at one of the levels.
    """
    zones = _read(path, _ZONES, optional=("flag",))
    zones["flag"] = zones["flag"].fillna("") if "flag" in zones else ""
    missing = [level for level in LEVELS if level not in set(zones["level"])]
    if missing:
        problem = f"there is no row with the level {' or '.join(missing)}"
        raise InputError(Fault(str(path), "", problem, _REMEDY))
    return zones


def read_breakpoints(path: Path) -> pd.DataFrame:
    """Return ``breakpoints.parquet``; an absent reason in ``flag`` is the empty string.

    Raises
    ------
    InputError
        When the file cannot be read or lacks a column.
    """
    breakpoints = _read(path, _BREAKPOINTS)
    breakpoints["flag"] = breakpoints["flag"].fillna("")
    return breakpoints


def read_correlation(path: Path) -> pd.DataFrame:
    """Return ``correlation.parquet``, by zone and lag.

    Raises
    ------
    InputError
        When the file cannot be read or lacks a column.
    """
    return _read(path, _CORRELATION)


def read_sizes(path: Path) -> pd.DataFrame:
    """Return ``sizes.parquet``, by zone and class of diameter.

    Raises
    ------
    InputError
        When the file cannot be read or lacks a column.
    """
    return _read(path, _SIZES)


def read_domains(path: Path) -> pd.DataFrame:
    """Return the columns of ``domains.parquet`` that the page draws.

    Raises
    ------
    InputError
        When the file cannot be read or lacks a column.
    """
    domains = _read(path, _DOMAINS)
    domains["flag"] = domains["flag"].fillna("")
    return domains


def software_version(path: Path) -> str:
    """Return the version of tomoprofile that wrote a Parquet file, or ``not available``."""
    metadata = pq.read_schema(path).metadata or {}
    return metadata.get(b"tomoprofile_version", b"not available").decode().strip('"')


def read_record(path: Path) -> dict[str, Any]:
    """Return a JSON object.

    Raises
    ------
    InputError
        When the file cannot be read or holds something else.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(Fault(str(path), "", f"the file cannot be read: {error}", _REMEDY)) from None
    if not isinstance(record, dict):
        raise InputError(Fault(str(path), type(record).__name__, "this is no JSON object", _REMEDY))
    return record


def mask_was_given(zones: pd.DataFrame) -> bool:
    """Return whether the domains come from a mask that was given, so that no boundary band is known."""
    return any(GIVEN in str(flag).split(";") for flag in zones["flag"])


def plateau(zones: pd.DataFrame) -> int:
    """Return which of the zones, counted from 0, is the last that the scan reaches; 0 when it reaches none."""
    reached = at_level(zones, "calibrated")["volume_ratio"].notna()
    return int(reached[reached].index[-1]) if reached.any() else 0


def at_level(table: pd.DataFrame, level: str) -> pd.DataFrame:
    """Return the rows of one boundary level, numbered from 0."""
    return table[table["level"] == level].reset_index(drop=True)


def _read(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    try:
        present = set(pq.read_schema(path).names)
    except (OSError, ValueError) as error:
        raise InputError(Fault(str(path), "", f"the table cannot be read: {error}", _REMEDY)) from None
    missing = [name for name in columns if name not in present]
    if missing:
        problem = f"the table lacks {', '.join(missing)}"
        raise InputError(Fault(str(path), "", problem, "docs/outputs.md lists its columns; write it again."))
    return pq.read_table(path, columns=[*columns, *(name for name in optional if name in present)]).to_pandas()
