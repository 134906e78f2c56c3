"""What sheet, configuration and names of label files show is found before any job, each with its remedy."""

import numpy as np
import pytest
import tifffile

from tomoprofile.config import read_config
from tomoprofile.labels.classes import Classes
from tomoprofile.labels.exchanged import exchanged
from tomoprofile.run.check import check_scan
from tomoprofile.run.feasibility import check_run
from tomoprofile.samples import Scan
from tomoprofile.segment.kinds import segmenter_of

ROW = {"format": "tiff_stack", "slices": 60, "rows": 40, "columns": 40, "dtype": "uint8", "voxel_size_um": "1"}


def scan(tmp_path, name="a", labelled=(), **cells):
    """Return a row with a folder of labels, and touch its masks."""
    labels = tmp_path / "labels" / name
    labels.mkdir(parents=True)
    for z in labelled:
        (labels / f"{name}_z{z:05d}.tif").touch()
    return Scan.model_validate(ROW | {"sample": name, "path": f"raw/{name}", "labels": str(labels)} | cells)


def said(tmp_path, *scans, status=None, **config):
    findings = check_run(read_config({"results": str(tmp_path / "results"), **config}), list(scans))
    return [
        f"{item.sample} {item.item} {item.status}: {item.message}"
        for item in findings
        if item.status == status or (status is None and item.status != "ok")
    ]


GOOD = (2, 30, 50)


def test_a_good_sheet_has_no_warning(tmp_path):
    scans = [scan(tmp_path, name, GOOD, voxel_size_um=size) for name, size in (("a", "1"), ("b", "1.01"))]
    unlabelled = Scan.model_validate(ROW | {"sample": "c", "path": "raw/c", "voxel_size_um": "1.9"})
    assert said(tmp_path, *scans, unlabelled) == []
    zones = [{"name": "all", "from_um": 0}, {"name": "deep", "from_um": 59}]
    assert said(tmp_path, *scans, profile={"bin_um": 2, "zones": zones}) == []


def sizes_differ(tmp_path):
    return [scan(tmp_path, name, GOOD, voxel_size_um=size) for name, size in (("a", "1"), ("b", "1.1"))], {}


def sizes_will_differ(tmp_path):
    return [scan(tmp_path, name, (), voxel_size_um=size) for name, size in (("a", "1"), ("b", "1.1"))], {}


def size_is_far(tmp_path):
    other = Scan.model_validate(ROW | {"sample": "b", "path": "raw/b", "voxel_size_um": "2.5"})
    return [scan(tmp_path, "a", GOOD), other], {}


def one_folder(tmp_path):
    first = scan(tmp_path, "a", GOOD)
    return [first, scan(tmp_path, "b", labels=first.labels)], {}


def one_inside_the_other(tmp_path):
    return [scan(tmp_path, "a", GOOD), scan(tmp_path, "b", labels=str(tmp_path / "labels"))], {}


def no_folder(tmp_path):
    first = scan(tmp_path, "a", GOOD)
    return [first.model_copy(update={"labels": f"{first.labels}/a_z00002.tif"}), scan(tmp_path, "b", GOOD)], {}


def lonely(tmp_path):
    return [scan(tmp_path, "a", (30,))], {}


def threshold(tmp_path):
    return [scan(tmp_path, "a", GOOD)], {"models": {"default": {"method": "otsu"}}}


def far_zone(tmp_path):
    return [scan(tmp_path, "a", GOOD)], {"profile": {"zones": [{"name": "bulk", "from_um": 60}]}}


FOUND = {
    sizes_differ: "- model error: models.default: scans whose labels train one model have voxels of different size: a "
    "has 1 um, b has 1.1 um. Give scans of different voxel size different models",
    sizes_will_differ: "- model warning: the scans of default have voxels of different size: a has 1 um, b has 1.1 um.",
    size_is_far: "- model error: models.default: a model cannot segment voxels that differ more than twofold: a has ",
    one_folder: "b labels error: ",
    one_inside_the_other: "a labels error: ",
    no_folder: "a labels error: ",
    lonely: "- labels warning: only one slice is labelled for default: parts of it judge each other, and how",
    threshold: "- model warning: default is a threshold, which learns from no labels",
    far_zone: "- profile warning: the zone bulk begins at 60 um and will be empty (a is 60 um long)",
}


@pytest.mark.parametrize("what", FOUND, ids=lambda what: what.__name__)
def test_what_the_sheet_shows_is_found_at_once(tmp_path, what):
    scans, config = what(tmp_path)
    (told,) = said(tmp_path, *scans, **config)
    assert told.startswith(FOUND[what])


def test_mutant_without_the_check_finds_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tomoprofile.run.feasibility.check_sheet", lambda *_: [])
    scans, config = sizes_differ(tmp_path)
    assert said(tmp_path, *scans, **config) == []


def test_remedies_of_folders(tmp_path):
    for number, (what, told) in enumerate(
        {
            one_folder: "the labels of a and b lie in one folder, so each counts for both scans. Give each",
            one_inside_the_other: "the labels of a lie inside those of b, and count as a person's there. Give",
            no_folder: "the column `labels` names a file, not a folder. Name the folder that holds it",
        }.items()
    ):
        (tmp_path / str(number)).mkdir()
        scans, config = what(tmp_path / str(number))
        assert told in said(tmp_path, *scans, **config)[0]


def test_two_rows_of_one_scan_may_share_labels(tmp_path):
    first = scan(tmp_path, "a", GOOD)
    assert said(tmp_path, first, first.model_copy(update={"sample": "b"})) == []


def test_labels_as_near_as_one_likes_are_no_fault(tmp_path):
    assert said(tmp_path, scan(tmp_path, "a", (30, 31, 32))) == []


def test_a_threshold_is_not_told_to_label(tmp_path):
    row = scan(tmp_path, "a", rows=20, columns=24, slices=3)
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.random.default_rng(0).integers(0, 99, (3, 20, 24)).astype("uint8"),
        photometric="minisblack",
    )
    row = row.model_copy(update={"path": str(tmp_path / "a.tif")})
    for method, told in (
        ("otsu", []),
        ("unet", [f"no labels in {row.labels} yet: the run will propose slices, label"]),
    ):
        segmenter = segmenter_of(row, read_config({"models": {"default": {"method": method}}}))
        found = [item.message for item in check_scan(row, segmenter) if item.item == "labels"]
        assert [text[: len(told[0])] for text in found] == told if told else found == []


# --- exchanged values

TWO = Classes.named({"background": 0, "domain": 1})


def discs(count=6, radius=5, size=80, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    mask = np.zeros((size, size), np.uint8)
    for cy, cx in rng.uniform(radius + 2, size - radius - 2, (count, 2)):
        mask |= ((y - cy) ** 2 + (x - cx) ** 2 < radius**2).astype(np.uint8)
    return mask


def cells(size=90, pitch=18):
    """Return a foam: large pores with thin walls that reach the border."""
    y, x = np.mgrid[:size, :size]
    return ((y % pitch > 1) & (x % pitch > 1)).astype(np.uint8)


def test_exchanged_masks_are_warned_about():
    (told,) = exchanged({z: 1 - discs(seed=z) for z in range(3)}, TWO)
    assert "are the values of background and domain exchanged? If so, set `classes: {background: 1, domain: 0}`" in told
    assert exchanged({0: np.ones((40, 40), np.uint8)}, TWO) != []


@pytest.mark.parametrize("seed", range(5))
def test_right_masks_are_not(seed):
    dense = discs(60, 9, seed=seed)  # touching, more than half of the slice
    assert (dense == 1).mean() > 0.5
    scribbles = np.full((80, 80), 255, np.uint8)
    scribbles[10:40, 10:40] = 1
    scribbles[60:64, 5:70] = 0
    for mask in (discs(seed=seed), discs(25, 7, seed=seed), cells(), scribbles):
        assert exchanged({0: mask}, TWO) == []
    three = Classes.named({"background": 0, "domain": 1, "void": 2})
    assert exchanged({0: 1 - discs(seed=seed)}, three) == []


def test_mutant_that_looks_at_the_share_alone_warns_about_a_foam(monkeypatch):
    monkeypatch.setattr("tomoprofile.labels.exchanged._piece_and_holes", lambda *_: (1.0, 9))
    assert exchanged({0: cells()}, TWO) != []
