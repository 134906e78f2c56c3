"""Labels in groups that judge each other: how far structure reaches is measured, and every label trains."""

import dataclasses

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from segment_scan import build

from tomoprofile.config import AugmentConfig, UNetConfig, read_config
from tomoprofile.errors import ConfigError, InputError
from tomoprofile.labels import apart as measuring
from tomoprofile.labels import folds as folding
from tomoprofile.labels.apart import Apart, alike, copied, groups_of, measure_apart
from tomoprofile.labels.classes import Classes
from tomoprofile.labels.folds import make_folds
from tomoprofile.labels.training_set import LabelledScan, LabelledSlice, TrainingSet, collect_labels, read_training_set
from tomoprofile.network.crops import CropSampler
from tomoprofile.run.check import check_only_labels
from tomoprofile.samples import Scan
from tomoprofile.segment import pick
from tomoprofile.segment.pick import pick_slices
from tomoprofile.shift.appearance import look_at_scan
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import create_store, open_store


def texture(rng, depth, along, side=96):
    """Structure that reaches through about ``along`` slices and 6 voxels, in noise."""
    plain = rng.normal(size=(depth, side, side))
    smooth = ndimage.gaussian_filter(plain, [along / 2.5, 2.5, 2.5] if along > 1 else [0, 2.5, 2.5])
    return (smooth / smooth.std() + 0.5 * plain).astype(np.float32)


def measured(grey):
    return measure_apart(lambda start, stop: grey[start:stop], len(grey))


def test_the_reach_of_structure_is_that_of_the_scan_and_not_a_constant():
    rng = np.random.default_rng(0)
    found = {along: measured(texture(rng, 90, along)).slices for along in (1, 6, 12, 24)}
    assert found[1] == 1
    assert 4 <= found[6] <= 11 < found[12] + 4
    assert found[6] < found[12] < found[24] <= 45


def test_what_all_slices_share_does_not_count():
    """Rings and the edge of a sample are the same in every slice, and say nothing about what slices show."""
    rng = np.random.default_rng(1)
    grey = texture(rng, 60, 1)
    y, x = np.mgrid[:96, :96]
    grey += 3 * np.sin(np.hypot(y - 48, x - 48) / 2)
    grey[:, :20] += 40
    assert measured(grey).slices == 1


@pytest.mark.parametrize("grey", [np.zeros((5, 40, 40)), np.full((1, 40, 40), np.nan), np.ones((2, 3, 3))])
def test_scans_without_structure_are_measured_too(grey):
    told = measured(grey)
    assert told.slices == 1
    assert min(told.voxels) >= 1


def disc(y, x, radius=8, side=96):
    yy, xx = np.ogrid[:side, :side]
    return ((yy - y) ** 2 + (xx - x) ** 2 <= radius**2).astype(np.uint8)


def test_near_slices_and_like_masks_are_one_group():
    masks = {3: disc(20, 20), 10: disc(60, 60), 40: disc(20, 70), 80: disc(21, 70)}
    assert groups_of(masks, 1) == [[3], [10], [40, 80]]
    assert groups_of(masks, 8) == [[3, 10], [40, 80]]
    assert groups_of(masks, 31) == [[3, 10, 40, 80]]
    assert alike(masks[3], masks[3]) == pytest.approx(1)
    assert alike(masks[3], masks[10]) == 0
    assert alike(masks[3], disc(9, 9)[:40]) == 0


def test_voxels_that_either_ignores_do_not_make_masks_alike():
    one, other = disc(20, 20), disc(20, 20)
    other[:48] = 255
    assert alike(one, other) == 0


def test_the_same_mask_twice_is_told_but_not_of_slices_without_domains():
    masks = {3: disc(20, 20), 30: disc(20, 20), 60: disc(0, 0) * 0, 90: disc(0, 0) * 0}
    assert copied(masks) == [(3, 30)]


def training(labels, groups=None, voxels=(4, 4)):
    rng = np.random.default_rng(2)
    slices = [
        LabelledSlice("a", 10 * n, groups[n] if groups else n, rng.normal(size=(3, *label.shape)), label)
        for n, label in enumerate(labels)
    ]
    return TrainingSet(slices, {}, (1, 1, 1), {}, {"a": Apart(5, voxels, 0.5)})


def judged_once(found, items):
    """Return whether every voxel of every slice is judged once, by a fold that did not see it."""
    for index, item in enumerate(items):
        times = np.zeros(item.label.shape, int)
        for fold in found.folds:
            for part in fold.judged:
                times[part.place] += part.index == index
        if not (times == 1).all():
            return False
    return True


def test_every_slice_is_judged_once_by_a_model_of_other_groups():
    many = training([disc(20, 20), disc(50, 50), disc(70, 30), disc(10, 80), disc(80, 80)], groups=[0, 0, 1, 2, 3])
    found = make_folds(many, [1])
    assert (found.kind, len(found.folds)) == ("slices", 3)
    assert judged_once(found, many.slices)
    for fold in found.folds:
        judges = {item.group for item in fold.training}
        assert not judges & {many.slices[part.index].group for part in fold.judged}
        assert len(fold.training) + len(fold.judged) == len(many.slices)


def test_a_fold_never_learns_from_blank_slices_alone():
    blank = np.zeros((96, 96), np.uint8)
    found = make_folds(training([blank, disc(20, 20), blank, blank, disc(50, 50)]), [1])
    assert found.kind == "slices"
    assert len(found.folds) == 2
    assert all(fold.teaches(1) for fold in found.folds)
    # One slice alone shows a domain: its own parts must judge.
    alone = training([blank, disc(24, 20) | disc(24, 50) | disc(70, 30) | disc(50, 80), blank])
    found = make_folds(alone, [1])
    assert found.kind == "tiles"
    assert judged_once(found, alone.slices)


def labelled_volume(n=30, reach=4):
    """Slices of one group, as those of a labelled volume are."""
    item = training([disc(20 + z, 40) for z in range(n)], groups=[0] * n)
    slices = [dataclasses.replace(one, z=z) for z, one in enumerate(item.slices)]
    return dataclasses.replace(item, slices=slices, apart={"a": Apart(reach, (4, 4), 0.9)})


def test_blocks_of_a_labelled_volume_judge_each_other_across_a_gap():
    item = labelled_volume()
    found = make_folds(item, [1])
    assert (found.kind, len(found.folds)) == ("blocks", 3)
    assert judged_once(found, item.slices)
    for fold in found.folds:
        judged = [item.slices[part.index].z for part in fold.judged]
        away = [abs(one.z - z) for one in fold.training for z in judged]
        assert min(away) > 4, "the mutant: neighbours of what is judged train"
        assert len(fold.training) > 10


def test_a_volume_as_thin_as_its_structure_is_judged_by_strips():
    assert len(make_folds(labelled_volume(reach=6), [1]).folds) == 2
    wide = labelled_volume(reach=8)
    spread = [dataclasses.replace(one, label=disc(24, 20) | disc(24, 50) | disc(70, 30)) for one in wide.slices]
    assert make_folds(dataclasses.replace(wide, slices=spread), [1]).kind == "tiles"


def nearest(reach):
    """Return how near voxels that train come to those that they judge, and whether all are judged once."""
    label = sum(disc(40, x, 4) for x in range(8, 96, 16)).astype(np.uint8)
    item = training([label], voxels=(60, reach))
    marked = [dataclasses.replace(item.slices[0], image=np.broadcast_to(np.arange(96.0), (3, 96, 96)))]
    found = make_folds(dataclasses.replace(item, slices=marked), [1])
    away = []
    for fold in found.folds:
        columns = np.unique(np.concatenate([part.image[0].ravel() for part in fold.training]))
        (judged,) = fold.judged
        first, last = judged.place[1].start, judged.place[1].stop - 1
        away.append(np.minimum(np.abs(columns - first), np.abs(columns - last)).min())
    return min(away), len(away), judged_once(found, marked)


def test_strips_keep_the_distance_over_which_structure_reaches(monkeypatch):
    near, count, complete = nearest(10)
    assert near > 10
    assert count == 3
    assert complete
    monkeypatch.setattr(folding, "_LEAST_GAP", 0)
    assert nearest(0)[0] == 1, "the mutant, without a gap"


def test_labels_too_few_or_too_wide_for_strips_have_no_folds():
    assert make_folds(training([disc(40, 40)], voxels=(60, 60)), [1]).kind == "none"
    assert make_folds(training([disc(8, 8, 3)]), [1]).kind == "none", "the other strips have nothing to learn from"


def greys_drawn(items, steps=12):
    """Return the grey values of the slices from which crops were drawn, each slice having one of its own."""
    plain = AugmentConfig(scale=0, spectrum=0, noise=0, rings=0, gain=0, offset=0, voids=0)
    config = UNetConfig(crop=32, batch=4, augment=plain)
    images, _ = zip(*(CropSampler(items, config, 1).draw(step) for step in range(steps)), strict=True)
    return set(np.unique(np.round(np.concatenate(images))).tolist())


def test_the_model_is_trained_on_every_label():
    items = training([disc(20, 20), disc(50, 50), disc(70, 30)], groups=[0, 0, 1])
    marked = [
        dataclasses.replace(item, image=np.full((3, 96, 96), n + 1.0, np.float32))
        for n, item in enumerate(items.slices)
    ]
    assert greys_drawn(dataclasses.replace(items, slices=marked)) == {1.0, 2.0, 3.0}
    assert greys_drawn(dataclasses.replace(items, slices=marked[:2])) != {1.0, 2.0, 3.0}, "the mutant, with one dropped"


# --- through the files ------------------------------------------------------------------------------------------------


def rims(rng, depth, side=96):
    """Slices of which no two are alike, each with dark discs; returns grey values and masks."""
    grey, masks = rng.normal(0, 0.5, (depth, side, side)).astype(np.float32), np.zeros((depth, side, side), np.uint8)
    for z in range(depth):
        for _ in range(7):
            masks[z] |= disc(*rng.integers(8, side - 8, 2), 6)
        grey[z] -= 5 * ndimage.gaussian_filter(masks[z].astype(np.float32), 1)
    return grey, masks


def written(folder, grey, masks, chosen):
    """Write a scan and the labels of some slices; returns what the training set is made from."""
    folder.mkdir(exist_ok=True)
    store = create_store(folder / "volume.ome.zarr", grey.shape, "float32", (0.5,) * 3, 8)
    for start, stop in store.shards():
        store.write(start, grey[start:stop])
    Plane((0.0, 1.0, 0.0), -1.0).save(folder / "interface.json")
    look_at_scan(store.path, folder / "interface.json", folder / "appearance.json")
    (folder / "labels").mkdir()
    for z in chosen:
        tifffile.imwrite(folder / "labels" / f"x_z{z:05d}.tif", masks[z])
    return LabelledScan("x", store.path, folder / "labels", folder / "appearance.json")


def collected(*scans, out):
    collect_labels(list(scans), UNetConfig(), out)
    return read_training_set(out)


def test_all_three_labels_of_22_slices_train_and_judge(tmp_path):
    """A guard of 16 slices, which a phantom had needed, left one of them."""
    grey, masks = rims(np.random.default_rng(5), 22)
    found = collected(written(tmp_path / "a", grey, masks, (3, 11, 19)), out=tmp_path / "t.npz")
    assert [item.z for item in found.slices] == [3, 11, 19]
    assert found.facts["training"] == ["x z00003", "x z00011", "x z00019"]
    assert found.groups == [["x z00003"], ["x z00011"], ["x z00019"]]
    assert found.facts["apart"]["x"]["slices"] < 8
    assert len(make_folds(found, [1]).folds) == 3
    assert len(found.unlabelled) == 2
    # The mutant: 16 slices for every scan.
    assert len(groups_of({item.z: item.label for item in found.slices}, 16)) == 1


def test_the_record_of_the_reach_decides_the_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("tomoprofile.labels.training_set.measure_apart", lambda *_: Apart(16, (4, 4), 0.5))
    grey, masks = rims(np.random.default_rng(5), 22)
    found = collected(written(tmp_path / "a", grey, masks, (3, 11, 19)), out=tmp_path / "t.npz")
    assert len(found.groups) == 1
    assert len(found.slices) == 3, "they train all the same"


def test_the_same_mask_on_two_slices_is_one_group_and_is_told(tmp_path, caplog):
    grey, masks = rims(np.random.default_rng(6), 22)
    masks[19] = masks[3]
    found = collected(written(tmp_path / "a", grey, masks, (3, 11, 19)), out=tmp_path / "t.npz")
    assert found.groups == [["x z00003", "x z00019"], ["x z00011"]]
    assert found.facts["same_masks"] == [["x z00003", "x z00019"]]
    assert "x z00003 and x z00019 have the same mask, voxel for voxel" in caplog.text


def test_one_scan_under_two_names_does_not_judge_itself(tmp_path):
    grey, masks = rims(np.random.default_rng(7), 12)
    one = written(tmp_path / "a", grey, masks, (3, 9))
    twin = dataclasses.replace(one, sample="y")
    found = collected(one, twin, out=tmp_path / "t.npz")
    assert found.groups == [["x z00003", "y z00003"], ["x z00009", "y z00009"]]
    others = written(tmp_path / "b", rims(np.random.default_rng(8), 12)[0], masks, (3, 9))
    found = collected(one, dataclasses.replace(others, sample="y"), out=tmp_path / "u.npz")
    assert len(found.groups) == 4, "like masks of slices that are unlike in grey are of two samples"


def test_labels_on_blank_slices_only_teach_nothing(tmp_path):
    grey, masks = rims(np.random.default_rng(9), 12)
    with pytest.raises(InputError, match="no label file used for training contains a domain"):
        collected(written(tmp_path / "a", grey, 0 * masks, (3, 9)), out=tmp_path / "t.npz")


def told_by_check(folder, grey, masks, chosen):
    for z in chosen:
        (folder / "labels").mkdir(exist_ok=True)
        tifffile.imwrite(folder / "labels" / f"x_z{z:05d}.tif", masks[z])
    tifffile.imwrite(folder / "x.tif", grey)
    row = {"sample": "x", "path": str(folder / "x.tif"), "format": "tiff_stack", "dtype": "float32"}
    row |= dict(zip(("slices", "rows", "columns"), grey.shape, strict=True))
    scan = Scan.model_validate(row | {"voxel_size_um": "0.5", "labels": str(folder / "labels")})
    return [(item.status, item.message) for item in check_only_labels(scan, Classes.of(UNetConfig()))]


def test_the_check_counts_what_trains_and_what_judges(tmp_path):
    grey, masks = rims(np.random.default_rng(5), 22)
    masks[19] = masks[3]
    found = told_by_check(tmp_path, grey, masks, (3, 11, 19))
    warned = [text for status, text in found if status == "warning"]
    assert "slices 3 and 19 have the same mask, voxel for voxel: was one saved for the other?" in warned
    assert found[-1] == (
        "ok",
        "3 labelled slices: 3, 11, 19; 3 labels train, in 2 groups that judge each other (no two slices are alike)",
    )


def test_the_check_says_what_one_place_cannot_tell(tmp_path):
    grey, masks = rims(np.random.default_rng(5), 6)
    ((_, text),) = [item for item in told_by_check(tmp_path, grey, masks, (3,)) if item[0] == "ok"]
    assert "1 label trains, in one group, whose parts judge each other" in text
    assert "in other slices cannot be told" in text


def test_picked_slices_are_as_far_apart_as_the_structure_reaches(tmp_path, monkeypatch):
    scan = build(tmp_path, size=(48, 64, 64))

    def picked(reach, name):
        monkeypatch.setattr(pick, "measure_apart", lambda *_: Apart(reach, (1, 1), 0.5))
        (tmp_path / name).mkdir()
        # The best slice of a part lies at its very end, and that of the next at its beginning.
        monkeypatch.setattr(pick, "worth", lambda shown: -np.abs(shown[:, 0] - 24))
        monkeypatch.setattr(pick, "structure", lambda plane: np.array([float(np.argmax(same(plane))), 0.0]))
        pick_slices(scan.volume, "x", 2, tmp_path / name / "slices.tsv")
        rows = (tmp_path / name / "slices.tsv").read_text().splitlines()[1:]
        return [int(row.split("\t")[0]) for row in rows]

    grey = open_store(scan.volume).read(0, 48)

    def same(plane):
        return [np.array_equal(plane, other) for other in grey]

    near, far = np.diff(picked(1, "near"))[0], np.diff(picked(20, "far"))[0]
    assert near < 20 <= far


def test_keys_that_are_gone_are_named_with_the_reason():
    with pytest.raises(ConfigError) as caught:
        read_config({"models": {"m": {"guard_slices": 16, "patience": 3}}})
    assert "models.m.guard_slices: the key is gone: every label trains now" in str(caught.value)
    assert "models.m.patience: the key is gone" in str(caught.value)


def test_the_measure_takes_a_bounded_number_of_slices():
    read = []

    def reader(start, stop):
        read.append(stop - start)
        return np.random.default_rng(start).normal(size=(stop - start, 20, 20))

    measure_apart(reader, 5000)
    assert len(read) <= 3 * len(measuring._STEPS)
    assert set(read) == {1}
