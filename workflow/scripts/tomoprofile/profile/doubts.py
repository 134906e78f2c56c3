"""Reasons to doubt rows of the profile and of the zones: their column ``flag``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..tables import CALIBRATED, GIVEN_MASK
from .domains import FEW
from .estimators import SURE_BLOCKS
from .exposure import Exposure
from .ranges import Ranges


@dataclass(frozen=True)
class Doubts:
    """Reasons to doubt every row of a scan.

    Attributes
    ----------
    of_model : str
        The flag of a scan unlike those that its model has seen, or empty.
    corners_counted : bool
        Whether filled corners of slices count as resin, because the configuration says so.
    mask_was_given : bool
        Whether the mask was given, so that the boundary levels carry no information.
    """

    of_model: str = ""
    corners_counted: bool = False
    mask_was_given: bool = False

    def flag(self, table: pd.DataFrame, ranges: Ranges, exposure: Exposure, unknown_size: NDArray[np.bool_]) -> None:
        """Add the column ``flag``: reasons to doubt a row, joined by ``;``.

        Parameters
        ----------
        table : DataFrame
            Rows of the ranges, level by level; changed in place. For a given mask, the rows of the other levels
            become empty.
        ranges : Ranges
        exposure : Exposure
        unknown_size : array (rows,) of bool
            Where domains have no size in their table, so that estimates about objects lack them.
        """
        near_um, far_um = exposure.whole_um
        levels = len(table) // len(ranges.holds)
        blocks = ((ranges.holds @ exposure.resin) > 0).sum(axis=1)
        top = np.where(np.isfinite(ranges.high_um), ranges.high_um, exposure.grid.borders_um[-1])
        reasons = {
            "few": table["n_domains"].to_numpy() < FEW,
            "far_end": np.tile((top > far_um) & (blocks > 0), levels),
            "near_end": np.tile((ranges.low_um < near_um) & (blocks > 0), levels),
            "few_blocks": np.tile(blocks < SURE_BLOCKS, levels),
            "unknown_size": unknown_size,
            self.of_model: np.full(len(table), bool(self.of_model)),
            "outside_counted": np.full(len(table), self.corners_counted),
        }
        table["flag"] = [
            ";".join(name for name, applies in zip(reasons, row, strict=True) if applies)
            for row in zip(*reasons.values(), strict=True)
        ]
        if self.mask_was_given:
            _forget_band(table)


def _forget_band(table: pd.DataFrame) -> None:
    """Empty the rows of the boundary levels: those of a given mask are all equal, which must not read as certainty."""
    band = table["level"].to_numpy() != CALIBRATED
    table["n_domains"] = table["n_domains"].astype("Int64")  # which has missing values
    known = ("depth_lo_um", "depth_hi_um", "level", "resin_um3", "flag")
    for name in table.columns.difference(known):
        table[name] = table[name].mask(band)
    table["flag"] = table["flag"].mask(band, GIVEN_MASK)
