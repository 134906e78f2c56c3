"""Files that hold less than they promise, or another image: never read without a word."""

import gzip

import h5py
import nibabel
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from ball_scan import SCAN, ball, mask_of

from tomoprofile.errors import InputError
from tomoprofile.samples import MaskImage
from tomoprofile.volume.formats import chunks, flat
from tomoprofile.volume.masks import read_mask


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
