"""Ratios and means with their intervals, from tallies by lateral block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

LEAST_BLOCKS = 4
COVERAGE = 0.95


@dataclass(frozen=True)
class Tallies:
    """What was counted in each range of depths and lateral block; every array (ranges, blocks).

    Attributes
    ----------
    resin, domain : array
        Voxels of resin, which includes domains, and of domains.
    resin_of_objects : array
        Voxels of resin in those depths in which objects are counted: too near to an open end of the scan they are cut.
    weight, weight_diameter : array
        Sums of ``edge_weight`` and of ``edge_weight * equivalent_diameter_um`` over objects there.
    """

    resin: Floats
    domain: Floats
    resin_of_objects: Floats
    weight: Floats
    weight_diameter: Floats


@dataclass(frozen=True)
class Estimate:
    """A quantity in each range of depths, with the ends of its 95 % interval; NaN where it cannot be told."""

    value: Floats
    low: Floats
    high: Floats


def draw_blocks(n_blocks: int, resamples: int, seed: int) -> Floats:
    """Return how often each block occurs in each resample: blocks drawn with replacement.

    Returns
    -------
    array (resamples, n_blocks)
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=resamples).astype(np.float64)


def estimate(tallies: Tallies, voxel_um3: float, draws: Floats) -> dict[str, Estimate]:
    """Return volume ratio, mean diameter and number density with their intervals.

    - ``volume_ratio`` = domain voxels / resin voxels (Delesse): no correction for cut objects is needed.
    - ``mean_equivalent_diameter_um`` = sum of w d / sum of w, with the weights w of Miles and Lantuéjoul.
    - ``number_density_per_mm3`` = sum of w / resin volume.

    Parameters
    ----------
    tallies : Tallies
        By range of depths and block.
    voxel_um3 : float
        Volume of a voxel.
    draws : array (resamples, blocks)
        Of :func:`draw_blocks`; the same for all quantities, so that they vary together.

    Notes
    -----
    The interval is the expanded percentile interval of the block bootstrap: the levels of the percentiles are moved
    out so that few blocks, whose resamples vary too little, get the width of a t interval (Hesterberg, Am. Stat. 69
    (2015) 371). Blocks without resin in a range do not count there. With less than 4 blocks there is no interval.
    """
    blocks = (tallies.resin > 0).sum(axis=1)
    per_mm3 = 1e9 / voxel_um3
    pairs = {
        "volume_ratio": (tallies.domain, tallies.resin, 1.0),
        "mean_equivalent_diameter_um": (tallies.weight_diameter, tallies.weight, 1.0),
        "number_density_per_mm3": (tallies.weight, tallies.resin_of_objects, per_mm3),
    }
    return {name: _ratio(top, bottom, factor, blocks, draws) for name, (top, bottom, factor) in pairs.items()}


def _ratio(top: Floats, bottom: Floats, factor: float, blocks: NDArray[np.int64], draws: Floats) -> Estimate:
    value = factor * _divide(top.sum(axis=1), bottom.sum(axis=1))
    resampled = factor * _divide(draws @ top.T, draws @ bottom.T)
    low, high = np.full(len(value), np.nan), np.full(len(value), np.nan)
    for row in np.flatnonzero((blocks >= LEAST_BLOCKS) & np.isfinite(value)):
        tail = expanded_tail(int(blocks[row]))
        known = resampled[np.isfinite(resampled[:, row]), row]
        low[row], high[row] = np.quantile(known, [tail, 1 - tail])
    return Estimate(value, low, high)


def expanded_tail(n_blocks: int) -> float:
    """Return the share of resamples beyond each end of the interval: 0.025 for many blocks, less for few."""
    t = stats.t.ppf(0.5 + COVERAGE / 2, n_blocks - 1)
    return float(stats.norm.cdf(-t * np.sqrt(n_blocks / (n_blocks - 1))))


def _divide(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom > 0)
