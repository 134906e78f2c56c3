"""Columns, borders, depths, grey values and the files of the two stages."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from domains_scan import PLANE, measure, write_store

from tomoprofile import __version__
from tomoprofile.config import ObjectsConfig
from tomoprofile.domains.objects import Runs, iter_runs, read_objects_metadata, write_objects
from tomoprofile.domains.parts import Filter, Grid, join, part_of
from tomoprofile.domains.runs import RowRuns
from tomoprofile.domains.table import Level, Segmented, measure_domains
from tomoprofile.domains.workers import Here
from tomoprofile.errors import ConfigError, InputError, StoreError
from tomoprofile.volume.grey import GreyScale
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.probability import threshold_of

COLUMNS = [
    *("domain_id", "class", "voxels", "volume_um3", "equivalent_diameter_um", "surface_um2"),
    *("sphericity", "compactness", "centroid_z_um", "centroid_y_um", "centroid_x_um", "depth_um"),
    "nearest_um",
    *("bbox_z_start", "bbox_z_stop", "bbox_y_start", "bbox_y_stop", "bbox_x_start", "bbox_x_stop"),
    *("axis_1_um", "axis_2_um", "axis_3_um", "elongation", "flatness", "tilt_deg"),
    *("feret_max_um", "feret_min_um", "euler", "cavities"),
    *("grey_mean", "grey_sd", "grey_min", "grey_max", "confidence", "on_border", "edge_weight", "flag"),
]
TYPES = {"domain_id": "int64", "class": "category", "voxels": "int64", "on_border": "bool", "bbox_x_stop": "int32"}


def brick(shape, *parts):
    mask = np.zeros(shape, bool)
    for part in parts:
        mask[part] = True
    return mask


def test_columns_types_and_units(tmp_path):
    mask = brick((12, 9, 9), np.s_[7:10, 2:5, 2:6])
    table = measure(tmp_path, mask, scale=GreyScale(2.0, 1.0, "1/cm"))
    assert list(table.columns) == COLUMNS
    assert {name: str(table[name].dtype) for name in TYPES} == TYPES
    metadata = pq.read_schema(tmp_path / "domains.parquet").metadata
    units = json.loads(metadata[b"units"])
    assert json.loads(metadata[b"tomoprofile_version"]) == __version__
    assert (units["surface_um2"], units["grey_sd"], units["tilt_deg"]) == ("um^2", "1/cm", "degree")
    assert {name for name in COLUMNS if name.endswith(("_um", "_um2", "_um3", "_deg"))} <= set(units)
    objects = read_objects_metadata(tmp_path / "objects.parquet")["domain"]
    assert (objects.shape, objects.level, objects.connectivity) == ((12, 9, 9), 0.5, 26)
    assert (objects.min_voxels, objects.n_domains, objects.voxel_size_um) == (1, 1, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("grey", ["uint8", "uint16", "float32"])
def test_no_foreground_gives_an_empty_table_of_the_same_schema(tmp_path, grey):
    mask = np.zeros((10, 6, 7), bool)
    assert measure(tmp_path, mask, grey=mask.astype(grey)).empty
    empty = pq.read_schema(tmp_path / "domains.parquet")
    mask[2:4, 2:4, 2:4] = True
    assert len(measure(tmp_path, mask, grey=mask.astype(grey))) == 1
    full = pq.read_schema(tmp_path / "domains.parquet")
    assert empty.remove_metadata() == full.remove_metadata()


@pytest.mark.parametrize("connectivity", [6, 26])
def test_everything_is_foreground(tmp_path, connectivity):
    shape, edges = (9, 6, 7), (1.0, 0.5, 0.25)
    row = measure(tmp_path, np.ones(shape, bool), voxel_size_um=edges, connectivity=connectivity, shard_slices=2).iloc[
        0
    ]
    assert row["voxels"] == math.prod(shape)
    assert row["volume_um3"] == math.prod(shape) * math.prod(edges)
    assert tuple(row[f"centroid_{a}_um"] for a in "zyx") == (4.5, 1.5, 0.875)
    assert tuple(row[f"bbox_{a}_stop"] for a in "zyx") == shape
    assert row["on_border"]
    assert row["edge_weight"] == 0


def test_one_voxel(tmp_path):
    mask = brick((5, 6, 7), np.s_[2, 3, 4])
    row = measure(tmp_path, mask, voxel_size_um=(2.0, 1.0, 1.0)).iloc[0]
    assert row["voxels"] == 1
    assert tuple(row[f"centroid_{a}_um"] for a in "zyx") == (5.0, 3.5, 4.5)
    assert row["depth_um"] == 5.0
    assert row["grey_sd"] == 0
    assert not row["on_border"]


def test_depth_is_the_signed_distance_to_a_tilted_plane(tmp_path):
    plane = Plane.through((math.cos(0.1), math.sin(0.1), 0.0), 3.0)
    mask = brick((12, 20, 8), np.s_[1, 1:3, 2:4], np.s_[8:10, 15, 3])
    table = measure(tmp_path, mask, plane=plane)
    expected = [math.cos(0.1) * z + math.sin(0.1) * y - 3.0 for z, y in ((1.5, 2.0), (9.0, 15.5))]
    assert list(table["depth_um"]) == pytest.approx(expected, abs=1e-12)
    assert table["depth_um"][0] < 0 < table["depth_um"][1]
    by_slice_index = table["centroid_z_um"] - 3.0
    assert not np.allclose(by_slice_index, expected, atol=0.5), "the mutant that ignores the tilt must be seen (A7)"


@pytest.mark.parametrize("slope", [0.5, -0.5])
def test_grey_values_are_physical_whatever_the_sign_of_the_slope(tmp_path, slope):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 2**16, (6, 7, 8)).astype("uint16")
    mask = brick(grey.shape, np.s_[1:4, 2:5, 3:6])
    row = measure(tmp_path, mask, grey=grey, scale=GreyScale(slope, -7.0, "1/cm"), shard_slices=2).iloc[0]
    physical = slope * grey[mask].astype(float) - 7.0
    assert row["grey_mean"] == pytest.approx(physical.mean(), rel=1e-12)
    assert row["grey_sd"] == pytest.approx(physical.std(), rel=1e-10)
    assert (row["grey_min"], row["grey_max"]) == (physical.min(), physical.max())


def test_confidence_is_the_mean_probability(tmp_path):
    mask = brick((4, 5, 6), np.s_[1:3, 2, 2:4])
    probability = np.where(mask, 200, 0).astype("uint8")
    probability[1, 2, 2] = 240
    assert measure(tmp_path, mask, probability=probability)["confidence"][0] == pytest.approx(210 / 255)


@pytest.mark.parametrize("box", [1, 2, 6, 9])
@pytest.mark.parametrize("axis", [1, 2])
def test_edge_weights_undo_what_the_border_hides(tmp_path, box, axis):
    """Over all places that a box may have, the weights add up to the number of places without a border."""
    shape, plane = (6, 12, 13), Plane.through((1.0, 0.02, 0.0), 0.0)
    length, across = shape[axis], shape[3 - axis]
    across_weight = across / (across - 2 - 1)
    total = whole = 0.0
    for place in range(1 - box, length):
        part = [np.s_[2:4]] * 3
        part[axis] = np.s_[max(place, 0) : place + box]
        row = measure(tmp_path, brick(shape, tuple(part)), plane=plane).iloc[0]
        total += row["edge_weight"] / across_weight
        whole += row["edge_weight"] > 0
    assert total == pytest.approx(length)
    mutant = whole * length / (length - box + 1)
    assert mutant < 0.9 * length, "places at the border counted as whole ones would be seen"


def test_only_lateral_faces_take_the_weight_away(tmp_path):
    mask = brick((10, 12, 14), np.s_[0:2, 4:6, 4:7], np.s_[4:6, 0:2, 4:7], np.s_[7:9, 5:8, 8:10])
    across_z = measure(tmp_path, mask)
    assert list(across_z["on_border"]) == [True, True, False]
    assert list(across_z["edge_weight"]) == pytest.approx([12 / 9 * 14 / 10, 0, 12 / 8 * 14 / 11])
    across_y = measure(tmp_path, mask, plane=Plane.through((0.0, -1.0, 0.1), -5.0))
    assert list(across_y["edge_weight"]) == pytest.approx([0, 10 / 7 * 14 / 10, 10 / 7 * 14 / 11])


def test_volume_and_probability_may_have_other_shards(tmp_path):
    rng = np.random.default_rng(4)
    mask, grey = rng.random((20, 10, 11)) < 0.2, rng.integers(0, 255, (20, 10, 11)).astype("uint8")
    expected = measure(tmp_path, mask, grey=grey, shard_slices=4)
    write_store(tmp_path / "volume", grey, 7)
    pd.testing.assert_frame_equal(measure_again(tmp_path, min_voxels=1), expected, check_exact=True)


def runs_in(folder, name="domain"):
    """Return the runs of a class, one part a row group."""
    path = folder / "objects.parquet"
    return iter_runs(path, read_objects_metadata(path)[name])


def test_one_row_group_a_shard_even_when_empty(tmp_path):
    measure(tmp_path, brick((20, 6, 6), np.s_[9:11, 2:4, 2:4]), shard_slices=4)
    file = pq.ParquetFile(tmp_path / "objects.parquet")
    rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert rows == [0, 0, 4, 0, 0]
    assert [len(runs) for runs in runs_in(tmp_path)] == [4]


def test_probability_at_the_level_is_foreground_and_just_below_is_not(tmp_path):
    image = np.zeros((3, 4, 8), "uint8")
    image[1, 1, 1:4] = (178, 179, 255)
    measure(tmp_path, image > 0, probability=image, level=0.7)
    (runs,) = runs_in(tmp_path)
    assert (runs.x_start[0], runs.x_stop[0]) == (2, 4)  # 0.7 * 255 = 178.5


def test_every_stored_value_is_a_level_of_its_own():
    assert [threshold_of(value / 255) for value in range(1, 256)] == list(range(1, 256))


@pytest.mark.parametrize("level", [0.0, 1.2, float("nan")])
def test_levels_without_sense_are_refused(tmp_path, level):
    with pytest.raises(ConfigError, match="level"):
        measure(tmp_path, np.zeros((3, 4, 5), bool), level=level)


class Losing(Here):
    """Measures all shards, and then loses a file that the runs of one of them wait in."""

    def __init__(self, folder):
        self.folder = folder

    def reduce(self, measure, items, join):
        found = super().reduce(measure, items, join)
        (self.folder / "objects.parquet.runs" / "domain_calibrated_8_x_stop.npy").unlink()
        return found


def test_a_failure_leaves_nothing_behind(tmp_path):
    mask = brick((16, 6, 6), np.s_[2:14, 2:4, 2:4])
    (tmp_path / "objects.parquet.runs").mkdir()  # of a run that was killed
    (tmp_path / "objects.parquet.runs" / "domain_calibrated_0_x_start.npy").write_bytes(b"rubbish")
    with pytest.raises(FileNotFoundError, match="domain_calibrated_8_x_stop"):
        measure(tmp_path, mask, shard_slices=4, workers=Losing(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["interface.json", "probability", "volume"]
    assert len(measure(tmp_path, mask, shard_slices=4)) == 1
    assert not list(tmp_path.glob("*.runs"))


# Nothing of an objects file is used as an index before it is checked.


def write_runs(folder, *groups, n_domains=2):
    """Write runs (z, y, x_start, x_stop, domain_id) into the objects file of a measured scan of (8, 6, 7) voxels."""
    measure(folder, brick((8, 6, 7), np.s_[1, 1, 1:3], np.s_[4, 3, 2:4]))
    metadata = read_objects_metadata(folder / "objects.parquet")["domain"]
    types = (np.int32,) * 4 + (np.int64,)
    shards = [
        Runs(*(np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)))
        for rows in groups
    ]
    write_objects(folder / "objects.parquet", [(replace(metadata, n_domains=n_domains), shards)])


def measure_again(folder, **changed):
    inputs = {name: folder / name for name in ("probability", "volume", "interface.json")} | changed
    least = inputs.pop("min_voxels", 1)
    levels = {"calibrated": Level({"domain": 0.5}, folder / "objects.parquet", folder / "again.parquet")}
    scan = Segmented(inputs["probability"], inputs["volume"])
    measure_domains(scan, inputs["interface.json"], levels, ObjectsConfig(min_voxels=least, min_slices=1))
    return pd.read_parquet(folder / "again.parquet")


BAD_RUNS = {
    "z beyond the scan": [(8, 1, 1, 3, 1)],
    "negative row": [(1, -1, 1, 3, 1)],
    "x beyond the scan": [(1, 1, 5, 8, 1)],
    "empty run": [(1, 1, 3, 3, 1)],
    "unknown domain": [(1, 1, 1, 3, 3)],
    "no domain": [(1, 1, 1, 3, 0)],
    "overlap": [(1, 1, 1, 3, 1), (1, 1, 2, 4, 2)],
    "not maximal": [(1, 1, 1, 3, 1), (1, 1, 3, 4, 1)],
    "not in raster order": [(1, 2, 1, 3, 1), (1, 1, 1, 3, 2)],
}


@pytest.mark.parametrize("rows", BAD_RUNS.values(), ids=BAD_RUNS)
def test_runs_that_cannot_be_trusted_are_refused(tmp_path, rows):
    write_runs(tmp_path, rows)
    with pytest.raises(InputError, match=r"run \d of row group 0"):
        list(runs_in(tmp_path))


def test_a_slice_in_two_row_groups_is_refused(tmp_path):
    write_runs(tmp_path, [(1, 1, 1, 3, 1)], [(1, 2, 1, 3, 2)])
    with pytest.raises(InputError, match="must end with a slice"):
        list(runs_in(tmp_path))


def test_what_is_no_objects_file_is_refused(tmp_path):
    path = tmp_path / "objects.parquet"
    for write in (
        lambda: None,
        lambda: path.write_bytes(b"rubbish"),
        lambda: pq.write_table(pa.table({"z": [1]}), path),
    ):
        write()
        with pytest.raises(InputError, match="not an objects file"):
            read_objects_metadata(path)


def test_inputs_that_do_not_fit_are_refused(tmp_path):
    measure(tmp_path, brick((8, 6, 7), np.s_[1, 1, 1:3]))
    other = np.zeros((8, 6, 8), "uint8")
    for name, image in (("volume", other), ("probability", {"domain": other})):
        write_store(tmp_path / "other" / name, image)
        with pytest.raises(InputError, match=r"the grey values have \(8, 6, [78]\) voxels"):
            measure_again(tmp_path, **{name: tmp_path / "other" / name})
    with pytest.raises(StoreError):
        measure_again(tmp_path, volume=tmp_path / "nowhere")
    assert not (tmp_path / "again.parquet").exists()


# Several classes in one run.


def two_classes(seed=3):
    """Return masks of two classes, of other sizes and numbers, that touch each other."""
    rng = np.random.default_rng(seed)
    domain = rng.random((20, 12, 13)) < 0.2
    void = (rng.random((20, 12, 13)) < 0.05) & ~domain
    return {"domain": domain, "void": void}


@pytest.mark.parametrize("shard_slices", [4, 9, 20])
def test_each_class_is_measured_as_if_it_were_alone(tmp_path, shard_slices):
    masks = two_classes()
    grey = np.random.default_rng(4).integers(0, 255, (20, 12, 13)).astype("uint8")
    both = measure(tmp_path, masks, grey=grey, shard_slices=shard_slices)
    assert list(both["class"].unique()) == list(masks), "one class after the other"
    metadata = read_objects_metadata(tmp_path / "objects.parquet")
    runs = {name: [vars(part) for part in runs_in(tmp_path, name)] for name in masks}
    for name, mask in masks.items():
        own = both[both["class"] == name].reset_index(drop=True)
        alone = measure(tmp_path / name, {name: mask}, grey=grey, shard_slices=shard_slices)
        assert list(own["domain_id"]) == list(range(1, len(own) + 1)), "numbered within the class"
        words = dict.fromkeys(("class", "flag"), str)  # whose categories are those of the whole table
        pd.testing.assert_frame_equal(own.astype(words), alone.astype(words), check_exact=True)
        assert metadata[name].n_domains == len(alone)
        for found, expected in zip(runs[name], runs_in(tmp_path / name, name), strict=True):
            assert all((values == vars(expected)[part]).all() for part, values in found.items())


def test_runs_of_a_class_never_reach_another(tmp_path):
    """The mutant reads all row groups."""
    masks = two_classes()
    measure(tmp_path, masks, shard_slices=4)
    for name, mask in masks.items():
        assert sum(int((part.x_stop - part.x_start).sum()) for part in runs_in(tmp_path, name)) == mask.sum()


def test_every_class_has_its_own_level(tmp_path):
    image = np.zeros((3, 4, 8), "uint8")
    image[1, 1, 1:4] = (100, 150, 255)
    write_store(tmp_path / "probability", {"domain": image, "void": image})
    write_store(tmp_path / "volume", image)
    PLANE.save(tmp_path / "interface.json")
    levels = {"calibrated": Level({"domain": 0.3, "void": 0.7}, tmp_path / "o.parquet", tmp_path / "d.parquet")}
    scan = Segmented(tmp_path / "probability", tmp_path / "volume")
    assert scan.classes == ("domain", "void")
    found = measure_domains(scan, tmp_path / "interface.json", levels, ObjectsConfig(min_voxels=1, min_slices=1))
    assert found == {"domain": 1, "void": 1}
    assert list(pd.read_parquet(tmp_path / "d.parquet")["voxels"]) == [3, 1]
    told = read_objects_metadata(tmp_path / "o.parquet")
    assert {name: one.level for name, one in told.items()} == {"domain": 0.3, "void": 0.7}


def test_a_store_of_one_class_is_refused_where_two_are_asked_for(tmp_path):
    measure(tmp_path, {"domain": brick((8, 6, 7), np.s_[1, 1, 1:3])})
    levels = {"calibrated": Level({"domain": 0.5, "void": 0.5}, tmp_path / "o.parquet", tmp_path / "d.parquet")}
    scan = Segmented(tmp_path / "probability", tmp_path / "volume")
    with pytest.raises(
        StoreError, match=r"holds only domain \(got class void\). Remove the folder and run the same command"
    ):
        measure_domains(scan, tmp_path / "interface.json", levels, ObjectsConfig())


def test_given_objects_keep_their_class(tmp_path):
    labels = np.zeros((8, 6, 7), "uint32")
    labels[1:5, 1:3, 1:3], labels[1:5, 1:3, 3:5], labels[6, 4, 1:6] = 900, 7, 12
    classes = {"domain": np.isin(labels, (900, 12)), "void": labels == 7}
    write_store(tmp_path / "instances", labels, 3)
    found = measure(tmp_path, classes, shard_slices=3, instances=tmp_path / "instances")
    assert list(found["class"]) == ["domain", "domain", "void"]
    assert list(found["domain_id"]) == [1, 2, 1]
    assert list(found["label"]) == [900, 12, 7]


def test_a_given_object_in_two_classes_is_refused(tmp_path):
    labels = np.zeros((8, 6, 7), "uint32")
    labels[1:7, 1:3, 1:3] = 900
    low = np.arange(8)[:, None, None] < 4
    write_store(tmp_path / "instances", labels, 3)
    with pytest.raises(InputError, match=r"classes domain and void \(got object 900\)"):
        measure(
            tmp_path,
            {"domain": (labels > 0) & low, "void": (labels > 0) & ~low},
            shard_slices=3,
            instances=tmp_path / "instances",
        )


# Label volumes of other programs: what touches stays apart, and pieces of one label stay one.


def instances_of(folder, labels, shard_slices=3, **conditions):
    write_store(folder / "instances", labels.astype("uint32"), shard_slices)
    conditions |= {"shard_slices": shard_slices, "instances": folder / "instances"}
    return measure(folder, labels > 0, **conditions)


def test_given_objects_that_touch_are_measured_apart(tmp_path):
    """Two bricks side by side, as a watershed would cut them: each has the surface of a brick alone."""
    labels = np.zeros((8, 6, 7), "uint32")
    labels[1:5, 1:3, 1:3], labels[1:5, 1:3, 3:5] = 900, 7
    found = instances_of(tmp_path, labels)
    assert list(found["label"]) == [900, 7], "numbered by first voxel, as always"
    alone = measure(tmp_path, labels == 7).iloc[0]
    for name in ("voxels", "surface_um2", "feret_max_um", "feret_min_um", "euler", "axis_1_um"):
        assert list(found[name]) == [alone[name]] * 2, name
    (whole,) = measure(tmp_path, labels > 0)["voxels"]
    assert whole == 2 * alone["voxels"], "the mutant that ignores labels unites them"
    runs = list(runs_in(tmp_path))
    assert sum((part.x_stop - part.x_start).sum() for part in runs) == whole


@pytest.mark.parametrize("shard_slices", [1, 3, 20])
def test_pieces_of_one_label_are_one_domain(tmp_path, shard_slices):
    labels = np.zeros((20, 8, 9), "uint32")
    labels[1, 1, 1:3] = labels[18, 6, 2:4] = 5
    labels[8:10, 3, 3] = 6
    found = instances_of(tmp_path, labels, shard_slices)
    assert list(found["label"]) == [5, 6]
    assert list(found["voxels"]) == [4, 2]
    assert list(found["euler"]) == [2, 1]
    assert found["feret_max_um"][0] == pytest.approx(feret(labels == 5))


def feret(mask):
    where = np.argwhere(mask)
    apart = np.abs(where[:, None] - where)
    return math.sqrt(((apart**2).sum(axis=2) + (2 * apart + 1).max(axis=2)).max())


def test_given_objects_do_not_depend_on_shards(tmp_path):
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 12, (17, 9, 10)) * (rng.random((17, 9, 10)) < 0.5)
    tables = [instances_of(tmp_path, labels, shards) for shards in (17, 4, 1)]
    assert sorted(tables[0]["label"]) == list(range(1, 12))
    assert dict(zip(tables[0]["label"], tables[0]["voxels"], strict=True)) == {
        label: (labels == label).sum() for label in range(1, 12)
    }
    for other in tables[1:]:
        pd.testing.assert_frame_equal(other, tables[0], check_exact=True)


# What must not surprise anyone.


def test_no_number_in_a_grey_value_is_told_of_its_domain_alone(tmp_path):
    mask = brick((9, 6, 7), np.s_[1:3, 1:3, 1:3], np.s_[5:7, 3:5, 3:5])
    grey = np.random.default_rng(0).normal(5, 1, mask.shape).astype("float32")
    grey[2, 2, 2] = np.nan
    for shards in (9, 2):
        found = measure(tmp_path, mask, grey=grey, shard_slices=shards)
        names = ["grey_mean", "grey_sd", "grey_min", "grey_max"]
        assert found[names].isna().all(axis=1).tolist() == [True, False]
        assert found["grey_max"][1] == pytest.approx(grey[5:7, 3:5, 3:5].max())


def test_a_spread_far_below_the_mean_survives_in_floats(tmp_path):
    grey = np.random.default_rng(0).normal(4000, 0.01, (12, 6, 7)).astype("float32")
    found = measure(tmp_path, np.ones(grey.shape, bool), grey=grey, shard_slices=5)
    assert found["grey_sd"][0] == pytest.approx(grey.astype(float).std(), rel=1e-9)


def test_an_object_of_more_voxels_than_32_bits_count():
    """Seven slices of 32,768 x 16,384 voxels, all foreground: runs of whole rows take no room."""
    ny, nx, nz = 32768, 16384, 7
    row_ptr = np.arange(ny * nz + 1)
    runs = RowRuns(row_ptr, np.zeros(ny * nz, np.int32), np.full(ny * nz, nx, np.int32), ny)
    grid = Grid((1.0, 1.0, 1.0), 26, Filter(), np.dtype("uint8"), np.int64(0))
    halves = [runs.slices(0, 3)[0], runs.slices(3, nz)[0]]
    upper, lower = (part_of(half, grid, start)[0] for half, start in zip(halves, (0, 3), strict=True))
    whole = join(upper, lower, grid)
    assert whole.sums.voxels.tolist() == [ny * nx * nz]
    assert ny * nx * nz > 2**31
    assert whole.sums.moments[0, 3] == ny * nz * (nx * (nx - 1) // 2)


def test_small_domains_are_flagged_by_the_measures_that_want_more_voxels(tmp_path):
    mask = np.zeros((14, 16, 60), bool)
    for place, side in ((2, 2), (10, 5), (20, 7)):
        mask[2 : 2 + side, 2 : 2 + side, place : place + side] = True
    found = measure(tmp_path, mask)
    assert list(found["flag"]) == ["small_for_surface;small_for_axes", "small_for_axes", ""]
    diameters = found["equivalent_diameter_um"]
    assert (diameters[0] < 4) & (4 <= diameters[1] < 8) & (diameters[2] >= 8)
    oblong = measure(tmp_path, mask, voxel_size_um=(4.0, 0.5, 0.5))
    assert list(oblong["flag"]) == list(found["flag"]), "voxels count, and not micrometres"
