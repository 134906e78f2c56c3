"""Two measured classes, from labels to stores: domains and voids of a simulated scan, in one pass of one network."""

import numpy as np
import pytest
import tifffile
import torch
from scipy import special
from segment_scan import build, dice

from tomoprofile.config import PredictConfig, UNetConfig
from tomoprofile.errors import StoreError
from tomoprofile.labels.training_set import collect_labels, read_training_set
from tomoprofile.network.bundle import load_network
from tomoprofile.network.calibration import calibrate, likely_slope, outline_border
from tomoprofile.network.crops import CropSampler
from tomoprofile.network.facts import read_facts
from tomoprofile.network.fine_tune import fine_tune, initial_network
from tomoprofile.network.folds import Judged
from tomoprofile.network.slices import FLIPS, SlicePredictor
from tomoprofile.network.trainer import Trainer
from tomoprofile.segment.familiarity import SliceModel
from tomoprofile.segment.kinds import segmenter_at
from tomoprofile.shift.alarm import doubt_of
from tomoprofile.shift.appearance import Appearance
from tomoprofile.volume.grey import normalise
from tomoprofile.volume.store import open_store

VOID, DOMAIN = 2, 1
NAMES = ("void", "domain")
QUICK = UNetConfig(
    classes={"background": 0, "domain": DOMAIN, "void": VOID},
    measure=NAMES,
    steps=60,
    crop=64,
    decoder_channels=(64, 32, 16, 16),
    window=96,
)
UNSEEN = slice(28, 36)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return build(tmp_path_factory.mktemp("scan"), kind="B", void_ratio=0.02)


def classes_of(scan):
    return np.where(scan.phantom.labels < 3, scan.phantom.labels, 0).astype(np.uint8)


def labelled(scan, name, slices, change=lambda mask, _: mask):
    """Write true masks of both classes; returns the labelled scan."""
    found = scan.label(name, ())
    for z in slices:
        tifffile.imwrite(found.labels / f"x_z{z:05d}.tif", change(classes_of(scan)[z], z))
    return found


@pytest.fixture(scope="module")
def training_set(scan):
    path = scan.folder / "training.npz"
    collect_labels([labelled(scan, "labels", (8, 24, 40))], QUICK, path)
    return path


@pytest.fixture(scope="module")
def bundle(scan, training_set):
    out = scan.folder / "models" / "both"
    fine_tune(training_set, QUICK, 1, out, threads=2)
    return out


def stack(scan, z):
    looks = Appearance.load(scan.appearance)
    return normalise(scan.phantom.grey[z - 1 : z + 2], looks.centre, looks.spread)


def logits_of_all(bundle, image):
    """Return the logit of each class of the labels, as the network gives it in windows."""
    predictor = SlicePredictor(load_network(bundle), QUICK.window)
    return predictor._blended(predictor._sent(image))[0].numpy()


def against_others(logits, index):
    return logits[index] - special.logsumexp(np.delete(logits, index, 0), axis=0)


def segmented(scan, bundle, name, **settings):
    out = scan.empty(name, classes=NAMES)
    scan.predict(bundle, out, model=QUICK, **settings)
    return {channel: open_store(out, channel).read(0, 48) for channel in NAMES}


@pytest.fixture(scope="module")
def probability(scan, bundle):
    return segmented(scan, bundle, "both.ome.zarr")


def test_both_classes_are_found_in_slices_never_seen(scan, bundle, probability):
    levels = segmenter_at(bundle).levels()
    assert tuple(levels) == segmenter_at(bundle).classes == NAMES
    for name, index in zip(NAMES, (VOID, DOMAIN), strict=True):
        found = probability[name][UNSEEN] >= levels[name] * 255
        assert dice(found, classes_of(scan)[UNSEEN] == index) > 0.6, name
        other = classes_of(scan)[UNSEEN] == (VOID + DOMAIN - index)
        assert dice(found, other) < 0.2, "the mutant: channels that were exchanged"


def test_each_channel_is_the_calibrated_logit_against_all_others(scan, bundle, probability):
    logits = logits_of_all(bundle, stack(scan, 32))
    facts = read_facts(bundle)
    assert facts.network.measured == (VOID, DOMAIN)
    for name, index in zip(NAMES, (VOID, DOMAIN), strict=True):
        fit = facts.measured[name].calibration
        wanted = special.expit(fit.slope * against_others(logits, index) + fit.offset)
        assert np.abs(probability[name][32] / 255.0 - wanted).max() < 0.02
        plain = special.softmax(logits, axis=0)[index]
        assert np.abs(special.expit(against_others(logits, index)) - plain).max() < 1e-5
    assert probability["void"][32].astype(int).max() > 128


def test_each_class_has_its_own_calibration_and_level(training_set, bundle):
    slices = read_training_set(training_set).slices
    network = load_network(bundle)
    predictor = SlicePredictor(network, QUICK.window)
    judged = Judged("slices", 3, 1, slices, [predictor.logit(item.image) for item in slices])
    found = calibrate(network, judged, QUICK)
    logits = [logits_of_all(bundle, item.image) for item in slices]
    for name, index in zip(NAMES, (VOID, DOMAIN), strict=True):
        of_class = [against_others(part, index) for part in logits]
        border, _ = outline_border(of_class, slices, index)
        slope = likely_slope(of_class, slices, index, border)
        fit = found[name].measured.calibration
        assert (fit.slope, fit.offset) == pytest.approx((slope, -slope * border), abs=0.02)
    fits = {one.measured.calibration for one in found.values()}
    assert len(fits) == 2
    assert network.calibration == tuple(
        (fit.slope, fit.offset) for fit in (found[n].measured.calibration for n in NAMES)
    )


def test_flips_give_each_class_its_mean_and_spread(scan, bundle):
    out, spread = (scan.empty(name, classes=NAMES) for name in ("mean.ome.zarr", "spread.ome.zarr"))
    settings = PredictConfig(precision="float32", engine="torch")
    scan.predict(bundle, out, 32, 40, QUICK, uncertainty=spread, settings=settings)
    predictor = SlicePredictor(load_network(bundle), QUICK.window, settings)
    image, views = torch.from_numpy(stack(scan, 33))[None], []
    for axes in FLIPS:
        (view,) = predictor.network.measured(predictor._blended(image.flip(axes) if axes else image))
        views.append((view.flip(axes) if axes else view).numpy())
    for channel, name in enumerate(NAMES):
        several = np.stack([view[channel] for view in views])
        wanted = np.rint(several.mean(0) * 255), np.rint(several.std(0) * 2 * 255)
        for path, values in zip((out, spread), wanted, strict=True):
            assert np.abs(open_store(path, name).read(33, 34)[0] - values).max() <= 1


def test_the_doubt_is_that_of_all_measured_classes(scan, bundle, training_set):
    training = read_training_set(training_set)
    model, looks = SliceModel(bundle), Appearance.load(scan.appearance)
    both = model.probability(open_store(scan.volume), looks, 32)
    assert both.shape == (2, *classes_of(scan).shape[1:])
    predictor = SlicePredictor(load_network(bundle), QUICK.window)
    shown = [predictor.probability(image) for image in training.unlabelled]
    assert len(shown) == 2
    assert model.seen.doubt == pytest.approx(doubt_of(shown), rel=0.03)
    voids = doubt_of([part[:1] for part in shown])
    assert abs(voids - doubt_of(shown)) > 0.03 * model.seen.doubt, "the mutant: voids alone"


@pytest.mark.parametrize("values", [None, {"background": 1, "domain": 300, "void": 255}])
def test_a_mask_to_correct_has_the_values_of_label_files(scan, bundle, tmp_path, values):
    looks = Appearance.load(scan.appearance)
    _, mask = SliceModel(bundle, values).export(open_store(scan.volume), looks, 32, tmp_path, "x")
    proposed = tifffile.imread(mask)
    assert proposed.dtype == (np.uint16 if values else np.uint8)
    value_of = values or {"background": 0, "domain": DOMAIN, "void": VOID}
    assert set(np.unique(proposed)) == set(value_of.values())
    for name, index in (("domain", DOMAIN), ("void", VOID)):
        assert dice(proposed == value_of[name], classes_of(scan)[32] == index) > 0.5


def test_a_store_of_other_classes_is_refused(scan, bundle):
    out = scan.empty("other.ome.zarr", classes=("domain",))
    with pytest.raises(StoreError, match=r"only domain \(got class void\).*run the same command again"):
        scan.predict(bundle, out, model=QUICK)


def test_a_class_that_one_slice_alone_shows_is_uncalibrated_for_itself_alone(scan, tmp_path):
    """The fold that leaves that slice out learns nothing of the class, so nobody can judge it."""

    def without_voids(mask, z):
        return mask if z == 8 else np.where(mask == VOID, 0, mask).astype(np.uint8)

    collect_labels([labelled(scan, "few", (8, 24, 40), without_voids)], QUICK, tmp_path / "t.npz")
    fine_tune(tmp_path / "t.npz", QUICK.model_copy(update={"steps": 2}), 1, tmp_path / "m", threads=2)
    facts = read_facts(tmp_path / "m")
    assert facts.labels.training == ("x z00008", "x z00024", "x z00040")
    measured = facts.measured
    assert not measured["void"].calibrated
    assert measured["void"].level == 0.5
    assert measured["domain"].calibrated
    assert measured["domain"].held_out is not None
    text = (tmp_path / "m/docs/README.md").read_text()
    assert "`void`: Decision level: 0.500 (not calibrated)" in text
    assert "`void`: No label could judge" in text
    assert (tmp_path / "m/docs/held_out_domain_1.png").exists()


class Fixed(Trainer):
    """A trainer whose network finds what it is told to."""

    found: np.ndarray

    def probability(self, *_):
        return self.found


@pytest.fixture
def looking(training_set, tmp_path):
    training = read_training_set(training_set)
    sampler = CropSampler(training, QUICK, 1)
    trainer = Fixed(initial_network(QUICK), QUICK, sampler, training.slices[-1:], tmp_path / "c.pt", "x")
    ((_, label),) = trainer.looked_at
    return trainer, label


def test_a_look_is_the_mean_over_the_measured_classes(looking):
    trainer, label = looking
    perfect = np.stack([label == VOID, label == DOMAIN]).astype(np.float32)
    trainer.found = perfect
    assert trainer.dice() == pytest.approx(1, abs=1e-3)
    trainer.found = perfect * np.array([0, 1], np.float32)[:, None, None]
    voids = (label == VOID).sum()
    assert trainer.dice() == pytest.approx((1 + 1 / (1 + voids)) / 2)
    both, area = 2 * (label == DOMAIN).sum(), 2 * (label == DOMAIN).sum() + voids
    assert both / area > 0.6, "the mutant, which counts voxels of all classes together, hardly sees that voids are lost"


def test_a_look_leaves_out_a_class_that_nothing_shows(looking):
    trainer, label = looking
    label[label == VOID] = 0
    trainer.found = np.stack([np.full(label.shape, 0.1), label == DOMAIN]).astype(np.float32)
    assert trainer.dice() == pytest.approx(1, abs=1e-3)
    label[label == DOMAIN] = 0
    assert trainer.dice() < 0.01, "nothing is labelled, but something is found"
