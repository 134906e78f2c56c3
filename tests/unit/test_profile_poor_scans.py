"""Profiles of scans of which little can be told: few domains, few slices, little resin."""

import math

import numpy as np
import pandas as pd
import pytest
from profile_scan import TABLES, TILTED, depth_map, paint, run_profile

from tomoprofile.phantom.settings import phantom_profile
from tomoprofile.volume.plane import Plane

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
