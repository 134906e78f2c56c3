"""Where profiles bend: found where they do, and not where they do not, whatever runs along the depth."""

import numpy as np
import pytest

from tomoprofile.profile.breakpoints import breakpoints_table, find_bends
from tomoprofile.profile.estimators import Tallies, draw_blocks

DRAWS = draw_blocks(16, 200, 1)
BORDERS = np.arange(0.0, 129.0)
EXPOSURE = np.full((128, 16), 3600.0)


def target(depth_um):
    """Return the shape of P25 to P27: flat from 80 um, a peak at 40 um, nothing at 27 um."""
    return np.interp(depth_um, [27, 40, 80], [0, 0.055, 0.04])


def profile_of(ratio, rng, correlated_um=4):
    """Return voxels of domains by layer and block: domains of some layers, placed at random in number and depth."""
    n, blocks = EXPOSURE.shape
    mean = ratio * EXPOSURE[0, 0] / (20 * correlated_um)
    number = rng.poisson(np.repeat(mean[:, None], blocks, axis=1))
    kernel = np.ones(correlated_um) * 20
    return np.apply_along_axis(lambda one: np.convolve(one, kernel, mode="same"), 0, number)[:n].astype(float)


def test_the_bends_of_the_target_are_found_where_they_are():
    middles = (BORDERS[:-1] + BORDERS[1:]) / 2
    rng = np.random.default_rng(5)
    errors, covered = [], 0
    for _ in range(20):
        found = find_bends(profile_of(target(middles), rng), EXPOSURE, BORDERS, 5.0, DRAWS)
        peak = np.argmin(np.abs(found.depth_um - 40))
        errors.append(found.depth_um[peak] - 40)
        covered += found.low_um[peak] <= 40 <= found.high_um[peak]
        assert found.slopes[peak] > 0 > found.slopes[peak + 1]
        assert np.abs(found.depth_um - 27).min() <= 3
    assert np.abs(errors).max() <= 3  # A4
    assert covered >= 17


def flat_profiles_that_bend(draws_of, number=200):
    rng = np.random.default_rng(7)
    found = [
        find_bends(profile_of(np.full(128, 0.04), rng), EXPOSURE, BORDERS, 5.0, draws_of(seed))
        for seed in range(number)
    ]
    return sum(len(one.depth_um) > 0 for one in found) / number


def test_a_flat_profile_does_not_bend():
    assert flat_profiles_that_bend(lambda seed: draw_blocks(16, 200, seed)) <= 0.05
