"""Intervals of ratios over labelled slices: variance between groups of slices, and between tiles within them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

COVERAGE = 0.95
USUAL, USUAL_DEGREES = 4.0, 3.0  # variance between groups over that of as many independent tiles, and its weight
_LEAST_TILES = 4  # fewer give no interval
_TILES = (4, 16)  # least and most tiles along a side of a slice
_TILE_VOXELS, _TILE_DIAMETERS = 32, 2.0  # errors within one object are correlated: a tile contains it


@dataclass(frozen=True)
class Counts:
    """Voxels of tiles of slices.

    Attributes
    ----------
    both, found, labelled : array (tiles,)
        Voxels in the intersection and in each mask.
    group : array (tiles,)
        Group of the slice that a tile belongs to.
    """

    both: NDArray[np.float64]
    found: NDArray[np.float64]
    labelled: NDArray[np.float64]
    group: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        found: Sequence[NDArray[np.bool_]],
        truth: Sequence[NDArray[np.bool_]],
        groups: Sequence[int],
        object_voxels: float,
    ) -> Counts:
        """Count tiles of slices; those with nothing in them are left out.

        Parameters
        ----------
        found, truth : sequences of bool arrays (y, x)
        groups : sequence of int
            Group of each slice.
        object_voxels : float
            Largest diameter of an object; tiles are twice as wide, within 1/16 to 1/4 of a slice.
        """
        parts = [_tile_counts(*masks, object_voxels) for masks in zip(found, truth, strict=True)]
        group = np.repeat(np.asarray(groups, np.int64), [len(part) for part in parts])
        every = np.concatenate([*parts, np.zeros((0, 3))])
        full = every.any(axis=1)
        return cls(every[full, 0], every[full, 1], every[full, 2], group[full])


def dice_interval(counts: Counts) -> dict[str, Any] | None:
    """Return the interval of the Dice of labelled slices, see :func:`ratio_interval`."""
    return ratio_interval(2 * counts.both, counts.found + counts.labelled, counts.group, "logit")


def area_interval(counts: Counts) -> dict[str, Any] | None:
    """Return the interval of found over labelled area, see :func:`ratio_interval`."""
    return ratio_interval(counts.found, counts.labelled, counts.group, "log")


def ratio_interval(
    top: NDArray[np.float64], bottom: NDArray[np.float64], group: NDArray[np.int64], scale: Literal["log", "logit"]
) -> dict[str, Any] | None:
    """Return the 95 % interval of a ratio of sums.

    Parameters
    ----------
    top, bottom : array (tiles,)
    group : array (tiles,)
    scale : {"log", "logit"}
        On which the interval is symmetrical, so that it stays where the ratio can be.

    Returns
    -------
    dict or None
        ``low``, ``high``, ``n_tiles``, ``n_groups``, ``coverage``; None where there are fewer than four tiles, or the
        ratio is 0, or its denominator.

    Notes
    -----
    The variance is that of the linearised ratio (Cochran, Sampling Techniques, 3rd ed. 1977, ch. 9-10): the residuals
    top - ratio bottom, summed over the tiles of a group. With G groups it has G - 1 degrees of freedom, which is little
    to know it from (two groups give intervals from 0 to 1), and one group does not show it at all. So it is moderated
    (Smyth, Stat. Appl. Genet. Mol. Biol. 3 (2004) 3) by what is usual: `USUAL` times the variance that tiles give, if
    they were independent, with the weight of `USUAL_DEGREES` degrees of freedom. Both were fitted to simulated scans
    and labelled fibres (``benchmarks/card_coverage.py``). Student's t has the degrees of freedom of both together. What
    the groups themselves show is never moderated downwards: slices may differ more than is usual.
    """
    if len(top) < _LEAST_TILES or not bottom.sum() or not top.sum():
        return None
    ratio, n_groups = float(top.sum() / bottom.sum()), len(np.unique(group))
    residual = top - ratio * bottom
    of_tiles, of_groups = _variance(residual), 0.0
    if n_groups > 1:
        of_groups = _variance(np.array([residual[group == number].sum() for number in np.unique(group)]))
    degrees = USUAL_DEGREES + n_groups - 1
    variance = max(of_tiles, of_groups, (USUAL_DEGREES * USUAL * of_tiles + (n_groups - 1) * of_groups) / degrees)
    half = float(stats.t.ppf(0.5 + COVERAGE / 2, degrees)) * math.sqrt(variance) / float(bottom.sum())
    if scale == "log":
        low, high = ratio * math.exp(-half / ratio), ratio * math.exp(min(half / ratio, 50.0))
    else:
        inside = float(np.clip(ratio, 1e-9, 1 - 1e-9))
        middle, wide = special.logit(inside), half / (inside * (1 - inside))
        low, high = float(special.expit(middle - wide)), float(special.expit(middle + wide))
    return {"low": low, "high": high, "n_tiles": len(top), "n_groups": n_groups, "coverage": COVERAGE}


def _variance(residual: NDArray[np.float64]) -> float:
    """Return the variance of the sum of independent residuals, whose mean is 0."""
    n = len(residual)
    return float(n / (n - 1) * (residual**2).sum())


def _tile_counts(found: NDArray[np.bool_], truth: NDArray[np.bool_], object_voxels: float) -> NDArray[np.float64]:
    """Return intersection, found and labelled voxels of each tile, (tiles, 3)."""
    width = max(_TILE_VOXELS, _TILE_DIAMETERS * object_voxels)
    starts = []
    for n in found.shape:
        tiles = min(n, max(_TILES[0], min(_TILES[1], int(n // width))))
        starts.append(np.arange(tiles) * n // tiles)
    sums = [
        np.add.reduceat(np.add.reduceat(part.astype(np.int64), starts[0], axis=0), starts[1], axis=1).ravel()
        for part in (found & truth, found, truth)
    ]
    return np.stack(sums, axis=1).astype(float)
