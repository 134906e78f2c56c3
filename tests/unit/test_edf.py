"""EDF of the ESRF: blocks of text with an image behind each, in one file or a folder of slices."""

import logging
import re

import numpy as np
import pytest

from tomoprofile.errors import InputError
from tomoprofile.volume.discover import find_scans, survey
from tomoprofile.volume.exact import GreyReader
from tomoprofile.volume.formats import edf
from tomoprofile.volume.readers import open_raw

NAMES = {"uint16": "UnsignedShort", "int16": "SignedShort", "float32": "FloatValue", "uint8": "UnsignedByte"}
SHAPE = (9, 14, 11)
FLOATS = np.random.default_rng(2).normal(size=SHAPE).astype("float32")
WHOLE = (FLOATS * 1000).astype("int16")


def block(image, number=1, order="LowByteFirst", padded=512, end="\n", **fields):
    """Return the bytes of an image behind its header."""
    edges = {f"Dim_{axis}": n for axis, n in enumerate(image.shape[::-1], 1)}
    told = {"HeaderID": f"EH:{number:06d}:000000:000000", "Image": number, "ByteOrder": order}
    told |= {"DataType": NAMES[image.dtype.name], **edges, "Size": image.nbytes} | fields
    text = "{\n" + "".join(f"{name} = {value} ;\n" for name, value in told.items())
    text += " " * (-(len(text) + 1 + len(end)) % padded) + "}" + end
    return text.encode() + image.astype(image.dtype.newbyteorder("<" if order.startswith("Low") else ">")).tobytes()


def slices(folder, image, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for z, plane in enumerate(image):
        (folder / f"rec_{z:04d}.edf").write_bytes(block(plane, **options))
    return folder


def only(folder, **options):
    (scan,) = find_scans(folder, **options)
    return scan, GreyReader(open_raw(scan.path, scan.format, scan.dataset), scan.slice_axis).read(0, scan.slices)


@pytest.mark.parametrize("image", [FLOATS, WHOLE], ids=["float", "whole"])
@pytest.mark.parametrize("options", [{}, {"order": "HighByteFirst", "padded": 1024}, {"end": ""}, {"end": "\r\n"}])
def test_a_folder_of_slices_is_a_scan(tmp_path, image, options):
    scan, values = only(slices(tmp_path / "rec", image, **options), voxel_size_um=0.5)
    assert (scan.format, scan.shape) == ("edf", SHAPE)
    assert np.array_equal(values, image)
    assert values.dtype.isnative


def test_where_voxels_begin_is_told_by_the_length_of_headers(tmp_path, monkeypatch):
    image = np.full(SHAPE, 10, "uint8")  # 10 is the end of a line
    image[:, 1:] = 7 + np.arange(11)
    slices(tmp_path, image, end="")
    assert np.array_equal(only(tmp_path, voxel_size_um=0.5)[1], image)
    monkeypatch.setattr(edf, "_ALIGNED", 1)
    with pytest.raises(InputError, match="only"):
        find_scans(tmp_path, voxel_size_um=0.5)


def test_a_file_with_a_block_for_each_slice_and_one_with_all_are_scans(tmp_path):
    several = b"".join(block(plane, z + 1, PSize_1="5e-07", PSize_2="5e-07") for z, plane in enumerate(FLOATS))
    (tmp_path / "a.edf").write_bytes(several)
    (tmp_path / "b").write_bytes(block(WHOLE, PSize_1="2e-06", PSize_2="2e-06", PSize_3="3e-06"))  # told by its content
    found = find_scans(tmp_path)
    for scan, truth, edges in zip(found, (FLOATS, WHOLE), ((0.5, 0.5, 0.5), (3, 2, 2)), strict=True):
        raw = open_raw(scan.path, scan.format)
        assert np.array_equal(raw.read(0, 0, 9), truth)
        assert np.array_equal(raw.read(1, 2, 5), truth[:, 2:5])
        assert scan.voxel_size_um == pytest.approx(edges)


def cut(folder):
    file = folder / "rec_0004.edf"
    file.write_bytes(file.read_bytes()[:-20])


def lose(folder):
    (folder / "rec_0004.edf").unlink()


def other_size(folder):
    (folder / "rec_0004.edf").write_bytes(block(FLOATS[0, :-1]))


def compressed(folder):
    (folder / "rec_0000.edf").write_bytes(block(FLOATS[0], Compression="GZIP"))


def endless(folder):
    (folder / "rec_0004.edf").write_bytes(b"{ HeaderID = 1 ;" + b" " * 2000)


def too_long(folder):
    (folder / "rec_0004.edf").write_bytes(block(FLOATS[0], Size=6160))


def huge(folder):
    (folder / "rec_0000.edf").write_bytes(block(FLOATS[0], Dim_2=10**7))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "promises 616 bytes"),
        (lose, "missing"),
        (other_size, "differs"),
        (compressed, "not read"),
        (endless, "no end"),
        (huge, "impossible size"),
        (too_long, "promises 6160 bytes"),
    ],
)
def test_damage_is_told(tmp_path, damage, told):
    damage(slices(tmp_path, FLOATS))
    with pytest.raises(InputError, match=told):
        find_scans(tmp_path, voxel_size_um=1)


def test_references_beside_slices_and_in_folders_are_left_out(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    slices(tmp_path / "rec", FLOATS)
    (tmp_path / "rec" / "refHST0000.edf").write_bytes(block(FLOATS[0]))
    for name in ("dark.edf", "refHST0000.edf", "refHST0001.edf"):
        (tmp_path / name).write_bytes(block(FLOATS[0]))
    slices(tmp_path / "raw_projections", FLOATS)
    (scan,) = survey(tmp_path, voxel_size_um=1).scans
    assert scan.path == str(tmp_path / "rec")
    assert "raw_projections" in caplog.text


def test_a_header_without_its_end_loses_no_slice(tmp_path, monkeypatch):
    image = (np.arange(FLOATS.size) % 100).astype("uint8").reshape(SHAPE)  # no byte is a bracket
    several = bytearray(b"".join(block(plane, z + 1) for z, plane in enumerate(image)))
    at = several.index(b"   }\n", 3000)
    several[at : at + 4] = b"    "
    (tmp_path / "a.edf").write_bytes(several)
    with pytest.raises(InputError, match="no end"):
        find_scans(tmp_path, voxel_size_um=1)
    monkeypatch.setattr(edf, "_NO_TEXT", re.compile(b"(?!)"))
    assert find_scans(tmp_path, voxel_size_um=1)[0].slices == 8
