"""TIFF of many kinds and from several programs: each is read as the one scan it holds, or refused with a reason."""

import json
import logging
import struct

import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image

from tomoprofile.errors import InputError, TomoprofileError
from tomoprofile.volume.discover import find_scans, survey
from tomoprofile.volume.exact import GreyReader
from tomoprofile.volume.formats import tiff_layout
from tomoprofile.volume.readers import open_raw

SHAPE = (24, 40, 36)


def noise(dtype="uint16", shape=SHAPE):
    """Grey values that differ everywhere, so that a wrong order, size or offset is seen."""
    return (np.random.default_rng(3).normal(1000, 20, shape)).astype(dtype)


def eight():
    return (noise() % 251).astype("uint8")


def imagej(path, image, **options):
    meaning = {"unit": "micron", "spacing": 0.5, "axes": "ZYX"} | options.pop("metadata", {})
    tifffile.imwrite(path, image, imagej=True, resolution=(2, 2), metadata=meaning, **options)


def written_in_two_goes(path, image, **options):
    tifffile.imwrite(path, image[:10], **options)
    tifffile.imwrite(path, image[10:], append=True, **options)


def loop(path, image, ome=False, **options):
    with tifffile.TiffWriter(path, ome=ome) as writer:
        for plane in image:
            writer.write(plane, **options)


def with_thumbnail_first(path, image):
    with tifffile.TiffWriter(path) as writer:
        writer.write(image[12, ::4, ::4], subfiletype=1, metadata=None, resolution=(5000, 5000), resolutionunit=3)
        writer.write(image, metadata=None, resolution=(20000, 20000), resolutionunit=3)


def with_thumbnails_between(path, image):
    with tifffile.TiffWriter(path) as writer:
        for plane in image:
            writer.write(plane, metadata=None)
            writer.write(plane[::4, ::4], subfiletype=1, metadata=None)


def with_overview_last(path, image):
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, metadata=None)
        writer.write(image[12, ::4, ::4], metadata=None)


def pyramid(path, image, **options):
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, subifds=1, **options)
        writer.write(image[:, ::2, ::2], subfiletype=1, **options)


def pyramid_of_pages(path, image):
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, metadata=None)
        writer.write(image[:, ::2, ::2], subfiletype=1, metadata=None)


def write(path, image, **options):
    tifffile.imwrite(path, image, photometric="minisblack", **options)


VOLUME = {"volumetric": True}
PLANAR = {"planarconfig": "separate"}
WAYS = {
    "Fiji, big-endian": lambda path, image: imagej(path, image, byteorder=">"),
    "Fiji above 4 GB": lambda path, image: imagej(path, image, truncate=True),
    "Fiji above 4 GB, big-endian": lambda path, image: imagej(path, image, truncate=True, byteorder=">"),
    "Fiji, compressed": lambda path, image: imagej(path, image, compression="zlib"),
    "ImageJ that calls slices channels": lambda path, image: imagej(path, image, metadata={"axes": "CYX"}),
    "ImageJ that calls slices frames": lambda path, image: imagej(path, image, metadata={"axes": "TYX"}),
    "volumetric": lambda path, image: write(path, image, **VOLUME),
    "volumetric, compressed": lambda path, image: write(path, image, **VOLUME, compression="zlib"),
    "volumetric, 3-D tiles": lambda path, image: write(path, image, **VOLUME, tile=(16, 16, 16), compression="zlib"),
    "volumetric, plain 3-D tiles": lambda path, image: write(path, image, **VOLUME, tile=(16, 32, 16)),
    "volumetric, strips": lambda path, image: write(path, image, **VOLUME, rowsperstrip=7, compression="lzw"),
    "volumetric, big-endian": lambda path, image: write(path, image, **VOLUME, byteorder=">", compression="zlib"),
    "planar": lambda path, image: write(path, image, **PLANAR),
    "planar, compressed": lambda path, image: write(path, image, **PLANAR, compression="zlib", rowsperstrip=9),
    "planar tiles": lambda path, image: write(path, image, **PLANAR, tile=(16, 16)),
    "truncated": lambda path, image: write(path, image, truncate=True),
    "halves": written_in_two_goes,
    "halves, compressed": lambda path, image: written_in_two_goes(path, image, compression="zlib"),
    "halves without a description": lambda path, image: written_in_two_goes(path, image, metadata=None),
    "loop": loop,
    "loop, tiles": lambda path, image: loop(path, image, tile=(16, 16)),
    "loop, OME": lambda path, image: loop(path, image, ome=True),
    "OME": lambda path, image: tifffile.imwrite(path, image, ome=True, metadata={"axes": "ZYX"}),
    "tiles": lambda path, image: write(path, image, tile=(32, 32), compression="zstd", predictor=True),
    "thumbnail first": with_thumbnail_first,
    "thumbnails between": with_thumbnails_between,
    "overview last": with_overview_last,
    "pyramid": pyramid,
    "pyramid of pages": pyramid_of_pages,
    "compressed pyramid": lambda path, image: pyramid(path, image, compression="zlib"),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_scan_comes_out_of_every_way_to_write_it(tmp_path, way):
    path = tmp_path / ("scan.ome.tif" if "OME" in way else "scan.tif")
    WAYS[way](path, noise())
    (scan,) = find_scans(tmp_path, voxel_size_um=1)
    assert scan.shape == SHAPE
    raw = open_raw(path, "tiff_stack")
    assert (raw.faults(), raw.doubts()) == ([], [])
    for axis in (0, 1, 2):
        reader, expected = GreyReader(raw, axis), np.moveaxis(noise(), axis, 0)
        for start, stop in ((0, len(expected)), (5, 17), (len(expected) - 1, len(expected))):
            part = reader.read(start, stop)
            assert part.dtype == np.dtype("uint16")
            assert part.dtype.isnative
            assert np.array_equal(part, expected[start:stop])


def test_the_voxel_size_is_that_of_slices_not_of_a_thumbnail(tmp_path):
    with_thumbnail_first(tmp_path / "a.tif", noise())
    assert open_raw(tmp_path / "a.tif", "tiff_stack").voxel_size_um == (0.5, 0.5, 0.5)


def test_of_a_page_with_all_slices_only_those_asked_for_are_decoded(tmp_path, monkeypatch):
    """Memory must not grow with the volume."""
    path = tmp_path / "scan.tif"
    write(path, noise(), volumetric=True, tile=(16, 16, 16), compression="zlib")
    raw, seen = open_raw(path, "tiff_stack"), []
    monkeypatch.setattr(
        tifffile.FileHandle, "read", lambda self, n=-1, real=tifffile.FileHandle.read: seen.append(n) or real(self, n)
    )
    raw.read(0, 3, 5)
    assert len(seen) == 9, "the tiles of one of two layers"
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)
    raw.read(0, 0, 24)


@pytest.mark.parametrize("mode", ["L", "I;16", "F", "1", "RGB", "L inverted"])
def test_stacks_of_pillow(tmp_path, mode):
    kind = mode.split()[0]
    image = {"L": eight(), "I;16": noise(), "F": noise("float32"), "1": noise() > 1000, "RGB": eight()}[kind]
    planes = [Image.fromarray(plane if kind != "RGB" else np.repeat(plane[..., None], 3, -1)) for plane in image]
    options = {"tiffinfo": {262: 0}} if "inverted" in mode else {}
    planes[0].save(tmp_path / "a.tif", save_all=True, append_images=planes[1:], compression="tiff_lzw", **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.pages[3].photometric == {"RGB": 2}.get(mode, 0 if "inverted" in mode else 1)
    found = GreyReader(open_raw(tmp_path / "a.tif", "tiff_stack")).read(0, 24)
    assert np.array_equal(found, image)
    folder = tmp_path / "slices"
    folder.mkdir()
    for z, plane in enumerate(planes):
        plane.save(folder / f"s{z}_{kind.replace(';', '')}.tif")
    assert np.array_equal(GreyReader(open_raw(folder, "tiff_folder")).read(0, 24), image)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32"])
def test_stacks_of_itk(tmp_path, dtype):
    image = noise(dtype) if np.dtype(dtype).itemsize > 1 else (eight() // 2).astype(dtype)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(image), str(tmp_path / "a.tif"), useCompression=dtype == "uint16")
    found = GreyReader(open_raw(tmp_path / "a.tif", "tiff_stack")).read(0, 24)
    assert np.array_equal(found, image)


def ifd(entries, following=0):
    """Bytes of one directory of a little-endian TIFF: entries of (tag, type, count, value)."""
    body = b"".join(struct.pack("<HHI4s", tag, kind, n, value.ljust(4, b"\0")) for tag, kind, n, value in entries)
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


def by_hand(path, image, bits, photometric, *, description=b"", extra=()):
    """A TIFF of one page whose bytes are written here; ``image`` gives those of the pixels."""
    height, width = SHAPE[1:]
    pixels = image.tobytes() if hasattr(image, "tobytes") else image
    short, long = (lambda n: struct.pack("<H", n)), (lambda n: struct.pack("<I", n))
    entries = [
        (256, 3, 1, short(width)),
        (257, 3, 1, short(height)),
        (258, 3, 1, short(bits)),
        (259, 3, 1, short(1)),
        (262, 3, 1, short(photometric)),
        *([(270, 2, len(description), long(8 + len(pixels)))] if description else []),
        (273, 4, 1, long(8)),
        (277, 3, 1, short(1)),
        (278, 3, 1, short(height)),
        (279, 4, 1, long(len(pixels))),
        *extra,
    ]
    start = 8 + len(pixels) + len(description)
    path.write_bytes(b"II*\0" + long(start) + pixels + description + ifd(entries))


PACKED = {
    "1 bit": (1, 1, lambda v: np.packbits(v & 1, axis=-1), lambda v: v & 1),
    "1 bit, inverted": (1, 0, lambda v: np.packbits(v & 1, axis=-1), lambda v: 1 - (v & 1)),
    "4 bits": (4, 1, lambda v: (v[:, ::2] & 15) << 4 | (v[:, 1::2] & 15), lambda v: v & 15),
    "4 bits, inverted": (4, 0, lambda v: (v[:, ::2] & 15) << 4 | (v[:, 1::2] & 15), lambda v: 15 - (v & 15)),
    "8 bits, inverted": (8, 0, lambda v: v, lambda v: 255 - v),
    "ImageJ's inverting table": (8, 0, lambda v: v, lambda v: v),
}


@pytest.mark.parametrize("what", PACKED)
def test_few_bits_and_inverted_greys_are_read_as_they_are_meant(tmp_path, what):
    bits, photometric, pack, meant = PACKED[what]
    about = {"description": b"ImageJ=1.54f\nmin=0\n\0"} if "ImageJ" in what else {}
    for z, plane in enumerate(eight()):
        by_hand(tmp_path / f"s{z:02d}.tif", pack(plane).astype("uint8"), bits, photometric, **about)
    found = GreyReader(open_raw(tmp_path, "tiff_folder")).read(0, 24)
    assert found.dtype == np.dtype("uint8")
    assert np.array_equal(found, meant(eight()))


def test_greys_of_a_palette_and_of_colours(tmp_path):
    ramp = np.repeat((np.arange(256) * 257)[None], 3, 0).astype("uint16")
    for name, table, meant in (("up", ramp, eight()), ("down", ramp[:, ::-1], 255 - eight())):
        tifffile.imwrite(tmp_path / f"{name}.tif", eight(), photometric="palette", colormap=table)
        assert np.array_equal(open_raw(tmp_path / f"{name}.tif", "tiff_stack").read(0, 0, 24), meant)
    ramp[0, 100] += 500
    tifffile.imwrite(tmp_path / "fire.tif", eight(), photometric="palette", colormap=ramp)
    with pytest.raises(InputError, match=r"fire\.tif.*table of colours.*Fiji"):
        open_raw(tmp_path / "fire.tif", "tiff_stack")
    colours = np.repeat(eight()[..., None], 3, -1)
    write_colours = {"photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "grey.tif", colours, **write_colours)
    assert np.array_equal(open_raw(tmp_path / "grey.tif", "tiff_stack").read(0, 0, 24), eight())
    colours[7, 3, 3, 1] += 1
    tifffile.imwrite(tmp_path / "one.tif", colours, **write_colours)
    with pytest.raises(InputError, match=r"one\.tif.*in colours.*Fiji"):
        open_raw(tmp_path / "one.tif", "tiff_stack").read(0, 0, 24)
    tifffile.imwrite(tmp_path / "all.tif", np.roll(colours, 1, 1) ^ np.array([1, 0, 0], "uint8"), **write_colours)
    with pytest.raises(InputError, match="in colours"):  # from the first page, by the header of the scan
        open_raw(tmp_path / "all.tif", "tiff_stack")


def described(path, image, text, **options):
    tifffile.imwrite(path, image, photometric="minisblack", description=text, metadata=None, **options)


OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
    'ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="36" SizeY="40" SizeZ="{}" SizeC="1" SizeT="1" {}>'
    '<Channel ID="C:0" SamplesPerPixel="1"/>{}</Pixels></Image></OME>'
)
LIES = {
    "ImageJ, more": lambda path: described(path, noise()[:10], "ImageJ=1.54f\nimages=24\nslices=24\n"),
    "ImageJ, fewer": lambda path: described(path, noise(), "ImageJ=1.54f\nimages=10\nslices=10\n"),
    "tifffile, more": lambda path: described(path, noise()[:10], json.dumps({"shape": SHAPE})),
    "tifffile, another size": lambda path: described(path, noise(), json.dumps({"shape": [24, 40, 35]})),
    "OME, more": lambda path: described(path, noise()[:10], OME.format(24, "", "<TiffData/>")),
    "OME, fewer": lambda path: described(path, noise(), OME.format(10, "", "<TiffData/>")),
}


@pytest.mark.parametrize("what", LIES)
def test_a_description_that_contradicts_the_pages_is_a_fault(tmp_path, what):
    LIES[what](tmp_path / "scan.tif")
    found = survey(tmp_path, voxel_size_um=1)
    assert not found.scans
    (fault,) = found.faults
    assert "scan.tif" in fault.where
    assert any(word in fault.problem for word in ("promises", "describes", "in no file")), fault


@pytest.mark.parametrize("kept", [0.3, 0.95])
@pytest.mark.parametrize("way", ["Fiji above 4 GB", "truncated"])
def test_a_cut_stack_of_one_page_names_the_slice_in_which_it_ends(tmp_path, way, kept):
    WAYS[way](tmp_path / "scan.tif", noise())
    data = (tmp_path / "scan.tif").read_bytes()
    (tmp_path / "scan.tif").write_bytes(data[: int(kept * len(data))])
    with pytest.raises(InputError, match=rf"promises 24 slices, but the file ends in slice {int(24 * kept)}"):
        open_raw(tmp_path / "scan.tif", "tiff_stack")


def test_mutant_that_believes_what_is_there_loses_slices(tmp_path, monkeypatch):
    LIES["ImageJ, fewer"](tmp_path / "scan.tif")
    monkeypatch.setattr(tiff_layout, "_promised", lambda *_: None)
    assert open_raw(tmp_path / "scan.tif", "tiff_stack").shape == SHAPE
    LIES["ImageJ, more"](tmp_path / "scan.tif")
    assert open_raw(tmp_path / "scan.tif", "tiff_stack").shape[0] == 10, "10 of 24, without a word"


def two_images(path, *images):
    with tifffile.TiffWriter(path) as writer:
        for image in images:
            writer.write(image, photometric="minisblack")


def two_ome_images(path, *images):
    with tifffile.TiffWriter(path, ome=True) as writer:
        for image in images:
            writer.write(image, photometric="minisblack", metadata={"axes": "ZYX"})


def with_a_small_slice(path):
    with tifffile.TiffWriter(path) as writer:
        for z, plane in enumerate(noise()):
            writer.write(plane if z != 12 else plane[::2, ::2], photometric="minisblack", metadata=None)


SEVERAL = {
    "one slice of another size": with_a_small_slice,
    "grey values and a mask": lambda path: two_images(path, noise(), eight()),
    "another size": lambda path: two_images(path, noise(), noise()[:, :-4]),
    "two OME images": lambda path: two_ome_images(path, noise(), noise()[:10]),
    "two equal OME images": lambda path: two_ome_images(path, noise(), noise()),
    "slices and channels": lambda path: imagej(path, noise().reshape(12, 2, 40, 36), metadata={"axes": "ZCYX"}),
    "slices and times": lambda path: imagej(path, noise().reshape(2, 12, 40, 36), metadata={"axes": "TZYX"}),
    "three channels": lambda path: imagej(path, noise()[:3], metadata={"axes": "CYX"}),
    "two values a pixel": lambda path: write(path, np.stack([noise(), noise()], -1), planarconfig="contig"),
}


@pytest.mark.parametrize("what", SEVERAL)
def test_several_images_are_named_and_none_is_guessed(tmp_path, what):
    SEVERAL[what](tmp_path / "scan.ome.tif" if "OME" in what else tmp_path / "scan.tif")
    found = survey(tmp_path, voxel_size_um=1)
    assert not found.scans
    (fault,) = found.faults
    assert "scan." in fault.where
    assert fault.got, "what there is"
    assert "one slice" not in what or "page 13" in fault.got
    assert fault.remedy.startswith("Save")


def test_a_stack_is_one_where_slices_are_written_one_by_one_and_said_so(tmp_path, caplog):
    loop(tmp_path / "scan.tif", noise())
    with caplog.at_level(logging.INFO):
        open_raw(tmp_path / "scan.tif", "tiff_stack")
    assert "24 images of one size are taken as one scan of 24 slices" in caplog.text


def multifile(folder, image, per_file, order=None):
    """An OME-TIFF in several files, all described in each."""
    folder.mkdir()
    count = len(image) // per_file
    names = [f"img_{(order or range(count))[i]:04d}.ome.tif" for i in range(count)]
    parts = "".join(
        f'<TiffData FirstZ="{z}" FirstC="0" FirstT="0" IFD="{z % per_file}" PlaneCount="1">'
        f'<UUID FileName="{names[z // per_file]}">urn:uuid:{z // per_file}</UUID></TiffData>'
        for z in range(len(image))
    )
    size = " ".join(f'PhysicalSize{axis}="0.65"' for axis in "XYZ")
    for i, name in enumerate(names):
        text = OME.format(len(image), size, parts).replace("<OME ", f'<OME UUID="urn:uuid:{i}" ')
        described(folder / name, image[i * per_file : (i + 1) * per_file], text)
    return folder


@pytest.mark.parametrize(("per_file", "order"), [(1, None), (1, list(range(23, -1, -1))), (4, None), (12, [1, 0])])
def test_an_ome_tiff_in_several_files_is_one_scan(tmp_path, per_file, order):
    folder = multifile(tmp_path / "a", noise(), per_file, order)
    (scan,) = find_scans(tmp_path)
    assert scan.shape == SHAPE
    assert scan.voxel_size_um == (0.65, 0.65, 0.65)
    raw = open_raw(scan.path, scan.format)
    assert raw.faults() == []
    assert np.array_equal(raw.read(0, 0, 24), noise())
    lost = sorted(folder.iterdir())[len(list(folder.iterdir())) // 2]
    lost.unlink()
    found = survey(tmp_path)
    assert not found.scans
    assert found.faults


@pytest.mark.parametrize("form", ["stack", "folder"])
@pytest.mark.parametrize("z", [0, 11, 23])
@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "jpeg2000", "packbits", "jpegxl"])
def test_lost_bytes_of_a_compressed_page_name_file_and_page(tmp_path, compression, z, form):
    if form == "stack":
        write(tmp_path / "s.tif", noise(), compression=compression)
        path, page = tmp_path / "s.tif", z
    else:
        for index, plane in enumerate(noise()):
            tifffile.imwrite(tmp_path / f"s{index}.tif", plane, compression=compression)
        path, page = tmp_path / f"s{z}.tif", 0
    with tifffile.TiffFile(path) as tif:
        at, length = tif.pages[page].dataoffsets[0], tif.pages[page].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[at : at + length] = bytes(length)
    path.write_bytes(data)
    raw = open_raw(tmp_path if form == "folder" else path, "tiff_folder" if form == "folder" else "tiff_stack")
    with pytest.raises(InputError) as caught:
        raw.read(0, 0, 24)
    assert path.name in str(caught.value)
    assert form == "folder" or f"page {z + 1} " in str(caught.value)


def test_companions_of_slices_break_nothing(tmp_path):
    folder = tmp_path / "scan"
    folder.mkdir()
    for z, plane in enumerate(noise()):
        tifffile.imwrite(folder / f"rec{z:04d}_8bit.tif", plane)
        (folder / f"._rec{z:04d}_8bit.tif").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(60))
    for name in ("overview.tif", "rec0003_8bit_thumb.tif", "dark_0001.tif"):
        tifffile.imwrite(folder / name, noise()[0, ::4, ::4])
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "preview").mkdir()
    tifffile.imwrite(folder / "preview/a.tif", noise()[0])
    (scan,) = find_scans(tmp_path, voxel_size_um=1)
    assert (scan.sample, scan.shape) == ("scan", SHAPE)
    raw = open_raw(scan.path, scan.format)
    assert raw.faults() == []
    assert np.array_equal(raw.read(0, 0, 24), noise())


def test_slices_of_another_kind_are_named(tmp_path):
    for z, plane in enumerate(noise()):
        tifffile.imwrite(tmp_path / f"s{z:02d}.tif", plane)
    tifffile.imwrite(tmp_path / "s05.tif", noise()[5].astype("uint8"))
    tifffile.imwrite(tmp_path / "s07.tif", noise()[7:9])
    tifffile.imwrite(tmp_path / "s09.tif", noise()[9], photometric="miniswhite")
    raw = open_raw(tmp_path, "tiff_folder")
    assert [fault.where[-7:] for fault in raw.faults()] == ["s05.tif", "s07.tif", "s09.tif"]
    for z in (5, 7, 9):
        with pytest.raises(InputError, match=f"s0{z}"):
            raw.read(0, z, z + 1)
    with pytest.raises(TomoprofileError):
        raw.read(0, 0, 24)
