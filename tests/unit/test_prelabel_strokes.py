"""A mask from strokes, with the shipped base: what the strokes decide, what stays, and what is never written."""

import numpy as np
import pytest
import tifffile
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from tomoprofile.cli import main
from tomoprofile.config import UNetConfig
from tomoprofile.errors import InputError
from tomoprofile.labels import files
from tomoprofile.labels.classes import IGNORE, Classes
from tomoprofile.labels.files import find_label_files, unused_in_words
from tomoprofile.labels.masks import read_annotators
from tomoprofile.network import feature_maps, strokes
from tomoprofile.network.strokes import Drawn, best_reduction, segment
from tomoprofile.segment import scribbled
from tomoprofile.segment.scribbled import in_own_grey, prelabel_from_scribbles
from tomoprofile.volume.discover import survey
from tomoprofile.volume.store import create_store

TWO = Classes.of(UNetConfig())
SHAPE = (3, 150, 170)
BALLS = [
    (30, 30, 12),
    (35, 100, 9),
    (80, 60, 14),
    (90, 130, 11),
    (120, 30, 10),
    (125, 90, 8),
    (20, 150, 7),
    (60, 20, 8),
]


def truth():
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return np.logical_or.reduce([np.hypot(y - row, x - column) < radius for row, column, radius in BALLS])


@pytest.fixture(scope="module")
def grey():
    """A scan of three like slices: dark discs in noise."""
    noise = np.random.default_rng(1).normal(0, 1, SHAPE)
    return (100 - 5 * truth() + noise).astype(np.float32)


@pytest.fixture(scope="module")
def seen(grey):
    return list(feature_maps.feature_maps(in_own_grey(grey)))


def drawn(inside=1, outside=0, balls=3):
    """Return strokes through the middle of discs, and between them."""
    image = np.full(SHAPE[1:], IGNORE, np.uint8)
    for row, column, _ in BALLS[:balls]:
        image[row - 1 : row + 2, column - 4 : column + 5] = inside
    for row, column in ((55, 100), (100, 95), (8, 70)):
        image[row - 1 : row + 2, column : column + 20] = outside
    return image


def masked(seen, image):
    voxels = Drawn.of(image)
    return segment(best_reduction(seen, voxels, 1), voxels, 1)


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def what_is_meant(seen):
    """Return the Dice where the discs are meant, and where everything else is."""
    return dice(masked(seen, drawn()) == 1, truth()), dice(masked(seen, drawn(0, 1)) == 1, ~truth())


def test_strokes_decide_what_is_meant(seen, monkeypatch):
    """The base takes the discs for domains; strokes that mean the rest win. The mutant: a mask of the base alone."""
    assert min(what_is_meant(seen)) > 0.9
    monkeypatch.setattr(strokes._Fit, "weights", lambda self, *_: (np.eye(len(self.mean))[-1], 0.0))
    discs, rest = what_is_meant(seen)
    assert discs > 0.9
    assert rest < 0.5


def test_where_strokes_agree_with_the_base_its_mask_stays(seen, monkeypatch):
    """The mutant: learning from nothing, as a pixel classifier does."""
    base = seen[0].values[-1] > 0
    assert ((masked(seen, drawn()) == 1) == base).all()
    monkeypatch.setattr(strokes, "is_opposite", lambda *_: True)
    assert ((masked(seen, drawn()) == 1) != base).any()


def test_strokes_that_correct_do_not_set_the_base_aside(seen):
    """They lie where it is wrong: here half of those of each class do."""
    image, base = drawn(), seen[0].values[-1] > 0
    image[BALLS[3][0] - 1 : BALLS[3][0] + 2, BALLS[3][1] - 4 : BALLS[3][1] + 5] = 0
    assert not strokes.is_opposite(seen[0], Drawn.of(image), 1)
    assert strokes.is_opposite(seen[0], Drawn.of(drawn(0, 1)), 1)
    nothing = seen[0]._replace(values=np.where(np.arange(len(seen[0].values))[:, None, None] == 32, -5, seen[0].values))
    assert base.any()
    assert strokes.is_opposite(nothing, Drawn.of(image), 1)


def test_a_reduced_slice_is_looked_at_only_where_the_base_sees_nothing(seen):
    blind = seen[0]._replace(values=-np.abs(seen[0].values))
    voxels = Drawn.of(drawn())
    assert best_reduction(iter([seen[0], None]), voxels, 1) is seen[0]
    assert best_reduction([blind, seen[1]], voxels, 1) is seen[1]
    assert best_reduction([blind, seen[1]._replace(values=-np.abs(seen[1].values))], voxels, 1) is blind


def test_three_classes(grey):
    bright = grey.copy()
    others = np.zeros(SHAPE[1:], bool)
    for row, column in ((50, 140), (140, 140), (140, 60)):
        others[row - 7 : row + 7, column - 7 : column + 7] = True
    bright[:, others] += 12
    image = drawn()
    image[48:52, 136:144] = image[138:142, 136:144] = 2
    found = masked(list(feature_maps.feature_maps(in_own_grey(bright), (1,))), image)
    assert dice(found == 1, truth()) > 0.8
    assert dice(found == 2, others) > 0.8


def test_few_and_many_voxels_of_strokes_count_alike():
    image = np.full((400, 400), IGNORE, np.uint8)
    image[:300], image[350, 3:6] = 0, 1
    voxels = Drawn.of(image)
    assert 5_000 < (voxels.classes == 0).sum() <= 10_000
    assert (voxels.classes == 1).sum() == 3


def test_features_of_a_voxel_are_those_of_the_whole_slice(seen):
    """What the strokes teach holds for the voxels that they cover, on a reduced slice with odd sides as well."""
    rows, columns = np.array([0, 7, 80, 149]), np.array([0, 101, 33, 169])
    for maps in seen:
        weights = np.random.default_rng(0).normal(size=(1, len(maps.values)))
        whole = maps.weighted(weights)
        assert whole.shape == (1, *SHAPE[1:])
        assert np.allclose(whole[0, rows, columns], maps.at(rows, columns) @ weights[0], atol=0.05)
        assert not np.allclose(
            whole[0, rows, columns], maps.at(rows, columns + 2 * maps.reduction) @ weights[0], atol=0.05
        )


def test_a_slice_in_parts_looks_as_in_one(grey, seen, monkeypatch):
    """The mutant: parts that see nothing around them."""
    monkeypatch.setattr(feature_maps, "_PART", 80)
    (parts,) = feature_maps.feature_maps(in_own_grey(grey), (1,))
    monkeypatch.setattr(feature_maps, "_AROUND", 0)
    (alone,) = feature_maps.feature_maps(in_own_grey(grey), (1,))
    whole = seen[0].values[-1].astype(float)
    off, off_alone = (np.abs(one.values[-1] - whole).mean() / whole.std() for one in (parts, alone))
    assert off < 0.005
    assert off_alone > 10 * off


@pytest.fixture
def folder(tmp_path, grey, monkeypatch):
    """A scan, and strokes on its second slice."""
    tifffile.imwrite(tmp_path / "scan.tif", grey, photometric="minisblack")
    tifffile.imwrite(tmp_path / "S_z00001.tif", np.where(drawn() == 0, 2, drawn() % 255).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder, *more):
    return main(["prelabel", "--scan", str(folder / "scan.tif"), "--scribbles", str(folder / "S_z00001.tif"), *more])


def test_mask_and_outlines_are_written_and_are_no_label(folder, capsys, monkeypatch):
    assert run(folder) == 0
    told = capsys.readouterr()
    assert "save it as S_z00001.tif into the folder of labels" in told.out + told.err
    labels = folder / "labels"
    labels.mkdir()
    for name in ("S_z00001_prelabel.tif", "S_z00001_prelabel.zip"):
        (labels / name).write_bytes((folder / name).read_bytes())
    assert find_label_files(labels) == []
    assert "2 files are not read as labels" in unused_in_words(labels)[0]
    (labels / "S_z00001.tif").write_bytes((labels / "S_z00001_prelabel.tif").read_bytes())
    mask = read_annotators(labels, SHAPE, TWO)[""].masks[1]
    assert dice(mask == 1, truth()) > 0.9
    (labels / "S_z00001.tif").unlink()
    (labels / "S_z00001.zip").write_bytes((labels / "S_z00001_prelabel.zip").read_bytes())
    assert (read_annotators(labels, SHAPE, TWO)[""].masks[1] == mask).all()
    monkeypatch.setattr(files, "PRELABEL", "another")  # the mutant: such names are labels like others
    assert len(find_label_files(labels)) == 3


def test_what_was_drawn_is_kept(folder, monkeypatch):
    monkeypatch.setattr(scribbled, "segment", lambda maps, *_: np.zeros(maps.shape, np.uint8))
    assert run(folder) == 0
    mask = tifffile.imread(folder / "S_z00001_prelabel.tif")
    assert (mask == (drawn() == 1)).all()


def test_a_mask_that_somebody_corrected_is_not_overwritten(folder, capsys, monkeypatch):
    monkeypatch.setattr(scribbled, "segment", lambda maps, *_: np.zeros(maps.shape, np.uint8))
    assert run(folder) == 0
    assert run(folder) == 0  # what was only written is replaced
    corrected = np.ones(SHAPE[1:], np.uint8)
    tifffile.imwrite(folder / "S_z00001_prelabel.tif", corrected)
    outlines = (folder / "S_z00001_prelabel.zip").read_bytes()
    assert run(folder) == 1
    assert "S_z00001_prelabel.tif: the file exists and was changed by hand" in capsys.readouterr().err
    assert (tifffile.imread(folder / "S_z00001_prelabel.tif") == corrected).all()
    assert (folder / "S_z00001_prelabel.zip").read_bytes() == outlines
    monkeypatch.setattr(scribbled, "require_unchanged", lambda *_: None)  # the mutant
    assert run(folder) == 0
    assert (tifffile.imread(folder / "S_z00001_prelabel.tif") != corrected).any()


def test_nothing_is_written_where_a_class_has_no_stroke(folder, capsys):
    tifffile.imwrite(folder / "S_z00001.tif", (drawn() == 1).astype(np.uint8))
    assert run(folder) == 1
    assert "no stroke of background" in capsys.readouterr().err
    assert not list(folder.glob("*_prelabel*"))


def test_the_picture_of_a_slice_will_do_and_corners_without_numbers(folder, grey):
    picture = grey[1].copy()
    picture[:40, -30:] = np.nan
    tifffile.imwrite(folder / "S_z00042.tif", picture)
    (folder / "strokes").mkdir()
    lines = [
        ImagejRoi.frompoints(np.array([(x, y), (x + 12, y)], float), name=name)
        for x, y, name in ((96, 35, "domain"), (54, 80, "a"), (100, 55, "background"), (95, 100, "background"))
    ]
    for line in lines:
        line.roitype = ROI_TYPE.POLYLINE
    roiwrite(folder / "strokes/S_z00042.zip", lines)
    written = prelabel_from_scribbles(str(folder / "S_z00042.tif"), folder / "strokes/S_z00042.zip", TWO)
    assert written.mask == folder / "strokes/S_z00042_prelabel.tif"
    whole = np.isfinite(picture)
    assert dice(tifffile.imread(written.mask)[whole] == 1, truth()[whole]) > 0.85


def test_a_converted_store_gives_the_same_mask_as_the_scan(folder, grey):
    assert run(folder) == 0
    mask = tifffile.imread(folder / "S_z00001_prelabel.tif")
    store = create_store(folder / "volume.ome.zarr", SHAPE, "float32", (1, 1, 1), SHAPE[0])
    store.write(0, grey)
    written = prelabel_from_scribbles(str(store.path), folder / "S_z00001.tif", TWO)
    assert (tifffile.imread(written.mask) == mask).all()


def test_a_prelabel_among_slices_is_none_of_them(tmp_path, grey):
    for z, image in enumerate(grey):
        tifffile.imwrite(tmp_path / f"S_z{z:05d}.tif", image)
    tifffile.imwrite(tmp_path / "S_z00001_prelabel.tif", np.zeros(SHAPE[1:], np.uint8))
    assert survey(tmp_path, voxel_size_um=1).scans[0].shape == SHAPE


@pytest.mark.parametrize(
    ("scan", "told"),
    [
        ("nowhere.tif", "there is no such scan"),
        ("notes.txt", "not a scan in a known format"),
        ("flat.tif", "most of the slice is constant"),
        ("empty.tif", "most of the slice is constant"),
    ],
)
def test_scans_that_cannot_be_used_are_said(folder, scan, told):
    (folder / "notes.txt").write_text("notes")
    tifffile.imwrite(folder / "flat.tif", np.ones(SHAPE, np.float32), photometric="minisblack")
    tifffile.imwrite(folder / "empty.tif", np.full(SHAPE, np.nan, np.float32), photometric="minisblack")
    with pytest.raises(InputError, match=told):
        prelabel_from_scribbles(str(folder / scan), folder / "S_z00001.tif", TWO)
    assert not list(folder.glob("*_prelabel*"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "words", [("--scan", "scan.tif"), ("--scribbles", "a.tif"), ("a.tsv", "--scan", "a", "--scribbles", "b")]
)
def test_strokes_and_their_scan_go_together(words, capsys):
    assert main(["prelabel", *words]) == 1
    assert "tomoprofile prelabel --scan SCAN --scribbles FILE" in capsys.readouterr().err
