"""Files that promise what they do not hold: refused with file and remedy, within seconds and little memory."""

import gzip
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import nibabel
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from roifile import ImagejRoi

from tomoprofile.errors import InputError
from tomoprofile.samples import MaskImage, Scan
from tomoprofile.volume.formats import chunks, flat
from tomoprofile.volume.masks import read_mask
from tomoprofile.volume.readers import open_raw

ROOT = Path(__file__).parents[2]
SHAPE = (6, 10, 12)
SECONDS = 120  # for all bombs together; they take a few
MOST_BYTES = 200 * 2**20
SCAN = Scan(
    sample="a", path="raw", format="hdf5", slices=6, rows=10, columns=12, dtype="uint8", voxel_size_um=(1.0, 1.0, 1.0)
)


def ball(shape=SHAPE):
    z, y, x = np.indices(shape)
    return ((z - 3) ** 2 + (y - 5) ** 2 + (x - 6) ** 2 < 9).astype("uint8")


def mask_of(path, scan=SCAN):
    reader = read_mask(scan, MaskImage(str(path)))
    return reader.read(0, scan.slices)


# --- Bombs, each opened as the product opens it, all in one process that is measured.


def many_zeros(megabytes):
    """Return zeros as a stream of DEFLATE, whose blocks repeat each other."""
    packer = zlib.compressobj(1, wbits=-15)
    block = packer.compress(bytes(8 * 2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (megabytes // 8) + b"\x03\x00"


def zip_of(entries):
    """Return an archive of (name, compressed bytes, size that it tells)."""
    body, listed = b"", b""
    for name, packed, told in entries:
        facts = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(packed), told, len(name), 0)
        listed += b"PK\x01\x02" + struct.pack("<H", 20) + facts + bytes(10) + struct.pack("<I", len(body)) + name
        body += b"PK\x03\x04" + facts + name + packed
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(listed), len(body), 0)
    return body + listed + end


def roi_zip(path):
    path.write_bytes(zip_of([(b"%d.roi" % number, many_zeros(48), 48 * 2**20) for number in range(6)]))


def roi_zip_that_lies(path):
    """Promise 1000 bytes and hold many."""
    path.write_bytes(zip_of([(b"a.roi", many_zeros(288), 1000)]))


def roi_zip_of_many(path):
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 5) + bytes(16) + b"a.roi"
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(entry) * 400_000, 0, 0)
    path.write_bytes(entry * 400_000 + end)


def huge_tiff(path, **options):
    tifffile.imwrite(path, np.zeros((10, 12), "uint8"), **options)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tag = tif.pages[0].tags[name]
            data[tag.offset : tag.offset + 12] = struct.pack("<HHII", tag.code, 4, 1, 2**31 - 8)
    path.write_bytes(data)


def nifti_bomb(path):
    whole = gzip.compress(nibabel.Nifti1Image(ball().T, np.eye(4)).to_bytes())
    more = bytes([31, 139, 8, 0, 0, 0, 0, 0, 0, 255]) + many_zeros(288) + struct.pack("<II", 0, 288 * 2**20)
    path.write_bytes(whole + more)


def nifti_promise(path):
    header = bytearray(nibabel.Nifti1Image(ball().T, np.eye(4)).to_bytes()[:352])
    struct.pack_into("<8h", header, 40, 3, 32767, 32767, 32767, 1, 1, 1, 1)
    path.write_bytes(gzip.compress(bytes(header)) if path.name.endswith("gz") else bytes(header))


def zarr_shape(path, edge):
    zarr.create_array(str(path), data=ball(), chunks=(3, 10, 12))
    file = path / "zarr.json"
    told = json.loads(file.read_text())
    told["shape"] = [edge] * 3
    file.write_text(json.dumps(told))


def hdf5_shape(path, shape):
    with h5py.File(path, "w") as file:
        made = file.create_dataset("m", shape, "uint8", chunks=(1, 64, 64), compression="gzip")
        made[0, :10, :10] = 1


def nested(path):
    path.write_bytes(gzip.compress(gzip.compress(nibabel.Nifti1Image(ball().T, np.eye(4)).to_bytes())))


MASK, RAW, LABELS = "mask", "raw", "labels"
BOMBS = {
    "rois_z00001.zip": (LABELS, roi_zip, "more than 64 MB"),
    "lying_z00001.zip": (LABELS, roi_zip_that_lies, "ImageJ ROIs"),
    "many_z00001.zip": (LABELS, roi_zip_of_many, "more than 100000 files"),
    "huge_z00001.tif": (LABELS, huge_tiff, "differs in size"),
    "hugepacked_z00001.tif": (LABELS, lambda path: huge_tiff(path, compression="zlib"), "differs in size"),
    "huge.tif": (MASK, huge_tiff, "huge.tif"),
    "bomb.nii.gz": (MASK, nifti_bomb, "promises"),
    "promise.nii": (MASK, nifti_promise, "promises"),
    "promise.nii.gz": (MASK, nifti_promise, "promises"),
    "nested.nii.gz": (MASK, nested, "NIfTI"),
    "e30.zarr": (MASK, lambda path: zarr_shape(path, 10**30), "impossible size"),
    "negative.zarr": (MASK, lambda path: zarr_shape(path, -1), "Zarr"),
    "zero.zarr": (MASK, lambda path: zarr_shape(path, 0), "impossible size"),
    "wide.zarr": (MASK, lambda path: zarr_shape(path, 90_000), "differs from that of its scan"),
    "wide.h5": (MASK, lambda path: hdf5_shape(path, (6, 4_000_000, 4_000_000)), "impossible size"),
    "slice.h5": (MASK, lambda path: hdf5_shape(path, (6, 90_000, 90_000)), "differs from that of its scan"),
    "raw.h5": (RAW, lambda path: hdf5_shape(path, (6, 90_000, 90_000)), "cannot be in"),
}
OPEN = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)
import json, sys, time
from pathlib import Path
from fuzz.harness import memory, peak, reset_peak
from tomoprofile.config import UNetConfig
from tomoprofile.errors import TomoprofileError
from tomoprofile.labels.classes import Classes
from tomoprofile.labels.masks import read_annotators
from tomoprofile.samples import MaskImage, Scan
from tomoprofile.volume.masks import read_mask
from tomoprofile.volume.readers import open_raw

scan = Scan.model_validate(json.loads(sys.argv[1]))
for line in sys.stdin:
    kind, path = json.loads(line)
    before, begun = memory(), time.monotonic()
    reset_peak()
    try:
        if kind == "labels":
            read_annotators(Path(path).parent, scan.shape, Classes.of(UNetConfig()))
        else:
            raw = read_mask(scan, MaskImage(path)).raw if kind == "mask" else open_raw(path, "hdf5")
            raw.read(0, 0, 6)
        said = "accepted"
    except TomoprofileError as error:
        said = str(error)
    except Exception as error:
        said = repr(error)
    print(json.dumps([path, said, peak() - before, time.monotonic() - begun]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bombs")
    asked = []
    for name, (kind, make, _) in BOMBS.items():
        (folder / name.replace(".", "_")).mkdir()
        path = folder / name.replace(".", "_") / name
        make(path)
        asked.append([kind, str(path)])
    paths = [str(ROOT / "workflow/scripts"), str(ROOT / "tests")]
    done = subprocess.run(
        [sys.executable, "-c", OPEN, SCAN.model_dump_json()],
        input="\n".join(map(json.dumps, asked)),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {Path(path).name: rest for path, *rest in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(outcomes, name):
    said, grown, _ = outcomes[name]
    assert name in said
    assert BOMBS[name][2] in said
    assert grown < MOST_BYTES


# --- Another image without a word.


def nifti_gz(path):
    nibabel.Nifti1Image(ball().T, np.eye(4)).to_filename(path)
    return path


def read_flipped(path, good, bit):
    """Return what a file gives in which one bit is another; None when it is refused."""
    data = bytearray(good)
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    try:
        return mask_of(path)
    except InputError:
        return None


def test_a_flipped_bit_of_a_compressed_mask_never_gives_another_mask(tmp_path):
    path = nifti_gz(tmp_path / "m.nii.gz")
    good = path.read_bytes()
    seen = [read_flipped(path, good, bit) for bit in range(0, 8 * len(good), 8 * len(good) // 150)]
    assert all(mask is None or (mask == ball()).all() for mask in seen)
    assert sum(mask is None for mask in seen) > 100


def test_mutant_that_does_not_read_to_the_checksum_gives_other_masks(tmp_path, monkeypatch):
    def without_end(stream, start, count):
        stream._length += 1
        return read(stream, start, count)

    read = flat.Stream.read
    monkeypatch.setattr(flat.Stream, "read", without_end)
    path = nifti_gz(tmp_path / "m.nii.gz")
    good = path.read_bytes()
    seen = (read_flipped(path, good, bit) for bit in range(0, 8 * len(good), 8 * len(good) // 150))
    assert any(mask is not None and (mask != ball()).any() for mask in seen)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("m.nii.gz", lambda data: data[:-4]),
        ("m.nii.gz", lambda data: data[:-9]),
        ("m.nii.gz", lambda data: data + b"trailing"),
        ("m.nii.gz", lambda data: data + gzip.compress(b"trailing")),
        ("m.nii", lambda data: data[:-1]),
        ("m.nii", lambda data: data + b"x"),
    ],
)
def test_a_mask_that_ends_too_early_or_too_late_is_refused(tmp_path, name, damage):
    path = nifti_gz(tmp_path / name)
    assert (mask_of(path) == ball()).all()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=name):
        mask_of(path)


def test_a_mask_in_several_members_of_gzip_is_read(tmp_path):
    whole = nibabel.Nifti1Image(ball().T, np.eye(4)).to_bytes()
    path = tmp_path / "m.nii.gz"
    path.write_bytes(gzip.compress(whole[:500]) + gzip.compress(whole[500:]))
    assert (mask_of(path) == ball()).all()


CHUNKED = (12, 20, 24)
OF_CHUNKED = SCAN.model_copy(update={"slices": 12, "rows": 20, "columns": 24})


def bar():
    """Return a mask whose only body reaches through the middle chunks."""
    mask = np.zeros(CHUNKED, "uint8")
    mask[1:11, 3:8, 3:9] = 1
    return mask


def chunked(path, image, form, every):
    if form == "hdf5":
        with h5py.File(path, "w") as file:
            made = file.create_dataset("m", image.shape, image.dtype, chunks=(4, 10, 12))
            for z, y, x in np.ndindex(3, 2, 2):
                part = np.s_[4 * z : 4 * z + 4, 10 * y : 10 * y + 10, 12 * x : 12 * x + 12]
                if every or image[part].any():
                    made[part] = image[part]
        return
    layout = {"chunks": (4, 10, 12), "zarr_format": int(form[4])}
    if form.endswith("shards"):
        layout |= {"chunks": (2, 10, 12), "shards": (4, 10, 12)}
    config = {"write_empty_chunks": every}
    array = zarr.create_array(str(path), shape=image.shape, dtype=image.dtype, config=config, **layout)
    array[:] = image


FORMS = ["zarr2", "zarr3", "zarr3shards", "hdf5"]


@pytest.mark.parametrize("form", FORMS)
def test_a_store_without_empty_chunks_is_read_with_a_clear_word(tmp_path, form, caplog):
    path = tmp_path / f"m.{'h5' if form == 'hdf5' else 'zarr'}"
    chunked(path, bar(), form, every=False)
    raw = read_mask(OF_CHUNKED, MaskImage(str(path))).raw
    (doubt,) = raw.doubts()
    assert "9 of 12 chunks are not there" in doubt
    assert "write_empty_chunks=True" in doubt
    assert raw.faults() == []
    assert (mask_of(path, OF_CHUNKED) == bar()).all()
    assert "9 of 12 chunks" in caplog.text, "the run says it too"


@pytest.mark.parametrize("form", FORMS)
def test_a_store_with_all_chunks_is_read_without_a_word(tmp_path, form, caplog):
    path = tmp_path / f"m.{'h5' if form == 'hdf5' else 'zarr'}"
    chunked(path, bar(), form, every=True)
    raw = read_mask(OF_CHUNKED, MaskImage(str(path))).raw
    assert (raw.doubts(), raw.faults()) == ([], [])
    assert (mask_of(path, OF_CHUNKED) == bar()).all()
    assert not caplog.text


@pytest.mark.parametrize(
    ("form", "chunk"), [("zarr2", "1.0.0"), ("zarr3", "c/1/0/0"), ("zarr3shards", "c/1/0/0"), ("zarr3", "c/0/1/1")]
)
def test_a_lost_chunk_is_named_where_empty_ones_were_written(tmp_path, form, chunk):
    path = tmp_path / "m.zarr"
    chunked(path, bar(), form, every=True)
    (path / chunk).unlink()
    with pytest.raises(InputError, match=chunk) as caught:
        mask_of(path, OF_CHUNKED)
    assert "Copy it again" in str(caught.value)


@pytest.mark.parametrize("form", ["zarr2", "zarr3", "zarr3shards"])
def test_a_lost_chunk_is_named_where_a_body_is_cut(tmp_path, form):
    path = tmp_path / "m.zarr"
    chunked(path, bar(), form, every=False)
    chunk = "1.0.0" if form == "zarr2" else "c/1/0/0"
    (path / chunk).unlink()
    (fault,) = read_mask(OF_CHUNKED, MaskImage(str(path))).raw.faults()
    assert chunk in fault.problem
    assert "cut at its border" in fault.problem


@pytest.mark.parametrize("form", [2, 3])
@pytest.mark.parametrize("kept", [-7, 16, 1, 0, None])
def test_a_blosc_chunk_of_another_length_is_refused_before_it_crashes_the_decoder(tmp_path, form, kept):
    path = tmp_path / "m.zarr"
    codec = zarr.codecs.BloscCodec() if form == 3 else numcodecs.Blosc()
    zarr.create_array(str(path), data=ball(), chunks=(3, 10, 12), zarr_format=form, compressors=codec)
    assert (mask_of(path) == ball()).all()
    chunk = path / ("c/1/0/0" if form == 3 else "1.0.0")
    good = chunk.read_bytes()
    chunk.write_bytes(good + b"x" if kept is None else good[:kept])
    with pytest.raises(InputError, match="chunk"):
        mask_of(path)


def test_a_store_of_which_only_the_metadata_were_copied_is_refused(tmp_path):
    chunked(tmp_path / "m.zarr", np.zeros(CHUNKED, "uint8"), "zarr3", every=False)
    with pytest.raises(InputError, match="none of its chunks"):
        mask_of(tmp_path / "m.zarr", OF_CHUNKED)


def test_mutant_that_does_not_look_for_chunks_reads_a_hole(tmp_path, monkeypatch):
    chunked(tmp_path / "m.zarr", bar(), "zarr3", every=True)
    (tmp_path / "m.zarr/c/1/0/0").unlink()
    monkeypatch.setattr("tomoprofile.volume.formats.zarr_image.missing_chunks", lambda _: ([], []))
    assert (mask_of(tmp_path / "m.zarr", OF_CHUNKED) != bar()).any()


@pytest.mark.parametrize("seed", range(40))
def test_round_bodies_that_end_at_a_border_are_not_taken_for_cut_ones(seed):
    """Random spheres in chunks of which those without content are missing, as most programs write them."""
    rng = np.random.default_rng(seed)
    shape, edges = (40, 40, 40), (10, 10, 10)
    z, y, x = np.indices(shape)
    image = np.zeros(shape, bool)
    for _ in range(6):
        centre, radius = rng.uniform(4, 36, 3), rng.uniform(2, 9)
        image |= (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2
    grid = chunks.Chunks("m", shape, edges, {}, 0, lambda index: image[index])
    stored = {i: 1 for i in np.ndindex(4, 4, 4) if image[tuple(slice(*ends) for ends in grid.box(i))].any()}
    faults, doubts = chunks.missing_chunks(chunks.Chunks("m", shape, edges, stored, 0, lambda index: image[index]))
    assert not faults
    assert len(doubts) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_strip_that_is_nowhere_is_not_read_as_zeros(tmp_path, seed):
    z = int(np.random.default_rng(seed).integers(0, 6))
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, ball(), photometric="minisblack", compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as tif:
        places = [tif.pages[z].tags[name].valueoffset for name in ("StripOffsets", "StripByteCounts")]
    data = bytearray(path.read_bytes())
    for place in places:
        data[place : place + 2] = b"\0\0"
    path.write_bytes(data)
    (fault,) = read_mask(SCAN, MaskImage(str(path))).raw.faults()
    assert f"page {z + 1} lacks 1 of its 1 strips" in fault.problem


# --- Voxels from elsewhere.


def sources(folder, name="v.h5", place="part{}.h5", parts=2):
    layout = h5py.VirtualLayout(SHAPE, "uint8")
    for part in range(parts):
        inside = slice(part * 3, part * 3 + 3)
        target = (folder / place.format(part)).resolve()
        target.parent.mkdir(exist_ok=True)
        with h5py.File(target, "w") as file:
            file["d"] = ball()[inside] + 7
        layout[inside] = h5py.VirtualSource(place.format(part), "d", shape=(3, *SHAPE[1:]))
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / name, "w") as file:
        file.create_virtual_dataset("v", layout)
    return folder / name


def test_a_file_of_the_computer_is_never_read_as_grey_values(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(256)) * 4)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("v", SHAPE, "uint8", external=[(str(tmp_path / "secret"), 0, 720)])
    with pytest.raises(InputError, match="external storage"):
        open_raw(tmp_path / "s.h5", "hdf5", "/v")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["v"][0, 0, 5] == 5, "HDF5 itself would give it"


def test_parts_beside_a_virtual_dataset_or_below_are_read(tmp_path):
    (tmp_path / "data").mkdir()
    for place in ("part{}.h5", "below/part{}.h5"):
        path = sources(tmp_path / "data", place=place)
        raw = open_raw(path, "hdf5", "/v")
        assert (raw.faults(), raw.doubts()) == ([], [])
        assert (raw.read(0, 0, 6) == ball() + 7).all()


def test_parts_elsewhere_are_refused_unless_a_link_brings_them(tmp_path):
    (tmp_path / "data").mkdir()
    path = sources(tmp_path / "data", place="../part{}.h5")
    with pytest.raises(InputError, match="not in the folder"):
        open_raw(path, "hdf5", "/v")
    path = sources(tmp_path / "data", place=f"{tmp_path}/else/part{{}}.h5")
    with pytest.raises(InputError, match=r"else/part0\.h5"):
        open_raw(path, "hdf5", "/v")
    (tmp_path / "data/else").symlink_to(tmp_path / "else")
    path = sources(tmp_path / "data", place="else/part{}.h5")
    assert (open_raw(path, "hdf5", "/v").read(0, 0, 6) == ball() + 7).all()


@pytest.mark.parametrize("lost", ["file", "dataset", "voxels"])
def test_a_lost_part_is_named_and_not_read_as_zeros(tmp_path, lost):
    path = sources(tmp_path / "data")
    part = path.with_name("part1.h5")
    part.unlink()
    if lost != "file":
        with h5py.File(part, "w") as file:
            file["d" if lost == "voxels" else "other"] = ball()[:1]
    with pytest.raises(InputError, match=r"part1\.h5"):
        open_raw(path, "hdf5", "/v")
    if lost != "voxels":
        with h5py.File(path) as file:
            assert (file["v"][4:] == 0).all(), "HDF5 itself would fill"


def test_a_part_that_was_never_mapped_is_a_doubt(tmp_path):
    (doubt,) = open_raw(sources(tmp_path / "data", parts=1), "hdf5", "/v").doubts()
    assert "360 of 720 voxels" in doubt


def test_external_links_are_followed_in_the_folder_alone(tmp_path):
    (tmp_path / "data").mkdir()
    for folder in (tmp_path, tmp_path / "data"):
        with h5py.File(folder / "other.h5", "w") as file:
            file["d"] = ball()
    with h5py.File(tmp_path / "data/s.h5", "w") as file:
        file["near"] = h5py.ExternalLink("other.h5", "/d")
        file["far"] = h5py.ExternalLink("../other.h5", "/d")
        file["lost"] = h5py.ExternalLink("nowhere.h5", "/d")
        file["within"] = h5py.ExternalLink("other.h5", "/nothing")
    path = tmp_path / "data/s.h5"
    assert (open_raw(path, "hdf5", "/near").read(0, 0, 6) == ball()).all()
    for name, told in (("far", "not in the folder"), ("lost", "nowhere.h5"), ("within", "has no /nothing")):
        with pytest.raises(InputError, match=told):
            open_raw(path, "hdf5", f"/{name}")


def test_a_dataset_into_which_nothing_was_written_is_refused(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("whole", SHAPE, "uint8")
        file.create_dataset("chunks", SHAPE, "uint8", chunks=(2, 10, 12))
    for name in ("whole", "chunks"):
        with pytest.raises(InputError, match="nothing was written"):
            open_raw(tmp_path / "s.h5", "hdf5", name)


def ome(folder, name, description):
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / name, ball()[:3], photometric="minisblack", metadata=None, description=description)
    return folder / name


def test_a_tiff_whose_header_names_a_file_elsewhere_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "b.ome.tif", ball()[3:], photometric="minisblack", metadata=None)
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="12" SizeY="10" SizeZ="6" SizeC="1" SizeT="1">'
        '<TiffData FirstZ="0" IFD="0" PlaneCount="3"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData FirstZ="3" IFD="0" PlaneCount="3"><UUID FileName="{}">urn:uuid:2</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    for place, told in (("../b.ome.tif", "another folder"), ("lost.ome.tif", "are in no file")):
        path = ome(tmp_path / "data", "a.ome.tif", text.format(place))
        with pytest.raises(InputError, match=told):
            open_raw(path, "tiff_stack")
    (tmp_path / "b.ome.tif").rename(tmp_path / "data/b.ome.tif")
    path = ome(tmp_path / "data", "a.ome.tif", text.format("b.ome.tif"))
    assert (open_raw(path, "tiff_stack").read(0, 0, 6) == ball()).all()


# --- Never evaluated.


def test_entities_of_xml_are_never_evaluated(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("0.123")
    for entity in (f'SYSTEM "file://{secret}"', '"a" ><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"'):
        text = (
            f'<?xml version="1.0"?><!DOCTYPE o [<!ENTITY a {entity}>]>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint8" SizeX="12" SizeY="10" SizeZ="3" SizeC="1" SizeT="1" '
            'PhysicalSizeX="1"><TiffData/></Pixels><Description>&a;</Description></Image></OME>'
        )
        raw = open_raw(ome(tmp_path / "data", "a.ome.tif", text), "tiff_stack")
        assert raw.shape == (3, 10, 12)
        assert raw.voxel_size_um is None


class Trap:
    """Unpickling this leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_never_opened(tmp_path):
    sprung = tmp_path / "sprung"
    path = tmp_path / "m.zarr"
    zarr.create_array(str(path), data=ball(), chunks=SHAPE, zarr_format=2, compressors=None)
    told = json.loads((path / ".zarray").read_text())
    for change in ({"filters": [{"id": "pickle", "protocol": 5}]}, {"compressor": {"id": "pickle", "protocol": 5}}):
        (path / ".zarray").write_text(json.dumps(told | change))
        (path / "0.0.0").write_bytes(pickle.dumps(Trap(sprung)))
        with pytest.raises(InputError, match="pickle"):
            mask_of(path)
    (path / ".zarray").write_text(json.dumps(told | {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}]}))
    with pytest.raises(InputError):
        mask_of(path)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap works"


def test_an_outline_of_an_archive_is_compared_with_its_checksum(tmp_path):
    from tomoprofile.labels.outlines import read_outlines

    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.roi", ImagejRoi.frompoints(np.array([[1, 1], [9, 1], [9, 9]])).tobytes())
    assert len(read_outlines(path)) == 1
    data = bytearray(path.read_bytes())
    data[data.index(b"Iout") + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip"):
        read_outlines(path)


@pytest.mark.parametrize("back_to", [0, 100])
def test_pages_that_come_back_are_refused(tmp_path, back_to):
    """The last of 120 pages names an earlier one as the next."""
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, np.zeros((120, 4, 4), "uint8"), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == 120
        place, target = tif.pages.next_page_offset, tif.pages[back_to].offset
    data = bytearray(path.read_bytes())
    data[place : place + 4] = struct.pack("<I", target)
    path.write_bytes(data)
    with pytest.raises(InputError, match="comes back"):
        open_raw(path, "tiff_stack")
