"""NIfTI, NRRD, MetaImage, NumPy and raw files, written by other libraries than those that read them."""

import bz2
import gzip
import io
import struct
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
import yaml

from tomoprofile.errors import InputError
from tomoprofile.volume.formats import FORMATS, OF_SCANS, flat, format_of
from tomoprofile.volume.readers import ScanReader

pytestmark = pytest.mark.usefixtures("same_locale")
SHAPE = (5, 6, 7)
SPACING_UM = (2000.0, 750.0, 500.0)  # z, y, x
DIRECTION = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)  # turned about z, and z points down


def image(dtype="int16"):
    values = np.random.default_rng(1).integers(-1000, 1000, SHAPE)
    return values.astype(dtype)


def in_space(values):
    written = SimpleITK.GetImageFromArray(values)
    written.SetSpacing([edge / 1e3 for edge in SPACING_UM[::-1]])
    written.SetOrigin((10.0, -20.0, 30.0))
    written.SetDirection(DIRECTION)
    return written


def opened(path, dataset=""):
    form = format_of(Path(path))
    assert form is not None
    assert form in OF_SCANS.values()
    return form.open(Path(path), dataset)


def checked(path):
    raw = opened(path)
    if faults := raw.faults():
        raise InputError(*faults)


def refused(path):
    with pytest.raises(InputError) as error:
        checked(path)
    assert all(fault.where and fault.problem and fault.remedy for fault in error.value.faults)
    return str(error.value)


def same_parts(raw, expected):
    """Compare whole and parts, in an order in which a stream must be wound back."""
    assert raw.shape == expected.shape
    assert raw.dtype == expected.dtype.newbyteorder("=")
    assert raw.faults() == []
    for axis in (0, 1, 2, 0):
        for start, stop in ((0, raw.shape[axis]), (1, 3), (0, 2), (raw.shape[axis] - 1, raw.shape[axis])):
            part = raw.read(axis, start, stop)
            assert part.dtype == raw.dtype
            assert part.dtype.isnative
            np.testing.assert_array_equal(part, expected.take(range(start, stop), axis))


FILES = ["a.nii", "a.nii.gz", "a.hdr", "a.nrrd", "b.nrrd", "a.nhdr", "a.mha", "b.mha", "a.mhd", "b.mhd"]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("name", FILES)
def test_what_itk_writes_is_read_with_its_place_in_space(tmp_path, name, dtype):
    """Names with b are compressed."""
    values, path = image(dtype), tmp_path / name
    SimpleITK.WriteImage(in_space(values), str(path), useCompression=name.startswith("b"))
    raw = opened(path)
    same_parts(raw, values)
    np.testing.assert_allclose(raw.voxel_size_um, SPACING_UM, rtol=1e-6)
    lps = raw.geometry.lps
    np.testing.assert_allclose(lps.origin, (10, -20, 30), atol=1e-5)
    np.testing.assert_allclose(np.ravel(lps.direction), DIRECTION, atol=1e-6)
    np.testing.assert_allclose(lps.spacing, [edge / 1e3 for edge in SPACING_UM[::-1]], rtol=1e-6)
    assert ScanReader(raw, 2).geometry == raw.geometry.reordered(2)


def test_the_mark_of_a_format_counts_not_the_name(tmp_path):
    """The mutant: names alone."""
    for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha"):
        SimpleITK.WriteImage(in_space(image()), str(tmp_path / name))
        other = (tmp_path / name).rename(tmp_path / f"{name}.tif")
        same_parts(opened(other), image())
        by_name = next(form for form in FORMATS if form.matches(other))
        with pytest.raises(InputError):
            by_name.open(other, "")


def test_a_scaling_is_kept_as_grey_scale(tmp_path):
    data = bytearray(nibabel.Nifti1Image(image().T, np.eye(4)).to_bytes())
    struct.pack_into("<2f", data, 112, 0.5, -1000)
    (tmp_path / "a.nii").write_bytes(data)
    raw = opened(tmp_path / "a.nii")
    same_parts(raw, image())
    np.testing.assert_array_equal(raw.grey.physical(image()).T, nibabel.load(tmp_path / "a.nii").get_fdata())


def test_a_nifti_whose_edges_are_one_and_have_no_unit_has_no_voxel_size(tmp_path):
    for unit, expected in ((None, None), ("mm", (1000, 1000, 1000)), ("micron", (1, 1, 1))):
        written = nibabel.Nifti1Image(image().T, np.diag([1, 1, 1, 1]))
        written.header.set_xyzt_units(unit)
        nibabel.save(written, tmp_path / "a.nii")
        assert opened(tmp_path / "a.nii").voxel_size_um == expected


def big_nrrd(encoding, pack):
    head = "NRRD0004\n# a comment\ntype: short\ndimension: 4\nsizes: 1 7 6 5\nkinds: list domain domain domain\n"
    head += f"endian: big\nencoding: {encoding}\nspace: right-anterior-superior\n"
    head += 'space directions: none (0.5,0,0) (0,0.75,0) (0,0,2)\nspace units: "mm" "mm" "mm"\n\n'
    return head.encode() + pack(image(">i2").tobytes())


@pytest.mark.parametrize(("encoding", "pack"), [("raw", bytes), ("gzip", gzip.compress), ("bz2", bz2.compress)])
def test_a_nrrd_of_big_endian_numbers_and_an_axis_of_length_1(tmp_path, encoding, pack):
    (tmp_path / "a.seg.nrrd").write_bytes(big_nrrd(encoding, pack))
    raw = opened(tmp_path / "a.seg.nrrd")
    same_parts(raw, image())
    np.testing.assert_allclose(raw.voxel_size_um, SPACING_UM)
    np.testing.assert_allclose(raw.geometry.nifti, np.diag([0.5, 0.75, 2, 1]))


DETACHED = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 7 6 5\nendian: little\nencoding: {}\nspacings: 0.5 0.5 0.5\n"


@pytest.mark.parametrize(
    "ending", ["data file: LIST\n{names}\n", "data file: part%02d.raw 0 4 1\n", "datafile: ./part%02d.raw 0 4 1 2\n"]
)
@pytest.mark.parametrize(("encoding", "pack"), [("raw", bytes), ("gzip", gzip.compress)])
def test_a_nrrd_whose_slices_lie_in_files(tmp_path, ending, encoding, pack):
    for z, plane in enumerate(image()):
        (tmp_path / f"part{z:02d}.raw").write_bytes(pack(plane.tobytes()))
    names = "\n".join(f"part{z:02d}.raw" for z in range(5))
    (tmp_path / "a.nhdr").write_text(DETACHED.format(encoding) + ending.format(names=names))
    raw = opened(tmp_path / "a.nhdr")
    same_parts(raw, image())
    assert raw.voxel_size_um is None  # nothing says in which unit
    assert len(set(format_of(tmp_path / "a.nhdr").files(tmp_path / "a.nhdr"))) == 5
    (tmp_path / "part03.raw").unlink()
    assert "part03.raw" in refused(tmp_path / "a.nhdr")


def test_voxels_at_the_end_of_a_file(tmp_path):
    for skipped in ("byte skip: -1", "byteskip: 11", "lineskip: 2\nbyte skip: 2"):
        (tmp_path / "a.dat").write_bytes(b"abc\ndefg\nhi" + image().tobytes())
        (tmp_path / "a.nhdr").write_text(f"{DETACHED.format('raw')}{skipped}\ndata file: a.dat\n")
        same_parts(opened(tmp_path / "a.nhdr"), image())
    for skipped in (-1, 11):
        header = (
            f"NDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\nHeaderSize = {skipped}\nElementDataFile = a.dat\n"
        )
        (tmp_path / "a.mhd").write_text("ObjectType = Image\n" + header)
        same_parts(opened(tmp_path / "a.mhd"), image())


@pytest.mark.parametrize("files", ["LIST\n{names}", "part%02d.raw 0 4 1"])
def test_a_metaimage_whose_slices_lie_in_files_and_lengths_in_micrometres(tmp_path, files):
    for z, plane in enumerate(image(">i2")):
        (tmp_path / f"part{z:02d}.raw").write_bytes(plane.tobytes())
    names = "\n".join(f"part{z:02d}.raw" for z in range(5))
    header = "ObjectType = Image\nNDims = 3\nBinaryDataByteOrderMSB = True\nDimSize = 7 6 5\nDistanceUnits = um\n"
    header += f"ElementSpacing = 0.5 0.5 1.5\nElementType = MET_SHORT\nElementDataFile = {files.format(names=names)}\n"
    (tmp_path / "a.mhd").write_text(header)
    raw = opened(tmp_path / "a.mhd")
    same_parts(raw, image())
    assert raw.voxel_size_um == (1.5, 0.5, 0.5)
    assert raw.geometry is None


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
@pytest.mark.parametrize("place", ["/etc/passwd", "../outside.raw", "sub/../../outside.raw", "a\0b"])
def test_a_header_cannot_show_other_files_of_the_computer(tmp_path, name, place):
    (tmp_path / "outside.raw").write_bytes(image().tobytes())
    (tmp_path / "scan/sub").mkdir(parents=True)
    start = "ObjectType = Image\nNDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\nElementDataFile = "
    if name == "a.nhdr":
        start = f"{DETACHED.format('raw')}data file: "
    (tmp_path / "scan" / name).write_text(f"{start}{place}\n")
    said = refused(tmp_path / "scan" / name)
    assert "not in its folder" in said or "cannot be" in said


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "b.nrrd", "a.mha", "b.mha"])
def test_a_file_that_ends_early_or_goes_on_is_refused(tmp_path, name):
    SimpleITK.WriteImage(in_space(image()), str(tmp_path / name), useCompression=name.startswith("b"))
    good = (tmp_path / name).read_bytes()
    for bad in (good[:-40], good[: len(good) // 2 + 150]):
        (tmp_path / name).write_bytes(bad)
        assert refused(tmp_path / name)


def test_a_flipped_bit_of_a_compressed_file_is_found_by_its_checksum(tmp_path, monkeypatch):
    """The mutant: without reading to the end, where the checksum is, another scan is read."""
    (tmp_path / "a.nrrd").write_bytes(big_nrrd("gzip", lambda data: gzip.compress(data, 0)))
    data = bytearray((tmp_path / "a.nrrd").read_bytes())
    data[-100] ^= 4
    (tmp_path / "a.nrrd").write_bytes(data)
    assert "CRC" in refused(tmp_path / "a.nrrd")

    def without_end(self, start, count):
        self._length += 1  # so the end is never looked at
        return read(self, start, count)

    read = flat.Stream.read
    monkeypatch.setattr(flat.Stream, "read", without_end)
    raw = opened(tmp_path / "a.nrrd")
    assert raw.faults() == []
    assert (raw.read(0, 0, 5) != image()).sum() == 1


def test_memory_does_not_grow_with_a_compressed_image(tmp_path):
    """A stream of 256 MB is read forwards; a slab of it takes a few blocks."""
    import tracemalloc

    shape = (256, 1024, 1024)
    head = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 1024 1024 256\nencoding: gzip\n\n"
    packed = gzip.compress(bytes(2**20), 1) * shape[0]
    (tmp_path / "a.nrrd").write_bytes(head.encode() + packed)
    raw = opened(tmp_path / "a.nrrd")
    tracemalloc.start()
    assert raw.read(0, 200, 202).shape == (2, 1024, 1024)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 2**20


def test_numpy_arrays_in_either_order_and_never_objects(tmp_path):
    for values in (image(), np.asfortranarray(image()), image(">f4"), image()[None, ..., None]):
        np.save(tmp_path / "a.npy", values)
        same_parts(opened(tmp_path / "a.npy"), values.reshape(SHAPE))
    np.save(tmp_path / "a.npy", np.array([[[print]]], object), allow_pickle=True)
    assert "objects" in refused(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", image())
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:-1])
    assert "promises 420 bytes" in refused(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(data.replace(b"(5, 6, 7), }      ", b"(5, 6, 70000000), "[:17] + b"}"))
    assert refused(tmp_path / "a.npy")


def test_a_raw_file_is_read_with_its_description_only(tmp_path):
    path = tmp_path / "scan_7x6x5_16bit.raw"
    path.write_bytes(image("uint16").tobytes())
    said = refused(path)
    assert "shape: [5, 6, 7]\\ndtype: uint16" in said  # names give x first
    told = {"shape": [5, 6, 7], "dtype": "uint16", "voxel_size_um": 0.65}
    sidecar = tmp_path / f"{path.name}.yaml"
    sidecar.write_text(yaml.safe_dump(told))
    raw = opened(path)
    same_parts(raw, image("uint16"))
    assert raw.voxel_size_um == (0.65,) * 3
    assert raw.grey is None
    path.write_bytes(b"head" + image(">f4").tobytes())
    sidecar.write_text(
        "shape: [5, 6, 7]\ndtype: float32\nbyte_order: big\nheader_bytes: 4\nvoxel_size_um: [3, 2, 1]\ngrey_unit: 1/cm"
    )
    raw = opened(path)
    same_parts(raw, image("float32"))
    assert raw.voxel_size_um == (3, 2, 1)
    assert raw.grey.unit == "1/cm"


def test_the_proposed_description_works_as_it_is(tmp_path):
    """It is a command to paste."""
    import subprocess

    path = tmp_path / "scan 7x6x5.raw"
    path.write_bytes(image("uint8").tobytes())
    command = refused(path).split("voxel size: ", 1)[1]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    same_parts(opened(path), image("uint8"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shape: [5, 6, 8]\ndtype: uint16", "promises 480 bytes"),
        ("shape: [5, 6]\ndtype: uint16", "shape"),
        ("shape: [5, 6, 7]\ndtype: complex64", "dtype"),
        ("shape: [5, 6, 7]\ndtype: uint16\norder: C", "order"),
        ("shape: [5, 6, 7000000000]\ndtype: uint16", "impossible size"),
        ("just text", "yaml"),
        ("a: &a [1]\nshape: *a", "refers"),
        ("!!python/object/apply:os.system ['true']", "YAML"),
    ],
)
def test_descriptions_that_are_wrong(tmp_path, text, said):
    (tmp_path / "a.raw").write_bytes(image("uint16").tobytes())
    (tmp_path / "a.raw.yaml").write_text(text)
    assert said in refused(tmp_path / "a.raw")


def test_the_voxels_of_another_header_are_no_scan_by_themselves(tmp_path):
    for name in ("a.mhd", "c.nhdr"):
        SimpleITK.WriteImage(in_space(image()), str(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mhd", "a.raw", "c.nhdr", "c.raw"]
    for name in ("a.raw", "c.raw"):
        assert format_of(tmp_path / name).datasets(tmp_path / name) == []
    (tmp_path / "alone.raw").write_bytes(bytes(8))
    with pytest.raises(InputError, match="does not say"):
        format_of(tmp_path / "alone.raw").datasets(tmp_path / "alone.raw")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_archive_of_numpy_holds_a_scan(tmp_path, save, order):
    values = image("uint16").astype("uint16")
    save(tmp_path / "a.npz", angle=np.arange(9.0), volume=np.array(values, order=order), size=np.array([0.5]))
    raw = opened(tmp_path / "a.npz")
    same_parts(raw, values)
    assert raw.faults() == []


def test_of_several_arrays_of_an_archive_one_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", a=image(), b=np.zeros((9, 9, 9)))
    assert format_of(tmp_path / "a.npz").datasets(tmp_path / "a.npz") == ["b", "a"]
    same_parts(opened(tmp_path / "a.npz", "a"), image())
    assert "b, a" in refused(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", a=np.array([{}, None], dtype=object))
    assert format_of(tmp_path / "a.npz").datasets(tmp_path / "a.npz") == []


def test_an_archive_that_is_cut_or_lies_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=image())
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
    assert "cannot be read" in refused(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (900, 900, 900)})
        archive.writestr("a.npy", header.getvalue() + bytes(800))
    assert "promises" in refused(tmp_path / "a.npz")


@pytest.mark.parametrize(("dtype", "order"), [("<f4", "LOWBYTEFIRST"), (">f4", "HIGHBYTEFIRST"), ("<f4", "")])
def test_a_volume_of_pyhst_is_described_by_its_info(tmp_path, dtype, order):
    values = np.abs(image()).astype(dtype)
    (tmp_path / "a.vol").write_bytes(values.tobytes())
    lines = [f"NUM_{axis} =  {n}" for axis, n in zip("ZYX", SHAPE, strict=True)]
    lines += ["! PyHST_SLAVE VOLUME INFO FILE", "voxelSize =  0.7", *([f"BYTEORDER = {order}"] if order else [])]
    (tmp_path / "a.vol.info").write_text("\n".join(lines))
    raw = opened(tmp_path / "a.vol")
    same_parts(raw, values)
    assert raw.voxel_size_um == (0.7, 0.7, 0.7)
    (tmp_path / "a.vol").write_bytes(values.astype("uint16").tobytes())
    assert "4 bytes are not in 420 bytes" in refused(tmp_path / "a.vol")


@pytest.mark.parametrize("shear", [0.0, 0.2])
def test_axes_that_are_not_perpendicular_are_said(tmp_path, shear, caplog):
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[0, 2] = shear
    nibabel.save(nibabel.Nifti1Image(image().T, affine), tmp_path / "a.nii")
    opened(tmp_path / "a.nii")
    assert ("not perpendicular" in caplog.text) == (shear > 0)
