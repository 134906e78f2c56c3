"""Ratios, means and quantiles with their intervals, from tallies by lateral block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_BLOCKS = 4  # below this there is no interval
SURE_BLOCKS = 9  # from here on, intervals have their nominal coverage (docs/benchmarks/coverage.md)
COVERAGE = 0.95


@dataclass(frozen=True)
class Tallies:
    """The counts in each range of depths and lateral block; every array (ranges, blocks).

    Attributes
    ----------
    resin, domain : array
        Voxels of resin, which includes domains, and of domains.
    resin_of_objects : array
        Voxels of resin at the depths where objects are counted: too near to an open end of the scan they are cut.
    weight, weight_diameter : array
        Sums of ``edge_weight`` and of ``edge_weight * equivalent_diameter_um`` over objects there.
    """

    resin: Floats
    domain: Floats
    resin_of_objects: Floats
    weight: Floats
    weight_diameter: Floats

    def quantities(self, voxel_um3: float) -> dict[str, tuple[Floats, Floats, float]]:
        """Return numerator, denominator and unit of each estimate.

        - ``volume_ratio`` = domain voxels / resin voxels (Delesse): no correction for cut objects is needed.
        - ``mean_equivalent_diameter_um`` = sum of w d / sum of w, with the weights w of Miles and Lantuéjoul.
        - ``number_density_per_mm3`` = sum of w / resin volume.
        """
        return {
            "volume_ratio": (self.domain, self.resin, 1.0),
            "mean_equivalent_diameter_um": (self.weight_diameter, self.weight, 1.0),
            "number_density_per_mm3": (self.weight, self.resin_of_objects, 1e9 / voxel_um3),
        }


@dataclass(frozen=True)
class Estimate:
    """A quantity in each range of depths, with the ends of its 95 % interval; NaN where it is unknown."""

    value: Floats
    low: Floats
    high: Floats

    def columns(self, name: str) -> dict[str, Floats]:
        """Return the three columns of a table."""
        return {name: self.value, f"{name}_lo": self.low, f"{name}_hi": self.high}


def draw_blocks(n_blocks: int, resamples: int, seed: int) -> Floats:
    """Return how often each block occurs in each resample: blocks drawn with replacement.

    Returns
    -------
    array (resamples, n_blocks)
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=resamples).astype(np.float64)


def estimate(tallies: Tallies, voxel_um3: float, draws: Floats) -> dict[str, Estimate]:
    """Return volume fraction, mean diameter and number density with their intervals.

    Parameters
    ----------
    tallies : Tallies
        By range of depths and block.
    voxel_um3 : float
        Volume of a voxel.
    draws : array (resamples, blocks)
        From :func:`draw_blocks`; the same for all quantities, so that they vary together.
    """
    return {name: ratio(*parts, draws) for name, parts in tallies.quantities(voxel_um3).items()}


def ratio(top: Floats, bottom: Floats, factor: float, draws: Floats) -> Estimate:
    """Return ``factor`` times the ratio of the sums over blocks, with its interval.

    Parameters
    ----------
    top, bottom : array (rows, blocks)
        Terms of the sums.
    factor : float
        Unit of the ratio.
    draws : array (resamples, blocks)
        Of :func:`draw_blocks`.

    Notes
    -----
    The interval is the expanded percentile interval of the block bootstrap: the levels of the percentiles are moved
    out so that few blocks, whose resamples vary too little, get the width of a t interval (Hesterberg, Am. Stat. 69
    (2015) 371). Blocks that add nothing to the denominator do not count: those without resin, and for means over
    domains those without a domain, which say nothing about their size. With fewer than 4 blocks there is no interval.
    """
    blocks = (bottom > 0).sum(axis=1)
    value = factor * _divide(top.sum(axis=1), bottom.sum(axis=1))
    resampled = factor * _divide(draws @ top.T, draws @ bottom.T)
    return estimated(value, resampled, blocks)


def sum_of_ratios(tops: Floats, bottoms: Floats, draws: Floats) -> Estimate:
    """Return the sum over terms of the ratios of the sums over blocks, with the same interval as :func:`ratio`.

    Parameters
    ----------
    tops, bottoms : array (terms, rows, blocks)
        Terms of the sums; the block counts of the term with the fewest blocks decide.
    draws : array (resamples, blocks)
    """
    blocks = (bottoms > 0).sum(axis=2).min(axis=0)
    value = _divide(tops.sum(axis=2), bottoms.sum(axis=2)).sum(axis=0)
    resampled = sum(_divide(draws @ top.T, draws @ bottom.T) for top, bottom in zip(tops, bottoms, strict=True))
    return estimated(value, np.asarray(resampled), blocks)


def estimated(value: Floats, resampled: Floats, blocks: Ints) -> Estimate:
    """Return a quantity with its interval, which is unknown with fewer than 4 blocks.

    Parameters
    ----------
    value : array (rows,)
    resampled : array (resamples, rows)
        The same of each resample; NaN values are ignored.
    blocks : array (rows,) of int
        Blocks that add something.
    """
    low, high = np.full(len(value), np.nan), np.full(len(value), np.nan)
    for row in np.flatnonzero((blocks >= LEAST_BLOCKS) & np.isfinite(value)):
        low[row], high[row] = interval(resampled[:, row], int(blocks[row]))
    return Estimate(value, low, high)


def interval(resampled: Floats, n_blocks: int) -> tuple[float, float]:
    """Return the ends of the expanded percentile interval of resampled values; NaN values are ignored."""
    tail = expanded_tail(n_blocks)
    low, high = np.quantile(resampled[np.isfinite(resampled)], [tail, 1 - tail])
    return float(low), float(high)


@cache
def expanded_tail(n_blocks: int) -> float:
    """Return the share of resamples beyond each end of the interval: 0.025 for many blocks, less for few."""
    # Not of scipy.stats, whose import takes half a second in each job: the same functions, the same bits.
    t = special.stdtrit(n_blocks - 1, 0.5 + COVERAGE / 2)
    return float(special.ndtr(-t * np.sqrt(n_blocks / (n_blocks - 1))))


def weighted_quantiles(values: Floats, weights: Floats, shares: list[float]) -> Floats:
    """Return the smallest values at or below which at least these shares of the weight lie; NaN without any weight."""
    known = weights > 0
    if not known.any():
        return np.full(len(shares), np.nan)
    return np.quantile(values[known], shares, weights=weights[known], method="inverted_cdf")


def medians(values: list[Floats], weights: list[Floats], members: list[Ints], draws: Floats) -> Estimate:
    """Return the weighted median of each row, with the same interval as :func:`ratio`.

    Parameters
    ----------
    values, weights : list of array (n,)
        Of the objects of each row, with weights above 0.
    members : list of array (n,) of int
        Their blocks.
    draws : array (resamples, blocks)

    Notes
    -----
    The median of a resample is at most v exactly when half of its weight lies at or below v. So the quantiles of all
    resampled medians are found by bisection over the values, without a single resample being sorted; all rows at once.
    """
    blocks = np.array([len(np.unique(row)) for row in members])
    value = np.array([weighted_quantiles(*row, [0.5])[0] for row in zip(values, weights, strict=True)])
    low, high = np.full(len(value), np.nan), np.full(len(value), np.nan)
    rows = np.flatnonzero((blocks >= LEAST_BLOCKS) & np.isfinite(value))
    if not rows.size:
        return Estimate(value, low, high)
    orders = [np.argsort(values[row], kind="stable") for row in rows]
    sizes = np.array([len(order) for order in orders])
    first = np.cumsum(sizes) - sizes
    sorted_values, weight, block = (
        np.concatenate([of[row][order] for row, order in zip(rows, orders, strict=True)])
        for of in (values, weights, members)
    )
    cell = np.repeat(np.arange(len(rows)), sizes) * draws.shape[1] + block
    rank = np.arange(len(weight)) - np.repeat(first, sizes)
    half = draws @ _by_block(cell, weight, len(rows), draws.shape[1]).T / 2 * (1 - 1e-12)
    tails = np.array([expanded_tail(int(blocks[row])) for row in rows])
    for ends, wanted in ((low, tails), (high, 1 - tails)):
        below, at = np.full(len(rows), -1), sizes - 1
        while (at - below > 1).any():
            middle = (below + at) // 2
            held = np.where(rank <= np.repeat(middle, sizes), weight, 0.0)
            reached = draws @ _by_block(cell, held, len(rows), draws.shape[1]).T >= half
            known = half > 0
            enough = (reached & known).sum(axis=0) >= wanted * known.sum(axis=0)
            # Where nothing lies between, the middle is `below`, which stays.
            open_ = at - below > 1
            at, below = np.where(open_ & enough, middle, at), np.where(open_ & ~enough, middle, below)
        ends[rows] = sorted_values[first + at]
    return Estimate(value, low, high)


def _by_block(cell: Ints, weight: Floats, rows: int, n_blocks: int) -> Floats:
    return np.bincount(cell, weights=weight, minlength=rows * n_blocks).reshape(rows, n_blocks)


def _divide(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom > 0)
