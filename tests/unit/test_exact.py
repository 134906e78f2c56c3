"""Grey values of every type, stored exactly or refused; what lies outside the reconstruction; slices that are lost."""

import re

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from tomoprofile.errors import InputError
from tomoprofile.samples import STORED_AS
from tomoprofile.volume import blanks, exact
from tomoprofile.volume.convert import convert_slab
from tomoprofile.volume.discover import find_scans
from tomoprofile.volume.exact import GreyReader
from tomoprofile.volume.readers import open_raw
from tomoprofile.volume.store import create_store

SHAPE = (12, 40, 36)
Z, Y, X = np.indices(SHAPE)


def grey(dtype="float32", shape=SHAPE):
    values = np.random.default_rng(3).normal(1000, 20, shape)
    return (
        (values > 1000)
        if dtype == "bool"
        else (values % 100 if np.dtype(dtype).itemsize == 1 else values).astype(dtype)
    )


def converted(folder, image, form="stack", slice_axis=0, slab=4):
    """Write, find and convert a scan, as the workflow does, slab by slab; return what is stored."""
    path = folder / ("a.h5" if form == "hdf5" else "a.tif")
    if form == "hdf5":
        with h5py.File(path, "w") as file:
            file["data"] = image
    else:
        tifffile.imwrite(path, image, photometric="minisblack")
    (scan,) = find_scans(path, slice_axis=slice_axis, voxel_size_um=1)
    assert scan.dtype == image.dtype.name
    store = folder / "store.ome.zarr"
    create_store(store, scan.shape, scan.stored_dtype, scan.voxel_size_um, slab)
    for start in range(0, scan.slices, slab):
        convert_slab(scan, store, start, min(start + slab, scan.slices))
    return zarr.open_array(str(store / "0"), mode="r")[:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", ["stack", "hdf5"])
@pytest.mark.parametrize("dtype", STORED_AS)
def test_every_type_is_stored_exactly(tmp_path, dtype, form, order):
    image = grey(dtype)
    if dtype == "float64":
        image = grey("float32").astype(dtype)
    if np.dtype(dtype).kind == "i":
        image = image - np.array(1050 if image.dtype.itemsize > 1 else 50, image.dtype)  # some are negative
    if form == "hdf5" and dtype == "bool":
        pytest.skip("an HDF5 enumeration is a mask")
    stored = converted(tmp_path, image.astype(image.dtype.newbyteorder(order)), form)
    assert stored.dtype == STORED_AS[dtype]
    assert stored.dtype.isnative
    assert np.array_equal(stored.astype("float64"), image.astype("float64"))


TOO_MUCH = {
    "int32": 2**24 + 1,
    "uint32": 2**32 - 1,
    "int64": -(2**24) - 1,
    "uint64": 2**64 - 1,
    "float64": 0.1,
}


@pytest.mark.parametrize("dtype", TOO_MUCH)
def test_a_value_that_does_not_fit_names_its_slice_and_how_to_convert(tmp_path, dtype):
    image = grey(dtype).round()
    assert np.array_equal(converted(tmp_path, image.astype(dtype)), image.astype("float32"))
    image = image.astype(dtype)
    image[7, 3, 5] = TOO_MUCH[dtype]
    with pytest.raises(InputError, match=r"a\.tif.*float32 exactly, first in slice 7 \(got 1 voxels\).*Fiji.*Python"):
        converted(tmp_path, image)
    assert np.float32(TOO_MUCH[dtype]).astype("float64") != float(TOO_MUCH[dtype]) or dtype == "uint64"


def test_float64_beyond_float32_is_a_fault_not_an_infinity(tmp_path):
    image = grey("float64").round()
    image[2, 2, 2] = 1e300
    with pytest.raises(InputError, match="first in slice 2"):
        converted(tmp_path, image)


def test_mutant_that_casts_stores_other_values(tmp_path, monkeypatch):
    image = grey("int32")
    image[7, 3, 5] = 2**24 + 1
    monkeypatch.setattr(exact, "_exceeds", lambda _: False)
    assert converted(tmp_path, image)[7, 3, 5] == 2**24


def circle(radius=17, centre=(19.5, 17.5)):
    return np.hypot(Y - centre[0], X - centre[1]) > radius


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("centre", [(19.5, 17.5), (20.5, 17.0)])
def test_nan_outside_of_the_circle_is_outside(tmp_path, dtype, slice_axis, centre):
    image = grey("float32").astype("float16").astype(dtype)
    outside = circle(centre=centre)
    image[outside] = np.nan
    image[outside & (X > 30)] = np.inf
    stored = converted(tmp_path, image, slice_axis=slice_axis)
    expected = np.moveaxis(np.where(outside, 0, image).astype("float32"), slice_axis, 0)
    assert np.array_equal(stored, expected)


WRONG = {
    "one inside": (lambda image: image.__setitem__((8, 20, 18), np.nan), 8, 1),
    "an infinity": (lambda image: image.__setitem__((3, 15, 22), -np.inf), 3, 1),
    "a whole slice": (lambda image: image.__setitem__(5, np.nan), 5, None),
    "a block at the edge of a slice": (
        lambda image: image.__setitem__((slice(4, 6), slice(12, 28), slice(0, 12)), np.nan),
        4,
        None,
    ),
}


@pytest.mark.parametrize("round_", [False, True])
@pytest.mark.parametrize("what", WRONG)
def test_nan_inside_names_slice_and_count(tmp_path, what, round_):
    spoil, z, count = WRONG[what]
    image = grey()
    if round_:
        image[circle()] = np.nan
    spoil(image)
    told = rf"first in slice {z}.*\(got {count or '[0-9]+'} voxels\)"
    with pytest.raises(InputError, match=told):
        converted(tmp_path, image)


def test_a_scan_without_numbers_is_refused(tmp_path):
    with pytest.raises(InputError, match="NaN or infinite"):
        converted(tmp_path, np.full(SHAPE, np.nan, "float32"))


def test_mutant_that_takes_every_nan_for_outside_fills_holes(tmp_path, monkeypatch):
    image = grey()
    image[circle()] = np.nan
    image[8, 20, 18] = np.nan
    monkeypatch.setattr(exact, "_RIM", 1000)
    assert converted(tmp_path, image)[8, 20, 18] == 0


@pytest.mark.parametrize("slab", [1, 4, 12])
@pytest.mark.parametrize("lost", [[5], [4, 5, 6, 7], [1, 10]])
@pytest.mark.parametrize("value", [0, 137])
def test_slices_of_one_value_among_others_are_lost_ones(tmp_path, lost, value, slab):
    image = grey("uint16")
    image[lost] = value
    with pytest.raises(
        InputError, match=rf"a\.tif slice {lost[0]} \(page {lost[0] + 1}\): the slice holds one value.*{value}"
    ):
        converted(tmp_path, image, slab=slab)


@pytest.mark.parametrize("slab", [4, 12])
def test_a_lost_slice_is_found_beside_padding(tmp_path, slab):
    image = grey("uint16")
    image[[0, 1, 6, 11]] = 0
    with pytest.raises(InputError, match=r"a\.tif slice 6 \(page 7\)"):
        converted(tmp_path, image, slab=slab)


def test_a_lost_slice_of_a_folder_is_named_by_its_file(tmp_path):
    image = grey("uint16")
    image[6] = 0
    for z, plane in enumerate(image):
        tifffile.imwrite(tmp_path / f"s{z + 100}.tif", plane)
    with pytest.raises(InputError, match=r"s106\.tif"):
        blanks.Blanks(GreyReader(open_raw(tmp_path, "tiff_folder"))).refuse(4, image[4:8])


@pytest.mark.parametrize("slab", [4, 12])
def test_air_and_padding_are_told_and_not_refused(tmp_path, slab, caplog):
    image = grey("uint16")
    image[:2] = 0
    image[9:] = 65535
    assert np.array_equal(converted(tmp_path, image, slab=slab), image)
    assert "2 slices from 0 to 1 hold one value each, the first 0: is this padding or air" in caplog.text
    caplog.clear()
    image = np.where(grey("uint16") > 1040, 255, 0).astype("uint8")  # specks in air that was clipped
    image[6] = 0
    assert np.array_equal(converted(tmp_path, image, slab=slab), image)
    assert "slice 6 holds one value, 0" in caplog.text


def test_padding_is_told_once_however_it_is_read(tmp_path, caplog):
    image = grey("uint16", (60, 40, 36))
    image[:35] = 0
    image[50:] = 0
    assert np.array_equal(converted(tmp_path, image, slab=60), image)
    told = [record.getMessage() for record in caplog.records if "one value" in record.getMessage()]
    assert [re.search(r"\d+ slices from \d+ to \d+", text)[0] for text in told] == [
        "35 slices from 0 to 34",
        "10 slices from 50 to 59",
    ]


def test_what_lies_before_padding_is_not_read_again_for_each_part(tmp_path, monkeypatch):
    image = grey("uint16", (60, 40, 36))
    image[20:] = 0
    read, asked = GreyReader.read, []
    monkeypatch.setattr(GreyReader, "read", lambda self, a, b: asked.append((a, b)) or read(self, a, b))
    converted(tmp_path, image, slab=60)
    assert len(asked) < 4 + 1 + blanks._PROBES + 2


def test_slices_with_content_are_passed_without_a_word(tmp_path, caplog):
    image = grey("uint16")
    image[:, 20] = 7  # rows of one value, among them the one that is looked at first
    assert np.array_equal(converted(tmp_path, image), image)
    assert "one value" not in caplog.text


def test_one_slice_is_a_scan(tmp_path):
    image = grey("uint16", (1, 40, 36))
    assert np.array_equal(converted(tmp_path, image), image)
