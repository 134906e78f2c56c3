"""The label volume: exact, the same for any partition, valid for viewers, and whole or not there."""

import itertools
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from ome_zarr_models.v05 import ImageLabel
from ome_zarr_models.v05.labels import VALID_DTYPES

import tomoprofile
from tomoprofile.domains.label_volume import write_label_volume
from tomoprofile.domains.objects import ObjectsMetadata, Runs, write_objects
from tomoprofile.errors import InputError
from tomoprofile.volume import pyramid
from tomoprofile.volume.pyramid import level_shapes

EDGES = (1.0, 0.5, 0.25)
SHAPE = (21, 18, 35)


@pytest.fixture(autouse=True)
def small_pyramids(monkeypatch):
    """Several levels of a scan that brute force can follow."""
    monkeypatch.setattr(pyramid, "COARSEST", 8)


@pytest.fixture(scope="module")
def labels():
    """Domains of a few voxels that touch one another, most of them smaller than a coarse voxel."""
    rng = np.random.default_rng(5)
    seeds = rng.permutation(np.arange(1, np.prod(SHAPE) + 1)).reshape(SHAPE) * (rng.random(SHAPE) < 0.01)
    image = np.zeros(SHAPE, np.int64)
    for shift in itertools.product((0, 1, 2), (0, 1), (0, 1, 2)):
        image = np.maximum(image, np.roll(seeds, shift, (0, 1, 2)))
    return image


def runs_of(labels):
    """Return the runs of a label image, voxel by voxel."""
    found = []
    for z, y in np.argwhere(labels.any(axis=2)):
        x = 0
        for value, voxels in itertools.groupby(labels[z, y]):
            stop = x + len(list(voxels))
            if value:
                found.append((z, y, x, stop, value))
            x = stop
    columns = np.array(found, np.int64).reshape(-1, 5).T
    return Runs(*columns[:4].astype(np.int32), columns[4])


def write(path, labels, parts=None, n_domains=None):
    """Write the objects file of a label image, with a row group for each part along z."""
    n_domains = int(labels.max()) if n_domains is None else n_domains
    runs = runs_of(labels)
    bounds = itertools.pairwise([0, *(parts or []), len(labels)])
    groups = (runs.at((runs.z >= start) & (runs.z < stop)) for start, stop in bounds)
    write_objects(path, [(ObjectsMetadata("domain", 0.5, 26, 1, labels.shape, EDGES, n_domains), groups)])
    return path


def painted(folder, labels, shard_slices=4, **objects):
    """Return the store of a label image."""
    out = folder / "labels.ome.zarr"
    write_label_volume(write(folder / "objects.parquet", labels, **objects), "../volume.ome.zarr", shard_slices, out)
    return zarr.open_group(str(out), mode="r")


def halved(labels, of_eight=3):
    """Return a label image halved by the rule of docs/decisions.md, block by block."""
    coarse = np.zeros([(n + 1) // 2 for n in labels.shape], labels.dtype)
    for block in np.ndindex(coarse.shape):
        voxels = labels[tuple(slice(2 * n, 2 * n + 2) for n in block)].ravel()
        foreground = Counter(voxels[voxels > 0].tolist())
        if foreground and foreground.total() >= of_eight * len(voxels) / 8:
            coarse[block] = min(foreground, key=lambda value: (-foreground[value], value))
    return coarse


def levels(labels, n, **rule):
    return list(itertools.accumulate(range(n - 1), lambda image, _: halved(image, **rule), initial=labels))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_level_equals_brute_force(tmp_path, labels):
    group = painted(tmp_path, labels)
    expected = levels(labels, 4)
    assert [image.shape for image in expected] == level_shapes(SHAPE) == [SHAPE, (11, 9, 18), (6, 5, 9), (3, 3, 5)]
    assert sorted(group.array_keys()) == ["0", "1", "2", "3"]
    for level, image in enumerate(expected):
        assert group[str(level)].dtype == np.uint32
        assert (group[str(level)][:] == image).all()
    # The mutant: where half of the voxels must be foreground, more domains are lost.
    kept = [[len(np.unique(image)) for image in levels(labels, 4, of_eight=n)] for n in (3, 4)]
    assert kept[0][1] > kept[1][1]
    assert kept[0][2] > kept[1][2]


@pytest.mark.parametrize("parts", [None, [1, 2, 3, 20], [5, 5, 11], [4, 8, 12, 16, 20]])
def test_row_groups_of_the_objects_file_change_no_byte(tmp_path, labels, parts):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    painted(tmp_path / "one", labels, parts=[8, 16])
    painted(tmp_path / "other", labels, parts=parts)
    assert pq.read_metadata(tmp_path / "other/objects.parquet").num_row_groups == len(parts or []) + 1
    assert contents(tmp_path / "one/labels.ome.zarr") == contents(tmp_path / "other/labels.ome.zarr")


@pytest.mark.parametrize("shard_slices", [1, 3, 6, 10, 64])
def test_shards_change_no_voxel(tmp_path, labels, shard_slices):
    group = painted(tmp_path, labels, shard_slices)
    assert group["0"].shards[0] == shard_slices + shard_slices % 2
    for level, image in enumerate(levels(labels, 4)):
        assert (group[str(level)][:] == image).all()


@pytest.mark.parametrize(
    ("block", "label"),
    [
        ([0, 0, 0, 0, 0, 0, 7, 7], 0),
        ([0, 0, 0, 0, 0, 7, 7, 7], 7),
        ([0, 0, 0, 0, 0, 9, 8, 7], 7),
        ([0, 0, 0, 0, 3, 9, 3, 9], 3),
        ([5, 9, 9, 9, 9, 5, 5, 0], 9),
    ],
)
def test_labels_are_chosen_and_never_averaged(tmp_path, block, label):
    image = np.zeros((2, 2, 16), np.int64)
    image[:, :, 4:6] = np.array(block).reshape(2, 2, 2)
    coarse = painted(tmp_path, image)["1"][:]
    assert coarse[0, 0].tolist() == [0, 0, label, 0, 0, 0, 0, 0]


def test_a_coarse_voxel_lies_in_the_middle_of_those_it_stands_for(tmp_path, labels):
    multiscale = painted(tmp_path, labels).attrs["ome"]["multiscales"][0]
    for level, dataset in enumerate(multiscale["datasets"]):
        (scale, *shift) = dataset["coordinateTransformations"]
        assert [part["type"] for part in (scale, *shift)] == ["scale", "translation"][: 1 + (level > 0)]
        translation = shift[0]["translation"] if shift else [0.0] * 3
        for edge, step, offset in zip(EDGES, scale["scale"], translation, strict=True):
            covered = np.arange(3 * 2**level, 4 * 2**level) * edge
            assert 3 * step + offset == covered.mean()


def validate(group):
    """Return what the validator of OME-Zarr makes of a store; it raises when the store is no valid label image."""
    model = ImageLabel.from_zarr(group).ome_attributes
    wrong = [name for name, array in group.arrays() if array.dtype not in VALID_DTYPES]
    if wrong:
        raise ValueError(f"no type of labels: {wrong}")
    return model


def test_the_validator_of_ome_zarr_accepts_it_as_labels_of_its_volume(tmp_path, labels):
    group = painted(tmp_path, labels)
    model = validate(group)
    assert (tmp_path / "labels.ome.zarr" / model.image_label.source.image).resolve() == tmp_path / "volume.ome.zarr"
    assert [dataset.path for dataset in model.multiscales[0].datasets] == ["0", "1", "2", "3"]
    own = group.attrs["tomoprofile"]
    assert own["connectivity"] == 26
    assert own["classes"] == {"domain": {"level": 0.5, "n_domains": int(labels.max()), "first_label": 1}}


@pytest.mark.parametrize("shard_slices", [2, 4, 30])
def test_classes_follow_each_other_in_one_image(tmp_path, labels, shard_slices):
    voids = np.zeros_like(labels)
    voids[2:19, 3, 5:9], voids[20, 4:7, 20:30] = 1, 2
    voids[labels > 0] = 0
    n_domains = int(labels.max())
    parts = {}
    for name, image, bounds in (("domain", labels, (0, 10, 21)), ("void", voids, (0, 5, 12, 21))):
        runs = runs_of(image)
        groups = [runs.at((runs.z >= start) & (runs.z < stop)) for start, stop in itertools.pairwise(bounds)]
        parts[name] = ObjectsMetadata(name, 0.5, 26, 1, SHAPE, EDGES, int(image.max())), groups
    write_objects(tmp_path / "objects.parquet", list(parts.values()))
    out = tmp_path / "labels.ome.zarr"
    write_label_volume(tmp_path / "objects.parquet", "../volume.ome.zarr", shard_slices, out)
    group = zarr.open_group(str(out), mode="r")
    assert (group["0"][:] == labels + np.where(voids, voids + n_domains, 0)).all()
    told = group.attrs["tomoprofile"]["classes"]
    assert {name: one["first_label"] for name, one in told.items()} == {"domain": 1, "void": n_domains + 1}


@pytest.mark.parametrize(
    ("mutant", "told"), [("lost", "array at 1"), ("float", "no type"), ("unnamed", "dimension_names")]
)
def test_the_validator_refuses(tmp_path, labels, mutant, told):
    group = painted(tmp_path, labels)
    level = tmp_path / "labels.ome.zarr/1"
    level.rename(tmp_path / "away")
    if mutant != "lost":
        dtype, names = ("float32", ("z", "y", "x")) if mutant == "float" else ("uint32", None)
        zarr.create_array(str(level), shape=(11, 9, 18), dtype=dtype, dimension_names=names)
    with pytest.raises(ValueError, match=told):
        validate(group)


@pytest.mark.parametrize(("n_domains", "dtype"), [(2**32 - 1, "uint32"), (2**32, "uint64"), (2**40, "uint64")])
def test_labels_are_as_wide_as_the_domains_need(tmp_path, n_domains, dtype):
    image = np.zeros((4, 4, 12), np.int64)
    image[1:3, :3, 2:7] = n_domains
    image[0, 0, 9] = 3
    group = painted(tmp_path, image, n_domains=n_domains)
    for level, expected in enumerate(levels(image, 2)):
        assert group[str(level)].dtype == dtype
        assert (group[str(level)][:] == expected).all()
    assert validate(group)


def test_no_domains_give_an_empty_store(tmp_path):
    group = painted(tmp_path, np.zeros(SHAPE, np.int64))
    assert validate(group)
    assert not any(group[name][:].any() for name in group.array_keys())


def test_runs_that_cannot_be_trusted_leave_the_earlier_store(tmp_path, labels):
    painted(tmp_path, labels)
    before = contents(tmp_path / "labels.ome.zarr")
    runs = runs_of(labels)
    halves = [runs.at(runs.z < 10), runs.at(runs.z >= 9)]
    metadata = ObjectsMetadata("domain", 0.5, 26, 1, SHAPE, EDGES, int(labels.max()))
    write_objects(tmp_path / "wrong.parquet", [(metadata, halves)])
    for out in ("labels.ome.zarr", "new.ome.zarr"):
        with pytest.raises(InputError, match="follow each other along z"):
            write_label_volume(tmp_path / "wrong.parquet", "../volume.ome.zarr", 4, tmp_path / out)
    assert contents(tmp_path / "labels.ome.zarr") == before
    assert {path.name for path in tmp_path.glob("[!.]*")} == {"labels.ome.zarr", "objects.parquet", "wrong.parquet"}
    assert not list(tmp_path.glob(".partial*"))


def test_a_killed_job_leaves_nothing_that_looks_whole(tmp_path):
    image = np.zeros((400, 20, 20), np.int64)
    image[:, 5:9, 5:9] = 1
    objects, out = write(tmp_path / "objects.parquet", image), tmp_path / "labels.ome.zarr"
    partial = tmp_path / ".partial-labels.ome.zarr"
    call = (
        "import sys; from pathlib import Path; from tomoprofile.domains.label_volume import write_label_volume as w; "
    )
    call += "w(Path(sys.argv[1]), '../volume.ome.zarr', 2, Path(sys.argv[2]))"
    library = str(Path(tomoprofile.__file__).parents[1])
    job = subprocess.Popen([sys.executable, "-c", call, objects, out], env=os.environ | {"PYTHONPATH": library})
    while not (partial / "0/c/20").exists() and job.poll() is None:
        time.sleep(0.002)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert (partial / "0/c/20").exists(), "it was killed while it wrote"
    assert not out.exists()
    with pytest.raises(FileNotFoundError):
        zarr.open_group(str(partial), mode="r")
    write_label_volume(objects, "../volume.ome.zarr", 2, out)
    assert not partial.exists()
    assert (zarr.open_array(str(out / "0"), mode="r")[:] == image).all()


def test_memory_does_not_grow_with_the_scan(tmp_path):
    peaks = []
    for nz in (128, 512):
        image = np.zeros((nz, 96, 96), np.int64)
        image[:, 10:30, 10:30] = np.arange(1, nz + 1)[:, None, None]
        write(tmp_path / "objects.parquet", image, parts=range(8, nz, 8))
        tracemalloc.start()
        write_label_volume(tmp_path / "objects.parquet", "../volume.ome.zarr", 8, tmp_path / "labels.ome.zarr")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    shard = 8 * 96 * 96 * 4
    assert peaks[1] < peaks[0] + shard, "a shard is 1/64 of the larger scan"
