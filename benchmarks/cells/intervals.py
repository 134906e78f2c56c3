"""Intervals by resampling seeds and test cases together, for pairs that share both.

The percentiles of so few seeds are too narrow, as those of Student's t are wider than a normal distribution's and a
sample's variance is smaller than that of what it was drawn from. Both are made up for: an end of the interval lies
:math:`t_{n-1} / z \\cdot \\sqrt{n / (n - 1)}` times as far from the estimate as its percentile (after Hesterberg 2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

SAMPLES, LEVEL = 4000, 0.95
Scores = NDArray[np.float64]  # (seeds, cases)
Choice = tuple[NDArray[np.int64], NDArray[np.int64]]  # seeds (samples, seeds) and cases (samples, cases)


@dataclass(frozen=True)
class Estimate:
    """A number and its interval of 95 %.

    Attributes
    ----------
    value, low, high : float
    seeds : int
    """

    value: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> str:
        """What the interval of a difference allows to say."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "not told apart"


def widening(seeds: int) -> float:
    """Return how many times farther than a percentile an end of the interval lies."""
    tail = (1 + LEVEL) / 2
    return float(stats.t.ppf(tail, seeds - 1) / stats.norm.ppf(tail)) * math.sqrt(seeds / (seeds - 1))


def estimated(statistic: Callable[[Choice], NDArray[np.float64]], seeds: int, cases: int) -> Estimate:
    """Return a statistic of all seeds and cases, with its interval.

    Parameters
    ----------
    statistic : callable
        Gets which seeds and which cases count in each sample; returns one number for each.
    seeds, cases : int
        At least two seeds.
    """
    value = float(statistic((np.arange(seeds)[None], np.arange(cases)[None]))[0])
    rng = np.random.default_rng(0)
    choice = rng.integers(seeds, size=(SAMPLES, seeds)), rng.integers(cases, size=(SAMPLES, cases))
    ends = np.percentile(statistic(choice), [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    low, high = value + widening(seeds) * (ends - value)
    return Estimate(value, float(low), float(high), seeds)


def means(scores: Scores, choice: Choice) -> NDArray[np.float64]:
    """Return the mean of each sample."""
    seeds, cases = choice
    return scores[seeds[:, :, None], cases[:, None, :]].mean((1, 2))


def difference(one: Scores, other: Scores) -> Estimate:
    """Return by how much one is better than the other, both (seeds, cases) in the same order."""
    apart = one - other
    return estimated(lambda choice: means(apart, choice), *apart.shape)


def ratio(one: Scores, other: Scores) -> Estimate:
    """Return the mean of one as a share of that of the other, both (seeds, cases) in the same order."""
    return estimated(lambda choice: means(one, choice) / means(other, choice), *one.shape)


def label_equivalent(curve: Mapping[int, Scores], scores: Scores) -> Estimate:
    """Return how many labelled cases give the same scores, on a curve that has none but labelled cases.

    Between the counts of the curve the score is taken to be linear in the logarithm of the count; where it falls, the
    smaller count's score holds. Beyond the ends of the curve nothing is known, so its ends are the result there.

    Parameters
    ----------
    curve : mapping of int to array (seeds, cases)
        At least two counts.
    scores : array (seeds, cases)
    """
    counts = sorted(curve)
    places = np.log(counts)

    def statistic(choice: Choice) -> NDArray[np.float64]:
        heights = np.maximum.accumulate(np.stack([means(curve[n], choice) for n in counts], 1), axis=1)
        heights = heights + 1e-9 * np.arange(len(counts))
        reached = means(scores, choice)
        return np.array([np.interp(at, line, places) for at, line in zip(reached, heights, strict=True)])

    found = estimated(statistic, *scores.shape)
    ends = np.exp(np.clip([found.value, found.low, found.high], places[0], places[-1]))
    return Estimate(float(ends[0]), float(ends[1]), float(ends[2]), found.seeds)
