"""Profiles and zones of analytic objects: exact where they can be, unbiased where they cannot."""

import json
import math

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from profile_scan import ONE_ZONE, TILTED, depth_map, facts_in, paint, run_profile, separate_spheres, tables_in

from tomoprofile.domains.workers import workers_of
from tomoprofile.phantom.settings import phantom_profile
from tomoprofile.profile.masks import FieldOfView, Space
from tomoprofile.profile.ranges import layer_borders
from tomoprofile.volume.plane import Plane

# --- volume fraction: exact -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["all", "cylinder"])
def test_volume_ratio_is_the_direct_count_of_voxels(tmp_path, spheres, view):
    zones = [{"name": "near", "from_um": 0, "to_um": 13.7}, {"name": "far", "from_um": 13.7}]
    config = phantom_profile(bin_um=4, guard_um=0.5, block_um=10, zones=zones, field_of_view=view)
    profile, zone = run_profile(tmp_path, spheres, TILTED, config)
    at = depth_map(spheres.shape, 1.0, TILTED)
    y, x = (np.arange(n) + 0.5 - n / 2 for n in spheres.shape[1:])
    seen = np.broadcast_to(y[:, None] ** 2 + x[None, :] ** 2 <= 30**2, spheres.shape) if view == "cylinder" else True
    rows = [(row.depth_lo_um, row.depth_hi_um, row) for row in profile.itertuples()]
    rows += [
        (max(row.from_um, 0.5), math.inf if math.isnan(row.to_um) else row.to_um, row) for row in zone.itertuples()
    ]
    assert len(rows) > 10
    for low, high, row in rows:
        here = (at >= low) & (at < high) & seen
        assert row.resin_um3 == here.sum()
        assert row.domain_um3 == (here & (spheres > 0)).sum()
        assert row.volume_ratio == pytest.approx(row.domain_um3 / row.resin_um3, rel=1e-12)
        assert row.volume_ratio_lo <= row.volume_ratio <= row.volume_ratio_hi


def test_counting_whole_objects_would_give_another_profile(tmp_path, spheres):
    profile, _ = run_profile(tmp_path, spheres, TILTED, phantom_profile(bin_um=2, block_um=10, zones=ONE_ZONE))
    table = pd.read_parquet(tmp_path / "domains.parquet")
    at = TILTED.depth_um(*(table[f"centroid_{axis}_um"] for axis in "zyx"))
    whole = np.histogram(at, [*profile["depth_lo_um"], profile["depth_hi_um"].iloc[-1]], weights=table["volume_um3"])[0]
    error = np.abs(whole - profile["domain_um3"]) / profile["domain_um3"].mean()
    assert error.mean() > 0.2


def test_substrate_in_the_denominator_would_halve_the_first_bin(tmp_path):
    shape, plane = (40, 40, 40), Plane((1.0, 0.0, 0.0), 10.0)
    labels = np.zeros(shape, np.int32)
    labels[10:20] = 1  # everything in the first 10 um of the resin
    profile, _ = run_profile(tmp_path, labels, plane, phantom_profile(bin_um=10, block_um=10, zones=ONE_ZONE))
    assert list(profile["volume_ratio"]) == [1, 0, 0]
    lower = tmp_path / "lower"
    lower.mkdir()
    mutant, _ = run_profile(lower, labels, Plane((1.0, 0.0, 0.0), 0.0), phantom_profile(bin_um=20, zones=ONE_ZONE))
    assert mutant["volume_ratio"][0] == 0.5


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_depth_follows_the_tilted_plane_and_not_the_slice_index(tmp_path, axis, sign):
    normal = [0.0, 0.0, 0.0]
    normal[axis], normal[(axis + 1) % 3] = sign, math.tan(math.radians(1))  # A7: 1 degree
    shape = [48, 48, 48]
    shape[axis], shape[(axis + 1) % 3] = 40, 160
    middle = [n / 2 for n in shape]
    plane = Plane.through(tuple(normal), float(np.dot(normal, middle)) - 10)
    at = depth_map(shape, 1.0, plane)
    labels = ((at >= 12) & (at < 16)).astype(np.int32)
    config = phantom_profile(bin_um=1, block_um=16, zones=[{"name": "layer", "from_um": 12, "to_um": 16}])
    profile, zones = run_profile(tmp_path, labels, plane, config)
    expected = ((profile["depth_um"] > 12) & (profile["depth_um"] < 16)).astype(float)
    assert np.array_equal(profile["volume_ratio"], expected)
    assert zones["volume_ratio"][0] == 1
    straight = [0.0, 0.0, 0.0]
    straight[axis] = sign
    by_index = Plane(tuple(straight), float(np.dot(straight, middle)) - 10)
    mutant, _ = run_profile(tmp_path, labels, by_index, config)
    smeared = np.interp(profile["depth_um"], mutant["depth_um"], mutant["volume_ratio"])
    assert np.abs(smeared - expected).max() > 0.2


def test_tables_do_not_depend_on_the_shards_nor_on_who_counts(tmp_path, spheres):
    def bytes_of(name, shard_slices, workers=None):
        folder = tmp_path / name
        folder.mkdir()
        run_profile(folder, spheres, TILTED, phantom_profile(block_um=10), shard_slices=shard_slices, workers=workers)
        return [path.read_bytes() for path in vars(tables_in(folder)).values()]

    whole = bytes_of("whole", 48)
    assert bytes_of("slices", 1) == whole
    assert bytes_of("shards", 7) == whole
    with workers_of(0, 2, 4000, tmp_path) as processes:
        assert bytes_of("processes", 2, processes) == whole


def test_pairs_at_distance_zero_are_the_volume_ratio(tmp_path, spheres):
    _, zones = run_profile(tmp_path, spheres, TILTED, phantom_profile(block_um=10, field_of_view="cylinder"))
    correlation = pd.read_parquet(tmp_path / "correlation.parquet")
    at_zero = correlation[correlation["lag_um"] == 0].reset_index(drop=True)
    for end in ("", "_lo", "_hi"):
        np.testing.assert_array_equal(at_zero[f"s2{end}"], zones[f"volume_ratio{end}"])
    assert list(at_zero["autocovariance"])[:2] == [1, 1]
    assert np.array_equal(at_zero["pairs"], zones["resin_um3"])


def test_pairs_far_apart_know_nothing_of_each_other(tmp_path):
    """Overlapping spheres placed at random: S2 is phi squared beyond a diameter, (1 - phi)^(2 - overlap) within."""
    rng = np.random.default_rng(1)
    shape = (80, 128, 128)
    centres = rng.uniform(-5, [85, 133, 133], (3000, 3))
    labels = (paint(shape, 1.0, centres, np.full(3000, 3.0)) > 0).astype(np.int32)
    config = phantom_profile(zones=ONE_ZONE, resamples=100)
    run_profile(tmp_path, labels, Plane((1.0, 0.0, 0.0), 0.0), config)
    table = pd.read_parquet(tmp_path / "correlation.parquet")
    assert table["lag_um"].iloc[-1] == 50
    void = 1 - table["s2"][0]
    at = table["lag_um"].to_numpy() / 6
    union = np.where(at < 1, 1 + 1.5 * at - 0.5 * at**3, 2)  # of two spheres so far apart, over one of them
    expected = 1 - 2 * void + void**union  # Torquato (2002), section 5.1
    assert table["s2"].to_numpy() == pytest.approx(expected, abs=0.004)
    assert table["s2"][0] - table["s2"][0] ** 2 > 0.1
    # The mutant: over all voxels instead of the pairs there are.
    assert np.abs(table["s2"] * table["pairs"] / table["pairs"][0] - expected).max() > 0.01
    assert table["autocovariance"][8:].abs().max() < 0.04
    inside = (table["s2_lo"] <= expected) & (expected <= table["s2_hi"])
    assert inside.mean() > 0.8


def test_layers_hold_bins_and_zones_and_are_no_thinner_than_a_voxel():
    config = phantom_profile(bin_um=0.7, guard_um=0.1, zones=[{"name": "odd", "from_um": 1.23, "to_um": 4.56}])
    borders, bins = layer_borders(10.0, -np.inf, 8.3, 0.3, config)
    assert np.array_equal(bins, 0.1 + 0.7 * np.arange(len(bins)))
    assert set(bins) | {1.23, 4.56, 8.3} <= set(borders)
    assert bins[-1] > 10.0
    assert np.diff(borders[borders > 8.4]).min() == pytest.approx(0.35)
    borders, bins = layer_borders(10.0, -np.inf, 8.3, 0.01, config)
    assert np.diff(borders[borders > 8.4]).min() == pytest.approx(0.14), "a fifth of a bin"


# --- objects: unbiased ----------------------------------------------------------------------------------------------

SHAPE, DEPTH_0, DIAMETER = (96, 64, 96), 6.0, 12.0
MUTANTS = 10  # realisations; their errors are far larger than the spread


def keep_all(table):
    return table.assign(edge_weight=1.0)


def leave_cut_out(table):
    return table.assign(edge_weight=(table["edge_weight"] > 0).astype(float))


@pytest.fixture(scope="module")
def large_spheres():
    """Realisations of spheres of 12 um in a field of 96 um, which cuts many of them; centres also outside."""
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        # A wide margin: sequential addition packs more densely along the sides of its own box.
        low, high = (-24, DEPTH_0 + DIAMETER / 2, -24), (120, 71, 120)
        centres = separate_spheres(rng, low, high, 76, DIAMETER / 2)
        found.append((centres, paint(SHAPE, 1.0, centres, np.full(len(centres), DIAMETER / 2))))
    return found


def density_ratio(folder, realisations, edit=None):
    """Return number density in the zone over the true one, from the centres in those depths where all are whole."""
    plane = Plane((0.0, 1.0, 0.0), DEPTH_0)
    estimated = true = 0.0  # of the number of spheres
    for centres, labels in realisations:
        _, zones = run_profile(folder, labels, plane, phantom_profile(zones=ONE_ZONE, resamples=100), edit=edit)
        _, far_um = facts_in(folder / "zones.parquet")["whole_objects_um"]
        far_um = min(far_um, 58.0)
        inside = ((centres[:, [0, 2]] >= 0) & (centres[:, [0, 2]] < 96)).all(axis=1)
        true += (inside & (centres[:, 1] - DEPTH_0 < far_um)).sum()
        estimated += zones["number_density_per_mm3"][0] * far_um * 96 * 96 / 1e9
    return estimated / true


def test_number_density_corrects_for_cut_objects(tmp_path, large_spheres):
    assert density_ratio(tmp_path, large_spheres) == pytest.approx(1, abs=0.03)  # A8


def test_leaving_cut_objects_out_would_count_too_few(tmp_path, large_spheres):
    assert density_ratio(tmp_path, large_spheres[:MUTANTS], leave_cut_out) < 0.85


def test_keeping_cut_objects_would_count_too_many(tmp_path, large_spheres):
    assert density_ratio(tmp_path, large_spheres[:MUTANTS], keep_all) > 1.08


def test_objects_cut_by_the_far_end_would_count_too_often(tmp_path, large_spheres, monkeypatch):
    monkeypatch.setattr(Space, "whole_objects_um", lambda *_: (-np.inf, 1e9))
    assert density_ratio(tmp_path, large_spheres) > 1.03


def test_mean_diameter_is_weighted_so_that_large_objects_do_not_vanish(tmp_path):
    rng = np.random.default_rng(3)
    plane = Plane((1.0, 0.0, 0.0), 0.0)
    weighted, plain = [], []
    for _ in range(25):
        centres = rng.uniform((12, -10, -10), (24, 74, 74), size=(24, 3))
        radii = np.where(np.arange(24) % 2, 9.0, 2.5)
        _, zones = run_profile(
            tmp_path, paint((36, 64, 64), 1.0, centres, radii), plane, phantom_profile(zones=ONE_ZONE, resamples=100)
        )
        table = pd.read_parquet(tmp_path / "domains.parquet")
        whole = table["edge_weight"] > 0
        weighted.append([zones["number_density_per_mm3"][0], zones["mean_equivalent_diameter_um"][0]])
        plain.append(table["equivalent_diameter_um"][whole].mean())
    density, mean = np.array(weighted).T
    pooled = (density * mean).sum() / density.sum()
    assert np.mean(plain) < pooled - 1
    assert pooled == pytest.approx((18 + 5) / 2, abs=0.9)


def test_zones_describe_the_sizes(tmp_path):
    plane = Plane((1.0, 0.0, 0.0), 4.0)
    radii = np.array([2.0, 3.0, 4.0, 3.0, 5.0, 2.0])
    centres = np.array([[12, 12, 12], [12, 30, 30], [12, 50, 50], [30, 12, 50], [30, 50, 12], [30, 30, 0.5]], float)
    zones = [
        {"name": "near", "from_um": 0, "to_um": 17},
        {"name": "far", "from_um": 17},
        {"name": "none", "from_um": 99},
    ]
    config = phantom_profile(zones=zones)
    _, found = run_profile(tmp_path, paint((48, 64, 64), 1.0, centres, radii), plane, config)
    table = pd.read_parquet(tmp_path / "domains.parquet").set_index("domain_id")["equivalent_diameter_um"]
    near, far = table[[1, 2, 3]], table[[4, 5]]  # 6 is cut by a side
    assert list(found["n_domains"]) == [3, 3, 0]
    assert list(found["diameter_min_um"])[:2] == [near.min(), far.min()]
    assert list(found["diameter_max_um"])[:2] == [near.max(), far.max()]
    assert found["diameter_median_um"][0] == near.median()
    assert (found["diameter_p10_um"][0], found["diameter_p90_um"][0]) == (near.min(), near.max())
    assert near.mean() < found["volume_weighted_diameter_um"][0] < near.max()
    assert found.iloc[2][["volume_ratio", "diameter_min_um", "mean_equivalent_diameter_um"]].isna().all()
    assert math.isnan(found["to_um"][1])


# --- intervals and flags --------------------------------------------------------------------------------------------


def test_intervals_cover_the_truth(tmp_path):
    shape, plane, number = (24, 128, 128), Plane((1.0, 0.0, 0.0), 4.0), 260
    rng = np.random.default_rng(11)
    volume = 28.0 * 136 * 136
    expected = {
        "volume_ratio": 1 - math.exp(-number / volume * 4 / 3 * math.pi * 2**3),
        "number_density_per_mm3": number / volume * 1e9,
    }
    covered = dict.fromkeys(expected, 0)
    config = phantom_profile(zones=[{"name": "middle", "from_um": 4, "to_um": 16}], resamples=400)
    for _ in range(40):
        centres = rng.uniform((0, -4, -4), (28, 132, 132), size=(rng.poisson(number), 3))
        labels = paint(shape, 1.0, centres, np.full(len(centres), 2.0))
        _, zones = run_profile(tmp_path, labels, plane, config)
        for name, truth in expected.items():
            covered[name] += zones[f"{name}_lo"][0] <= truth <= zones[f"{name}_hi"][0]
    assert all(34 <= count <= 40 for count in covered.values()), covered


def test_flags_tell_what_to_distrust(tmp_path, spheres):
    profile, zones = run_profile(tmp_path, spheres, TILTED, phantom_profile(bin_um=5, block_um=16))
    assert "few" in profile["flag"].iloc[0].split(";")
    assert profile["flag"].iloc[4] == ""
    assert "far_end" in profile["flag"].iloc[-1].split(";")
    few_blocks = profile["flag"].str.contains("few_blocks")
    assert list(np.flatnonzero(few_blocks)) == [len(profile) - 1], "the corner of a tilted scan"
    assert list(zones["flag"]) == ["", "far_end", "few;few_blocks"]
    assert profile[["volume_ratio_lo", "volume_ratio_hi"]].notna().all(axis=None)
    coarse, _ = run_profile(tmp_path, spheres, TILTED, phantom_profile(bin_um=5, block_um=30))
    assert coarse["flag"].str.contains("few_blocks").all()
    assert coarse[["volume_ratio_lo", "number_density_per_mm3_hi"]].isna().all(axis=None)
    assert np.array_equal(coarse["volume_ratio"], profile["volume_ratio"])


def test_a_given_mask_has_no_band_instead_of_one_without_width(tmp_path, spheres):
    config = phantom_profile(bin_um=5, block_um=16)
    of_model, _ = run_profile(tmp_path, spheres, TILTED, config)
    # The mutant: all levels of a mask are alike, and without the care below the table would call that certain.
    assert set(pd.read_parquet(tmp_path / "profile.parquet").groupby("depth_um")["volume_ratio"].nunique()) == {1}
    given, _ = run_profile(tmp_path, spheres, TILTED, config, mask=tmp_path / "mask.json")
    pd.testing.assert_frame_equal(given, of_model, check_dtype=False)
    for name in ("profile.parquet", "zones.parquet"):
        table = pd.read_parquet(tmp_path / name)
        band = table[table["level"] != "calibrated"]
        unknown = band.drop(columns=["zone", "from_um", "to_um"], errors="ignore")
        unknown = unknown.drop(columns=["class", "level", "flag", "resin_um3", *unknown.filter(like="depth").columns])
        assert unknown.shape[1] >= 11
        assert unknown.isna().all(axis=None)
        assert set(band["flag"]) == {"given_mask"}
        assert "unknown" in json.loads(pq.read_schema(tmp_path / name).metadata[b"boundary"])


def test_bins_without_domains_have_a_ratio_of_zero(tmp_path):
    labels = np.zeros((40, 40, 40), np.int32)
    labels[30:33, 20:23, 20:23] = 1
    config = phantom_profile(bin_um=5, block_um=10, zones=ONE_ZONE)
    profile, _ = run_profile(tmp_path, labels, Plane((1.0, 0.0, 0.0), 10.0), config)
    first = profile.iloc[0]
    assert (first["volume_ratio"], first["volume_ratio_lo"], first["volume_ratio_hi"]) == (0, 0, 0)
    assert math.isnan(first["mean_equivalent_diameter_um"])
    assert first["number_density_per_mm3"] == 0
    assert first["n_domains"] == 0
    assert "few" in first["flag"]


def test_the_circle_holds_the_voxels_whose_centres_it_holds():
    view = FieldOfView.of("cylinder", (1, 30, 50), (1.0, 1.0, 1.0))
    y, x = np.mgrid[:30, :50] + 0.5
    inside = np.zeros((30, 50), bool)
    for row, (start, stop) in enumerate(zip(view.x_start, view.x_stop, strict=True)):
        inside[row, start:stop] = True
    assert np.array_equal(inside, (y - 15) ** 2 + (x - 25) ** 2 <= 225)
