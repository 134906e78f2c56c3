"""Damaged masks, in every format: read with the shape of their scan, or refused."""

import h5py
import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
import zarr
from fuzz.harness import NUMBERS, failures

from tomoprofile.errors import InputError
from tomoprofile.samples import MaskImage, Scan
from tomoprofile.volume.formats import FORMATS, format_of, hdf5_probe
from tomoprofile.volume.masks import foreground, read_mask

SHAPE = (6, 10, 12)
SCAN = Scan(
    sample="a",
    path="raw",
    format="tiff_folder",
    slices=SHAPE[0],
    rows=SHAPE[1],
    columns=SHAPE[2],
    dtype="uint8",
    voxel_size_um=(1.0, 1.0, 1.0),
)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A file of a few kilobytes is opened at once, or never."""
    monkeypatch.setattr(hdf5_probe, "SECONDS", 3)


def mask():
    z, y, x = np.indices(SHAPE)
    return ((z - 3) ** 2 + (y - 5) ** 2 + (x - 6) ** 2 < 9).astype("uint8")


def tiff(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", mask(), photometric="minisblack", compression="zlib")
    return tmp_path / "m.tif", tmp_path / "m.tif"


def tiff_folder(tmp_path):
    (tmp_path / "m").mkdir()
    for z, plane in enumerate(mask()):
        tifffile.imwrite(tmp_path / f"m/{z}.tif", plane)
    return tmp_path / "m/3.tif", tmp_path / "m"


def hdf5(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("m", data=mask(), chunks=(2, 10, 12), compression="gzip")
    return tmp_path / "m.h5", tmp_path / "m.h5"


def nifti(tmp_path, name):
    nibabel.Nifti1Image(mask().T, np.eye(4)).to_filename(tmp_path / name)
    return tmp_path / name, tmp_path / name


def in_zarr(tmp_path, part, **options):
    group = zarr.create_group(str(tmp_path / "m.zarr"), zarr_format=options.pop("zarr_format", 3))
    array = group.create_array("0", shape=SHAPE, dtype="uint8", **{"chunks": (3, 10, 12), **options})
    array[:] = mask()
    group.attrs["multiscales"] = [{"datasets": [{"path": "0"}]}]
    return tmp_path / "m.zarr" / part, tmp_path / "m.zarr"


def written_by_itk(tmp_path, name):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(mask()), str(tmp_path / name), useCompression=True)
    return tmp_path / name, tmp_path / name


def numpy_file(tmp_path):
    np.save(tmp_path / "m.npy", np.asfortranarray(mask()))
    return tmp_path / "m.npy", tmp_path / "m.npy"


MAKE = {
    "nrrd": lambda at: written_by_itk(at, "m.seg.nrrd"),
    "metaimage": lambda at: written_by_itk(at, "m.mha"),
    "numpy": numpy_file,
    "tiff": tiff,
    "tiff_folder": tiff_folder,
    "hdf5": hdf5,
    "nifti": lambda at: nifti(at, "m.nii"),
    "nifti_gz": lambda at: nifti(at, "m.nii.gz"),
    "zarr3_array": lambda at: in_zarr(at, "0/zarr.json"),
    "zarr3_group": lambda at: in_zarr(at, "zarr.json"),
    "zarr3_chunk": lambda at: in_zarr(at, "0/c/1/0/0"),
    "zarr3_shard": lambda at: in_zarr(at, "0/c/0/0/0", shards=(6, 10, 12)),
    "zarr2_array": lambda at: in_zarr(at, "0/.zarray", zarr_format=2),
    "zarr2_chunk": lambda at: in_zarr(at, "0/1.0.0", zarr_format=2),
}


def read_all(path, exactly=False):
    """Read a mask as check and run do."""
    reader = read_mask(SCAN, MaskImage(str(path)))
    assert reader.shape == SHAPE
    if faults := reader.raw.faults():
        raise InputError(*faults)
    reader.raw.doubts()
    planes = reader.read(0, SHAPE[0])
    assert planes.shape == SHAPE
    inside = np.stack([foreground(plane, str(path), z)[0] for z, plane in enumerate(planes)])
    if exactly:
        assert (inside == mask()).all(), "another mask without a word"
    return inside


@pytest.mark.parametrize("what", MAKE)
@pytest.mark.parametrize(("number", "seed"), NUMBERS)
def test_damaged_masks(tmp_path, what, number, seed):
    damaged, path = MAKE[what](tmp_path)
    # What a checksum covers cannot become another mask without a word.
    exactly = what in ("nifti_gz", "nrrd", "metaimage")
    assert failures(damaged, lambda: read_all(path, exactly), number, seed) == []


def test_every_format_of_masks_is_damaged_and_read_when_good(tmp_path):
    found = set()
    for name, make in MAKE.items():
        folder = tmp_path / name
        folder.mkdir()
        _, path = make(folder)
        found.add(format_of(path).name)
        assert (read_all(path) == mask()).all()
    # Series, EDF and raw files are damaged as scans, and pictures; as masks they are read the same way.
    assert found == {form.name for form in FORMATS} - {"dicom", "edf", "raw", "picture_folder"}
