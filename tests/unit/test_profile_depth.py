"""Profiles and zones of analytic objects: exact where they can be, unbiased where they cannot."""

import json
import math

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tomoprofile.domains.measures import nearest
from tomoprofile.domains.objects import ObjectsMetadata, Runs, write_objects
from tomoprofile.domains.workers import workers_of
from tomoprofile.errors import InputError, StageError
from tomoprofile.phantom.settings import phantom_profile
from tomoprofile.profile.depth import ProfileInputs, ProfileTables, profile_depth
from tomoprofile.profile.masks import FieldOfView, Space
from tomoprofile.profile.ranges import layer_borders
from tomoprofile.tables import LEVELS, of_class, read_facts
from tomoprofile.volume.plane import Plane

# --- scans made of labels -------------------------------------------------------------------------------------------


def paint(shape, voxel_um, centres_um, radii_um):
    """Label the voxels whose centre a sphere holds; 1, 2, ... in the order given, the first one keeps a voxel."""
    labels = np.zeros(shape, np.int32)
    for number, (centre, radius) in enumerate(zip(centres_um, radii_um, strict=True), start=1):
        low = np.maximum(np.floor((centre - radius) / voxel_um), 0).astype(int)
        high = np.minimum(np.ceil((centre + radius) / voxel_um), shape).astype(int)
        if (high <= low).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        z, y, x = ((np.arange(a, b) + 0.5) * voxel_um - c for a, b, c in zip(low, high, centre, strict=True))
        inside = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2 < radius**2
        part = labels[box]
        part[inside & (part == 0)] = number
    return labels


def runs_of(labels):
    """Return z, y, x_start, x_stop, domain_id of the runs, in raster order."""
    padded = np.pad(labels, ((0, 0), (0, 0), (1, 1)))
    change = np.diff(padded, axis=2) != 0
    z, y, x = np.nonzero(change)
    following = labels[z[:-1], y[:-1], np.minimum(x[:-1], labels.shape[2] - 1)]
    is_run = (z[:-1] == z[1:]) & (y[:-1] == y[1:]) & (x[:-1] < labels.shape[2]) & (following > 0)
    return (
        pd.DataFrame({"z": z[:-1][is_run], "y": y[:-1][is_run], "x_start": x[:-1][is_run], "x_stop": x[1:][is_run]})
        .astype("int32")
        .assign(domain_id=following[is_run].astype("int64"))
    )


def table_of(runs, shape, voxel_um, plane):
    """Return the columns of ``domains.parquet`` that the profile needs.

    Objects that touch a lateral face count 0, cut or not, because nobody can tell. A box of b voxels has n - b - 1
    places in n voxels that touch neither face, so the weight is n / (n - b - 1) along each lateral axis.
    """
    length = (runs["x_stop"] - runs["x_start"]).astype("int64")
    sums = (
        pd.DataFrame(
            {
                "voxels": length,
                "z": (runs["z"] + 0.5) * length,
                "y": (runs["y"] + 0.5) * length,
                "x": (runs["x_start"] + runs["x_stop"]) / 2 * length,
            }
        )
        .groupby(runs["domain_id"])
        .sum()
    )
    edges = runs.assign(z_stop=runs["z"] + 1, y_stop=runs["y"] + 1).groupby("domain_id")
    low = edges[["z", "y", "x_start"]].min().to_numpy()
    high = edges[["z_stop", "y_stop", "x_stop"]].max().to_numpy()
    weight = np.ones(len(sums))
    for axis in {0, 1, 2} - {plane.axis}:
        whole = (low[:, axis] > 0) & (high[:, axis] < shape[axis])
        weight *= np.where(whole, shape[axis] / (shape[axis] - (high - low)[:, axis] - 1), 0)
    centroid = sums[["z", "y", "x"]].to_numpy() / sums[["voxels"]].to_numpy() * voxel_um
    volume = sums["voxels"].to_numpy() * voxel_um**3
    return pd.DataFrame(
        {
            "domain_id": sums.index.to_numpy(np.int64),
            "class": "domain",
            "voxels": sums["voxels"].to_numpy(np.int64),
            "volume_um3": volume,
            "equivalent_diameter_um": np.cbrt(6 * volume / math.pi),
            "centroid_z_um": centroid[:, 0],
            "centroid_y_um": centroid[:, 1],
            "centroid_x_um": centroid[:, 2],
            "edge_weight": weight,
            **nearest(dict(zip(("centroid_z_um", "centroid_y_um", "centroid_x_um"), centroid.T, strict=True))),
        }
    )


def write_runs(path, classes, shape, voxel_um, shard_slices):
    """Write the runs of a class called ``domain``, or a dictionary of the runs of several classes."""
    written = []
    for name, runs in (classes if isinstance(classes, dict) else {"domain": classes}).items():
        n_domains = int(runs["domain_id"].max()) if len(runs) else 0
        starts = range(0, shape[0], shard_slices)
        shards = [runs[(runs["z"] >= z) & (runs["z"] < z + shard_slices)] for z in starts]
        metadata = ObjectsMetadata(name, 0.5, 26, 1, shape, (voxel_um,) * 3, n_domains)
        written.append((metadata, [Runs(*(shard[column].to_numpy() for column in runs)) for shard in shards]))
    write_objects(path, written)


def tables_in(folder):
    return ProfileTables(*(folder / f"{name}.parquet" for name in TABLES))


def facts_in(path, name="domain"):
    """Return what the metadata of a table say of a class."""
    return read_facts(path)["classes"][name]


def inputs_in(folder, objects="runs.parquet", **more):
    """Return the inputs of one scan, the same at all levels."""
    levels = (dict.fromkeys(LEVELS, folder / name) for name in (objects, "domains.parquet"))
    return ProfileInputs(*levels, folder / "interface.json", **more)


def run_profile(
    folder, labels, plane, config, voxel_um=1.0, shard_slices=16, edit=None, seed=1, mask=None, workers=None
):
    """Write the inputs of one scan, the same at all levels, and return profile and zones of the calibrated level."""
    runs = runs_of(labels)
    table = table_of(runs, labels.shape, voxel_um, plane)
    if edit is not None:
        table = edit(table)
    write_runs(folder / "runs.parquet", runs, labels.shape, voxel_um, shard_slices)
    table.to_parquet(folder / "domains.parquet")
    plane.save(folder / "interface.json")
    profile_depth(inputs_in(folder, mask=mask), config, seed, tables_in(folder), workers)
    both = (pd.read_parquet(folder / name) for name in ("profile.parquet", "zones.parquet"))
    return tuple(table[table["level"] == "calibrated"].reset_index(drop=True) for table in both)


def depth_map(shape, voxel_um, plane):
    z, y, x = ((np.arange(n) + 0.5) * voxel_um for n in shape)
    return plane.depth_um(z[:, None, None], y[None, :, None], x[None, None, :])


def separate_spheres(rng, low, high, number, radius):
    """Return centres by random sequential addition: no two closer than a diameter and a voxel's diagonal."""
    centres = np.empty((0, 3))
    while len(centres) < number:
        new = rng.uniform(low, high)
        if not len(centres) or np.linalg.norm(centres - new, axis=1).min() > 2 * radius + 1.8:
            centres = np.vstack([centres, new])
    return centres


TABLES = ("profile", "zones", "breakpoints", "correlation", "sizes")
ONE_ZONE = [{"name": "all", "from_um": 0}]
TILTED = Plane.through((0.02, 1.0, -0.03), 9.3)


@pytest.fixture(scope="module")
def spheres():
    """Random spheres of 3 to 9 um above a tilted substrate along y, 1 um voxels."""
    rng = np.random.default_rng(7)
    centres = rng.uniform((0, 0, 0), (48, 60, 64), size=(150, 3))
    radii = rng.uniform(1.5, 4.5, size=150)
    away = TILTED.depth_um(*centres.T) > radii + 1
    return paint((48, 60, 64), 1.0, centres[away], radii[away])


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
    assert density_ratio(tmp_path, large_spheres, leave_cut_out) < 0.85


def test_keeping_cut_objects_would_count_too_many(tmp_path, large_spheres):
    assert density_ratio(tmp_path, large_spheres, keep_all) > 1.08


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


# --- scans of which little can be told ------------------------------------------------------------------------------

UP = Plane((0.0, 1.0, 0.0), 10.0)
OF_OBJECTS = ["mean_equivalent_diameter_um", "diameter_median_um", "volume_weighted_diameter_um", "diameter_max_um"]


def one_ball(shape, centre, radius=4.0):
    return paint(shape, 1.0, np.array([centre], float), np.array([radius]))


def all_tables(folder, labels, plane=UP, **options):
    run_profile(folder, labels, plane, phantom_profile(block_um=10), **options)
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    return {name: table.query("level == 'calibrated'") if "level" in table else table for name, table in tables.items()}


def test_a_scan_without_domains_still_has_tables(tmp_path):
    found = all_tables(tmp_path, np.zeros((40, 60, 40), np.int32))
    for name in ("profile", "zones"):
        table = found[name]
        reached = table["resin_um3"] > 0
        assert (table["volume_ratio"][reached] == 0).all()
        assert (table["number_density_per_mm3"][reached] == 0).all()
        assert table[OF_OBJECTS].isna().all(axis=None)
        assert table["flag"].str.contains("few").all()
    assert list(found["zones"]["zone"]) == ["interface", "transition", "bulk"]
    assert found["zones"][["nearest_mean_um", "nearest_sd_um", "clark_evans"]].isna().all(axis=None)
    assert found["breakpoints"]["depth_um"].isna().all()
    assert list(found["breakpoints"]["change"]) == ["none", "unknown", "none"]
    assert found["breakpoints"]["flag"].iloc[1] == "too_short"
    reached = found["correlation"]["zone"] != "bulk"
    assert (found["correlation"]["s2"][reached & (found["correlation"]["pairs"] > 0)] == 0).all()
    assert found["correlation"]["autocovariance"].isna().all()
    assert (found["sizes"]["n_domains"] == 0).all()
    assert found["sizes"]["volume_ratio_share"].isna().all()


def test_all_domains_in_one_bin(tmp_path):
    labels = one_ball((40, 60, 40), (20, 32, 12)) + 2 * one_ball((40, 60, 40), (20, 32, 28), 3.0)
    found = all_tables(tmp_path, labels)
    profile = found["profile"].set_index("depth_lo_um")
    assert list(profile.index[profile["n_domains"] > 0]) == [20]
    assert profile.loc[20, OF_OBJECTS].notna().all()
    assert profile.drop(index=20)[OF_OBJECTS].isna().all(axis=None)
    assert "few" in profile.loc[20, "flag"]
    assert found["zones"].iloc[0]["diameter_max_um"] == pytest.approx(8, rel=0.02)
    assert found["sizes"]["n_domains"].sum() == 2
    assert found["breakpoints"].set_index("quantity").loc["mean_equivalent_diameter_um", "flag"] == "too_short"


def test_a_single_slice(tmp_path):
    labels = one_ball((9, 60, 40), (4.5, 32, 20))[4:5]
    found = all_tables(tmp_path, labels)
    profile, zones = found["profile"], found["zones"]
    assert profile["volume_ratio"].max() > 0
    assert profile["flag"].str.contains("few_blocks").all(), "a row of four blocks"
    assert zones[OF_OBJECTS].isna().all(axis=None), "every domain is cut"
    assert found["breakpoints"]["depth_um"].isna().all()
    assert found["breakpoints"]["flag"].str.contains("few_blocks").all()
    assert found["correlation"]["s2"].max() > 0


def test_zones_that_the_scan_does_not_reach(tmp_path):
    found = all_tables(tmp_path, one_ball((40, 60, 40), (20, 32, 12)))
    empty = found["zones"].query("zone == 'bulk'").iloc[0]
    assert empty["flag"] == "few;few_blocks"
    assert math.isnan(empty["volume_ratio"])
    assert (empty["resin_um3"], empty["n_domains"]) == (0, 0)
    assert found["correlation"].query("zone == 'bulk'")[["s2", "s2_lo", "autocovariance"]].isna().all(axis=None)
    assert (found["correlation"].query("zone == 'bulk'")["pairs"] == 0).all()
    sizes = found["sizes"].query("zone == 'bulk'")
    assert sizes[["number_density_per_mm3", "volume_ratio_share"]].isna().all(axis=None)


def test_domains_of_unknown_size_are_flagged_and_left_out(tmp_path, spheres):
    def forget(table):
        depth = TILTED.depth_um(*(table[f"centroid_{axis}_um"] for axis in "zyx"))
        chosen = table.index == table.index[(table["edge_weight"] > 0) & depth.between(11, 14)][0]
        return table.assign(equivalent_diameter_um=table["equivalent_diameter_um"].mask(chosen))

    (tmp_path / "all").mkdir()
    known = all_tables(tmp_path / "all", spheres, TILTED)["zones"].iloc[0]
    found = all_tables(tmp_path, spheres, TILTED, edit=forget)
    row = found["zones"].iloc[0]
    assert "unknown_size" in row["flag"]
    assert "unknown_size" not in known["flag"]
    assert row["n_domains"] == known["n_domains"]
    assert row["volume_ratio"] == known["volume_ratio"]
    assert 0 < row["number_density_per_mm3"] < known["number_density_per_mm3"]
    assert np.isfinite(row[OF_OBJECTS].to_numpy(np.float64)).all()
    assert found["profile"]["flag"].str.contains("unknown_size").sum() == 1
    all_tables(tmp_path, spheres, TILTED, edit=lambda table: table.assign(equivalent_diameter_um=np.nan))


def test_the_seed_decides_the_intervals(tmp_path, spheres):
    config = phantom_profile(bin_um=10, block_um=10)
    first, again, other = (run_profile(tmp_path, spheres, TILTED, config, seed=seed)[0] for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert (first["volume_ratio_lo"] != other["volume_ratio_lo"]).any()
    assert np.array_equal(first["volume_ratio"], other["volume_ratio"])


def test_ends_with_little_resin_are_dropped_and_the_guard_is_kept_out(tmp_path, spheres):
    profile, _ = run_profile(tmp_path, spheres, TILTED, phantom_profile(bin_um=0.5, guard_um=3, block_um=10))
    assert profile["depth_lo_um"].iloc[0] == 3
    assert profile["resin_um3"].iloc[-1] >= 0.01 * profile["resin_um3"].max()
    assert profile["depth_hi_um"].iloc[-1] < depth_map(spheres.shape, 1.0, TILTED).max()


def test_a_substrate_outside_the_scan_leaves_the_near_end_open(tmp_path, spheres):
    profile, _ = run_profile(tmp_path, spheres, Plane((0.0, 1.0, 0.0), -20.0), phantom_profile(bin_um=5, block_um=10))
    assert profile["depth_lo_um"].iloc[0] == 20
    assert "near_end" in profile["flag"].iloc[0]
    assert "near_end" not in profile["flag"].iloc[4]


# --- contract -------------------------------------------------------------------------------------------------------


def test_columns_and_metadata_keep_the_contract(tmp_path, spheres):
    run_profile(tmp_path, spheres, TILTED, phantom_profile(block_um=10))
    quantities = [
        f"{name}{end}"
        for name in ("volume_ratio", "mean_equivalent_diameter_um", "number_density_per_mm3")
        for end in ("", "_lo", "_hi")
    ]
    profile, zones = (pq.read_schema(tmp_path / f"{name}.parquet") for name in ("profile", "zones"))
    sizes = [f"diameter_{name}_um" for name in ("min", "p10", "median", "median_lo", "median_hi", "p90", "max")]
    sizes = [name.replace("_lo_um", "_um_lo").replace("_hi_um", "_um_hi") for name in sizes]
    sizes += [f"volume_weighted_diameter_um{end}" for end in ("", "_lo", "_hi")]
    common = ["level", "resin_um3", "domain_um3", *quantities, "n_domains", *sizes]
    assert profile.names == ["class", "depth_um", "depth_lo_um", "depth_hi_um", *common, "flag"]
    nearest = [*(f"nearest_mean_um{end}" for end in ("", "_lo", "_hi")), "nearest_sd_um", "clark_evans"]
    assert zones.names == ["class", "zone", "from_um", "to_um", *common, *nearest, "flag"]
    bends, correlation, sizes_of = (pq.read_schema(tmp_path / f"{name}.parquet") for name in TABLES[2:])
    place = ["depth_um", "depth_um_lo", "depth_um_hi", "change", "slope_before", "slope_after"]
    assert bends.names == ["class", "quantity", *place, "flag"]
    assert correlation.names == ["class", "zone", "lag_um", "s2", "s2_lo", "s2_hi", "autocovariance", "pairs"]
    density = [f"number_density_per_mm3{end}" for end in ("", "_lo", "_hi")]
    bins = ["diameter_lo_um", "diameter_hi_um", "n_domains"]
    assert sizes_of.names == ["class", "zone", *bins, *density, "volume_ratio_share"]
    units = json.loads(profile.metadata[b"units"])
    assert units["resin_um3"] == "um^3"
    assert units["volume_ratio_lo"] == "1"
    assert units["number_density_per_mm3_hi"] == "mm^-3"
    assert units["mean_equivalent_diameter_um_lo"] == "um"
    units = json.loads(correlation.metadata[b"units"])
    assert (units["lag_um"], units["s2_hi"], units["autocovariance"]) == ("um", "1", "1")
    assert {b"tomoprofile_version", b"classes", b"plane", b"settings", b"seed"} <= set(profile.metadata)
    assert set(facts_in(tmp_path / "profile.parquet")) == {"levels", "blocks", "whole_objects_um"}
    assert list(pd.read_parquet(tmp_path / "profile.parquet")["level"].unique()) == list(LEVELS)


def test_wrong_inputs_raise_and_leave_no_output(tmp_path, spheres):
    def wrong_count(table):
        return table.iloc[1:]

    config = phantom_profile(block_um=10)
    with pytest.raises(InputError, match="voxels"):
        run_profile(tmp_path, spheres, TILTED, config, edit=wrong_count)
    with pytest.raises(StageError, match="no resin"):
        run_profile(tmp_path, spheres, Plane((0.0, 1.0, 0.0), 500.0), config)
    assert not list(tmp_path.glob("*profile.parquet*"))
    assert not list(tmp_path.glob("*zones.parquet*"))
    with pytest.raises(InputError, match="not an objects file of this version"):
        profile_depth(inputs_in(tmp_path, "domains.parquet"), config, 1, tables_in(tmp_path))
    with pytest.raises(
        InputError, match=r"domains\.parquet: the table lacks class\. Remove it and run the workflow again"
    ):
        run_profile(tmp_path, spheres, TILTED, config, edit=lambda table: table.drop(columns="class"))
    with pytest.raises(InputError, match=r"domains\.parquet: .* 0 voxels in this table.*got class domain"):
        run_profile(tmp_path, spheres, TILTED, config, edit=lambda table: table.assign(**{"class": 1}))


@pytest.mark.parametrize(
    ("shape", "name", "message"),
    [((49, 60, 64), "domain", "different scans"), ((48, 60, 64), "void", "different classes")],
)
def test_levels_of_different_scans_or_classes_are_refused(tmp_path, spheres, shape, name, message):
    run_profile(tmp_path, spheres, TILTED, phantom_profile(block_um=10))
    write_runs(tmp_path / "other.parquet", {name: runs_of(spheres)}, shape, 1.0, 16)
    inputs = inputs_in(tmp_path)
    inputs.objects["high"] = tmp_path / "other.parquet"
    with pytest.raises(InputError, match=message):
        profile_depth(inputs, phantom_profile(), 1, tables_in(tmp_path))


# --- several classes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_classes():
    """Labels of the domains of two classes in one scan, large ones and small ones, whose far ends differ."""
    rng = np.random.default_rng(9)
    found = {}
    for name, number, radius in (("domain", 40, 4.5), ("void", 90, 1.6)):
        centres = rng.uniform((0, 12, 0), (48, 60, 64), size=(number, 3))
        found[name] = paint((48, 60, 64), 1.0, centres, np.full(number, radius))
    found["void"][found["domain"] > 0] = 0
    return found


def profile_classes(folder, classes, config, workers=None):
    """Write the inputs of a scan with several classes, and return its tables."""
    folder.mkdir()
    runs = {name: runs_of(labels) for name, labels in classes.items()}
    shape = next(iter(classes.values())).shape
    write_runs(folder / "runs.parquet", runs, shape, 1.0, 16)
    tables = [table_of(found, shape, 1.0, TILTED).assign(**{"class": name}) for name, found in runs.items()]
    pd.concat(tables).to_parquet(folder / "domains.parquet")
    TILTED.save(folder / "interface.json")
    profile_depth(inputs_in(folder), config, 1, tables_in(folder), workers)
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}


def test_each_class_is_measured_as_if_it_were_alone(tmp_path, two_classes):
    config = phantom_profile(bin_um=4, block_um=10)
    together = profile_classes(tmp_path / "both", two_classes, config)
    for name, labels in two_classes.items():
        alone = profile_classes(tmp_path / name, {name: labels}, config)
        for kind, table in together.items():
            assert list(table["class"].unique()) == ["domain", "void"], "one after the other"
            pd.testing.assert_frame_equal(of_class(table, name), alone[kind], check_exact=True)
            both = facts_in(tmp_path / "both" / f"{kind}.parquet", name)
            assert both == facts_in(tmp_path / name / f"{kind}.parquet", name)
    far_um = [facts_in(tmp_path / "both/zones.parquet", name)["whole_objects_um"][1] for name in two_classes]
    assert far_um[0] < far_um[1] - 2, "the far end is that of the largest domain of the class"
    resin = together["zones"].groupby("class")["resin_um3"].sum()
    assert resin["domain"] == resin["void"], "domains of another class are resin"
    with workers_of(0, 2, 4000, tmp_path) as processes:
        shared = profile_classes(tmp_path / "processes", two_classes, config, processes)
    for kind, table in together.items():
        pd.testing.assert_frame_equal(shared[kind], table, check_exact=True)


def test_a_class_without_domains_has_its_rows_too(tmp_path, two_classes):
    config = phantom_profile(bin_um=4, block_um=10)
    classes = two_classes | {"void": np.zeros_like(two_classes["void"])}
    together = profile_classes(tmp_path / "both", classes, config)
    alone = profile_classes(tmp_path / "domain", {"domain": classes["domain"]}, config)
    for kind, table in together.items():
        pd.testing.assert_frame_equal(of_class(table, "domain"), alone[kind], check_exact=True)
        assert len(of_class(table, "void"))
    assert (of_class(together["zones"], "void")["n_domains"] == 0).all()


def test_the_circle_holds_the_voxels_whose_centres_it_holds():
    view = FieldOfView.of("cylinder", (1, 30, 50), (1.0, 1.0, 1.0))
    y, x = np.mgrid[:30, :50] + 0.5
    inside = np.zeros((30, 50), bool)
    for row, (start, stop) in enumerate(zip(view.x_start, view.x_stop, strict=True)):
        inside[row, start:stop] = True
    assert np.array_equal(inside, (y - 15) ** 2 + (x - 25) ** 2 <= 225)
