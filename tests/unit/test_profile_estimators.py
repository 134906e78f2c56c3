"""Estimates and their intervals from tallies by block."""

import numpy as np
import pytest
from scipy import stats

from tomoprofile.profile.estimators import Tallies, draw_blocks, estimate, expanded_tail


def tallies(resin, domain, weight=None, weight_diameter=None):
    resin, domain = (np.atleast_2d(np.asarray(part, float)) for part in (resin, domain))
    weight = np.zeros_like(resin) if weight is None else np.atleast_2d(np.asarray(weight, float))
    weight_diameter = 3 * weight if weight_diameter is None else np.atleast_2d(np.asarray(weight_diameter, float))
    return Tallies(resin, domain, resin, weight, weight_diameter)


def test_estimates_are_ratios_of_sums_and_not_means_of_ratios():
    found = estimate(
        tallies([100, 300, 1, 9], [10, 0, 1, 0], [1, 3, 0, 0], [4, 6, 0, 0]), 0.125, draw_blocks(4, 200, 1)
    )
    assert found["volume_ratio"].value[0] == 11 / 410
    assert found["mean_equivalent_diameter_um"].value[0] == 2.5
    assert found["number_density_per_mm3"].value[0] == pytest.approx(4 / (410 * 0.125) * 1e9)
    assert found["volume_ratio"].value[0] != pytest.approx(np.mean([0.1, 0, 1, 0]))


def test_the_interval_of_many_blocks_is_that_of_the_mean():
    rng = np.random.default_rng(0)
    domain = rng.gamma(4, 10, size=400)
    found = estimate(tallies(np.full(400, 1000), domain), 1.0, draw_blocks(400, 20000, 1))["volume_ratio"]
    half = 1.96 * domain.std(ddof=1) / np.sqrt(400) / 1000
    assert found.high[0] - found.value[0] == pytest.approx(half, rel=0.06)
    assert found.value[0] - found.low[0] == pytest.approx(half, rel=0.06)


def test_few_blocks_widen_the_interval_as_t_does():
    assert expanded_tail(10**6) == pytest.approx(0.025, abs=1e-4)
    factor = stats.norm.ppf(1 - expanded_tail(9)) / stats.t.ppf(0.975, 8)
    assert factor == pytest.approx(np.sqrt(9 / 8))


def test_less_than_four_blocks_give_no_interval():
    resin = [[10, 10, 10, 10], [10, 10, 10, 0]]
    found = estimate(tallies(resin, [[1, 2, 3, 4], [1, 2, 3, 0]]), 1.0, draw_blocks(4, 200, 1))["volume_ratio"]
    assert found.low[0] < found.value[0] < found.high[0]
    assert found.value[1] == 0.2
    assert np.isnan([found.low[1], found.high[1]]).all()


def test_nothing_to_divide_by_gives_nan():
    found = estimate(tallies([[0] * 5, [10] * 5], [[0] * 5, [0] * 5]), 1.0, draw_blocks(5, 200, 1))
    assert np.isnan(found["volume_ratio"].value[0])
    assert (found["volume_ratio"].value[1], found["volume_ratio"].low[1], found["volume_ratio"].high[1]) == (0, 0, 0)
    assert np.isnan(found["mean_equivalent_diameter_um"].value).all()
    assert found["number_density_per_mm3"].value[1] == 0


def test_quantities_are_resampled_together():
    weight = np.array([1, 5, 2, 8, 3, 4.0])
    found = estimate(tallies(np.full(6, 100), 10 * weight, weight), 1.0, draw_blocks(6, 500, 1))
    ratio, density = found["volume_ratio"], found["number_density_per_mm3"]
    assert density.low[0] / 1e9 == pytest.approx(ratio.low[0] / 10)
    assert density.high[0] / 1e9 == pytest.approx(ratio.high[0] / 10)
    assert found["mean_equivalent_diameter_um"].low[0] == pytest.approx(3)


def test_draws_hold_as_many_blocks_as_there_are():
    draws = draw_blocks(7, 300, 3)
    assert draws.shape == (300, 7)
    assert (draws.sum(axis=1) == 7).all()
    assert draws.mean() == pytest.approx(1)
    assert np.array_equal(draws, draw_blocks(7, 300, 3))
    assert not np.array_equal(draws, draw_blocks(7, 300, 4))
