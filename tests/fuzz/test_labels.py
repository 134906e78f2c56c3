"""Damaged label files: masks of the right size and values, or faults."""

import zipfile

import numpy as np
import pytest
import tifffile
from fuzz.harness import NUMBERS, failures
from PIL import Image
from roifile import ROI_TYPE, ImagejRoi

from tomoprofile.config import ThresholdConfig, UNetConfig
from tomoprofile.labels.classes import Classes
from tomoprofile.labels.masks import merge, read_annotators
from tomoprofile.segment.prelabel import prelabel

SHAPE = (6, 30, 40)
CLASSES = Classes.of(UNetConfig())


def labels():
    drawn = np.zeros(SHAPE[1:], "uint8")
    drawn[5:12, 6:16] = 1
    return drawn


def outline(z=None):
    corners = [[6, 5], [16, 5], [16, 12], [6, 12]]
    roi = ImagejRoi.frompoints(np.array(corners, float) + 0.25, name=f"domain-{z}", position=0 if z is None else z + 1)
    roi.roitype = ROI_TYPE.POLYGON
    return roi


def composite():
    rings = [[[2, 2], [20, 2], [20, 20], [2, 20]], [[5, 5], [9, 5], [9, 9], [5, 9]]]
    roi = outline(2)
    path = [number for ring in rings for i, (x, y) in enumerate(ring) for number in (1 if i else 0, x, y)]
    roi.multi_coordinates = np.array([*path, 4], "float32")
    roi.shape_roi_size = len(roi.multi_coordinates)
    return roi


def write(folder, what):
    folder.mkdir()
    if what == "mask":
        tifffile.imwrite(folder / "a_z00002.tif", labels(), compression="zlib")
        return folder / "a_z00002.tif"
    if what in ("volume", "volume_lzw"):
        stack = np.stack([labels(), *[np.zeros_like(labels())] * (SHAPE[0] - 1)])
        compression = "lzw" if what == "volume_lzw" else None
        tifffile.imwrite(folder / "a.tif", stack, photometric="minisblack", compression=compression)
        return folder / "a.tif"
    if what in ("roi", "composite"):
        (folder / "a_z00002.roi").write_bytes((outline() if what == "roi" else composite()).tobytes())
        return folder / "a_z00002.roi"
    if what == "png":
        Image.fromarray(labels()).save(folder / "a_z00002.png")
        return folder / "a_z00002.png"
    if what == "npy":
        np.save(folder / "a_z00002.npy", labels())
        return folder / "a_z00002.npy"
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for z in (1, 3):
            archive.writestr(f"{z}.roi", outline(z).tobytes())
    return folder / "a.zip"


KINDS = ["mask", "volume", "volume_lzw", "roi", "composite", "rois", "png", "npy"]


def read_all(folder):
    masks = merge(read_annotators(folder, SHAPE, CLASSES))
    for z, drawn in masks.items():
        assert 0 <= z < SHAPE[0]
        assert drawn.shape == SHAPE[1:]
        assert drawn.dtype == np.uint8
        assert set(np.unique(drawn)) <= {0, 1, 255}
    return masks


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize(("number", "seed"), NUMBERS)
def test_damaged_labels(tmp_path, what, number, seed):
    path = write(tmp_path / "labels", what)
    assert failures(path, lambda: read_all(tmp_path / "labels"), number, seed) == []


def test_good_labels_are_read(tmp_path):
    for what in KINDS:
        write(tmp_path / what, what)
        assert any((drawn == 1).any() for drawn in read_all(tmp_path / what).values()), what


@pytest.mark.parametrize("what", ["slices.tsv", "a_z00002.tif"])
@pytest.mark.parametrize(("number", "seed"), NUMBERS)
def test_damaged_proposals(tmp_path, what, number, seed):
    picture = np.random.default_rng(0).integers(0, 200, SHAPE[1:]).astype("uint16")
    tifffile.imwrite(tmp_path / "a_z00002.tif", picture)
    (tmp_path / "slices.tsv").write_text("slice\tfile\twhy\n2\ta_z00002.tif\tspread\n")
    out = tmp_path / "labels"

    def read():
        for earlier in out.glob("*"):
            earlier.unlink()
        for written in prelabel(tmp_path / "slices.tsv", out, ThresholdConfig(method="otsu"), CLASSES):
            assert written.parent == out
            assert set(np.unique(tifffile.imread(written))) <= {0, 1}

    assert failures(tmp_path / what, read, number, seed) == []
