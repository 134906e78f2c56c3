"""Real scans of other programs, where they lie beside the checkout: found, checked and converted exactly."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from tomoprofile.samples import MaskImage
from tomoprofile.volume.convert import convert_slab, describe_volume
from tomoprofile.volume.discover import survey
from tomoprofile.volume.readers import open_mask, open_raw
from tomoprofile.volume.store import lay_out_store, open_store

DATA = Path(__file__).parents[3] / "shared/data"
pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason="the real scans do not lie beside the checkout"),
    pytest.mark.usefixtures("same_locale"),
]
NIFTI = DATA / "abdominal_ct_apache2/patient1_abdomen_pelvis"
NRRD = DATA / "chest_ct_mit"
RAW = DATA / "xct_small_mit"


def converted(folder, scan):
    """Check a scan and convert it in two slabs; returns its store."""
    raw = open_raw(scan.path, scan.format, scan.dataset)
    assert raw.faults() == raw.doubts() == []
    path = folder / "volume.ome.zarr"
    lay_out_store(path, scan.shape, scan.stored_dtype, 16)
    half = scan.slices // 2 // 16 * 16
    for start, stop in ((0, half), (half, scan.slices)):
        if start < stop:
            convert_slab(scan, path, start, stop)
            open_store(path).complete(path / f"slabs/z{start}.json", start, stop)
    describe_volume(scan, path)
    return open_store(path)


@pytest.mark.parametrize("file", [NIFTI / "example_ct.nii.gz", NRRD / "CTChest4.nrrd"], ids=["nifti", "nrrd"])
def test_medical_scans(tmp_path, file):
    (tmp_path / file.name).symlink_to(file)
    (scan,) = survey(tmp_path).scans
    store = converted(tmp_path, scan)
    known = SimpleITK.ReadImage(str(file))
    np.testing.assert_array_equal(store.read(0, scan.slices), SimpleITK.GetArrayFromImage(known))
    np.testing.assert_allclose(scan.voxel_size_um, [1e3 * edge for edge in known.GetSpacing()[::-1]], rtol=1e-5)
    np.testing.assert_allclose(store.geometry.lps.origin, known.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(np.ravel(store.geometry.lps.direction), known.GetDirection(), atol=1e-6)


def test_their_segmentations_are_masks():
    mask = open_mask(MaskImage(str(NRRD / "Segmentation.seg.nrrd")))
    known = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(NRRD / "Segmentation.seg.nrrd")))
    np.testing.assert_array_equal(mask.read(0, 0, mask.shape[0]), known)
    file = NIFTI / "example_seg_fast_force_split.nii.gz"
    mask = open_mask(MaskImage(str(file)))
    np.testing.assert_array_equal(mask.read(0, 0, mask.shape[0]), np.asarray(nibabel.load(file).dataobj).T)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("polymer3d_8bit_128x128x128.raw", (128, 128, 128)), ("sand_200x200x100_uint8.raw", (100, 200, 200))],
)
def test_raw_files_with_a_description(tmp_path, name, shape):
    (tmp_path / name).symlink_to(RAW / name)
    found = survey(tmp_path, voxel_size_um=1.0)
    assert found.scans == []
    assert f"shape: [{', '.join(map(str, shape))}]" in str(found.faults[0])  # proposed
    text = f"shape: {list(shape)}\ndtype: uint8\nvoxel_size_um: 2.5\n"
    (tmp_path / f"{name}.yaml").write_text(text)
    (scan,) = survey(tmp_path).scans
    assert scan.voxel_size_um == (2.5, 2.5, 2.5)
    store = converted(tmp_path, scan)
    np.testing.assert_array_equal(store.read(0, shape[0]), np.fromfile(RAW / name, "uint8").reshape(shape))
    assert store.geometry is None
