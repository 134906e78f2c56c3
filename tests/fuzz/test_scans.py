"""Damaged raw scans, in every format: read whole and as the sheet says, or refused."""

import shutil

import h5py
import hdf5plugin
import numpy as np
import pydicom
import pytest
import SimpleITK
import tifffile
import zarr
from fuzz.harness import NUMBERS, failures
from PIL import Image

from tomoprofile.errors import InputError
from tomoprofile.samples import STORED_AS
from tomoprofile.volume.discover import survey
from tomoprofile.volume.formats import OF_SCANS, hdf5_probe
from tomoprofile.volume.readers import ScanReader, open_raw

SHAPE = (6, 10, 12)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A file of a few kilobytes is opened at once, or never."""
    monkeypatch.setattr(hdf5_probe, "SECONDS", 3)


def image(dtype="uint16"):
    return np.random.default_rng(1).integers(0, 200, SHAPE).astype(dtype)


def folder(tmp_path, **options):
    (tmp_path / "scan").mkdir()
    for z, plane in enumerate(image()):
        tifffile.imwrite(tmp_path / f"scan/rec{z}.tif", plane, **options)
    return tmp_path / "scan/rec2.tif", tmp_path / "scan", ""


def stack(tmp_path, name="scan.tif", dtype="uint16", **options):
    tifffile.imwrite(tmp_path / name, image(dtype), photometric="minisblack", **options)
    return tmp_path / name, tmp_path / name, ""


def hdf5(tmp_path, **options):
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/data")
        group.create_dataset("data", data=image(), **options).attrs["units"] = "1/cm"
        for name, n in zip("zyx", SHAPE, strict=True):
            group.create_dataset(name, data=np.arange(n) * 0.5).attrs["units"] = "um"
    return path, path, "/entry/data/data"


def virtual(tmp_path):
    layout = h5py.VirtualLayout(SHAPE, "uint16")
    for part in range(2):
        with h5py.File(tmp_path / f"part{part}.hdf_", "w") as file:
            file["d"] = image()[part * 3 : part * 3 + 3]
        layout[part * 3 : part * 3 + 3] = h5py.VirtualSource(f"part{part}.hdf_", "d", shape=(3, *SHAPE[1:]))
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        file.create_virtual_dataset("v", layout)
    return tmp_path / "scan.nxs", tmp_path / "scan.nxs", "/v"


def written_by_itk(tmp_path, name, packed=False):
    written = SimpleITK.GetImageFromArray(image())
    written.SetSpacing((0.5, 0.5, 1.5))
    SimpleITK.WriteImage(written, str(tmp_path / name), useCompression=packed)
    return tmp_path / name, tmp_path / name, ""


def numpy_file(tmp_path):
    np.save(tmp_path / "scan.npy", image())
    return tmp_path / "scan.npy", tmp_path / "scan.npy", ""


def archive(tmp_path):
    np.savez_compressed(tmp_path / "scan.npz", angles=np.arange(5), volume=image())
    return tmp_path / "scan.npz", tmp_path / "scan.npz", ""


def block_of_edf(plane):
    edges = "".join(f"Dim_{axis} = {n} ;\n" for axis, n in enumerate(plane.shape[::-1], 1))
    told = f"{{\nHeaderID = EH:000001:000000:000000 ;\nByteOrder = LowByteFirst ;\nDataType = UnsignedShort ;\n{edges}"
    told += f"Size = {plane.nbytes} ;\nPSize_1 = 1e-06 ;\nPSize_2 = 1e-06 ;\n"
    return told.ljust(510).encode() + b"}\n" + plane.tobytes()


def edf(tmp_path):
    (tmp_path / "scan").mkdir()
    for z, plane in enumerate(image()):
        (tmp_path / f"scan/{z}.edf").write_bytes(block_of_edf(plane))
    return tmp_path / "scan/2.edf", tmp_path / "scan", ""


def several_of_edf(tmp_path):
    (tmp_path / "scan.edf").write_bytes(b"".join(map(block_of_edf, image())))
    return tmp_path / "scan.edf", tmp_path / "scan.edf", ""


def raw(tmp_path, damaged):
    (tmp_path / "scan.raw").write_bytes(image().tobytes())
    told = "shape: [6, 10, 12]\ndtype: uint16\nbyte_order: little\nvoxel_size_um: [1.5, 0.5, 0.5]\ngrey_unit: 1/cm\n"
    (tmp_path / "scan.raw.yaml").write_text(told)
    return tmp_path / damaged, tmp_path / "scan.raw", ""


def dicom(tmp_path):
    (tmp_path / "series").mkdir()
    for z, plane in enumerate(image()):
        ds = pydicom.Dataset()
        ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.Modality = "1.2", f"1.2.{z}", "CT"
        ds.Rows, ds.Columns = plane.shape
        ds.SamplesPerPixel, ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 1, 16, 16, 15, 0
        ds.PixelSpacing, ds.ImagePositionPatient = [0.5, 0.5], [0, 0, z]
        ds.ImageOrientationPatient, ds.RescaleSlope, ds.RescaleIntercept = [1, 0, 0, 0, 1, 0], 1, -1000
        ds.PixelData = plane.tobytes()
        ds["PixelData"].VR = "OW"
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        ds.SOPClassUID = pydicom.uid.CTImageStorage
        pydicom.dcmwrite(tmp_path / f"series/{z}.dcm", ds, enforce_file_format=True)
    return tmp_path / "series/2.dcm", tmp_path / "series", ""


def in_zarr(tmp_path, part):
    group = zarr.create_group(str(tmp_path / "scan.zarr"))
    group.create_array("0", shape=(1, *SHAPE), dtype="uint16", chunks=(1, 3, 10, 12))[:] = image()[None]
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "zyx")]
    steps = [{"type": "scale", "scale": [1, 1.5, 0.5, 0.5]}]
    scales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    return tmp_path / "scan.zarr" / part, tmp_path / "scan.zarr", ""


def pictures(tmp_path, ending):
    (tmp_path / "scan").mkdir()
    for z, plane in enumerate(image("uint8")):
        Image.fromarray(plane).save(tmp_path / f"scan/{z}.{ending}")
    return tmp_path / f"scan/2.{ending}", tmp_path / "scan", ""


SP = [(315, 2, 0, "SP-uCT", True)]
MAKE = {
    "tiff_folder": lambda at: folder(at),
    "tiff_folder-zlib": lambda at: folder(at, compression="zlib"),
    "tiff_folder-sp": lambda at: folder(
        at, description="900\t0.5\t1000\t-20.0\t6.0\t0", metadata=None, extratags=SP, software="x"
    ),
    "tiff_stack": lambda at: stack(at),
    "tiff_stack-plain": lambda at: stack(at, metadata=None),
    "tiff_stack-imagej": lambda at: stack(
        at, imagej=True, resolution=(2, 2), metadata={"unit": "um", "spacing": 1.5, "axes": "ZYX"}
    ),
    "tiff_stack-big": lambda at: stack(at, bigtiff=True, metadata=None),
    "tiff_stack-swapped": lambda at: stack(at, byteorder=">"),
    "tiff_stack-zlib": lambda at: stack(at, compression="zlib"),
    "tiff_stack-lzw": lambda at: stack(at, compression="lzw", metadata=None),
    "tiff_stack-zstd": lambda at: stack(at, compression="zstd"),
    "tiff_stack-jpeg2000": lambda at: stack(at, compression="jpeg2000"),
    "tiff_stack-tiles": lambda at: stack(at, tile=(16, 16), compression="zlib", dtype="float32"),
    "tiff_stack-ome": lambda at: stack(at, name="scan.ome.tif", metadata={"axes": "ZYX"}),
    "hdf5": lambda at: hdf5(at),
    "hdf5-gzip": lambda at: hdf5(at, chunks=(2, 5, 6), compression="gzip"),
    "hdf5-checked": lambda at: hdf5(at, chunks=(3, 10, 12), compression="lzf", fletcher32=True, shuffle=True),
    "hdf5-virtual": virtual,
    "hdf5-blosc": lambda at: hdf5(at, chunks=(2, 5, 6), **hdf5plugin.Blosc()),
    "nifti-itk": lambda at: written_by_itk(at, "scan.nii"),
    "nifti-gz": lambda at: written_by_itk(at, "scan.nii.gz"),
    "nrrd": lambda at: written_by_itk(at, "scan.nrrd"),
    "nrrd-gz": lambda at: written_by_itk(at, "scan.nrrd", packed=True),
    "nrrd-detached": lambda at: written_by_itk(at, "scan.nhdr"),
    "metaimage": lambda at: written_by_itk(at, "scan.mha"),
    "metaimage-zlib": lambda at: written_by_itk(at, "scan.mha", packed=True),
    "metaimage-detached": lambda at: written_by_itk(at, "scan.mhd"),
    "numpy": numpy_file,
    "numpy-archive": archive,
    "edf": edf,
    "edf-several": several_of_edf,
    "raw": lambda at: raw(at, "scan.raw"),
    "raw-description": lambda at: raw(at, "scan.raw.yaml"),
    "dicom": dicom,
    "picture_folder-png": lambda at: pictures(at, "png"),
    "picture_folder-bmp": lambda at: pictures(at, "bmp"),
    "zarr-array": lambda at: in_zarr(at, "0/zarr.json"),
    "zarr-group": lambda at: in_zarr(at, "zarr.json"),
    "zarr-chunk": lambda at: in_zarr(at, "0/c/0/1/0/0"),
}


def read_all(path, form, dataset):
    """Read a scan as check and conversion do."""
    raw = open_raw(path, form, dataset)
    assert raw.dtype.name in STORED_AS
    assert len(raw.shape) == 3
    assert all(isinstance(edge, int) and edge > 0 for edge in raw.shape)
    if raw.shape != SHAPE or raw.faults():  # the check refuses what is not as the sheet says
        return
    raw.doubts()
    for axis in (0, 1):
        part = ScanReader(raw, axis).read(1, 3)
        assert part.shape == (2, *(n for other, n in enumerate(SHAPE) if other != axis))
        assert part.dtype == raw.dtype


@pytest.mark.parametrize("what", MAKE)
@pytest.mark.parametrize(("number", "seed"), NUMBERS)
def test_damaged_scans(tmp_path, what, number, seed):
    damaged, path, dataset = MAKE[what](tmp_path)
    assert failures(damaged, lambda: read_all(path, what.split("-")[0], dataset), number, seed) == []


def test_every_format_of_scans_is_damaged():
    assert {name.split("-")[0] for name in MAKE} == set(OF_SCANS)


@pytest.mark.parametrize("what", ["tiff_folder", "tiff_stack-ome", "hdf5-gzip"])
@pytest.mark.parametrize(("number", "seed"), NUMBERS)
def test_a_damaged_scan_beside_a_good_one(tmp_path, what, number, seed):
    damaged, _, _ = MAKE[what](tmp_path)
    tifffile.imwrite(tmp_path / "good.tif", image(), photometric="minisblack")

    def read():
        found = survey(tmp_path, voxel_size_um=1.0)
        assert "good" in [scan.sample for scan in found.scans]
        if found.faults:
            raise InputError(*found.faults)

    assert failures(damaged, read, number // 2, seed) == []


def test_good_files_are_read(tmp_path):
    for what, make in MAKE.items():
        _, path, dataset = make(tmp_path)
        raw = open_raw(path, what.split("-")[0], dataset)
        assert raw.faults() == []
        assert raw.doubts() == []
        assert (raw.read(0, 0, SHAPE[0]) == image()).all()
        for folder in ("scan", "scan.zarr", "series"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
