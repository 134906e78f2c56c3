import numpy as np
import pytest
import tifffile

from tomoprofile.config import read_config
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.run.check import check_scan
from tomoprofile.samples import Scan
from tomoprofile.segment.kinds import segmenter_of


@pytest.fixture(scope="module")
def phantom():
    return simulate(PhantomSettings.of_kind("A", size=(64, 128, 128), seed=3))


@pytest.fixture
def scan(phantom, tmp_path):
    tifffile.imwrite(tmp_path / "raw.tif", phantom.grey)
    (tmp_path / "labels").mkdir()
    shape = dict(zip(("slices", "rows", "columns"), phantom.grey.shape, strict=True))
    return Scan(
        sample="a",
        path=str(tmp_path / "raw.tif"),
        format="tiff_stack",
        dtype="float32",
        voxel_size_um="0.5",
        labels=str(tmp_path / "labels"),
        **shape,
    )


def label(scan, phantom, slices=(12, 32, 50), shift=0, folder="", change=lambda mask: mask):
    for z in slices:
        path = f"{scan.labels}/{folder}/a_z{z:05d}.tif"
        tifffile.imwrite(path, change((phantom.labels[z - shift] == 1).astype("uint8")))


def check(scan, **model):
    """Check a scan whose model learns from its labels."""
    config = read_config({"models": {"default": {"method": "unet", **model}}})
    return check_scan(scan, segmenter_of(scan, config))


def found(scan, status, **model):
    findings = check(scan, **model)
    return [item.message for item in findings if item.item == "labels" and item.status == status]


def test_good_labels_pass_without_a_warning(scan, phantom):
    label(scan, phantom)
    assert found(scan, "warning") == found(scan, "error") == []
    (told,) = found(scan, "ok")
    assert told.startswith("3 labelled slices: 12, 32, 50; 3 labels train, in 3 groups that judge each other")


def test_numbers_off_by_one(scan, phantom):
    label(scan, phantom, shift=1)
    (told,) = found(scan, "warning")
    assert "the labels fit slice z-1 better than z: is the numbering of the slices off by one?" in told


def test_transposed_masks(scan, phantom):
    label(scan, phantom, change=np.transpose)
    (told,) = found(scan, "warning")
    assert "transposed (x and y exchanged)" in told


def test_a_class_that_occurs_nowhere(scan, phantom):
    label(scan, phantom)
    classes = {"background": 0, "domain": 1, "void": 2}
    (told,) = found(scan, "warning", classes=classes)
    assert "no label file contains the class void (value 2)" in told
    (told,) = found(scan, "error", classes=classes, measure=["void"])
    assert "no label file contains a void. Mark every void with the value 2" in told


def test_no_domain_and_a_slice_outside_the_scan(scan, phantom):
    label(scan, phantom, change=np.zeros_like)
    assert "no label file contains a domain" in found(scan, "error")[0]
    tifffile.imwrite(f"{scan.labels}/a_z00064.tif", np.ones(phantom.grey.shape[1:], "uint8"))
    assert "slice 64 is outside the scan (0..63)" in found(scan, "error")[0]


def test_a_labelled_slice_without_contrast(scan, phantom):
    label(scan, phantom)
    grey = phantom.grey.copy()
    grey[32] = 5
    tifffile.imwrite(scan.path, grey)
    (told,) = found(scan, "error")
    assert "slice 32 is labelled, but all its grey values are equal" in told


def test_annotators_are_named_with_their_agreement(scan, phantom, tmp_path):
    for name in ("anna", "ben"):
        (tmp_path / "labels" / name).mkdir()
    label(scan, phantom, folder="anna")
    label(scan, phantom, slices=(32,), folder="ben")
    assert "2 annotators (anna, ben); slice 32: Dice 1.00 between pairs, 0.0 % of the voxels in dispute" in found(
        scan, "ok"
    )


def test_labels_are_checked_even_when_the_scan_is_damaged(scan, phantom, tmp_path):
    label(scan, phantom)
    (tmp_path / "raw.tif").write_bytes(b"no TIFF")
    assert found(scan, "ok") == ["3 labelled slices: 12, 32, 50; 3 labels train"]


def test_a_labelled_slice_without_contrast_and_without_domains(scan, phantom):
    label(scan, phantom, slices=(12,))
    label(scan, phantom, slices=(50,), change=np.zeros_like)
    grey = phantom.grey.copy()
    grey[50] = 5
    tifffile.imwrite(scan.path, grey)
    assert "slice 50 is labelled" in found(scan, "error")[0]


def test_slices_across_the_files(scan, phantom, tmp_path):
    tifffile.imwrite(tmp_path / "raw.tif", np.moveaxis(phantom.grey, 0, 1))
    label(scan, phantom, shift=1)
    (told,) = found(scan.model_copy(update={"slice_axis": 1}), "warning")
    assert "slice z-1 better" in told


def test_voxels_that_are_no_numbers_are_told_before_anything_is_computed(scan, phantom):
    label(scan, phantom)
    grey = phantom.grey.copy()
    grey[:, :10, :13] = np.nan
    tifffile.imwrite(scan.path, grey)
    (told,) = [item.message for item in check(scan) if item.status == "error"]
    assert "NaN or infinite, first in slice 0" in told
    assert "130 voxels" in told
