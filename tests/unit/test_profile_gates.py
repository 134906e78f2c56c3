"""The acceptance gates of the profile on a simulated scan with its true mask: no imaging, no segmentation."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from benchmarks.coverage import profile_of, realise
from tomoprofile.phantom.settings import PhantomSettings, phantom_profile
from tomoprofile.volume.plane import Plane

SETTINGS = PhantomSettings(tilt_deg=1.0, seed=2)
ZONES = [
    {"name": "all", "from_um": 0},
    {"name": "foot", "from_um": 27, "to_um": 30},
    {"name": "peak", "from_um": 40, "to_um": 45},
    {"name": "bulk", "from_um": 80},
]
CONFIG = phantom_profile(bin_um=1, zones=ZONES, resamples=200)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return realise(SETTINGS, tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="module")
def found(scan, tmp_path_factory):
    return profile_of(scan, CONFIG, tmp_path_factory.mktemp("profile"))


def edited(scan, folder, edit):
    """Return the zones of the scan with an edited table of domains."""
    edit(pd.read_parquet(scan.domains)).to_parquet(folder / "edited.parquet")
    return profile_of(dataclasses.replace(scan, domains=folder / "edited.parquet"), CONFIG, folder)["zones"]


def whole_spheres(scan, zone):
    """Return the true diameters of the spheres with their centre in the scan and a zone, and the resin around them."""
    table, plane = pd.read_parquet(scan.domains), Plane.load(scan.interface)
    side = np.array(SETTINGS.size) * SETTINGS.voxel_um
    inside = np.ones(len(table), bool)
    for axis, length in zip("zyx", side, strict=True):
        inside &= table[f"centre_{axis}_um"].between(0, length)
    to_um = side[1] - SETTINGS.substrate_um - 12  # before the far end cuts anything
    rows = table[inside & table["centre_depth_um"].between(zone["from_um"], to_um)]
    z, x = np.meshgrid(*((np.arange(SETTINGS.size[axis]) + 0.5) * SETTINGS.voxel_um for axis in (0, 2)))
    heights = [
        (plane.offset_um + depth - plane.normal[0] * z - plane.normal[2] * x) / plane.normal[1]
        for depth in (zone["from_um"], to_um)
    ]
    resin_um3 = (heights[1] - heights[0]).mean() * side[0] * side[2]
    return rows["diameter_um"], resin_um3


def test_volume_ratio_is_that_of_the_voxelised_truth(scan, found):
    both = found["profile"].merge(scan.truth, on="depth_lo_um", suffixes=("", "_true"))
    assert len(both) > 100
    for column in ("resin_um3", "domain_um3"):
        np.testing.assert_array_equal(both[column], both[f"{column}_true"])


def test_depth_by_slice_index_would_fail(scan, tmp_path):
    plane = Plane.load(scan.interface)
    middle = np.array(SETTINGS.size) * SETTINGS.voxel_um / 2
    straight = Plane((0.0, 1.0, 0.0), middle[1] - float(plane.depth_um(*middle)))
    straight.save(tmp_path / "interface.json")
    mutant = profile_of(dataclasses.replace(scan, interface=tmp_path / "interface.json"), CONFIG, tmp_path)["profile"]
    both = mutant.merge(scan.truth, on="depth_lo_um", suffixes=("", "_true"))
    wrong = (both["volume_ratio"] - both["volume_ratio_true"]).abs()[both["depth_lo_um"].between(26, 60)]
    assert wrong.max() > 0.003
    assert wrong.mean() > 0.0008


def test_whole_objects_in_the_bin_of_their_centroid_would_fail(scan):
    table = pd.read_parquet(scan.domains)
    borders = [*scan.truth["depth_lo_um"], scan.truth["depth_hi_um"].iloc[-1]]
    whole = np.histogram(table["depth_um"], borders, weights=table["volume_um3"])[0]
    wrong = np.abs(whole / scan.truth["resin_um3"] - scan.truth["volume_ratio"])[30:100]
    assert wrong.mean() > 0.003


def test_resin_without_its_mask_would_fail(scan, found):
    """The mutant: everything up to a depth is the denominator, the substrate too."""
    all_um3 = np.prod(np.array(SETTINGS.size) * SETTINGS.voxel_um)
    row = found["zones"].set_index("zone").loc["all"]
    assert row["volume_ratio"] == pytest.approx(scan.truth["domain_um3"].sum() / scan.truth["resin_um3"].sum())
    assert row["domain_um3"] / all_um3 < 0.95 * row["volume_ratio"]


def test_density_and_mean_diameter_are_those_of_the_spheres(scan, found):
    zones = found["zones"].set_index("zone")
    for zone in (ZONES[0], ZONES[3]):
        diameter, resin_um3 = whole_spheres(scan, zone)
        row = zones.loc[zone["name"]]
        assert row["mean_equivalent_diameter_um"] == pytest.approx(diameter.mean(), rel=0.01)
        assert row["number_density_per_mm3"] == pytest.approx(len(diameter) / resin_um3 * 1e9, rel=0.03)
        assert row["diameter_median_um"] == pytest.approx(diameter.median(), rel=0.015)


def test_cut_objects_left_out_without_weights_would_fail(scan, found, tmp_path):
    mutant = edited(scan, tmp_path, lambda table: table.assign(edge_weight=(table["edge_weight"] > 0) * 1.0))
    ratio = mutant["number_density_per_mm3"].to_numpy() / found["zones"]["number_density_per_mm3"].to_numpy()
    assert ratio[0] < 0.96
    assert ratio[3] < 0.96


def test_the_profile_breaks_at_40_um_and_ends_at_27_um(found):
    breaks = found["breakpoints"].set_index("quantity").loc["volume_ratio"]
    peak = breaks[breaks["change"] == "rising to falling"].iloc[0]
    assert peak["depth_um"] == pytest.approx(40, abs=3)  # A4
    assert peak["depth_um_lo"] <= 40 <= peak["depth_um_hi"]
    zones = found["zones"].set_index("zone")["volume_ratio"]
    assert zones["foot"] <= 0.35 * zones["peak"]
    assert zones["bulk"] > 0.35 * zones["peak"], "the gate can fail"


def test_distances_of_spheres_that_keep_a_gap_are_more_regular_than_chance(found):
    zones = found["zones"].set_index("zone")
    assert 1.1 < zones.loc["bulk", "clark_evans"] < 1.4
    row = zones.loc["bulk"]
    assert row["nearest_mean_um_lo"] < row["nearest_mean_um"] < row["nearest_mean_um_hi"]
    assert row["nearest_mean_um"] > 4, "3 um and a gap of 1 um"
