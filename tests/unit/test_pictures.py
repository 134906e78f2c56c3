"""Slices as pictures, written with Pillow: grey ones are scans, painted ones masks."""

import numpy as np
import pytest
from PIL import Image

from tomoprofile.errors import InputError
from tomoprofile.samples import MaskImage
from tomoprofile.volume.formats import format_of, picture_folder
from tomoprofile.volume.readers import open_mask, open_raw

SHAPE = (3, 40, 36)
RED, WHITE, CLEAR = (255, 0, 0, 127), (255, 255, 255, 255), (0, 0, 0, 0)


def grey(dtype="uint8"):
    return np.random.default_rng(1).integers(0, 250, SHAPE).astype(dtype)


def save(folder, planes, ending="png", **options):
    folder.mkdir()
    for z, plane in enumerate(planes):
        Image.fromarray(plane).save(folder / f"slice_{z:03d}.{ending}", **options)
    return folder


def painted(inside, colour, ground, channels=4):
    return np.where(inside[..., None], colour, ground).astype("uint8")[..., :channels]


@pytest.mark.parametrize(("ending", "dtype"), [("png", "uint8"), ("png", "uint16"), ("bmp", "uint8"), ("jp2", "uint8")])
def test_grey_pictures_are_a_scan(tmp_path, ending, dtype):
    options = {"irreversible": False} if ending == "jp2" else {}
    folder = save(tmp_path / "scan", grey(dtype), ending, **options)
    assert format_of(folder).datasets(folder) == [""]
    raw = open_raw(folder, "picture_folder")
    assert (raw.shape, raw.dtype, raw.faults()) == (SHAPE, np.dtype(dtype), [])
    np.testing.assert_array_equal(raw.read(0, 1, 3), grey(dtype)[1:])
    np.testing.assert_array_equal(raw.read(2, 3, 9), grey(dtype)[..., 3:9])


@pytest.mark.parametrize(
    ("colour", "ground", "channels"), [(RED, CLEAR, 4), (RED, WHITE, 4), (RED, WHITE, 3), (WHITE, CLEAR, 4)]
)
def test_painted_pictures_are_a_mask_and_no_scan(tmp_path, colour, ground, channels):
    inside = grey() > 100
    folder = save(tmp_path / "mask", painted(inside, colour, ground, channels))
    assert format_of(folder).datasets(folder) == []
    mask = open_mask(MaskImage(str(folder)))
    np.testing.assert_array_equal(mask.read(0, 0, 3), inside)


def test_grey_in_three_channels_is_its_value(tmp_path):
    folder = save(tmp_path / "mask", np.repeat(grey()[..., None], 3, 3))
    np.testing.assert_array_equal(open_mask(MaskImage(str(folder))).read(0, 0, 3), grey())


def test_what_cannot_be_told_is_refused(tmp_path):
    inside = grey() > 100
    two = painted(inside, RED, WHITE)
    two[:, :5] = (0, 0, 255, 255)
    with pytest.raises(InputError, match="2 colours"):
        open_mask(MaskImage(str(save(tmp_path / "two", two))))
    folder = save(tmp_path / "gap", grey())
    (folder / "slice_001.png").unlink()
    with pytest.raises(InputError, match="missing"):
        open_raw(folder, "picture_folder")
    folder = save(tmp_path / "sizes", grey())
    Image.fromarray(grey()[0, :5]).save(folder / "slice_002.png")
    (fault,) = open_raw(folder, "picture_folder").faults()
    assert "differs from the first" in fault.problem
    folder = save(tmp_path / "short", grey())
    (folder / "slice_002.png").write_bytes((folder / "slice_002.png").read_bytes()[:-200])
    assert open_raw(folder, "picture_folder").faults()


def test_pictures_that_are_no_slices_are_passed_over_with_a_word(tmp_path, caplog):
    folder = save(tmp_path / "figures", grey()[:2])
    (folder / "slice_000.png").rename(folder / "one.png")
    (folder / "slice_001.png").rename(folder / "other.png")
    assert format_of(folder).datasets(folder) == []
    assert "not taken for a scan" in caplog.text


def test_a_picture_that_promises_more_than_it_holds_is_refused(tmp_path):
    folder = save(tmp_path / "bomb", grey())
    data = bytearray((folder / "slice_000.png").read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    (folder / "slice_000.png").write_bytes(data)
    with pytest.raises(InputError, match="promises 60000 x 60000"):
        picture_folder.FORMAT.open(folder, "")
