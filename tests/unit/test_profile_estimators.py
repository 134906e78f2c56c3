"""Estimates and their intervals from tallies by block."""

import numpy as np
import pytest
from scipy import stats

from tomoprofile.profile import estimators
from tomoprofile.profile.estimators import (
    LEAST_BLOCKS,
    SURE_BLOCKS,
    Tallies,
    draw_blocks,
    estimate,
    expanded_tail,
    medians,
    weighted_quantiles,
)


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


# --- coverage -------------------------------------------------------------------------------------------------------


def coverage(n_blocks, number=600, mean_count=12.0):
    """Return how often intervals hold the truth: blocks with Poisson numbers of lognormal spheres, a row a scan."""
    rng = np.random.default_rng(4)
    count = rng.poisson(mean_count, (number, n_blocks))
    owner = np.repeat(np.arange(count.size), count.ravel())
    diameter = rng.lognormal(np.log(3) - 0.03, np.sqrt(0.06), len(owner))

    def sums(values):
        return np.bincount(owner, values, count.size).reshape(count.shape)

    resin = np.full(count.shape, 4000.0)
    parts = Tallies(resin, sums(diameter**3), resin, sums(np.ones(len(owner))), sums(diameter))
    found = estimate(parts, 1.0, draw_blocks(n_blocks, 400, 1))
    truth = {
        "volume_ratio": mean_count * np.exp(np.log(27) - 0.09 + 9 * 0.03) / 4000,
        "mean_equivalent_diameter_um": 3.0,
        "number_density_per_mm3": mean_count / 4000 * 1e9,
    }
    return {name: ((found[name].low <= value) & (value <= found[name].high)).mean() for name, value in truth.items()}


@pytest.mark.parametrize("n_blocks", [SURE_BLOCKS, 16, 64])
def test_intervals_cover_as_often_as_they_say(n_blocks):
    assert all(0.90 <= share <= 0.98 for share in coverage(n_blocks).values())


def test_very_few_blocks_do_not_cover_and_are_flagged_for_it():
    assert max(coverage(LEAST_BLOCKS).values()) < 0.90


def test_plain_percentiles_would_not_cover(monkeypatch):
    monkeypatch.setattr(estimators, "expanded_tail", lambda _: 0.025)
    assert min(coverage(SURE_BLOCKS).values()) < 0.90


def test_intervals_of_half_the_width_would_not_cover(monkeypatch):
    honest = estimators.interval

    def half(resampled, n_blocks):
        low, high = honest(resampled, n_blocks)
        return (3 * low + high) / 4, (low + 3 * high) / 4

    monkeypatch.setattr(estimators, "interval", half)
    assert max(coverage(16).values()) < 0.90


# --- quantiles ------------------------------------------------------------------------------------------------------


def test_a_weight_of_two_is_two_objects():
    values, weights = np.array([5.0, 1.0, 3.0, 9.0]), np.array([1.0, 2.0, 0.0, 3.0])
    repeated = np.array([5.0, 1.0, 1.0, 9.0, 9.0, 9.0])
    shares = [0, 0.1, 0.5, 0.9, 1]
    expected = np.quantile(repeated, shares, method="inverted_cdf")
    assert np.array_equal(weighted_quantiles(values, weights, shares), expected)
    assert np.isnan(weighted_quantiles(values, np.zeros(4), shares)).all()


def test_medians_of_resamples_are_those_of_sorting_each():
    rng = np.random.default_rng(2)
    draws = draw_blocks(12, 300, 5)
    values = [rng.lognormal(size=n) for n in (200, 0, 1, 37)]
    weights = [rng.uniform(1, 2, size=len(row)) for row in values]
    members = [rng.integers(0, 12, size=len(row)) for row in values]
    members[3] %= 3  # in three blocks: too few for an interval
    found = medians(values, weights, members, draws)
    resampled = [weighted_quantiles(values[0], weights[0] * draw[members[0]], [0.5])[0] for draw in draws]
    tail = expanded_tail(12)
    ends = np.quantile(resampled, [tail, 1 - tail], method="inverted_cdf")
    assert (found.low[0], found.high[0]) == tuple(ends)
    assert found.value[0] == weighted_quantiles(values[0], weights[0], [0.5])[0]
    assert np.isnan([found.value[1], found.low[1], found.low[3]]).all()
    assert found.value[2] == values[2][0]
    assert np.isnan([found.low[2], found.high[2]]).all(), "one domain does not tell how much sizes differ"
    assert found.value[3] > 0
