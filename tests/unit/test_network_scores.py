"""Held-out scores against numbers worked out by hand, and the mutants that these would catch."""

import json
import math

import numpy as np
import pytest
from scipy import ndimage, stats

from tomoprofile.network import intervals, objects_2d, scores
from tomoprofile.network.intervals import Counts, area_interval, dice_interval, ratio_interval
from tomoprofile.network.objects_2d import matched_pairs, slice_objects
from tomoprofile.network.scores import boundary_distance, reliability, score_slices, size_classes

CUBE = (0.5, 0.5, 0.5)


def blank(shape=(40, 40)):
    return np.zeros(shape, np.uint8)


def disc(image, y, x, radius, value):
    yy, xx = np.ogrid[: image.shape[0], : image.shape[1]]
    image[(yy - y) ** 2 + (xx - x) ** 2 <= radius**2] = value


def circle_um(voxels, edge=0.5):
    return math.sqrt(4 * voxels * edge**2 / math.pi)


def score(found, label, voxel=CUBE, **more):
    return score_slices([np.where(found, 255, 0).astype(np.uint8)], [label], 0.5, voxel, **more)


def by_hand():
    """Labelled 4 x 4 at (10, 10); found is shifted by one column and there is a speck of 2 voxels besides."""
    label, found = blank(), blank()
    label[10:14, 10:14] = 1
    found[10:14, 11:15] = 1
    found[30, 30:32] = 1
    return found, label


def test_voxel_scores_by_hand():
    found, label = by_hand()
    label[0:5] = 255
    found[0:5] = 1  # what is not known never counts
    told = score(found, label)
    assert told["dice"] == pytest.approx(2 * 12 / (18 + 16))
    assert told["iou"] == pytest.approx(12 / 22)
    assert told["precision"] == pytest.approx(12 / 18)
    assert told["recall"] == pytest.approx(12 / 16)
    assert told["area_ratio"] == pytest.approx(18 / 16)
    assert told["labelled_fraction"] == pytest.approx(16 / (35 * 40))
    assert told["conditions"]["n_voxels"] == 35 * 40


@pytest.mark.parametrize(("value", "level", "dice"), [(51, 0.2, 1.0), (50, 0.2, 0.0), (128, 0.5, 1.0), (127, 0.5, 0.0)])
def test_a_voxel_at_the_level_is_found(value, level, dice):
    label = blank()
    label[10:14, 10:14] = 1
    assert score_slices([(label * value).astype(np.uint8)], [label], level, CUBE)["dice"] == dice


def test_boundary_distance_by_hand():
    """Squares of 4 x 4 one column apart, voxels of 0.5 x 2 um along (y, x): 12 boundary voxels each.

    Of either mask, the boundary column that the other lacks is one column (2 um) from the other's end; where the
    outlines run along each other the distance is 0. The column of the other end lies inside: its two inner voxels are
    min(one row up or down, one column on) = 0.5 um from the other's outline, the two at the corners lie on it.
    """
    label, found = blank(), blank()
    label[10:14, 10:14] = 1
    found[10:14, 11:15] = 1
    told = score(found, label, (3.0, 0.5, 2.0))["boundary_um"]
    assert told["n"] == 24
    assert told["mean"] == pytest.approx(2 * (4 * 2.0 + 2 * 0.5) / 24)
    assert told["p95"] == 2.0
    assert told["n_one_sided"] == 0


def test_boundary_is_symmetric_and_ends_at_what_is_not_known():
    label, found = blank(), blank()
    label[:, 10:20] = 1  # from border to border: only its two sides are boundary
    found[:, 10:20] = 1
    found[20, 30] = 1  # far from the label; the label is near to what was found
    everywhere = np.ones(label.shape, bool)
    one = boundary_distance([found > 0], [label > 0], [everywhere], (0.5, 0.5))
    assert one["n"] == 81 + 80
    assert one["mean"] == pytest.approx((30 - 19) * 0.5 / 161)
    assert one == boundary_distance([label > 0], [found > 0], [everywhere], (0.5, 0.5))
    known = everywhere.copy()
    known[:, 20:] = False
    told = boundary_distance([(found > 0) & known], [label > 0], [known], (0.5, 0.5))
    assert (told["n"], told["mean"]) == (80, 0.0)  # the right side is no boundary any more


def test_nothing_to_nothing_is_none_and_everything_is_json():
    told = score(blank(), blank())
    assert {told[name] for name in ("dice", "iou", "precision", "recall", "area_ratio", "interior_recall")} == {None}
    assert told["dice_interval"] is None
    assert told["boundary_um"] == {"mean": None, "p95": None, "n": 0, "n_one_sided": 0}
    assert told["objects"]["f1"] is None
    assert [row["recall"] for row in told["sizes"]] == [None]
    json.dumps(told, allow_nan=False)
    label = blank()
    label[10:14, 10:14] = 1
    one_sided = score(blank(), label)
    assert (one_sided["dice"], one_sided["precision"], one_sided["recall"]) == (0.0, None, 0.0)
    assert one_sided["boundary_um"] == {"mean": None, "p95": None, "n": 0, "n_one_sided": 1}
    every = score(blank() + 1, blank() + 1)
    assert (every["dice"], every["interior_recall"], every["objects"]["n_labelled"]) == (1.0, 1.0, 0)
    everything_unknown = score(blank(), blank() + 255)
    assert everything_unknown["labelled_fraction"] is None
    assert everything_unknown["reliability"]["expected_calibration_error"] is None
    json.dumps([one_sided, every, everything_unknown, score_slices([], [], 0.5, CUBE)], allow_nan=False)


def test_slices_and_labels_must_agree():
    with pytest.raises(ValueError, match="each slice needs a label"):
        score_slices([blank()], [], 0.5, CUBE)
    with pytest.raises(ValueError, match="each slice needs a label"):
        score_slices([blank()], [blank((40, 41))], 0.5, CUBE)


def test_objects_by_hand():
    label, found = blank((60, 60)), blank((60, 60))
    label[5:9, 5:9] = 1  # found with 12 of 16: IoU 0.75
    found[5:9, 5:8] = 1
    label[5:9, 20:24] = 1  # found with 8 of 16: IoU exactly one half
    found[5:9, 20:22] = 1
    label[5:9, 40:44] = 1  # found with 7 of 16: missed, and what was found is false
    found[5:9, 40:41] = 1
    found[5:8, 41:42] = 1
    found[30, 30:34] = 1  # false
    told = score(found, label)["objects"]
    assert (told["n_labelled"], told["n_matched"], told["n_false"]) == (3, 2, 2)
    assert told["recall"] == pytest.approx(2 / 3)
    assert told["precision"] == pytest.approx(2 / 4)
    assert told["f1"] == pytest.approx(2 * 2 / (3 + 4))


def test_cut_objects_count_as_voxels_only():
    label, found = blank((60, 60)), blank((60, 60))
    label[0:4, 10:14] = 1  # touches the border
    label[20:24, 20:24] = 1  # touches, by a corner, what is not known
    label[24, 24] = 255
    label[40:44, 40:44] = 1  # whole
    found[40:44, 40:44] = 1
    found[1:3, 11:13] = 1  # a whole piece on a cut object: not judged
    found[59, 30:33] = 1  # false, but perhaps the end of something outside
    told = score(found, label)
    assert told["objects"] == {
        "n_labelled": 1,
        "n_matched": 1,
        "n_false": 0,
        "recall": 1.0,
        "precision": 1.0,
        "f1": 1.0,
    }
    assert sum(row["n_labelled"] for row in told["sizes"]) == 1
    assert sum(row["n_false"] for row in told["sizes"]) == 0
    assert told["dice"] == pytest.approx(2 * 20 / (23 + 48))


def test_two_halves_of_one_half_each_are_one_match():
    truth, found = blank() > 0, blank() > 0
    truth[10:14, 10:15] = True
    truth[12, 10:15] = True
    found[10:12, 10:15] = True  # ten of twenty voxels
    objects = slice_objects(truth, found, np.ones_like(truth), (1.0, 1.0))
    assert [len(part) for part in matched_pairs(objects, 0.5)] == [1, 1, 1]
    # Two found objects of IoU one half with the same labelled one.
    found[:] = False
    found[10:14, 10:12] = True
    found[10:14, 13:15] = True
    truth[:] = False
    truth[10:14, 10:12] = truth[10:14, 13:15] = True
    truth[9, 10:15] = False
    objects = slice_objects(truth | found, found, np.ones_like(truth), (1.0, 1.0))
    assert [len(part) for part in matched_pairs(objects, 0.5)] == [2, 2, 2]


def test_size_table_by_hand():
    label, found = blank((80, 80)), blank((80, 80))
    disc(label, 20, 20, 3, 1)  # 29 voxels, 3.04 um
    disc(found, 20, 20, 4, 1)  # 49 voxels, 3.95 um; IoU 29 / 49
    disc(label, 20, 50, 3, 1)  # missed
    disc(label, 55, 40, 10, 1)  # 317 voxels, 10.05 um
    disc(found, 55, 40, 10, 1)
    found[70:72, 70:72] = 1  # false, 1.13 um
    told = score(found, label, classes_um=(0, 2, 4, 8))
    least, small, middle, large = told["sizes"]
    assert [(row["from_um"], row["to_um"]) for row in told["sizes"]] == [(0, 2), (2, 4), (4, 8), (8, None)]
    assert (least["n_labelled"], least["recall"], least["n_false"]) == (0, None, 1)
    assert (small["n_labelled"], small["recall"], small["n_matched"], small["n_false"]) == (2, 0.5, 1, 0)
    assert small["size_bias"] == pytest.approx(circle_um(49) / circle_um(29) - 1)
    assert (middle["n_labelled"], middle["size_bias"]) == (0, None)
    assert (large["n_labelled"], large["recall"], large["size_bias"], large["interior_recall"]) == (1, 1.0, 0.0, 1.0)
    # Deeper than 1 um = 2 voxels: the middle of a disc of radius 3 and its four neighbours, sqrt(5) from (3, 1).
    assert (small["n_interior"], small["interior_recall"]) == (2 * 5, 0.5)


def test_interior_begins_at_two_voxels_when_these_are_large():
    label = blank((60, 60))
    label[10:21, 10:21] = 1
    for voxel, n in (((1, 0.25, 0.25), 3**2), ((1, 0.5, 0.5), 7**2), ((1, 1.0, 1.0), 7**2)):
        assert score(label, label, voxel)["sizes"][-1]["n_interior"] == n


@pytest.fixture
def hollow():
    """A hundred small domains, found, and a large one of which only the rim is: what thresholds do (P21)."""
    label = blank((400, 400))
    for y in range(20, 400, 40):
        for x in range(20, 400, 40):
            if math.dist((y, x), (200, 200)) > 60:
                disc(label, y, x, 9, 1)
    disc(label, 200, 200, 30, 1)
    found = label.copy()
    disc(found, 200, 200, 22, 0)
    return found, label


def test_a_hollow_large_domain_hides_in_the_dice_and_shows_in_the_interior(hollow):
    found, label = hollow
    told = score(found, label)
    assert told["dice"] > 0.9
    small, large = (next(row for row in told["sizes"] if row["from_um"] == low) for low in (0, 16))
    assert (large["n_labelled"], large["recall"], large["size_bias"]) == (1, 0.0, None)
    assert large["interior_recall"] < 0.4
    assert (small["recall"], small["size_bias"], small["interior_recall"]) == (1.0, 0.0, 1.0)
    assert told["boundary_um"]["p95"] == 0.0  # the outlines of small domains are the most, too


def test_mutant_whose_interior_begins_at_the_boundary_hardly_sees_the_hollow(hollow, monkeypatch):
    found, label = hollow
    large = score(found, label)["sizes"][-1]["interior_recall"]
    monkeypatch.setattr(scores, "INTERIOR_UM", 0.0)
    monkeypatch.setattr(scores, "INTERIOR_VOXELS", 0.0)
    assert score(found, label)["sizes"][-1]["interior_recall"] > large + 0.06


def test_mutant_that_joins_objects_by_edges_only_counts_more(monkeypatch):
    label = blank()
    label[10:12, 10:12] = label[12:14, 12:14] = 1
    assert score(label, label)["objects"]["n_labelled"] == 1
    monkeypatch.setattr(objects_2d, "_EIGHT", ndimage.generate_binary_structure(2, 1))
    assert score(label, label)["objects"]["n_labelled"] == 2


def test_size_classes_are_octaves_between_the_sizes_that_occur():
    label = blank((120, 120))
    assert size_classes([label], CUBE) == (0.0,)
    label[20:22, 20:22] = 1  # 1.13 um
    disc(label, 60, 60, 12, 1)  # 11.9 um
    assert size_classes([label], CUBE) == (0.0, 2.0, 4.0, 8.0)
    disc(label, 10, 60, 30, 1)  # cut by the border: its size is not known
    assert size_classes([label], CUBE) == (0.0, 2.0, 4.0, 8.0)
    assert size_classes([label], (1, 2.0, 2.0)) == (0.0, 8.0, 16.0, 32.0)
    assert len(size_classes([label], (1, 200.0, 200.0))) <= 8
    label[100, 100] = 1  # one voxel: no class below two
    assert size_classes([label], CUBE) == (0.0, 1.0, 2.0, 4.0, 8.0)


def test_reliability_by_hand():
    chance = np.array([[0, 25, 26, 127, 128, 229, 230, 255]], np.uint8)
    label = np.array([[0, 1, 0, 0, 1, 1, 1, 255]], np.uint8)
    told = reliability([chance], [label])
    rows = told["deciles"]
    assert [row["n"] for row in rows] == [2, 1, 0, 0, 1, 1, 0, 0, 1, 1]
    assert rows[0]["labelled"] == 0.5
    assert rows[0]["probability"] == pytest.approx(25 / 510)
    assert rows[2]["labelled"] is None
    gaps = [2 * abs(0.5 - 25 / 510), 26 / 255, 127 / 255, 1 - 128 / 255, 1 - 229 / 255, 1 - 230 / 255]
    assert told["expected_calibration_error"] == pytest.approx(sum(gaps) / 7)
    assert told["expected_calibration_error_unsure"] == pytest.approx(sum(gaps[1:5]) / 4)


def test_probabilities_that_are_true_have_no_calibration_error():
    rng = np.random.default_rng(0)
    chance = rng.integers(0, 256, (400, 400)).astype(np.uint8)
    honest = (rng.random(chance.shape) < chance / 255).astype(np.uint8)
    assert reliability([chance], [honest])["expected_calibration_error"] < 0.01
    boastful = (chance > 127).astype(np.uint8)
    assert reliability([chance], [boastful])["expected_calibration_error"] > 0.2


def fields(rng, n=1):
    """Domains at random places of which the network misses 20 %, one by one."""
    truths, founds = [], []
    for _ in range(n):
        label, found = blank((256, 256)), blank((256, 256))
        for _ in range(120):
            y, x = rng.integers(0, 256, 2)
            disc(label, y, x, 5, 1)
            if rng.random() > 0.2:
                disc(found, y, x, 5, 1)
        truths.append(label > 0)
        founds.append(found > 0)
    return founds, truths


def overlap(founds, truths):
    areas = sum(f.sum() + t.sum() for f, t in zip(founds, truths, strict=True))
    return 2 * sum((f & t).sum() for f, t in zip(founds, truths, strict=True)) / areas


def interval(founds, truths, groups=None, of=dice_interval):
    return of(Counts.of(founds, truths, groups or [0] * len(founds), 11))


def test_interval_of_one_slice_covers_the_dice_of_the_material_and_is_repeatable():
    rng = np.random.default_rng(1)
    expected = overlap(*fields(rng, 60))
    hits = 0
    for _ in range(60):
        founds, truths = fields(rng)
        told = interval(founds, truths)
        assert told["n_tiles"] > 50
        assert told["low"] < overlap(founds, truths) < told["high"]
        hits += told["low"] <= expected <= told["high"]
    assert hits >= 52  # 57 expected of 60; fewer than 52 would happen once in 60
    assert interval(founds, truths) == interval(founds, truths)
    assert Counts.of(founds, truths, [0], 0).group.size == told["n_tiles"], "tiles are never smaller than 32 voxels"


def test_mutant_that_counts_voxels_is_far_too_sure(monkeypatch):
    founds, truths = fields(np.random.default_rng(2))
    told = interval(founds, truths)
    monkeypatch.setattr(intervals, "_TILES", (256, 256))
    voxels = interval(founds, truths)
    assert voxels["n_tiles"] > 1000
    assert voxels["high"] - voxels["low"] < 0.5 * (told["high"] - told["low"])


def unlike_slices(rng, n=3):
    """Tiles (slices, 40) of slices that differ from each other: in some, more is missed or found too wide."""
    missed = np.clip(rng.normal(0.15, 0.04, (n, 1)), 0.01, 0.6)
    wide = np.exp(rng.normal(0, 0.05, (n, 1)) + rng.normal(0, 0.1, (n, 40)))
    labelled = rng.integers(50, 150, (n, 40)).astype(float)
    both = labelled * (1 - missed) * rng.uniform(0.8, 1.0, (n, 40))
    group = np.repeat(np.arange(n), 40)
    return Counts(both.ravel(), np.maximum(labelled * wide, both).ravel(), labelled.ravel(), group)


def coverage(rng, change, n=400):
    """Return how often intervals hold what many slices have: of the Dice, and of found over labelled area."""
    many = unlike_slices(rng, 4000)
    dice = 2 * many.both.sum() / (many.found.sum() + many.labelled.sum())
    area = many.found.sum() / many.labelled.sum()
    hits = np.zeros(2)
    for _ in range(n):
        counts = change(unlike_slices(rng))
        told = dice_interval(counts), area_interval(counts)
        hits += [one["low"] <= truth <= one["high"] for one, truth in zip(told, (dice, area), strict=True)]
    return hits / n


def test_intervals_of_three_slices_that_differ_hold_for_other_slices():
    # 95 % with as many groups as one likes; three give about 92 %, and 400 trials tell it to 1.5 %.
    assert (coverage(np.random.default_rng(3), lambda counts: counts) > 0.88).all()


def test_mutant_without_variance_between_slices_is_far_too_sure(monkeypatch):
    monkeypatch.setattr(intervals, "USUAL", 1.0)
    monkeypatch.setattr(intervals, "USUAL_DEGREES", 1e6)
    one_group = coverage(np.random.default_rng(3), lambda c: Counts(c.both, c.found, c.labelled, 0 * c.group))
    assert (one_group < 0.6).all()


def test_fewer_groups_have_wider_intervals_and_even_one_leaves_room_for_other_slices():
    rng = np.random.default_rng(4)
    widths = {}
    for n in (1, 2, 6):
        told = [dice_interval(unlike_slices(rng, n)) for _ in range(40)]
        assert {one["n_groups"] for one in told} == {n}
        widths[n] = np.median([one["high"] - one["low"] for one in told])
    assert 0.5 > widths[2] > 1.2 * widths[6]
    one = unlike_slices(rng, 1)
    told = dice_interval(one)
    residual = 2 * one.both - told_ratio(one) * (one.found + one.labelled)
    within = 2 * 1.96 * math.sqrt((residual**2).sum()) / (one.found + one.labelled).sum()
    assert told["high"] - told["low"] > 1.5 * within, "the mutant: tiles of the slice alone"


def told_ratio(counts):
    return 2 * counts.both.sum() / (counts.found + counts.labelled).sum()


def test_groups_that_happen_to_be_alike_are_at_least_as_unsure_as_their_tiles(monkeypatch):
    """Slices whose residuals cancel have no variance between them; their tiles do."""
    monkeypatch.setattr(intervals, "USUAL", 0.01)
    top, bottom = np.tile([90.0, 60.0, 80.0, 95.0], 2), np.full(8, 100.0)
    told = ratio_interval(top, bottom, np.repeat([0, 1], 4), "log")
    residual = top - 0.8125 * bottom
    quantile = stats.t.ppf(0.975, intervals.USUAL_DEGREES + 1)
    half = quantile * math.sqrt(8 / 7 * (residual**2).sum()) / 800 / 0.8125
    assert (told["low"], told["high"]) == pytest.approx((0.8125 * math.exp(-half), 0.8125 * math.exp(half)), rel=1e-3)


def test_few_tiles_give_no_interval():
    label = blank()
    label[10:14, 10:14] = 1
    assert interval([label > 0], [label > 0]) is None


def test_the_largest_object_of_each_slice_has_its_share():
    one, other = blank(), blank()
    one[2:12, 2:12] = 1
    one[20:30, 20:25] = 1
    other[2:7, 2:7] = 1
    labels = [one, other]
    told = score_slices([label * 255 for label in labels], labels, 0.5, CUBE)
    assert told["largest_share"] == pytest.approx((100 + 25) / (150 + 25))
