"""The way from a raw scan to its shards: parts that are read, shards that are written part by part, and memory."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from tomoprofile.errors import StoreError
from tomoprofile.samples import Scan
from tomoprofile.volume.convert import convert_slab
from tomoprofile.volume.exact import GreyReader
from tomoprofile.volume.readers import open_raw
from tomoprofile.volume.store import create_store, open_store

ROOT = Path(__file__).parents[2]
SHAPE = (150, 24, 20)
EDGES = (1.0, 1.0, 1.0)


@pytest.fixture
def image():
    return np.random.default_rng(2).integers(1, 60_000, SHAPE).astype("uint16")


@pytest.fixture
def store(tmp_path):
    return create_store(tmp_path / "a.ome.zarr", SHAPE, "uint16", EDGES, 64)


@pytest.mark.parametrize("part", [1, 7, 16, 20, 64])
def test_a_shard_written_part_by_part_is_the_one_written_at_once(store, image, part):
    for first, end in store.shards():
        with store.new_shard(first) as add:
            for start in range(first, end, part):
                add(image[start : min(start + part, end)])
    parts = [store.shard_path(first).read_bytes() for first, _ in store.shards()]
    store.write(0, image)
    assert parts == [store.shard_path(first).read_bytes() for first, _ in store.shards()]
    assert (zarr.open_array(str(store.path / "0"), mode="r")[:] == image).all()


@pytest.mark.parametrize("slices", [0, 48, 63, 65])
def test_a_shard_is_written_whole_or_not_at_all(store, image, slices):
    store.write(0, image)
    before = store.shard_path(0).read_bytes()
    with pytest.raises(StoreError, match="whole shards of 64"), store.new_shard(0) as add:
        add(image[1 : 1 + slices])
    assert store.shard_path(0).read_bytes() == before
    assert not list(store.path.rglob(".partial*"))


def test_a_shard_whose_scan_fails_in_the_middle_leaves_the_earlier_one(store, image):
    store.write(0, image)
    with pytest.raises(OSError, match="disk"), store.new_shard(0) as add:  # noqa: PT012
        add(image[1:33])
        raise OSError("disk")
    assert (open_store(store.path).read(0, 64) == image[:64]).all()
    assert not list(store.path.rglob(".partial*"))


def test_a_shard_of_zeros_takes_the_place_of_an_earlier_one(store, image):
    store.write(0, image)
    store.write(0, np.zeros_like(image))
    assert not list((store.path / "0/c").glob("*/*/*"))


def test_negative_zeros_are_stored_as_zarr_python_stores_them(tmp_path):
    image = np.zeros((16, 300, 20), "float32")
    image[:, :256] = -0.0
    stores = [create_store(tmp_path / f"{name}.ome.zarr", image.shape, "float32", EDGES, 16) for name in "ab"]
    stores[0].write(0, image)
    stores[1]._array[:] = image
    for one in stores:
        assert np.signbit(one.read(0, 16)).sum() == 16 * 256 * 20
    assert stores[0].shard_path(0).read_bytes() == stores[1].shard_path(0).read_bytes()


def write(path, image, chunks=None):
    """Write an image in the format of the file's name; return the row of the sheet."""
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("data", data=image, chunks=chunks, compression="gzip" if chunks else None)
    elif path.suffix == ".zarr":
        zarr.create_array(str(path), shape=image.shape, dtype=image.dtype, chunks=chunks)[:] = image
    else:
        tifffile.imwrite(path, image, photometric="minisblack")
    form = {".h5": "hdf5", ".zarr": "zarr", ".tif": "tiff_stack"}[path.suffix]
    return form, "/data" if form == "hdf5" else ""


CHUNKED = [
    ("a.tif", None, 0, [64, 80, 96, 112, 128]),
    ("a.tif", None, 1, [64, 128]),
    ("a.h5", None, 0, [64, 80, 96, 112, 128]),
    ("a.h5", None, 2, [64, 128]),
    ("a.h5", (1, 24, 20), 0, [64, 80, 96, 112, 128]),
    ("a.h5", (10, 24, 20), 0, [64, 80, 100, 120, 128]),
    ("a.h5", (32, 8, 8), 0, [64, 96, 128]),
    ("a.h5", (100, 8, 8), 0, [64, 100, 128]),
    ("a.h5", (5, 20, 6), 2, [64, 72, 90, 108, 126, 128]),
    ("a.zarr", (48, 24, 20), 0, [64, 96, 128]),
]


@pytest.mark.parametrize(("name", "chunks", "axis", "borders"), CHUNKED)
def test_parts_end_where_chunks_of_the_raw_scan_do_and_convert_exactly(tmp_path, image, name, chunks, axis, borders):
    raw = np.moveaxis(image, 0, axis)
    form, dataset = write(tmp_path / name, raw, chunks)
    reader = GreyReader(open_raw(tmp_path / name, form, dataset), axis)
    assert reader.parts(64, 128, 16) == list(pairwise(borders))
    size = dict(zip(("slices", "rows", "columns"), SHAPE, strict=True))
    scan = Scan(
        sample="a",
        path=str(tmp_path / name),
        format=form,
        dataset=dataset,
        dtype="uint16",
        voxel_size_um="1",
        slice_axis=axis,
        **size,
    )
    store = create_store(tmp_path / "a.ome.zarr", SHAPE, "uint16", EDGES, 64)
    digests = [convert_slab(scan, store.path, start, min(start + 128, SHAPE[0])) for start in (0, 128)]
    assert (zarr.open_array(str(store.path / "0"), mode="r")[:] == image).all()
    assert digests == [sha256(image[:128]).hexdigest(), sha256(image[128:]).hexdigest()]


# Memory is that of a process, as Linux tells it: what HDF5, Blosc and NumPy hold counts alike.
MEASURE = """
import json, sys
from pathlib import Path
from benchmarks.conversion import scan_of
from fuzz.harness import peak, reset_peak
from tomoprofile.volume import convert
from tomoprofile.volume.readers import ScanReader
from tomoprofile.volume.store import lay_out_store

mutant, held = sys.argv[1], []
read = convert._Passing.read
if mutant == "whole shards":
    ScanReader.parts = lambda self, start, stop, least: [(start, stop)]
if mutant == "keeps slices":
    convert._Passing.read = lambda self, start, stop: held.append(read(self, start, stop)) or held[-1]
for line in sys.stdin:
    path, form, shape = json.loads(line)
    scan = scan_of(Path(path), form, shape, "uint8")
    store = Path(path).with_suffix(f".{mutant}.zarr")
    lay_out_store(store, shape, "uint8", 64)
    reset_peak()
    before = peak()
    convert.convert_slab(scan, store, 0, shape[0])
    print(peak() - before)
"""
SHARD = 64 * 1024**2  # bytes


def write_noise(path, slices):
    """Write a scan of 8 bits with content in all slices, of which most of the file is a hole; return the format."""
    shape = (slices, 1024, 1024)
    noise = np.random.default_rng(1).integers(1, 99, (64, 1024), np.uint8)
    if path.suffix == ".tif":
        tifffile.memmap(path, shape=shape, dtype="uint8", photometric="minisblack")[:, :64] = noise
        return "tiff_stack"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", shape, "uint8")
        for z in range(slices):
            data[z, :64] = noise
    return "hdf5"


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    """Return a function that measures the peaks of scans of 32, 128 and 256 slices in both formats."""
    folder = tmp_path_factory.mktemp("raw")
    asked = []
    for name in ("tif", "h5"):
        for slices in (32, 128, 256):
            path = folder / f"{slices}.{name}"
            asked.append([str(path), write_noise(path, slices), (slices, 1024, 1024)])

    def measure(mutant=""):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, mutant],
            input="\n".join(map(json.dumps, asked)),
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "workflow/scripts", ROOT / "tests", ROOT)))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = list(map(int, done.stdout.split()))
        return {"tif": found[1:3], "h5": found[4:6]}  # the first scan of each loads libraries

    return measure


def is_bounded(small, large):
    """Return whether less than a shard was held, and no more for a scan that is larger."""
    return large < 0.75 * SHARD and large - small < 0.25 * SHARD


def test_memory_is_less_than_a_shard_and_does_not_grow_with_the_scan(peaks):
    assert {name: is_bounded(*found) for name, found in peaks().items()} == {"tif": True, "h5": True}


@pytest.mark.parametrize("mutant", ["whole shards", "keeps slices"])
def test_mutants_that_hold_more_are_told(peaks, mutant):
    assert {name: is_bounded(*found) for name, found in peaks(mutant).items()} == {"tif": False, "h5": False}
