import h5py
import numpy as np
import pytest
import tifffile

from tomoprofile.errors import InputError
from tomoprofile.volume.discover import find_scans
from tomoprofile.volume.formats import FORMATS, format_of
from tomoprofile.volume.formats.base import step_of_axis
from tomoprofile.volume.readers import ScanReader, open_raw

SHAPE = (6, 10, 12)


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 60_000, SHAPE).astype("uint16")


def slices_of(folder, image, first=0, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for index, plane in enumerate(image):
        tifffile.imwrite(folder / f"rec{index + first}.tif", plane, **options)
    return folder


def write(form, tmp_path, image):
    """Write ``image`` in one of the formats; returns path and dataset."""
    if form == "tiff_folder":
        return slices_of(tmp_path / "slices", image, first=7), ""
    if form == "hdf5":
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("entry/data/data", data=image, chunks=(2, 5, 6), compression="gzip")
        return tmp_path / "a.h5", "/entry/data/data"
    options = {
        "stack": {"imagej": True},
        "bigtiff": {"bigtiff": True, "metadata": None},
        "compressed": {"compression": "zlib"},
        "big_endian": {"byteorder": ">"},
    }[form]
    tifffile.imwrite(tmp_path / f"{form}.tif", image, photometric="minisblack", **options)
    return tmp_path / f"{form}.tif", ""


def write_imagej(path, image, resolution):
    meaning = {"unit": "um", "spacing": 1.5, "axes": "ZYX"}
    tifffile.imwrite(path, image, imagej=True, resolution=resolution, metadata=meaning)


FORMS = ["tiff_folder", "hdf5", "stack", "bigtiff", "compressed", "big_endian"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_every_format_gives_the_same_voxels_by_slices(tmp_path, image, form, slice_axis):
    path, dataset = write(form, tmp_path, image)
    kind = form if form in {"tiff_folder", "hdf5"} else "tiff_stack"
    reader = ScanReader(open_raw(path, kind, dataset), slice_axis)
    expected = np.moveaxis(image, slice_axis, 0)
    assert reader.shape == expected.shape
    parts = [reader.read(z, min(z + 4, expected.shape[0])) for z in range(0, expected.shape[0], 4)]
    assert (np.concatenate(parts) == expected).all()
    assert reader.raw.faults() == []


def test_slices_are_ordered_by_number_not_by_name(tmp_path, image):
    big = np.concatenate([image, image + 1])
    folder = slices_of(tmp_path / "s", big)  # rec10.tif sorts before rec2.tif as text
    assert (open_raw(folder, "tiff_folder").read(0, 0, len(big)) == big).all()


def test_gaps_doubles_and_unnumbered_files_are_all_named(tmp_path, image):
    folder = slices_of(tmp_path / "s", image)
    (folder / "rec3.tif").unlink()
    (folder / "x4.tif").write_bytes((folder / "rec4.tif").read_bytes())
    (folder / "notes.tif").write_bytes((folder / "rec4.tif").read_bytes())
    with pytest.raises(InputError) as caught:
        open_raw(folder, "tiff_folder")
    message = str(caught.value)
    assert "no slice 3" in message
    assert "x4.tif" in message
    assert "notes.tif" in message


def test_mixed_sizes_and_truncated_files_are_found_without_reading_pixels(tmp_path, image):
    folder = slices_of(tmp_path / "s", image)
    tifffile.imwrite(folder / "rec2.tif", image[2, :-1])
    whole = (folder / "rec4.tif").read_bytes()
    (folder / "rec4.tif").write_bytes(whole[: len(whole) - 50])
    (folder / "rec5.tif").write_bytes(b"not a tiff at all")
    messages = [str(fault) for fault in open_raw(folder, "tiff_folder").faults()]
    assert len(messages) == 3
    assert "rec2.tif" in messages[0]
    assert "differs" in messages[0]
    assert "rec4.tif" in messages[1]
    assert "truncated" in messages[1]
    assert "rec5.tif" in messages[2]


def test_a_truncated_stack_is_found(tmp_path, image):
    path, _ = write("stack", tmp_path, image)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"stack\.tif.*truncated"):
        open_raw(path, "tiff_stack")


def test_unsupported_types_are_refused_not_rescaled(tmp_path, image):
    tifffile.imwrite(tmp_path / "a.tif", image.astype("complex64"), photometric="minisblack")
    with pytest.raises(InputError, match=r"complex64.*astype"):
        open_raw(tmp_path / "a.tif", "tiff_stack")


def test_an_unknown_format_names_those_there_are(tmp_path, image):
    path, _ = write("stack", tmp_path, image)
    with pytest.raises(InputError, match=r"stack.tif format.*'jpeg'.*tiff_folder"):
        open_raw(path, "jpeg")


def test_every_format_is_found_by_what_it_says_of_itself(tmp_path, image):
    for form in ("stack", "hdf5", "tiff_folder"):
        path, _ = write(form, tmp_path, image)
        assert format_of(path).name == {"stack": "tiff_stack"}.get(form, form)
    (tmp_path / "notes.txt").write_text("x")
    assert format_of(tmp_path / "notes.txt") is None
    assert len({form.name for form in FORMATS}) == len(FORMATS)


def test_a_dataset_may_be_left_out_where_there_is_one(tmp_path, image):
    path, dataset = write("hdf5", tmp_path, image)
    assert (open_raw(path, "hdf5").read(0, 0, 2) == image[:2]).all()
    with h5py.File(path, "a") as file:
        file["other"] = image
    with pytest.raises(InputError, match=f"2 3-D datasets.*{dataset}"):
        open_raw(path, "hdf5")


def test_stacks_and_a_single_picture_in_one_folder_are_not_a_series(tmp_path, image):
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", image, photometric="minisblack")
    tifffile.imwrite(tmp_path / "overview.tif", image[0])
    assert [scan.sample for scan in find_scans(tmp_path, voxel_size_um=1)] == ["a", "b"]
    (alone,) = find_scans(tmp_path / "a.tif", voxel_size_um=1)
    assert (alone.sample, alone.format) == ("a", "tiff_stack")


def test_a_wrong_dataset_names_those_that_fit(tmp_path, image):
    path, _ = write("hdf5", tmp_path, image)
    with pytest.raises(InputError, match="/entry/data/data"):
        open_raw(path, "hdf5", "/nothing")


def test_headers_tell_voxel_size_and_grey(tmp_path, image):
    described = "900\t0.5\t1000\t-20.0\t6.0\t0"
    folder = slices_of(
        tmp_path / "sp",
        image,
        description=described,
        software="x",
        metadata=None,
        extratags=[(315, 2, 0, "SP-uCT", True)],
    )
    raw = open_raw(folder, "tiff_folder")
    assert raw.voxel_size_um == (0.5, 0.5, 0.5)
    assert raw.grey is not None
    assert (raw.grey.slope, raw.grey.offset, raw.grey.unit) == (0.001, -20.0, "1/cm")
    tifffile.imwrite(
        tmp_path / "ij.tif",
        image,
        imagej=True,
        resolution=(2, 2),
        metadata={"unit": "um", "spacing": 1.5, "axes": "ZYX"},
    )
    assert open_raw(tmp_path / "ij.tif", "tiff_stack").voxel_size_um == (1.5, 0.5, 0.5)


def test_scan_finds_all_formats_and_names_them(tmp_path, image):
    slices_of(tmp_path / "beam" / "a b", image)
    write("stack", tmp_path / "beam", image)
    write("hdf5", tmp_path / "beam", image)
    (tmp_path / "beam" / "notes.txt").write_text("x")
    (tmp_path / "beam" / "flat").mkdir()
    tifffile.imwrite(tmp_path / "beam" / "flat" / "one.tif", image[0])  # a single image is no scan
    scans = find_scans(tmp_path / "beam", voxel_size_um=0.7)
    assert {scan.sample: scan.format for scan in scans} == {
        "a_b": "tiff_folder",
        "stack": "tiff_stack",
        "a": "hdf5",
    }
    assert {scan.voxel_size_um for scan in scans} == {(0.7, 0.7, 0.7)}
    assert {scan.shape for scan in scans} == {SHAPE}


def test_scan_asks_for_the_voxel_size_when_no_header_tells(tmp_path, image):
    slices_of(tmp_path / "a", image)
    with pytest.raises(InputError, match="--voxel-size-um"):
        find_scans(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no scan"):
        find_scans(tmp_path / "empty")


def test_scan_reorders_the_shape_and_the_voxel_size(tmp_path, image):
    tifffile.imwrite(
        tmp_path / "ij.tif",
        image,
        imagej=True,
        resolution=(2, 4),
        metadata={"unit": "um", "spacing": 1.5, "axes": "ZYX"},
    )
    (scan,) = find_scans(tmp_path, slice_axis=1)
    assert scan.shape == (10, 6, 12)
    assert scan.voxel_size_um == (0.25, 1.5, 0.5)


AXIS = np.arange(200) * 0.65 + 17


@pytest.mark.parametrize(
    "positions",
    [
        AXIS,
        AXIS[::-1],
        AXIS.astype("float32"),
        (AXIS + 5000).astype("float32"),  # rounded to half a thousandth
        AXIS + np.random.default_rng(0).normal(0, 0.01, 200),  # the encoder of a stage
    ],
)
def test_an_axis_is_judged_over_its_whole_length(positions):
    assert step_of_axis("a.h5", "z", positions) == pytest.approx(0.65, rel=1e-3)


def test_an_axis_of_unequal_steps_is_a_fault():
    grown = np.cumsum(np.linspace(0.6, 0.7, 200))
    wrong = {
        "a slice is missing": np.delete(AXIS, 100),
        "steps grow": grown,
        "it goes back": np.r_[AXIS[:100], AXIS[:100]],
        "NaN": np.where(AXIS > 100, np.nan, AXIS),
        "text": np.array(["a", "b", "c"]),
    }
    for what, positions in wrong.items():
        with pytest.raises(InputError, match=r"a\.h5.*axis z"):
            step_of_axis("a.h5", "z", positions)
        assert what == "text" or np.isfinite(positions[1] - positions[0]), "the first two, used before, look fine"
    assert step_of_axis("a.h5", "z", np.zeros(5)) == 0
    assert step_of_axis("a.h5", "z", np.full(5, 3.0)) == 0
    assert step_of_axis("a.h5", "z", [1.0]) is None
    assert step_of_axis("a.h5", "z", np.arange(5, dtype="uint8")[::-1]) == 1
