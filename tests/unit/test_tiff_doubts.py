"""TIFF that may be a scan or something else: taken with a word, or not taken."""

import logging

import numpy as np
import pytest
import tifffile
from PIL import Image

from tomoprofile.errors import InputError
from tomoprofile.volume.discover import find_scans, survey
from tomoprofile.volume.readers import open_raw

SHAPE = (24, 40, 36)


def noise():
    return np.random.default_rng(3).normal(1000, 20, SHAPE).astype("uint16")


def eight():
    return (noise() % 251).astype("uint8")


def imagej(path, image):
    meaning = {"unit": "micron", "spacing": 0.5, "axes": "ZYX"}
    tifffile.imwrite(path, image, imagej=True, resolution=(2, 2), metadata=meaning)


def write(path, image, **options):
    tifffile.imwrite(path, image, photometric="minisblack", **options)


def test_jpeg_is_read_and_said(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", eight(), compression="jpeg", photometric="minisblack")
    (doubt,) = open_raw(tmp_path / "a.tif", "tiff_stack").doubts()
    assert "with losses" in doubt
    (tmp_path / "f").mkdir()
    for z, plane in enumerate(eight()[:3]):
        write(tmp_path / f"f/{z}.tif", plane, compression="jpeg")
    assert open_raw(tmp_path / "f", "tiff_folder").doubts() == [doubt]
    tifffile.imwrite(tmp_path / "b.tif", eight(), compression="lzw", photometric="minisblack")
    assert open_raw(tmp_path / "b.tif", "tiff_stack").doubts() == []


@pytest.mark.parametrize("scale", [1, 256, 257])
def test_a_table_of_greys_is_grey_whatever_its_scale(tmp_path, scale):
    table = np.tile(np.arange(256)[::-1] * scale, (3, 1)).astype("uint16")
    tifffile.imwrite(tmp_path / "a.tif", eight(), photometric="palette", colormap=table)
    np.testing.assert_array_equal(open_raw(tmp_path / "a.tif", "tiff_stack").read(0, 0, 24), 255 - eight())


def one_page(path, image=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = noise()[0] if image is None else image
    tifffile.imwrite(path, image, metadata=None, resolution=(20000, 20000), resolutionunit=3)


def test_one_page_is_a_scan_of_one_slice_where_it_can_be_nothing_else(tmp_path, caplog):
    one_page(tmp_path / "A/a.tif")
    one_page(tmp_path / "B/b.tif")
    found = find_scans(tmp_path)
    assert [scan.shape for scan in found] == [(1, 40, 36)] * 2
    assert "taken for a scan of one slice" in caplog.text
    np.testing.assert_array_equal(open_raw(found[0].path, found[0].format).read(0, 0, 1)[0], noise()[0])
    assert find_scans(tmp_path / "A/a.tif")[0].shape == (1, 40, 36)


def test_one_page_beside_other_images_is_no_scan(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    one_page(tmp_path / "A/a.tif")
    Image.fromarray(eight()[0]).save(tmp_path / "A/a.png")
    with pytest.raises(InputError, match="no scan"):
        find_scans(tmp_path)
    write(tmp_path / "B.tif", noise(), resolution=(20000, 20000), resolutionunit=3)
    one_page(tmp_path / "C/photo.tif")
    assert [scan.sample for scan in find_scans(tmp_path)] == ["B"]
    assert "tomoprofile scan FILE" in caplog.text


def test_a_picture_in_colour_is_no_scan(tmp_path):
    one_page(tmp_path / "a.tif", np.random.default_rng(0).integers(0, 255, (40, 36, 3)).astype("uint8"))
    with pytest.raises(InputError, match="no scan"):
        find_scans(tmp_path)


def test_grey_with_alpha_is_grey_and_two_channels_are_not(tmp_path):
    pixels = np.stack([eight(), np.full_like(eight(), 255)], -1)
    write(tmp_path / "a.tif", pixels, extrasamples=["unassalpha"], planarconfig="contig")
    np.testing.assert_array_equal(open_raw(tmp_path / "a.tif", "tiff_stack").read(0, 0, 24), eight())
    write(tmp_path / "b.tif", pixels, extrasamples=["unspecified"], planarconfig="contig")
    with pytest.raises(InputError, match="2 values"):
        open_raw(tmp_path / "b.tif", "tiff_stack").read(0, 0, 24)


def test_pages_beyond_those_described_are_taken_with_a_word(tmp_path, caplog):
    write(tmp_path / "a.tif", noise())
    content = (tmp_path / "a.tif").read_bytes()
    assert content.count(b"[24, 40, 36]") == 1
    (tmp_path / "a.tif").write_bytes(content.replace(b"[24, 40, 36]", b"[20, 40, 36]"))
    assert open_raw(tmp_path / "a.tif", "tiff_stack").shape == SHAPE
    assert "counts 20 of its 24 pages" in caplog.text


def test_files_of_two_slices_each_may_be_one_scan(tmp_path, caplog):
    for z in range(5):
        imagej(tmp_path / f"a{z}.tif", noise()[2 * z : 2 * z + 2])
    imagej(tmp_path / "whole.tif", noise())
    assert len(find_scans(tmp_path)) == 6
    assert "5 files a#.tif of 2 slices each" in caplog.text


@pytest.mark.parametrize("columns", [3, 4, 5])
def test_a_few_columns_are_channels(tmp_path, columns):
    np.save(tmp_path / "a.npy", noise()[:, :, :columns].copy())
    found = survey(tmp_path, voxel_size_um=1)
    assert len(found.scans) == (columns == 5)
    assert all("channels" in fault.problem for fault in found.faults)
