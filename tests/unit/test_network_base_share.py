"""How far a fine-tuned network goes from its base."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from segment_scan import build

from benchmarks import card_coverage
from tomoprofile.config import UNetConfig
from tomoprofile.labels.classes import IGNORE, Classes
from tomoprofile.labels.folds import Part
from tomoprofile.labels.training_set import (
    LabelledSlice,
    TrainingSet,
    collect_labels,
    read_training_set,
    write_training_set,
)
from tomoprofile.network.base_share import Ways, choose_share, ways_from
from tomoprofile.network.bundle import load_network
from tomoprofile.network.crops import CropSampler
from tomoprofile.network.facts import read_facts
from tomoprofile.network.fine_tune import fine_tune, first_network
from tomoprofile.network.folds import PLAIN, Judged
from tomoprofile.network.initial import HALF, QUARTER, WHOLE, stays_near
from tomoprofile.network.scale import scaled
from tomoprofile.network.slices import SlicePredictor
from tomoprofile.network.trainer import Trainer

ONE = Classes.of(UNetConfig())
SEVERAL = {"background": 0, "domain": 1, "void": 2}
PARTS = [Part(0, (slice(0, 16), slice(None))), Part(0, (slice(16, 32), slice(None))), Part(1, (slice(None),) * 2)]
QUICK = UNetConfig(steps=4, crop=64, window=96, batch=2, input_scale=1)


def labelled(rng):
    masks = [(rng.random((32, 48)) < 0.3).astype(np.uint8) for _ in range(2)]
    return [LabelledSlice("scan", z, z, np.zeros((3, 32, 48), np.float32), mask) for z, mask in enumerate(masks)]


def judged(slices, wrong, rng):
    """Judge parts with a share of wrong voxels each, on both sides alike so that the border stays."""
    logits = [np.where(item.label[None] == 1, 4.0, -4.0).astype(np.float32) for item in slices]
    for one, share in zip(PARTS, wrong, strict=True):
        part = logits[one.index][0, *one.place]
        part[rng.random(part.shape) < share] *= -1
    return Judged("slices", 3, 1, slices, logits, PARTS)


@pytest.mark.parametrize(
    ("half", "whole", "share"),
    [
        ((0.2, 0.2, 0.2), (0.05, 0.06, 0.05), WHOLE),
        ((0.05, 0.06, 0.05), (0.2, 0.2, 0.2), HALF),
        # Better on average, but three parts cannot tell: the mutant that compares means goes all the way.
        ((0.1, 0.1, 0.1), (0.0, 0.2, 0.08), HALF),
        # By less than two standard errors: so does the mutant that asks for one.
        ((0.1, 0.1, 0.1), (0.02, 0.12, 0.06), HALF),
    ],
)
def test_labels_that_did_not_train_decide(half, whole, share):
    rng = np.random.default_rng(0)
    slices = labelled(rng)
    both = {HALF: judged(slices, half, rng), WHOLE: judged(slices, whole, rng)}
    assert choose_share(both, ONE) == share


def test_without_a_judge_it_stays_half_way_and_without_a_base_there_is_one_way():
    rng = np.random.default_rng(0)
    slices = labelled(rng)
    nothing = [np.full((1, 32, 48), np.nan, np.float32)] * 2
    assert choose_share({share: Judged("none", 0, 0, slices, nothing) for share in (HALF, WHOLE)}, ONE) == HALF
    assert choose_share({WHOLE: Judged("none", 0, 0, slices, nothing)}, ONE) == WHOLE


def test_only_a_base_that_has_all_layers_is_a_place_to_stay_near():
    assert not stays_near(UNetConfig(base="imagenet"))
    assert not stays_near(UNetConfig(base="none"))
    assert stays_near(UNetConfig())
    assert stays_near(UNetConfig(classes={"background": 0, "fibre": 1}, measure=["fibre"]))
    # Half of a last layer that began from nothing would not find voids: the Dice was .40 lower.
    assert not stays_near(UNetConfig(classes=SEVERAL, measure=["domain", "void"]))


def test_half_way_is_the_mean_of_all_weights_and_running_statistics(tmp_path):
    network = torch.nn.Module.to(first_network(QUICK, 1), "cpu")
    before = copy.deepcopy(network.state_dict())
    rng = np.random.default_rng(0)

    class Noise:
        def draw(self, _step):
            return rng.normal(size=(2, 3, 64, 64)).astype(np.float32), rng.integers(0, 2, (2, 64, 64)).astype(np.uint8)

    trainer = Trainer(network, QUICK, Noise(), [], tmp_path / "c.pt", "x")
    after = trainer.run().state_dict()
    half = trainer.result(HALF).state_dict()
    moved = 0
    for name, value in half.items():
        if value.is_floating_point() and name != "ranges":
            assert torch.allclose(value, (before[name] + after[name]) / 2, atol=1e-6), name
            moved += not torch.equal(before[name], after[name])
    assert any("running_mean" in name and not torch.equal(half[name], after[name]) for name in half)
    assert moved > 100
    assert not torch.equal(half["ranges"], after["ranges"]), "ranges are those of the network that is used"


def test_a_bundle_holds_the_network_that_was_chosen_and_says_so(tmp_path):
    scan = build(tmp_path)
    collect_labels([scan.label("labels", (24,))], QUICK, tmp_path / "t.npz")
    fine_tune(tmp_path / "t.npz", QUICK, 1, tmp_path / "model", threads=1)
    share = read_facts(tmp_path / "model").base_share
    assert share in (HALF, WHOLE)
    training = read_training_set(tmp_path / "t.npz")
    config = scaled(QUICK, training)
    sampler = CropSampler(training, config, 1)
    trainer = Trainer(first_network(config, 1), config, sampler, training.slices, tmp_path / "c.pt", "x")
    trainer.run()
    wanted, kept = trainer.result(share).state_dict(), load_network(tmp_path / "model").state_dict()
    other = trainer.result(HALF if share == WHOLE else WHOLE).state_dict()
    name = next(name for name in wanted if name.endswith("weight"))
    assert torch.allclose(kept[name], wanted[name], atol=1e-6)
    assert not torch.allclose(kept[name], other[name], atol=1e-6)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Three labels that are what the base finds at another level than its own."""
    scan = build(tmp_path_factory.mktemp("known"))
    training = read_training_set(scan.training_set(QUICK))
    predictor = SlicePredictor(first_network(QUICK, 1), QUICK.window, PLAIN)
    found = [(predictor.logit(item.image)[0] > 3).astype(np.uint8) for item in training.slices]
    assert all(mask.any() for mask in found)
    return with_labels(training, found)


def with_labels(training, labels):
    pairs = zip(training.slices, labels, strict=True)
    return dataclasses.replace(training, slices=[dataclasses.replace(item, label=label) for item, label in pairs])


def ways(training, config=QUICK, kind="slices", after=lambda _: first_network(QUICK, 1)):
    return ways_from(lambda: first_network(config, 1), after, kind, training, config)


def moved(mask, by=3):
    return np.roll(mask, by, axis=1)


def test_labels_that_the_base_reproduces_stop_half_of_the_way(known):
    labels = [item.label for item in known.slices]
    # The mutant that judges the base at its own level goes all the way.
    assert ways(known).shares == (HALF,)
    assert ways(with_labels(known, [moved(mask) for mask in labels])).shares == (WHOLE,)


def test_what_is_ignored_does_not_judge_the_base(known):
    labels = [item.label for item in known.slices]
    unknown = [np.where(moved(mask) == mask, mask, IGNORE).astype(np.uint8) for mask in labels]
    assert ways(with_labels(known, unknown)).shares == (HALF,)


def test_what_the_base_finds_in_a_blank_label_speaks_against_it(known):
    labels = [item.label for item in known.slices]
    assert ways(with_labels(known, [labels[0], np.zeros_like(labels[1]), labels[2]])).shares == (WHOLE,)


def test_labels_without_a_domain_take_it_all_the_way(known):
    assert ways(with_labels(known, [np.zeros_like(item.label) for item in known.slices])).shares == (WHOLE,)


def test_one_group_of_labels_leaves_the_choice_to_its_parts(known):
    assert ways(known, kind="tiles") == ways(known, kind="none") == Ways((HALF, WHOLE))
    assert ways(known, kind="blocks") == Ways((HALF,))


def test_without_a_base_of_domains_there_is_nothing_to_stay_near(known):
    assert ways(known, QUICK.model_copy(update={"base": "imagenet"})) == Ways((WHOLE,))


# What voxels of drawn slices are, by value: domains as those in the labels, others that only slices without a label
# show, domains that the base misses, and specks that it takes for domains.
SMALL, LARGE, MISSED, SPECK = 1, 2, 3, 4


def drawn(**counts):
    """Draw a slice (3, 64, 64) with so many voxels of each kind."""
    flat = np.zeros(64 * 64, np.float32)
    kinds = np.repeat([globals()[name] for name in counts], list(counts.values()))
    flat[7 : 7 + 2 * len(kinds) : 2] = kinds
    return np.stack([flat.reshape(64, 64)] * 3)


class Rule:
    """A network by rule: the logit of each kind of voxel, -6 of those that are not named."""

    reduction = 32

    def __init__(self, **logits):
        self.by_kind = {globals()[name]: value for name, value in logits.items()}

    def logit(self, image):
        found = np.full(image[1].shape, -6, np.float32)
        for kind, value in self.by_kind.items():
            found[image[1] == kind] = value
        return found[None]


BASE = Rule(SMALL=4, LARGE=4, SPECK=4)
LEARNED, FORGETFUL = Rule(SMALL=4, LARGE=4, MISSED=4), Rule(SMALL=4, MISSED=4)
LABELS = {"SMALL": 300, "MISSED": 40, "SPECK": 12}


@pytest.fixture
def by_rule(monkeypatch):
    """Return the ways of networks that follow rules, with forgetting from a share of the way on."""
    monkeypatch.setattr("tomoprofile.network.base_share.SlicePredictor", lambda network, *_: network)

    def ways_of(
        until, labels=LABELS, elsewhere=({"SMALL": 200, "LARGE": 100},), base=BASE, after=FORGETFUL, kind="slices"
    ):
        image = drawn(**labels)
        mask = np.isin(image[1], [SMALL, MISSED]).astype(np.uint8)
        slices = [LabelledSlice("scan", z, z, image, mask) for z in range(2)]
        training = TrainingSet(slices, {}, (1.0,) * 3, {}, {}, [drawn(**one) for one in elsewhere])
        return ways_from(lambda: base, lambda share: after if share > until else LEARNED, kind, training, UNetConfig())

    return ways_of


@pytest.mark.parametrize(("until", "share"), [(WHOLE, WHOLE), (HALF, HALF), (QUARTER, QUARTER), (0, QUARTER)])
def test_a_network_goes_no_farther_than_it_keeps_what_the_base_is_sure_of(by_rule, until, share):
    found = by_rule(until)
    assert found.shares == (share,)
    assert found.forgotten == pytest.approx(0.0 if share == WHOLE else 1 / 3 - 12 / 312, abs=0.05)


@pytest.mark.parametrize(("until", "shares"), [(WHOLE, (HALF, WHOLE)), (HALF, (HALF,)), (QUARTER, (QUARTER,))])
def test_parts_of_one_group_choose_among_what_keeps_it(by_rule, until, shares):
    assert by_rule(until, kind="tiles").shares == shares


def test_labels_that_the_base_reproduces_leave_the_limit_as_it_is(by_rule):
    labels = {"SMALL": 300, "SPECK": 3}
    assert by_rule(WHOLE, labels=labels).shares == by_rule(HALF, labels=labels).shares == (HALF,)
    assert by_rule(QUARTER, labels=labels).shares == (QUARTER,)


def test_what_the_labels_take_from_the_base_is_not_forgotten(by_rule):
    """The mutant that does not look at the labels stops half of the way: .08 of all that the base finds is lost."""
    assert by_rule(HALF, elsewhere=[{"SMALL": 276, "SPECK": 24}]).shares == (WHOLE,)


def test_a_base_that_is_often_wrong_in_the_labels_has_no_say(by_rule):
    assert by_rule(HALF, labels=LABELS | {"SPECK": 100}).shares == (WHOLE,)


def test_a_base_that_is_sure_of_little_has_no_say(by_rule):
    """One voxel in ten of the labels is found surely, and with the others as many that are none."""
    base = Rule(MISSED=6, LARGE=6, SMALL=1, SPECK=1)
    assert by_rule(HALF, labels={"SMALL": 360, "MISSED": 40, "SPECK": 300}, base=base).shares == (WHOLE,)


def test_without_slices_without_a_label_nothing_is_known_to_be_forgotten(by_rule):
    assert by_rule(0, elsewhere=()) == by_rule(0, elsewhere=[{}]) == Ways((WHOLE,))


def test_labels_of_small_domains_do_not_cost_the_large_ones(tmp_path):
    """Three slices of which none shows a large domain: the way to its end finds less than half of all voxels."""
    record = card_coverage.measured("A", 28, tmp_path)
    facts = read_facts(tmp_path / "model")
    assert facts.forgotten > 0.2
    assert facts.base_share == HALF
    assert record["true"]["dice"] > 0.95
    assert "Label slices that show what the labelled ones do not" in (tmp_path / "model/docs/README.md").read_text()


@pytest.mark.parametrize(("change", "share"), [(lambda mask: mask, HALF), (moved, WHOLE)])
def test_a_model_of_several_labels_goes_as_far_as_the_base_leaves_to_learn(tmp_path, known, change, share):
    write_training_set(with_labels(known, [change(item.label) for item in known.slices]), tmp_path / "t.npz")
    fine_tune(tmp_path / "t.npz", QUICK, 1, tmp_path / "model", threads=1)
    assert read_facts(tmp_path / "model").base_share == share
