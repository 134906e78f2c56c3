"""Columns, metadata and refusals of the profile, and the rows of several classes."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from profile_scan import (
    TABLES,
    TILTED,
    facts_in,
    inputs_in,
    paint,
    run_profile,
    runs_of,
    table_of,
    tables_in,
    write_runs,
)

from tomoprofile.domains.workers import workers_of
from tomoprofile.errors import InputError, StageError
from tomoprofile.phantom.settings import phantom_profile
from tomoprofile.profile.depth import profile_depth
from tomoprofile.tables import LEVELS, of_class
from tomoprofile.volume.plane import Plane

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
