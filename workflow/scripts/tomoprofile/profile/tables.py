"""How the tables of the profile are flagged and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .. import __version__
from ..files import whole_file
from .counting import CALIBRATED
from .domains import FEW
from .estimators import SURE_BLOCKS
from .masks import Grid, Ints
from .ranges import Ranges

GIVEN = "given_mask"
OUTSIDE = "outside_counted"  # filled corners of slices were taken for resin, because the configuration says so
_UNITS = {"_um": "um", "_um3": "um^3", "_per_mm3": "mm^-3", "_um_lo": "um", "_um_hi": "um"}
_UNITS |= {"_mm3_lo": "mm^-3", "_mm3_hi": "mm^-3", "ratio": "1", "ratio_lo": "1", "ratio_hi": "1"}
_UNITS |= dict.fromkeys(("s2", "s2_lo", "s2_hi", "autocovariance", "clark_evans", "share"), "1")


def flag(
    table: pd.DataFrame,
    ranges: Ranges,
    grid: Grid,
    resin: Ints,
    whole_um: tuple[float, float],
    unknown_size: NDArray[np.bool_],
    of_model: str,
) -> None:
    """Add the column ``flag``: why a row is doubtful, reasons joined by ``;``.

    Parameters
    ----------
    table : DataFrame
        Rows of the ranges, level by level; changed in place.
    ranges : Ranges
    grid : Grid
    resin : array (layers, blocks)
    whole_um : tuple of float
        Depths between which objects are whole.
    unknown_size : array (rows,) of bool
        Where domains have no size in their table, so that what is told of objects lacks them.
    of_model : str
        Reason that holds for the whole scan; empty when there is none.
    """
    near_um, far_um = whole_um
    levels = len(table) // len(ranges.holds)
    blocks = ((ranges.holds @ resin) > 0).sum(axis=1)
    top = np.where(np.isfinite(ranges.high_um), ranges.high_um, grid.borders_um[-1])
    reasons = {
        "few": table["n_domains"].to_numpy() < FEW,
        "far_end": np.tile((top > far_um) & (blocks > 0), levels),
        "near_end": np.tile((ranges.low_um < near_um) & (blocks > 0), levels),
        "few_blocks": np.tile(blocks < SURE_BLOCKS, levels),
        "unknown_size": unknown_size,
        of_model: np.full(len(table), bool(of_model)),
    }
    table["flag"] = [
        ";".join(name for name, applies in zip(reasons, row, strict=True) if applies)
        for row in zip(*reasons.values(), strict=True)
    ]


def add_flag(table: pd.DataFrame, reason: str) -> None:
    """Add a reason that holds for every row to the column ``flag``."""
    table["flag"] = [f"{flag};{reason}" if flag else reason for flag in table["flag"]]


def forget_band(table: pd.DataFrame) -> None:
    """Empty the rows of the boundary levels: of a given mask all levels are alike, which must not read as certainty."""
    band = table["level"].to_numpy() != CALIBRATED
    table["n_domains"] = table["n_domains"].astype("Int64")  # which has missing values
    known = ("depth_lo_um", "depth_hi_um", "level", "resin_um3", "flag")
    for name in table.columns.difference(known):
        table[name] = table[name].mask(band)
    table["flag"] = table["flag"].mask(band, GIVEN)


def write_table(path: Path, table: pd.DataFrame, facts: dict[str, Any]) -> None:
    """Write a table with its units, the software's version and ``facts`` in the schema's metadata."""
    units = {name: unit for name in table for ending, unit in _UNITS.items() if name.endswith(ending)}
    metadata = {"units": units, "tomoprofile_version": __version__, **facts}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    encoded = {key.encode(): json.dumps(value).encode() for key, value in metadata.items()}
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **encoded})
    with whole_file(path) as partial:
        pq.write_table(arrow, partial)
