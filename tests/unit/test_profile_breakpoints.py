"""Where profiles bend: found where they do, and not where they do not, whatever runs along the depth."""

import numpy as np
import pytest

from tomoprofile.profile.breakpoints import breakpoints_table, find_bends
from tomoprofile.profile.estimators import Tallies, draw_blocks

DRAWS = draw_blocks(16, 200, 1)
BORDERS = np.arange(0.0, 129.0)
EXPOSURE = np.full((128, 16), 8192.0)  # a scan of 256 cubed voxels of 0.5 um


def target(depth_um):
    """Return the shape of P25 to P27: flat from 80 um, a peak at 40 um, nothing at 27 um."""
    return np.interp(depth_um, [27, 40, 80], [0, 0.055, 0.04])


def profile_of(ratio, rng, n_blocks=16, correlated_um=3):
    """Return voxels of domains by layer and block: objects of several layers, Poisson in number."""
    voxels_a_layer = 37.0
    ratio = np.pad(ratio, correlated_um, mode="edge")
    mean = ratio * EXPOSURE[0, 0] / (voxels_a_layer * correlated_um)
    number = rng.poisson(np.repeat(mean[:, None], n_blocks, axis=1))
    kernel = np.full(correlated_um, voxels_a_layer)
    smeared = np.apply_along_axis(lambda one: np.convolve(one, kernel, mode="same"), 0, number)
    return smeared[correlated_um:-correlated_um].astype(float)


def test_the_bends_of_the_target_are_found_where_they_are():
    middles = (BORDERS[:-1] + BORDERS[1:]) / 2
    rng = np.random.default_rng(5)
    errors, covered = [], 0
    for _ in range(20):
        found = find_bends(profile_of(target(middles), rng), EXPOSURE, BORDERS, 5.0, DRAWS)
        peak = np.argmin(np.abs(found.depth_um - 40))
        errors.append(abs(found.depth_um[peak] - 40))
        covered += found.low_um[peak] <= 40 <= found.high_um[peak]
        assert found.slopes[peak] > 0 > found.slopes[peak + 1]
        assert np.abs(found.depth_um - 27).min() <= 3
    assert np.mean(np.array(errors) <= 3) >= 0.95  # A4
    assert covered >= 17


def test_bends_on_coarse_layers_would_miss_the_peak():
    """The mutant of A4: 1 um layers are not decoration."""
    middles = (BORDERS[:-1] + BORDERS[1:]) / 2
    coarse = profile_of(target(middles), np.random.default_rng(5)).reshape(8, 16, 16).sum(axis=1)
    found = find_bends(coarse, EXPOSURE.reshape(8, 16, 16).sum(axis=1), BORDERS[::16], 16.0, DRAWS)
    assert not len(found.depth_um) or np.abs(found.depth_um - 40).min() > 3


def share_that_bends(number, edit=lambda profile, rng: profile):  # noqa: ARG005
    rng = np.random.default_rng(7)
    bends = 0
    for seed in range(number):
        profile = edit(profile_of(np.full(128, 0.04), rng), rng)
        bends += len(find_bends(profile, EXPOSURE, BORDERS, 5.0, draw_blocks(16, 200, seed)).depth_um) > 0
    return bends / number


def test_a_flat_profile_does_not_bend():
    assert share_that_bends(160) <= 0.05


def test_errors_taken_as_independent_would_bend_a_flat_profile():
    """The mutant: the same profiles, but no block tells that neighbouring layers err together."""
    assert share_that_bends(40, lambda profile, rng: rng.permuted(profile, axis=1)) > 0.15


def test_a_profile_without_errors_is_fitted_exactly():
    middles = (BORDERS[:-1] + BORDERS[1:]) / 2
    slope = np.interp(middles, [0, 30, 70, 128], [1.0, 1.0, 3.0, 0.5])
    found = find_bends(slope[:, None] * EXPOSURE, EXPOSURE, BORDERS, 5.0, DRAWS)
    assert list(found.depth_um) == list(found.low_um) == list(found.high_um) == [30, 70]
    assert found.slopes == pytest.approx([0, 0.05, -2.5 / 58])
    flat = find_bends(np.full_like(EXPOSURE, 3.0), EXPOSURE, BORDERS, 5.0, DRAWS)
    assert not len(flat.depth_um)
    assert flat.slopes == pytest.approx([0])


def test_layers_without_objects_leave_gaps():
    """Mean diameters of 12 um below 27 um and 3 um above 60 um, with nothing between: no crash, and no invention."""
    rng = np.random.default_rng(3)
    number = rng.poisson(2.0, (128, 16)).astype(float)
    number[27:60] = 0
    diameter = np.where(np.arange(128) < 27, 12.0, 3.0)[:, None]
    found = find_bends(diameter * number, number, BORDERS, 5.0, DRAWS)
    assert len(found.depth_um) == 2
    assert 20 <= found.depth_um[0] <= found.depth_um[1] <= 65


def table_of(top, exposure, borders=BORDERS, draws=DRAWS):
    layers = Tallies(exposure, top, exposure, top / 100, 3 * top / 100)
    return breakpoints_table(layers, borders, 5.0, 0.125, draws, "edge_of_model")


def test_the_table_says_what_was_found_or_that_nothing_was():
    middles = (BORDERS[:-1] + BORDERS[1:]) / 2
    table = table_of(profile_of(target(middles), np.random.default_rng(1)), EXPOSURE).set_index("quantity")
    ratio = table.loc["volume_ratio"]
    assert np.abs(ratio["depth_um"].to_numpy() - [27, 40, 80]).max() < 12
    assert list(ratio["change"]) == ["flat to rising", "rising to falling", "falling to flat"]
    assert list(ratio["slope_after"][:-1]) == list(ratio["slope_before"][1:])
    diameter = table.loc["mean_equivalent_diameter_um"]
    assert (diameter["change"], diameter["flag"]) == ("none", "edge_of_model")
    assert np.isnan(diameter["depth_um"])
    density = table.loc["number_density_per_mm3"]
    assert density["slope_before"].to_numpy() == pytest.approx(ratio["slope_before"] / 100 / 0.125 * 1e9)


@pytest.mark.parametrize(
    ("blocks", "layers", "change", "flag"),
    [(3, 128, "unknown", "few_blocks"), (6, 128, "none", "few_blocks"), (16, 4, "unknown", "too_short")],
)
def test_what_cannot_be_told_is_not_told(blocks, layers, change, flag):
    exposure = np.full((layers, blocks), 100.0)
    table = table_of(exposure / 10, exposure, BORDERS[: layers + 1], draw_blocks(blocks, 100, 1))
    assert set(table["change"]) == {change}
    assert table["depth_um"].isna().all()
    assert set(table["flag"]) == {f"edge_of_model;{flag}"}


def test_nothing_at_all_is_no_crash():
    table = table_of(np.zeros_like(EXPOSURE), EXPOSURE).set_index("quantity")
    assert table.loc["volume_ratio", "change"] == "none"
    assert table.loc["mean_equivalent_diameter_um", "flag"] == "edge_of_model;too_short"
