import contextlib
import json

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05 import Image

from tomoprofile.errors import DamageError, StoreError
from tomoprofile.volume.grey import GreyScale
from tomoprofile.volume.slabs import neighbour_slabs, shard_bounds, slab_bounds, slab_names
from tomoprofile.volume.store import GREY_COMPRESSOR, create_store, open_store

SHAPE = (22, 30, 300)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 60_000, SHAPE).astype("uint16")


@pytest.fixture
def store(tmp_path):
    return create_store(tmp_path / "a.ome.zarr", SHAPE, "uint16", (1.0, 0.5, 0.5), 8, GreyScale(0.1, -3.0, "1/cm"))


def fill(store, image):
    for start, stop in store.shards():
        store.write(start, image[start:stop])


def test_voxels_calibration_and_axes_survive(store, image):
    fill(store, image)
    again = open_store(store.path)
    assert (again.read(0, SHAPE[0]) == image).all()
    assert again.grey == GreyScale(0.1, -3.0, "1/cm")
    assert again.voxel_size_um == (1.0, 0.5, 0.5)
    assert [start for start, _ in again.iter_shards()] == [0, 8, 16]


def test_the_metadata_is_ome_zarr_0_5(store):
    attributes = json.loads((store.path / "zarr.json").read_text())["attributes"]
    multiscale = attributes["ome"]["multiscales"][0]
    assert attributes["ome"]["version"] == "0.5"
    assert [axis["name"] for axis in multiscale["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in multiscale["axes"]} == {"micrometer"}
    assert multiscale["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]


def test_the_validator_of_ome_zarr_accepts_a_store_and_refuses_one_without_its_array(store):
    (dataset,) = Image.from_zarr(zarr.open_group(str(store.path), mode="r")).ome_attributes.multiscales[0].datasets
    assert list(dataset.coordinateTransformations[0].scale) == [1.0, 0.5, 0.5]
    (store.path / "0").rename(store.path / "1")
    with pytest.raises(ValueError, match="Expected to find an array at 0"):
        Image.from_zarr(zarr.open_group(str(store.path), mode="r"))


@pytest.fixture
def classes(tmp_path):
    edges = (1.0, 0.5, 0.5)
    return create_store(tmp_path / "p.ome.zarr", SHAPE, "uint16", edges, 8, channels=("domain", "void"))


def test_each_channel_has_voxels_and_shard_files_of_its_own(classes, image):
    images = {"domain": image, "void": image[::-1] // 2}
    for name, voxels in images.items():
        fill(open_store(classes.path, name), voxels)
    for name, voxels in images.items():
        channel = open_store(classes.path, name)
        assert channel.shape == SHAPE
        assert channel.voxel_size_um == (1.0, 0.5, 0.5)
        assert (channel.read(3, 19, slice(2, 9)) == voxels[3:19, 2:9]).all()
        assert (channel.cut(2, 7) == voxels[:, :, 7]).all()
    files = {path for path in (classes.path / "0" / "c").rglob("*") if path.is_file()}
    parts = [open_store(classes.path, name) for name in images]
    assert files == {part.shard_path(start) for part in parts for start, _ in part.shards()}
    assert len(files) == 6


def test_the_validator_of_ome_zarr_accepts_channels(classes):
    model = Image.from_zarr(zarr.open_group(str(classes.path), mode="r"))
    assert [axis.name for axis in model.ome_attributes.multiscales[0].axes] == ["c", "z", "y", "x"]
    assert [channel["label"] for channel in model.ome_attributes.omero["channels"]] == ["domain", "void"]


def test_a_channel_must_be_there_and_be_chosen(classes, store, image):
    with pytest.raises(StoreError, match="one of the channels domain, void must be chosen"):
        classes.read(0, 8)
    with pytest.raises(StoreError, match="one of the channels domain, void must be chosen"):
        classes.write(0, image[:8])
    with pytest.raises(StoreError, match=r"holds only domain, void \(got class filler\)"):
        open_store(classes.path, "filler")
    with pytest.raises(StoreError, match=r"a single class without a name \(got class domain\).*run the same command"):
        open_store(store.path, "domain")


def test_a_damaged_shard_of_one_channel_is_noticed(classes, image):
    for name in classes.channels:
        fill(open_store(classes.path, name), image)
    record = classes.path / "slabs" / "z00000.json"
    record.parent.mkdir()
    classes.complete(record, 0, SHAPE[0])
    open_store(classes.path, "void").shard_path(8).write_bytes(b"cut")
    assert (open_store(classes.path, "domain").read(0, SHAPE[0]) == image).all()
    with pytest.raises(DamageError, match="not the one that was written"):
        open_store(classes.path, "void").read(8, 9)
    assert not record.exists()


def test_shards_of_other_classes_are_not_kept(classes, image):
    fill(open_store(classes.path, "domain"), image)
    (same,) = {create_store(classes.path, SHAPE, "uint16", (1.0, 0.5, 0.5), 8, channels=("domain", "void")).path}
    assert (open_store(same, "domain").read(0, 8) == image[:8]).all()
    create_store(classes.path, SHAPE, "uint16", (1.0, 0.5, 0.5), 8, channels=("void", "domain"))
    assert not open_store(classes.path, "void").read(0, 8).any()


def test_one_file_a_shard(store, image):
    fill(store, image)
    files = [path for path in (store.path / "0" / "c").rglob("*") if path.is_file()]
    assert sorted(files) == sorted(store.shard_path(start) for start, _ in store.shards())


@pytest.mark.parametrize("part", [slice(0, 4), slice(4, 12), slice(8, 20), slice(16, 21)])
def test_a_writer_inside_a_shard_is_refused(store, image, part):
    with pytest.raises(StoreError, match="whole shards of 8"):
        store.write(part.start, image[part])


def test_without_the_guard_two_writers_in_one_shard_lose_voxels(store, image):
    """The mutant: what the guard is for. Both writers read the shard, change their half, and write it whole."""
    half = image.copy()
    first, second = (zarr.open_array(str(store.path / "0"), mode="r+") for _ in range(2))
    shard = store.shard_path(0)
    first[0:4] = half[0:4]
    after_first = shard.read_bytes()
    shard.unlink()  # the second writer read the shard before the first one wrote it
    second[4:8] = half[4:8]
    assert shard.read_bytes() != after_first
    assert (open_store(store.path).read(0, 8) != image[:8]).mean() > 0.4


def test_wrong_type_or_size_is_refused(store, image):
    with pytest.raises(StoreError, match="uint16"):
        store.write(0, image[:8].astype("uint8"))
    with pytest.raises(StoreError, match="raw scan changed"):
        store.write(0, image[:8, :-1])


def test_ends_are_repeated_beyond_the_scan(store, image):
    fill(store, image)
    padded = store.read_padded(-2, SHAPE[0] + 1)
    assert (padded[0] == image[0]).all()
    assert (padded[1] == image[0]).all()
    assert (padded[-1] == image[-1]).all()
    assert (store.read_padded(3, 5) == image[3:5]).all()


def test_metadata_written_again_keeps_shards_of_the_same_layout_only(store, image):
    fill(store, image)
    (store.path / "zarr.json").unlink()
    same = create_store(store.path, SHAPE, "uint16", (2.0, 0.5, 0.5), 8)
    assert (same.read(0, SHAPE[0]) == image).all()
    other = create_store(store.path, SHAPE, "uint16", (2.0, 0.5, 0.5), 16)
    assert not other.read(0, SHAPE[0]).any()


def test_not_a_store(tmp_path):
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(StoreError, match="not an OME-Zarr image"):
            open_store(path)
    zarr.create_group(str(tmp_path / "g"))
    with pytest.raises(StoreError):
        open_store(tmp_path / "g")


def test_slabs_hold_whole_shards_and_cover_the_scan():
    assert slab_names(70, 32) == ["z00000", "z00032", "z00064"]
    assert slab_bounds("z00064", 70, 32) == (64, 70)
    assert neighbour_slabs("z00032", 70, 32) == ["z00000", "z00032", "z00064"]
    assert neighbour_slabs("z00000", 70, 32) == ["z00000", "z00032"]
    assert shard_bounds(32, 70, 16) == [(32, 48), (48, 64), (64, 70)]


def complete(store, image):
    fill(store, image)
    for name, (start, stop) in {"z00000": (0, 16), "z00016": (16, 22)}.items():
        store.complete(store.path / "slabs" / f"{name}.json", start, stop, sha256="x")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "read"),
    [
        (truncate, lambda store: store.read(9, 10)),
        (lambda path: path.unlink(), lambda store: store.read(0, 16)),
        (lambda path: path.write_bytes(b""), lambda store: store.cut(1, 4)),
        (truncate, lambda store: store.cut(0, 8)),
        (truncate, lambda store: store.read_padded(-1, 9)),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), lambda store: store.read(8, 9)),
        (lambda path: path.write_bytes(path.read_bytes() + b"0"), lambda store: store.read(8, 9)),
        (lambda path: flip(path, 1000), lambda store: store.read(8, 16)),
        (lambda path: flip(path, -10), lambda store: store.read(8, 9)),
    ],
)
def test_a_damaged_shard_is_never_read_and_its_slab_is_written_again(store, image, damage, read):
    complete(store, image)
    damage(store.shard_path(8))
    again = open_store(store.path)
    assert (again.read(16, 22) == image[16:]).all(), "other shards are not concerned"
    with pytest.raises(DamageError, match=r"0/c/1/0/0: .*shard is .*z00000\.json was set aside"):
        read(again)
    assert [path.name for path in (store.path / "slabs").glob("*.json")] == ["z00016.json"]
    with pytest.raises(StoreError, match="the slab of this shard is not complete"):
        read(open_store(store.path))


def test_a_shard_of_zeros_is_complete_and_whole(store, image):
    """Zarr writes no file for it: as for the half of a scan that is substrate."""
    image[8:16] = 0
    complete(store, image)
    assert not store.shard_path(8).exists()
    assert (open_store(store.path).read(0, SHAPE[0]) == image).all()
    store.shard_path(8).parent.mkdir(parents=True, exist_ok=True)
    store.shard_path(8).write_bytes(b"what is this")
    with pytest.raises(DamageError, match="not the one that was written"):
        open_store(store.path).read(8, 16)


def test_shards_that_changed_places_are_noticed_even_of_equal_size(tmp_path):
    """Every checksum inside them is right; only the record knows where they belong."""
    image = np.random.default_rng(1).integers(0, 2**16, (16, 32, 256), np.uint16)  # which no compressor makes smaller
    store = create_store(tmp_path / "a.ome.zarr", image.shape, "uint16", (1.0, 1.0, 1.0), 8)
    fill(store, image)
    store.complete(store.path / "slabs/z00000.json", 0, 16)
    first, second = store.shard_path(0), store.shard_path(8)
    assert first.stat().st_size == second.stat().st_size
    first.rename(first.with_name("aside"))
    second.rename(first)
    first.with_name("aside").rename(second)
    assert (zarr.open_array(str(store.path / "0"), mode="r")[0:8] == image[8:16]).all(), "Zarr itself sees nothing"
    with pytest.raises(DamageError, match="not the one that was written"):
        open_store(store.path).read(0, 8)


def test_without_checksums_a_flipped_bit_is_another_grey_value(tmp_path, store, image):
    """The mutant: the same array without the codec reads something else without a word."""
    layout = {"shape": SHAPE, "dtype": "uint16", "chunks": (8, 30, 256), "shards": (8, 30, 512)}
    bare = zarr.create_array(store=str(tmp_path / "bare"), compressors=GREY_COMPRESSOR, **layout)
    complete(store, image)
    bare[:] = image
    shards = {"bare": tmp_path / "bare/c/1/0/0", "ours": store.shard_path(8)}
    silent = {"bare": 0, "ours": 0}
    for at in range(500, 140_000, 20_000):
        for name, shard in shards.items():
            flip(shard, at)
            with contextlib.suppress(DamageError, RuntimeError):
                read = bare[8:16] if name == "bare" else open_store(store.path).read(8, 16)
                silent[name] += bool((read != image[8:16]).any())
            flip(shard, at)
            store.complete(store.path / "slabs/z00000.json", 0, 16)
    assert silent["bare"] > 3
    assert silent["ours"] == 0


@pytest.mark.parametrize("name", ["zarr.json", "0/zarr.json"])
@pytest.mark.parametrize("damage", [truncate, lambda path: flip(path, 60), lambda path: path.unlink()])
def test_damaged_metadata_are_set_aside_and_made_again_without_losing_shards(store, image, name, damage):
    complete(store, image)
    damage(store.path / name)
    with pytest.raises((DamageError, StoreError)):
        print(open_store(store.path).voxel_size_um)
    assert not (store.path / name).exists(), "so the workflow makes it again"
    again = create_store(store.path, SHAPE, "uint16", (1.0, 0.5, 0.5), 8, GreyScale(0.1, -3.0, "1/cm"))
    assert (again.read(0, SHAPE[0]) == image).all()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"shards": 3}', '{"start": 0}'])
def test_a_damaged_record_is_set_aside(store, image, content):
    complete(store, image)
    record = store.path / "slabs/z00000.json"
    record.write_text(content)
    with pytest.raises(DamageError, match=r"z00000\.json: the file was damaged or changed.*run the same command again"):
        open_store(store.path).read(0, 8)
    assert not record.exists()


def test_a_damaged_shard_can_be_written_again(store, image):
    complete(store, image)
    truncate(store.shard_path(8))
    again = open_store(store.path)
    again.write(8, image[8:16])
    again.complete(store.path / "slabs/z00000.json", 0, 16)
    assert (again.read(0, SHAPE[0]) == image).all()


def test_without_the_comparison_a_missing_shard_is_zeros(store, image):
    """The mutant: Zarr reads a shard that is not there as its fill value."""
    complete(store, image)
    store.shard_path(8).unlink()
    assert (store._array[8:16] == 0).all()


def test_another_layout_forgets_the_records_with_the_shards(store, image):
    complete(store, image)
    create_store(store.path, SHAPE, "uint16", (1.0, 0.5, 0.5), 4)
    assert not (store.path / "slabs").exists()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
@pytest.mark.parametrize(
    ("shape", "slices"), [((21, 40, 36), 8), ((7, 300, 520), 4), ((32, 256, 256), 32), ((1, 5, 3), 1)]
)
def test_shards_are_those_that_zarr_python_writes(tmp_path, shape, slices, dtype):
    """Voxels, files, and every chunk to the byte; chunks of zeros and shards of zeros included."""
    rng = np.random.default_rng(5)
    image = rng.normal(100, 9, shape).astype(dtype)
    image[:, :256, 256:] = 0
    image[slices : 2 * slices] = 0
    mine = create_store(tmp_path / "mine.ome.zarr", shape, dtype, (1.0, 1.0, 1.0), slices)
    other = create_store(tmp_path / "zarr.ome.zarr", shape, dtype, (1.0, 1.0, 1.0), slices)
    for first, end in mine.shards():
        mine.write(first, image[first:end])
        other._array[first:end] = image[first:end]
    assert np.array_equal(zarr.open_array(str(mine.path / "0"), mode="r")[:], image)
    for first, _ in mine.shards():
        ours, theirs = mine.shard_path(first), other.shard_path(first)
        assert ours.exists() == theirs.exists()
        if ours.exists():
            assert chunks_of(ours, mine._chunks_of_shard) == chunks_of(theirs, mine._chunks_of_shard)
    assert not list(mine.path.rglob(".partial*"))


def chunks_of(path, count):
    """Return the bytes of each chunk of a shard, whatever their order in the file."""
    data = path.read_bytes()
    index = np.frombuffer(data[-16 * count - 4 : -4], "<u8").reshape(-1, 2).tolist()
    assert sum(length for offset, length in index if offset < 2**63) == len(data) - 16 * count - 4
    return [data[offset : offset + length] if offset < 2**63 else b"" for offset, length in index]
