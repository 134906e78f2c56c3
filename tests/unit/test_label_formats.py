"""Labels in the formats people save them in: read, or named with what to do; the slice wherever the name says it."""

from contextlib import contextmanager
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from tomoprofile.config import UNetConfig, read_config
from tomoprofile.errors import InputError, StageError
from tomoprofile.labels import colours, files, images
from tomoprofile.labels.classes import Classes
from tomoprofile.labels.files import find_label_files, unused_files
from tomoprofile.labels.masks import merge, read_annotators
from tomoprofile.labels.training_set import LabelledScan, collect_labels
from tomoprofile.run.check import check_scan
from tomoprofile.samples import Scan
from tomoprofile.segment.kinds import segmenter_of

SHAPE = (6, 20, 24)
Z = 2
TWO = Classes.of(UNetConfig())
FIBRES = Path(__file__).parents[3] / "shared/data/fibres_labelled_gpl3"


def blob():
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return (((y - 9) ** 2 + (x - 13) ** 2 < 30) & ~((y == 9) & (x < 14))).astype("uint8")  # symmetric in no way


def volume():
    whole = np.zeros(SHAPE, "uint8")
    whole[Z] = blob()
    return whole


def painted(domain, background):
    return np.where(blob()[..., None] == 1, np.array(domain, "uint8"), np.array(background, "uint8")).astype("uint8")


def palette():
    image = Image.fromarray(blob() + 3, "P")
    image.putpalette([7, 7, 7] * 3 + [0, 0, 0, 200, 30, 40])
    return image


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["exported_data"] = volume()


RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
READ = {
    "a_z00002.png": lambda path: Image.fromarray(blob()).save(path),
    "b_z00002.png": lambda path: Image.fromarray(blob().astype("uint16")).save(path),
    "c_z00002.png": lambda path: Image.fromarray(blob() == 1).save(path),
    "d_z00002.png": lambda path: palette().save(path),
    "e_z00002.png": lambda path: Image.fromarray(np.repeat(blob()[..., None], 3, 2)).save(path),
    "f_z00002.png": lambda path: Image.fromarray(painted((*RED, 127), (0, 0, 0, 0))).save(path),
    "g_z00002.png": lambda path: Image.fromarray(painted(BLUE, WHITE)).save(path),
    "h_z00002.png": lambda path: Image.fromarray(painted((*WHITE, 255), (0, 0, 0, 0))).save(path),
    "i_z00002.bmp": lambda path: Image.fromarray(blob()).save(path),
    "j_z00002.bmp": lambda path: Image.fromarray(painted(RED, BLACK)).save(path),
    "k_z00002.tif": lambda path: tifffile.imwrite(path, painted(RED, WHITE), photometric="rgb"),
    "l_z00002.npy": lambda path: np.save(path, blob()),
    "m.npy": lambda path: np.save(path, volume()),
    "n.nii.gz": lambda path: nibabel.save(nibabel.Nifti1Image(volume().T, np.eye(4)), path),
    "o_z00002.nii": lambda path: nibabel.save(nibabel.Nifti1Image(blob().T[..., None], np.eye(4)), path),
    "p.zarr": lambda path: zarr.save(str(path), volume()),
    "q.h5": hdf5,
    "r.TIFF": lambda path: tifffile.imwrite(path, volume(), photometric="minisblack"),
}


def read(folder, classes=TWO, shape=SHAPE):
    return merge(read_annotators(folder, shape, classes))


def refused(folder, classes=TWO):
    with pytest.raises(InputError) as caught:
        read(folder, classes)
    return str(caught.value)


@pytest.mark.parametrize("name", READ)
def test_labels_of_any_format_are_read(tmp_path, name):
    READ[name](tmp_path / name)
    found = read(tmp_path)
    assert list(found) == [Z]
    assert (found[Z] == blob()).all()
    assert unused_files(tmp_path) == {}
    for file in find_label_files(tmp_path):
        assert all(path.is_file() for path in file.files), "digests and inputs of rules are of files"


def test_mutant_that_turns_a_picture_is_seen(tmp_path, monkeypatch):
    opened = images._OPEN["picture"]

    @contextmanager
    def turned(path, classes):
        with opened(path, classes) as image:
            yield image._replace(read=lambda z: images.Page(z, image.read(z).values[::-1]))

    monkeypatch.setitem(images._OPEN, "picture", turned)
    with pytest.raises(AssertionError):
        test_labels_of_any_format_are_read(tmp_path, "a_z00002.png")


def test_the_same_mask_in_two_formats_counts_once_and_another_is_a_fault(tmp_path):
    for name in ("a_z00002.png", "l_z00002.npy"):
        READ[name](tmp_path / f"a_z00002{Path(name).suffix}")
    assert list(read(tmp_path)) == [Z]
    np.save(tmp_path / "a_z00002.npy", 1 - blob())
    assert "slice 2 has two label files" in refused(tmp_path)


@pytest.mark.parametrize(
    ("name", "z"),
    [
        ("film_z00012.tif", 12),
        ("film3_z7_z00012.tif", 12),
        ("film_z00012_mask.png", 12),
        ("film_Z12-1.npy", 12),
        ("z12.png", 12),
        ("film z 12 anna 2.png", 12),
        ("T17_10N_slice_00012.png", 12),
        ("Slice12.bmp", 12),
        ("mask_12.png", 12),
        ("0012.png", 12),
        ("film_12.png", 12),
        ("film-a-z00012.ome.tif", 12),
        ("film_z00012.tif.zip", 12),
        ("film_z3_mask_z4_b.png", None),
        ("film_10_12.png", None),
        ("buzz12_3.png", None),
        ("mask.png", None),
    ],
)
def test_the_slice_is_read_wherever_the_name_says_it_without_doubt(tmp_path, name, z):
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / name).touch()
    (file,) = find_label_files(tmp_path / "film")
    assert (file.number if file.z is None else file.z) == z


def test_numbers_of_the_scan_in_its_own_name_are_no_slice(tmp_path):
    folder = tmp_path / "film_20"
    folder.mkdir()
    for name in ("film_20.png", "film_20_3.png"):
        (folder / name).touch()
    assert [file.number for file in find_label_files(folder)] == [None, 3]


def test_a_number_alone_is_a_slice_only_for_one_slice_and_is_told(tmp_path):
    np.save(tmp_path / "film3.npy", volume())
    assert list(read(tmp_path)) == [Z], "a volume has its own slices"
    np.save(tmp_path / "film3.npy", blob())
    person = read_annotators(tmp_path, SHAPE, TWO)[""]
    assert list(person.masks) == [3]
    assert "number in the name of film3.npy is taken as its slice, counted from 0" in person.told[0]
    (tmp_path / "film3.npy").rename(tmp_path / "film3_4.npy")
    assert "does not say which slice" in refused(tmp_path)


def test_a_volume_of_three_slices_is_not_taken_for_colour(tmp_path):
    whole = np.stack([0 * blob(), blob(), 0 * blob()])
    tifffile.imwrite(tmp_path / "a.tif", whole, photometric="rgb", planarconfig="separate")
    found = read(tmp_path, shape=whole.shape)
    assert list(found) == [1]
    assert (found[1] == blob()).all()


def test_one_slice_of_a_scan_with_one_slice(tmp_path):
    for name, values in (("a_z00000.tif", blob()), ("b.tif", blob()[None])):
        (tmp_path / name[0]).mkdir()
        tifffile.imwrite(tmp_path / name[0] / name, values, photometric="minisblack")
        assert list(read(tmp_path / name[0], shape=(1, *SHAPE[1:]))) == [0]


# --- colours


COLOURS = {
    "two colours": painted(RED, BLUE),
    "three": np.dstack([painted(RED, WHITE)[..., :2], np.arange(480, dtype="uint8").reshape(20, 24) // 64 * 64]),
    "white and black under a colour": np.concatenate([painted(RED, WHITE)[:10], painted(RED, BLACK)[10:]]),
    "smooth edges": painted(RED, WHITE) - (np.indices(SHAPE[1:])[0][..., None] == 9).astype("uint8") * 9,
    "nothing but a colour": painted(RED, RED),
}


@pytest.mark.parametrize("what", COLOURS)
def test_colours_that_could_mean_several_things_are_listed(tmp_path, what):
    Image.fromarray(COLOURS[what]).save(tmp_path / "a_z00002.png")
    said = refused(tmp_path)
    assert "the colour (255, 0, 0)" in said or "three" in what
    assert "with the values 0 (background), 1 (domain)" in said


def test_one_colour_is_not_enough_for_three_classes_or_for_scribbles(tmp_path):
    READ["f_z00002.png"](tmp_path / "f_z00002.png")
    for classes in ({"background": 0, "domain": 1, "void": 2}, {"background": 1, "domain": 2}):
        assert "which colour is which class cannot be told" in refused(tmp_path, Classes.named(classes))
    (person,) = read_annotators(tmp_path, SHAPE, TWO).values()
    assert person.told == ["f_z00002.png: the colour (255, 0, 0) is read as domain, transparent as background"]


def test_mutant_that_takes_the_first_colour_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(colours, "_roles", lambda found, _: (found[-1], found[:-1]))
    with pytest.raises(BaseException, match="DID NOT RAISE"):
        test_colours_that_could_mean_several_things_are_listed(tmp_path, "two colours")


@pytest.mark.skipif(not FIBRES.is_dir(), reason="needs the fibre scans beside the checkout")
def test_hand_labelled_fibres(tmp_path):
    masks = sorted((FIBRES / "labelled").glob("Masks_*.png"))
    assert len(masks) == 2
    for path, share in zip(masks, (0.389, 0.379), strict=True):
        (tmp_path / path.stem).mkdir()
        (tmp_path / path.stem / path.name).write_bytes(path.read_bytes())
        with Image.open(path) as image:
            shape = (1, image.height, image.width)
        found = read(tmp_path / path.stem, shape=shape)
        assert list(found) == [0]
        assert (found[0] == 1).mean() == pytest.approx(share, abs=1e-3)


# --- what is not read


def unread(folder):
    Image.fromarray(blob() * 255).save(folder / "a_z00002.jpg")
    (folder / "a_z00002.xcf").write_bytes(b"gimp")
    (folder / "a_z00003_overlay.png").write_bytes(b"")
    (folder / "anna").mkdir()
    (folder / "anna/monday").mkdir()
    for name in ("readme.txt", ".DS_Store", "._a_z00002.tif", "Thumbs.db", "a.raw"):
        (folder / name).write_bytes(b"")


def test_what_looks_like_labels_and_is_not_read_is_named_with_the_remedy(tmp_path):
    unread(tmp_path)
    assert find_label_files(tmp_path) == []
    told = {remedy: [path.name for path in paths] for remedy, paths in unused_files(tmp_path).items()}
    assert sorted(told.values()) == [["a_z00002.jpg"], ["a_z00002.xcf"], ["a_z00003_overlay.png"], ["monday"]]
    assert any("JPEG changes values" in remedy and "PNG or TIFF" in remedy for remedy in told)


def findings(tmp_path, **cells):
    tifffile.imwrite(tmp_path / "raw.tif", np.random.default_rng(0).integers(0, 99, SHAPE).astype("uint8"))
    row = {"sample": "a", "path": str(tmp_path / "raw.tif"), "format": "tiff_stack", "dtype": "uint8"}
    row |= dict(zip(("slices", "rows", "columns"), SHAPE, strict=True)) | {"voxel_size_um": "1"} | cells
    scan = Scan.model_validate(row)
    return [item for item in check_scan(scan, segmenter_of(scan, read_config({}))) if item.item == "labels"]


def test_the_check_and_the_run_name_labels_that_are_not_read(tmp_path):
    (tmp_path / "labels").mkdir()
    unread(tmp_path / "labels")
    told = [item.message for item in findings(tmp_path, labels=str(tmp_path / "labels"))]
    assert any("1 file is not read as labels (a_z00002.jpg). JPEG changes" in text for text in told)
    scan = LabelledScan("a", tmp_path / "v", tmp_path / "labels", tmp_path / "a.json")
    with pytest.raises(StageError, match=r"not read as labels \(a_z00002\.jpg\)"):
        collect_labels([scan], UNetConfig(), tmp_path / "t.npz")


def test_mutant_that_names_nothing_says_no_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_unused", lambda path: "" if path.suffix == ".tif" else files._NO_LABELS)
    with pytest.raises(AssertionError):
        test_the_check_and_the_run_name_labels_that_are_not_read(tmp_path)


def test_a_file_in_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "a_z00002.png").touch()
    with pytest.raises(InputError, match="names a file, not a folder"):
        find_label_files(tmp_path / "a_z00002.png")


# --- damage


def test_damaged_labels_of_each_format_are_named(tmp_path):
    for name, write in READ.items():
        if name.endswith(".zarr"):
            continue
        folder = tmp_path / name
        folder.mkdir()
        write(folder / name)
        data = (folder / name).read_bytes()
        for damaged in (data[: len(data) // 3], b"", b"no image"):
            (folder / name).write_bytes(damaged)
            assert name in refused(folder)


def test_a_pickle_is_not_opened(tmp_path):
    np.save(tmp_path / "a_z00002.npy", np.array([{}], object), allow_pickle=True)
    assert "cannot be read as NumPy" in refused(tmp_path)


def test_size_is_compared_before_a_picture_is_decoded(tmp_path, monkeypatch):
    READ["a_z00002.png"](tmp_path / "a_z00002.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert list(read(tmp_path)) == [Z], "as large as the scan's slices"
    assert Image.MAX_IMAGE_PIXELS == 10
    with pytest.raises(InputError, match="differs in size"):
        read(tmp_path, shape=(6, 21, 24))
