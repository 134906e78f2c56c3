"""Masks and segmentations lie beside scans, in the same formats; none of them becomes a scan by itself."""

import nibabel
import numpy as np
import pytest
import tifffile

from tomoprofile.errors import InputError
from tomoprofile.logs import once_a_kind
from tomoprofile.volume import discover
from tomoprofile.volume.discover import survey

SHAPE = (12, 24, 20)
GREY = np.random.default_rng(0).integers(0, 200, SHAPE).astype("uint8")
Z, Y, X = np.indices(SHAPE)


def blobs(values, only_at=None):
    """Return labels in areas of several voxels, with 0 between them."""
    labels = np.where((Y % 8 < 6) & (X % 8 < 6), 1 + (Y // 8 + 3 * (X // 8) + Z // 4) % values, 0)
    return np.where(np.isin(Z, only_at), labels, 0) if only_at is not None else labels


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, image, photometric="minisblack")
    else:
        nibabel.save(nibabel.Nifti1Image(image.T, np.eye(4) * 2), path)


LABELS = {
    "mask.tif": blobs(1).astype("uint8"),
    "mask255.tif": (255 * blobs(1)).astype("uint8"),
    "result.nii.gz": blobs(5).astype("float64"),
    "at_one_end.tif": blobs(2, only_at=[0, 1]).astype("uint16"),
    "organs_seg.nii": blobs(60).astype("int16"),
    "labels/nothing_found.nii": np.zeros(SHAPE, "uint8"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_beside_a_scan_are_no_scans_and_are_named(tmp_path, caplog, name):
    save(tmp_path / "scan.tif", GREY)
    save(tmp_path / name, LABELS[name])
    found = survey(tmp_path, voxel_size_um=1.0)
    assert [scan.sample for scan in found.scans] == ["scan"]
    assert not found.faults
    assert f"hold labels: {name}" in caplog.text
    assert "column `mask`" in caplog.text


def test_without_the_look_at_voxels_each_would_be_a_scan(tmp_path, monkeypatch):
    monkeypatch.setattr(discover, "are_labels", lambda *_: False)
    for name, image in LABELS.items():
        save(tmp_path / name, image)
    assert len(survey(tmp_path, voxel_size_um=1.0).scans) == len(LABELS)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("segmentation_test.tif", GREY),  # a name alone says nothing
        ("blank.tif", np.zeros(SHAPE, "uint8")),  # what it is, the check says
        ("few_counts.tif", np.random.default_rng(1).integers(0, 12, SHAPE).astype("uint8")),
        ("negative.tif", np.where(GREY > 100, -1.0, 1.0).astype("float32")),
    ],
)
def test_scans_remain_scans(tmp_path, name, image):
    save(tmp_path / name, image)
    assert len(survey(tmp_path, voxel_size_um=1.0).scans) == 1


def test_labels_that_are_named_themselves_are_taken(tmp_path):
    save(tmp_path / "mask.tif", LABELS["mask.tif"])
    assert len(survey(tmp_path / "mask.tif", voxel_size_um=1.0).scans) == 1
    with pytest.raises(InputError, match=r"no scan was found.*held for labels: mask\.tif"):
        survey(tmp_path, voxel_size_um=1.0)


def test_what_holds_for_many_files_is_said_once(tmp_path, caplog):
    caplog.set_level("INFO")
    for name in "abc":
        save(tmp_path / f"{name}.nii", GREY)
    with once_a_kind():
        assert len(survey(tmp_path).scans) == 3
    assert caplog.text.count("taken as millimetres") == 1
    assert f"the same holds for 2 more files as for {tmp_path / 'a.nii'}" in caplog.text
    caplog.clear()
    survey(tmp_path)
    assert caplog.text.count("taken as millimetres") >= 3, "without it, each file would say so"


@pytest.mark.parametrize("dpi", [25.4, 2.54, 1.0])
def test_one_millimetre_a_pixel_is_no_voxel_size(tmp_path, dpi):
    """Programs that know of no size write 1, in the unit they think in."""
    tifffile.imwrite(tmp_path / "a.tif", GREY, resolution=(dpi, dpi), resolutionunit="INCH", photometric="minisblack")
    (scan,) = survey(tmp_path, voxel_size_um=0.5).scans
    assert scan.voxel_size_um == (0.5, 0.5, 0.5)
    believed = tmp_path / "b.tif"
    tifffile.imwrite(believed, GREY, resolution=(50000, 50000), resolutionunit="CENTIMETER", photometric="minisblack")
    (scan,) = survey(believed, voxel_size_um=0.5).scans
    assert scan.voxel_size_um[1] == pytest.approx(0.2)
