import itertools

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from segment_scan import SegmentScan, build, dice

from tomoprofile.cli import main
from tomoprofile.config import AugmentConfig, ThresholdConfig, UNetConfig
from tomoprofile.errors import InputError, StageError
from tomoprofile.labels.classes import IGNORE, Classes
from tomoprofile.labels.files import find_label_files
from tomoprofile.labels.masks import merge, read_annotators
from tomoprofile.labels.training_set import LabelledScan, collect_labels, read_training_set
from tomoprofile.network.crops import CropSampler
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.segment import pick
from tomoprofile.segment.pick import candidates, pick_slices
from tomoprofile.segment.prelabel import prelabel
from tomoprofile.volume.grey import normalise
from tomoprofile.volume.store import create_store

CLASSES = Classes.of(UNetConfig())


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return build(tmp_path_factory.mktemp("scan"))


def test_label_files_are_found_by_the_slice_index_in_their_names(tmp_path):
    (tmp_path / "anna").mkdir()
    (tmp_path / ".hidden").mkdir()
    names = ["b_z00010.tif", "a_z00009.TIFF", "notes_z1.txt", "all.tif", "all.zip", "._b_z00010.tif", "c_z3.zip"]
    for name in [*names, "anna/a_z9.roi", ".hidden/a_z8.tif"]:
        (tmp_path / name).write_bytes(b"")
    found = [(file.annotator, file.z, file.kind) for file in find_label_files(tmp_path)]
    assert found == [
        ("", 3, "rois"),
        ("", 9, "mask"),
        ("", 10, "mask"),
        ("", None, "volume"),
        ("", None, "rois"),
        ("anna", 9, "rois"),
    ]
    assert find_label_files(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (np.zeros((4, 6), "uint8"), ["4x6", "5x6"]),
        (np.full((5, 6), 2, "uint8"), ["2", "0 (background), 1 (domain) and 255 (ignore)"]),
        (np.arange(90, dtype="uint8").reshape(5, 6, 3) * 2, ["RGB", "8-bit"]),
    ],
)
def test_wrong_masks_name_file_value_and_remedy(tmp_path, mask, told):
    path = tmp_path / "a_z00001.tif"
    tifffile.imwrite(path, mask)
    with pytest.raises(InputError) as caught:
        read_annotators(tmp_path, (2, 5, 6), CLASSES)
    for part in ["a_z00001.tif", *told]:
        assert part in str(caught.value)


def test_a_mask_that_is_no_tiff(tmp_path):
    path = tmp_path / "a_z00001.tif"
    path.write_bytes(b"GIF89a")
    with pytest.raises(InputError, match="cannot be read as TIFF"):
        read_annotators(tmp_path, (2, 5, 6), CLASSES)


def test_masks_of_any_integer_type_are_read(tmp_path):
    path = tmp_path / "a_z00001.tif"
    mask = np.array([[0, 1, IGNORE]], "uint16")
    tifffile.imwrite(path, mask)
    assert (merge(read_annotators(tmp_path, (2, 1, 3), CLASSES))[1] == mask).all()


def picked(scan, folder, count):
    pick_slices(scan.volume, "x", count, folder / "slices.tsv")
    return (folder / "slices.tsv").read_text().splitlines()


def test_picked_slices_are_spread_and_unchanged(scan, tmp_path):
    header, *lines = picked(scan, tmp_path, 3)
    assert header == "slice\tfile\tdoubt\tprelabel"
    slices = [int(line.split("\t")[0]) for line in lines]
    assert [z * 3 // 48 for z in slices] == [0, 1, 2]
    assert min(b - a for a, b in itertools.pairwise(slices)) >= 6
    for z, line in zip(slices, lines, strict=True):
        assert line == f"{z}\tx_z{z:05d}.tif\t\t"
        assert (tifffile.imread(tmp_path / f"x_z{z:05d}.tif") == scan.phantom.grey[z]).all()
    assert len(picked(scan, tmp_path, 64)) == 49, "no more than the scan has"


@pytest.mark.parametrize(("kind", "seed"), [("A", 23), ("B", 23), ("B", 21), ("B", 26)])
def test_a_single_picked_slice_shows_what_is_rare(tmp_path, kind, seed):
    """Large domains lie near the substrate in few slices; a slice that shows none teaches none. Voids do not decide."""
    phantom = simulate(PhantomSettings.of_kind(kind, (160, 160, 192), seed=seed))
    store = create_store(tmp_path / "volume.ome.zarr", phantom.grey.shape, "float32", (0.5,) * 3, 32)
    for start, stop in store.shards():
        store.write(start, phantom.grey[start:stop])
    scan = SegmentScan(tmp_path, phantom)
    large = phantom.objects[phantom.objects["large"]]

    def shown(z):
        away = (large["centre_z_um"] - (z + 0.5) * 0.5).abs()
        return float(np.clip((large["diameter_um"] / 2) ** 2 - away**2, 0, None).sum())

    z = int(picked(scan, tmp_path, 1)[1].split("\t")[0])
    others = [shown(place) for place in candidates(160, 1)[0]]
    assert min(others) == 0, "some slices show none"
    assert shown(z) > np.median(others)
    assert shown(z) > 0


def test_mutant_that_counts_structure_alone_chooses_a_slice_without_large_domains(tmp_path, monkeypatch):
    worth = pick.worth
    monkeypatch.setattr(pick, "worth", lambda shown: worth(np.column_stack([shown[:, :-1], 0 * shown[:, 0]])))
    with pytest.raises(AssertionError):
        test_a_single_picked_slice_shows_what_is_rare(tmp_path, "B", 21)


def test_prelabels_are_a_beginning_and_never_overwrite(scan, tmp_path):
    first, second = (line.split("\t")[1] for line in picked(scan, tmp_path, 2)[1:])
    config = ThresholdConfig(method="otsu")
    written = prelabel(tmp_path / "slices.tsv", tmp_path / "labels", config, CLASSES)
    assert [path.name for path in written] == [first, second]
    deep = np.arange(128) > 50  # beyond the fringes of the substrate
    z, mask = next(iter(merge(read_annotators(tmp_path / "labels", scan.truth.shape, CLASSES)).items()))
    assert z == int(first[3:8])
    assert dice(mask[deep] == 1, scan.truth[z][deep]) > 0.5
    tifffile.imwrite(written[0], np.ones(scan.truth.shape[1:], "uint8"))
    assert prelabel(tmp_path / "slices.tsv", tmp_path / "labels", config, CLASSES) == []
    assert tifffile.imread(written[0]).all()


def test_prelabels_have_the_values_of_the_classes(scan, tmp_path):
    picked(scan, tmp_path, 1)
    classes = Classes.named({"background": 7, "void": 9, "domain": 300})
    (path,) = prelabel(tmp_path / "slices.tsv", tmp_path / "labels", ThresholdConfig(method="otsu"), classes)
    assert set(np.unique(tifffile.imread(path))) == {7, 300}
    (mask,) = merge(read_annotators(tmp_path / "labels", scan.truth.shape, classes)).values()
    assert set(np.unique(mask)) == {0, 2}


def test_the_command_takes_the_classes_from_the_configuration(scan, tmp_path, capsys):
    picked(scan, tmp_path, 1)
    config = tmp_path / "config.yaml"
    config.write_text("models: {fiji: {method: unet, classes: {background: 0, domain: 255}}}")
    command = ["prelabel", str(tmp_path / "slices.tsv"), str(tmp_path / "labels"), "--config", str(config)]
    assert main([*command, "--model", "fij"]) == 1
    assert "there is no such model (got fij). Models: fiji." in capsys.readouterr().err
    assert main([*command, "--model", "fiji"]) == 0
    assert set(np.unique(tifffile.imread(next((tmp_path / "labels").glob("x_z*.tif"))))) == {0, 255}


def test_a_stack_holds_the_neighbours_in_units_of_its_scan(scan, tmp_path):
    collect_labels([scan.label("one", (0, 30))], UNetConfig(), tmp_path / "t.npz")
    training = read_training_set(tmp_path / "t.npz")
    by_z = {item.z: item for item in training.slices}
    looks = training.seen["x"]
    assert np.allclose(by_z[30].image, normalise(scan.phantom.grey[29:32], looks.centre, looks.spread))
    first = normalise(scan.phantom.grey[[0, 0]], looks.centre, looks.spread)
    assert np.allclose(by_z[0].image[:2], first), "the first slice stands in for the one before"
    assert training.facts["training"]
    assert len(training.facts["labels"]) == 2


def test_the_training_set_is_the_same_whatever_the_format_of_labels(scan, tmp_path):
    config = UNetConfig()
    tiff = scan.label("as_tiff", (8, 40))
    collect_labels([tiff], config, tmp_path / "tiff.npz")
    expected = read_training_set(tmp_path / "tiff.npz")
    others = scan.label("as_others", ())
    others.labels.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scan.truth[8].astype("uint8")).save(others.labels / "film_z8.png")
    whole = np.zeros(scan.truth.shape, "uint8")
    whole[40] = scan.truth[40]
    zarr.save(str(others.labels / "film.zarr"), whole)
    digests = []
    for again in (False, True):
        collect_labels([others], config, tmp_path / "others.npz")
        found = read_training_set(tmp_path / "others.npz")
        assert [item.z for item in found.slices] == [8, 40]
        if not again:
            for one, other in zip(found.slices, expected.slices, strict=True):
                assert (one.label == other.label).all()
        digests.append(found.facts["labels"])
        zarr.open(str(others.labels / "film.zarr"), mode="r+")[40, 0, 0] = 1
    assert digests[0]["x z00008"] == digests[1]["x z00008"]
    assert digests[0]["x z00040"] != digests[1]["x z00040"], "a change inside the folder is a change of the label"


def test_nothing_labelled_says_what_to_do(scan):
    with pytest.raises(StageError) as caught:
        collect_labels(
            [LabelledScan("x", scan.volume, scan.folder / "none", scan.appearance)], UNetConfig(), scan.folder / "t.npz"
        )
    assert "to_label" in str(caught.value)
    assert "run the same command again" in str(caught.value)
    assert not (scan.folder / "t.npz").exists()


def test_no_domain_in_any_label(scan):
    labelled = scan.label("blank", (8, 40), change=np.zeros_like)
    with pytest.raises(InputError, match="no label file used for training contains a domain"):
        collect_labels([labelled], UNetConfig(), scan.folder / "t.npz")


def test_two_masks_of_one_slice(scan):
    labelled = scan.label("twice", (8, 40))
    tifffile.imwrite(labelled.labels / "mine_z00040.tif", scan.truth[40].astype("uint8"))
    told = r"mine_z00040\.tif: slice 40 has two label files, this one and x_z00040\.tif"
    with pytest.raises(InputError, match=told) as caught:
        collect_labels([labelled], UNetConfig(), scan.folder / "t.npz")
    assert "x_z00040.tif" in str(caught.value)


def test_scans_of_other_voxel_size_need_their_own_model(scan, tmp_path):
    store = create_store(tmp_path / "coarse.ome.zarr", scan.truth.shape, "float32", (1.0, 1.0, 1.0), 48)
    coarse = LabelledScan("coarse", store.path, scan.label("coarse", (24,)).labels, scan.appearance)
    with pytest.raises(InputError, match="different models"):
        collect_labels([scan.label("fine", (8, 40)), coarse], UNetConfig(), tmp_path / "t.npz")
    unlabelled = LabelledScan("coarse", store.path, tmp_path / "none", scan.appearance)
    collect_labels([scan.label("fine2", (8, 40)), unlabelled], UNetConfig(), tmp_path / "t.npz")
    assert read_training_set(tmp_path / "t.npz").voxel_size_um == (0.5, 0.5, 0.5)


def test_a_step_draws_the_same_crops_again_and_labels_move_with_images(scan, tmp_path):
    collect_labels([scan.label("draw", (8, 40))], UNetConfig(), tmp_path / "t.npz")
    training = read_training_set(tmp_path / "t.npz")
    config = UNetConfig(crop=64, batch=8)
    sampler = CropSampler(training, config, seed=3)
    images, labels = sampler.draw(7)
    again, _ = CropSampler(training, config, seed=3).draw(7)
    assert (images == again).all()
    assert (images != sampler.draw(8)[0]).any()
    assert images.shape == (8, 3, 64, 64)
    assert set(np.unique(labels)) <= {0, 1}
    # Domains are darker than what surrounds them: if labels were flipped otherwise than images, they would not be.
    inside, outside = images[:, 1][labels == 1].mean(), images[:, 1][labels == 0].mean()
    assert inside < outside - 1
    mismatched = images[:, 1][np.flip(labels, 1) == 1].mean()
    assert mismatched > inside + 1


def test_slices_smaller_than_a_crop_are_padded_with_ignored_voxels(scan, tmp_path):
    collect_labels([scan.label("pad", (8, 40))], UNetConfig(), tmp_path / "t.npz")
    config = UNetConfig(crop=128, batch=2, augment=AugmentConfig(scale=0))
    _, labels = CropSampler(read_training_set(tmp_path / "t.npz"), config, seed=0).draw(0)
    assert labels.shape == (2, 128, 128)
    assert (labels == IGNORE).mean() == pytest.approx(32 / 128)


def test_the_record_names_every_annotator_and_how_well_they_agree(scan, tmp_path):
    labelled = scan.label("shared", (8, 40))
    for name, change in (("anna", lambda mask: mask), ("ben", lambda mask: np.roll(mask, 1))):
        (labelled.labels / name).mkdir()
        tifffile.imwrite(labelled.labels / name / "x_z00008.tif", change(scan.truth[8].astype("uint8")))
    (labelled.labels / "x_z00008.tif").unlink()
    collect_labels([labelled], UNetConfig(), tmp_path / "t.npz")
    training = read_training_set(tmp_path / "t.npz")
    told = training.facts["annotators"]
    assert told["names"] == ["anna", "ben"]
    assert list(told["slices_in_common"]) == ["x z00008"]
    assert told["dice"] == pytest.approx(dice(scan.truth[8], np.roll(scan.truth[8], 1)))
    assert set(training.facts["labels"]) == {"x z00008 anna", "x z00008 ben", "x z00040"}
    both = next(item.label for item in training.slices if item.z == 8)
    assert (both == IGNORE).mean() == pytest.approx(told["disagree"])


def test_the_measured_class_must_be_in_what_trains(scan, tmp_path):
    config = UNetConfig(classes={"background": 0, "void": 1, "domain": 2})
    with pytest.raises(InputError, match=r"contains a domain.*with 2"):
        collect_labels([scan.label("voids", (8, 40))], config, tmp_path / "t.npz")
    config = config.model_copy(update={"measure": ("void", "domain")})
    with pytest.raises(InputError, match=r"contains a domain.*with 2"):
        collect_labels([scan.label("both", (8, 40))], config, tmp_path / "t.npz")
    config = config.model_copy(update={"measure": ("void",)})
    collect_labels([scan.label("voids_too", (8, 40))], config, tmp_path / "t.npz")
    assert read_training_set(tmp_path / "t.npz").facts["annotators"]["dice"] is None
