"""Images for other programs: read back by other libraries than the one that wrote them."""

import gzip
import json
import shutil
import tracemalloc

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK
import tifffile
from export_scan import SAMPLE, finished
from PIL import Image as Pillow

from tomoprofile.errors import InputError, StageError
from tomoprofile.export import images, voxels
from tomoprofile.export.export import Wanted, export_scan
from tomoprofile.export.scan import finished_scan
from tomoprofile.volume.geometry import Geometry
from tomoprofile.volume.grey import GreyScale

SHAPE = (20, 13, 17)  # no two edges alike, more than two shards of 8 slices, the last one not whole
EDGES = (3.0, 0.5, 0.7)
GRID = ("tiff", "nifti", "nrrd")
# Oblique, mirrored, far from the origin: for indices x, y, z of a NIfTI header.
TURN = np.array([[0.96, -0.28, 0], [-0.28, -0.96, 0], [0, 0, 1.0]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN * np.array(EDGES[::-1]) / 1000
AFFINE[:3, 3] = (-91.5, 12.25, 7.0)


@pytest.fixture(scope="module")
def raw():
    rng = np.random.default_rng(3)
    mask = rng.random(SHAPE) < 0.2
    return mask, rng.integers(0, 60_000, SHAPE).astype("uint16")


@pytest.fixture(scope="module", params=(0, 1, 2))
def scan(raw, request, tmp_path_factory):
    """A scan of a NIfTI file whose slices were taken along any axis."""
    mask, grey = raw
    folder = tmp_path_factory.mktemp("results")
    geometry = Geometry.from_nifti(AFFINE)
    scale = GreyScale(0.5, -3.0, "1/cm")
    return finished(
        folder, mask, grey, edges_um=EDGES, slice_axis=request.param, geometry=geometry, scale=scale, connectivity=6
    )


def export(scan, out, *parts, **wanted):
    return {path.name: path for path in export_scan(scan, Wanted(parts, **wanted), out)}


def read_by_itk(path):
    image = SimpleITK.ReadImage(str(path))
    return image, SimpleITK.GetArrayFromImage(image)


def test_a_mask_lies_on_the_nifti_file_that_the_scan_came_from(scan, raw, tmp_path):
    """Same shape, same affine, same voxels: also where another axis than the first became z."""
    mask, grey = raw
    header = nibabel.Nifti1Image(grey.T, AFFINE)
    header.header.set_xyzt_units("mm")
    nibabel.save(header, tmp_path / "raw.nii")
    raw_image = SimpleITK.ReadImage(str(tmp_path / "raw.nii"))
    for form, name in (("nifti", "mask_domain.nii.gz"), ("nrrd", "mask_domain.nrrd")):
        image, found = read_by_itk(export(scan, tmp_path, "mask", images=(form,))[name])
        assert image.GetSize() == raw_image.GetSize()
        for told in ("GetOrigin", "GetDirection", "GetSpacing"):
            assert np.allclose(getattr(image, told)(), getattr(raw_image, told)(), rtol=1e-6, atol=1e-9), told
        assert found.dtype == np.uint8
        assert (found == mask).all()


def test_grey_values_keep_their_type_bits_and_meaning(scan, raw, tmp_path):
    _, grey = raw
    found = export(scan, tmp_path, "volume", images=GRID)
    image = nibabel.load(found["volume.nii"])
    assert np.array_equal(image.dataobj.get_unscaled().T, grey)
    assert (image.dataobj.slope, image.dataobj.inter) == (0.5, -3.0)
    assert np.allclose(image.affine, AFFINE)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert np.allclose(read_by_itk(found["volume.nii"])[1], grey * 0.5 - 3)
    data, header = nrrd.read(str(found["volume.nrrd"]), index_order="C")
    assert data.dtype == grey.dtype
    assert (data == grey).all()
    assert np.allclose(header["space directions"].T, AFFINE[:3, :3])
    assert (header["grey_slope"], header["grey_unit"]) == ("0.5", "1/cm")
    with tifffile.TiffFile(found["volume.tif"]) as file:
        assert file.imagej_metadata["c1"] == 0.5
        assert file.imagej_metadata["vunit"] == "1/cm"


def test_a_tiff_opens_in_fiji_with_its_voxel_size(scan, raw, tmp_path):
    """As ImageJ writes it; pages are read by Pillow, in the order of the raw file."""
    _, grey = raw
    path = export(scan, tmp_path, "volume")["volume.tif"]
    with Pillow.open(path) as stack:
        assert stack.n_frames == SHAPE[0]
        for page in range(stack.n_frames):
            stack.seek(page)
            assert (np.asarray(stack) == grey[page]).all()
        stack.seek(0)
        lines = dict(line.split("=") for line in stack.tag_v2[270].splitlines() if "=" in line)
        per_um = [float(stack.tag_v2[tag]) for tag in (282, 283)]
    assert lines["ImageJ"]
    assert (int(lines["images"]), lines["unit"], float(lines["spacing"])) == (SHAPE[0], "um", EDGES[0])
    assert np.allclose(per_um, (1 / EDGES[2], 1 / EDGES[1]))


def test_a_mask_is_black_and_white_in_tiff(scan, raw, tmp_path):
    mask, _ = raw
    assert (tifffile.imread(export(scan, tmp_path, "mask")["mask_domain.tif"]) == np.where(mask, 255, 0)).all()


def test_labels_are_the_domains_of_the_table(scan, tmp_path):
    import pandas as pd

    table = pd.read_parquet(scan.files.domains)
    assert len(table) > 100
    found = export(scan, tmp_path, "labels", images=GRID)
    every = [tifffile.imread(found["labels_domain.tif"]), read_by_itk(found["labels_domain.nii.gz"])[1]]
    every.append(nrrd.read(str(found["labels_domain.nrrd"]), index_order="C")[0])
    for labels in every:
        assert labels.dtype == np.uint16
        assert (np.bincount(labels.ravel())[1:] == table["voxels"]).all()
    # A domain lies where the table says, along the axes of the raw file.
    back = np.moveaxis(every[0], scan.slice_axis, 0)
    z, y, x = (table[f"centroid_{axis}_um"] / edge for axis, edge in zip("zyx", scan.volume.voxel_size_um, strict=True))
    single = table["voxels"] == 1
    assert (
        back[z[single].astype(int), y[single].astype(int), x[single].astype(int)] == table["domain_id"][single]
    ).all()


def test_what_classic_tiff_cannot_hold_becomes_a_large_ome_tiff(scan, raw, tmp_path, monkeypatch):
    _, grey = raw
    monkeypatch.setattr(images, "_CLASSIC_TIFF", grey.nbytes - 1)
    path = export(scan, tmp_path, "volume")["volume.ome.tif"]
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        assert file.is_ome
        assert len(file.pages) == SHAPE[0]
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == list(EDGES)
        assert pixels["PhysicalSizeZUnit"] == "µm"
        assert (file.asarray() == grey).all()


@pytest.mark.parametrize(
    ("dtype", "largest", "expected"),
    [
        ("uint8", 1, "uint8"),
        ("int16", None, "float32"),
        ("uint32", 70_000, "float32"),
        ("uint32", 2**24 + 1, "uint32"),  # the first whole number that float32 lacks
        ("int32", None, "int32"),
    ],
)
def test_no_value_is_rounded_to_fit_a_type_of_imagej(scan, dtype, largest, expected):
    image = images.Image.of(scan, Given(np.zeros((2, 3, 4), dtype)), largest)
    assert images._tiff_dtype(image) == expected
    if largest:
        assert np.dtype(expected).type(largest) == largest


class Given:
    """Voxels from an array, in the place of a store."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def read(self, start, stop, rows=slice(None)):
        return self.array[start:stop, rows]


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "float32"])
def test_every_type_comes_back_from_every_format(tmp_path, raw, dtype):
    mask, _ = raw
    scan = finished(tmp_path / "results", mask)
    rng = np.random.default_rng(1)
    low, high = (-1e6, 1e6) if dtype == "float32" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    values = rng.uniform(low, high, SHAPE).astype(dtype)
    image = images.Image.of(scan, Given(values))
    for form in GRID:
        path = images.write_image(image, form, tmp_path / dtype)
        found = tifffile.imread(path) if form == "tiff" else read_by_itk(path)[1]
        assert (found == values).all(), form


def test_without_a_geometry_voxels_begin_at_the_origin(tmp_path, raw):
    mask, _ = raw
    scan = finished(tmp_path / "results", mask, edges_um=EDGES)
    image = nibabel.load(export(scan, tmp_path, "mask", images=("nifti",))["mask_domain.nii.gz"])
    assert np.allclose(image.affine, np.diag([0.0007, 0.0005, 0.003, 1]))
    labels, _ = read_by_itk(export(scan, tmp_path, "labels", images=("nrrd",))["labels_domain.nrrd"])
    assert np.allclose(labels.GetSpacing(), (0.0007, 0.0005, 0.003))
    assert np.allclose(labels.GetOrigin(), 0)


def test_another_voxel_size_in_the_sheet_is_told(tmp_path, raw, caplog):
    mask, _ = raw
    scan = finished(
        tmp_path / "results", mask, edges_um=(2 * EDGES[0], *EDGES[1:]), geometry=Geometry.from_nifti(AFFINE)
    )
    export(scan, tmp_path, "mask", images=("nifti",))
    assert "the raw file gives voxels of 3 x 0.5 x 0.7 um and the sheet 6 x 0.5 x 0.7 um" in caplog.text


def test_long_edges_need_nifti_2(tmp_path, raw):
    mask, _ = raw
    scan = finished(tmp_path / "results", mask)
    values = np.arange(2**15, dtype="uint16").reshape(1, 1, -1)
    path = images.write_image(images.Image.of(scan, Given(values)), "nifti", tmp_path / "long")
    image = nibabel.load(path)
    assert isinstance(image, nibabel.Nifti2Image)
    assert np.array_equal(np.asarray(image.dataobj).T, values)


def test_each_class_has_its_own_mask_and_labels(tmp_path, raw):
    mask, _ = raw
    scan = finished(tmp_path / "results", {"domain": mask, "void": ~mask})
    found = export(scan, tmp_path, "mask", "labels", images=("nifti",))
    assert sorted(found) == [f"{what}_{name}.nii.gz" for what in ("labels", "mask") for name in ("domain", "void")]
    assert (read_by_itk(found["mask_void.nii.gz"])[1] != mask).all()
    assert read_by_itk(found["labels_void.nii.gz"])[1].max() == scan.classes["void"].n_domains
    only = export(scan, tmp_path, "mask", images=("nifti",), classes=("void",))
    assert list(only) == ["mask_void.nii.gz"]
    with pytest.raises(
        InputError, match=r"bone: the class was not measured \(got pore\). Measured classes: domain, void"
    ):
        export(scan, tmp_path, "mask", classes=("pore",))


def test_the_same_voxels_give_the_same_bytes_however_they_are_stored(tmp_path, raw):
    mask, _ = raw
    found = []
    for shards in (4, 16):
        scan = finished(tmp_path / f"results{shards}", mask, slice_axis=1, shard_slices=shards)
        files = export(scan, tmp_path / str(shards), "mask", "labels", images=("nifti", "nrrd"))
        found.append({name: path.read_bytes() for name, path in files.items()})
    assert found[0] == found[1]
    assert gzip.decompress(found[0]["mask_domain.nii.gz"])[352:] == mask.astype("uint8").tobytes()


@pytest.mark.parametrize("slice_axis", [0, 2])
def test_memory_is_that_of_a_shard(tmp_path, slice_axis):
    shape = (256, 128, 128)
    mask = np.zeros(shape, bool)
    mask[::8, 10:90, 20:70] = True
    scan = finished(tmp_path / "results", mask, slice_axis=slice_axis)
    export(scan, tmp_path / "first", "mask", images=("nifti",))  # compiles, and reads what is kept
    tracemalloc.start()
    export(scan, tmp_path, "mask", images=GRID)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < mask.size / 3, "a part of the volume, and not all of it"


def test_a_full_disk_is_told_before_anything_is_written(scan, tmp_path, monkeypatch):
    monkeypatch.setattr(images.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 100))
    with pytest.raises(StageError, match=r"volume.nii: the image needs .* and the disk has .* left"):
        export(scan, tmp_path / "out", "volume", images=("nifti",))
    assert not list((tmp_path / "out").iterdir())


def test_an_image_appears_whole_or_not_at_all(scan, tmp_path, monkeypatch):
    def breaks(*arguments):
        yield next(whole(*arguments))
        raise OSError("the disk is gone")

    whole = voxels.blocks_of_raw
    monkeypatch.setattr(images, "blocks_of_raw", breaks)
    for form in GRID:
        with pytest.raises(OSError, match="the disk is gone"):
            export(scan, tmp_path / "out", "mask", images=(form,))
    assert not list((tmp_path / "out").iterdir())


def test_results_that_were_not_kept_are_told(tmp_path, raw):
    mask, _ = raw
    scan = finished(tmp_path / "results", mask)
    scan.files.discarded.write_text("{}")
    shutil.rmtree(scan.files.volume.path)
    scan.files.objects_at("calibrated").unlink()
    for part in ("volume", "mask"):
        with pytest.raises(
            InputError, match=r"removed at the end of the run, as `keep: minimal` asks for. Set `keep: all`"
        ):
            export(finished_scan(tmp_path / "results", SAMPLE), tmp_path, part)
    scan.files.discarded.unlink()
    with pytest.raises(
        InputError, match=r"the grey values are not there\. Run the workflow until this scan is finished"
    ):
        export(finished_scan(tmp_path / "results", SAMPLE), tmp_path, "volume")


def test_a_misspelt_scan_is_told_with_the_scans_there_are(tmp_path, raw):
    mask, _ = raw
    finished(tmp_path / "results", mask)
    with pytest.raises(
        InputError, match=r"the results hold no such scan \(got bnoe\). Did you mean bone\? Scans there: bone"
    ):
        finished_scan(tmp_path / "results", "bnoe")
    with pytest.raises(InputError, match=r"or give the results folder of a run with `--results`"):
        finished_scan(tmp_path / "elsewhere", "bone")


def test_a_damaged_store_is_not_exported(scan, tmp_path):
    files = scan.files
    copy = tmp_path / "results" / SAMPLE
    shutil.copytree(files.folder, copy)
    metadata = copy / "volume.ome.zarr/zarr.json"
    told = json.loads(metadata.read_text())
    told["attributes"]["tomoprofile"]["geometry"][0][3] += 1
    metadata.write_text(json.dumps(told))
    with pytest.raises(InputError, match="the file was damaged or changed"):
        export(finished_scan(tmp_path / "results", SAMPLE), tmp_path, "mask")
