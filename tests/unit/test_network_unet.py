import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from monai.bundle import ConfigParser
from scipy import ndimage, special
from segment_scan import build, dice, level_of

from tomoprofile.config import UNetConfig
from tomoprofile.errors import InputError
from tomoprofile.labels.training_set import collect_labels, read_training_set
from tomoprofile.network import calibration as calibrating
from tomoprofile.network import encoder
from tomoprofile.network import folds as folding
from tomoprofile.network import trainer as train
from tomoprofile.network.bundle import load_network
from tomoprofile.network.calibration import calibrate
from tomoprofile.network.crops import CropSampler
from tomoprofile.network.encoder import EfficientNetLite
from tomoprofile.network.facts import read_facts
from tomoprofile.network.fine_tune import fine_tune
from tomoprofile.network.folds import Judged
from tomoprofile.network.losses import masked_loss
from tomoprofile.network.slices import SlicePredictor
from tomoprofile.network.unet import SliceNetwork
from tomoprofile.report.segmentation import read_segmentation
from tomoprofile.report.weak import weak_flags
from tomoprofile.segment.kinds import segmenter_at
from tomoprofile.segment.segmenter import Slab
from tomoprofile.volume.store import create_store, open_store

QUICK = UNetConfig(steps=20, crop=64, window=96)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return build(tmp_path_factory.mktemp("scan"))


@pytest.fixture(scope="module")
def training_set(scan):
    return scan.training_set(QUICK)


@pytest.fixture(scope="module")
def bundle(scan, training_set):
    out = scan.folder / "models" / "quick"
    fine_tune(training_set, QUICK, 1, out, threads=2)
    return out


def segmented(scan, bundle, name, slab, config=QUICK):
    out = scan.empty(name)
    for start in range(0, 48, slab):
        scan.predict(bundle, out, start, start + slab, config)
    return open_store(out, "domain").read(0, 48)


def test_the_encoder_starts_from_imagenet_and_spreads_over_any_number_of_slices():
    name = "efficientnet-lite0"
    ours, scratch = (EfficientNetLite(name, 3, pretrained).stem[0].weight for pretrained in (True, False))
    assert ours.std() > 1.5 * scratch.std()
    assert not torch.allclose(ours, scratch)
    wide = EfficientNetLite(name, 5, True)
    assert wide.stem[0].weight.shape[1] == 5
    assert torch.allclose(wide.stem[0].weight.sum(1), ours.sum(1), atol=1e-5)
    features = wide(torch.zeros(1, 5, 64, 96))
    assert [tuple(feature.shape[2:]) for feature in features] == [(64, 96), (32, 48), (16, 24), (8, 12), (4, 6)]


def test_the_first_convolution_is_that_of_the_enlarged_image():
    """Within the border of one voxel, where what lies beyond the slice is nothing in one and its edge in the other."""
    name = "efficientnet-lite0"
    package = EfficientNet.from_name(name)
    package.load_state_dict(torch.load(encoder._weights(name), weights_only=True))
    image = torch.randn(1, 3, 48, 64)
    enlarged = torch.nn.functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
    with torch.no_grad():
        wanted = package._conv_stem(enlarged)[..., 1:-1, 1:-1]
        found = EfficientNetLite(name, 3, True).stem[0](image)[..., 1:-1, 1:-1]
        # The mutant: the packaged convolution as it is, on the image as it is.
        other = torch.nn.functional.conv2d(image, package._conv_stem.weight, padding=1)[..., 1:-1, 1:-1]
    assert torch.allclose(found, wanted, atol=1e-4)
    assert not torch.allclose(other, wanted, atol=1)


def test_nothing_is_computed_above_the_resolution_of_the_slice():
    network = SliceNetwork(3, 2, "efficientnet-lite0", (32, 16, 16, 16)).eval()
    sides = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _, given, found: sides.extend((given[0].shape[-1], found.shape[-1])))
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    assert max(sides) == 64
    sides.clear()
    network.input_scale = 4  # the mutant
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    assert max(sides) == 128


def test_one_set_of_weights_serves_all_scales():
    """And at any of them the network sees the same where the image is scaled to match."""
    network = SliceNetwork(3, 2, "efficientnet-lite0", (32, 16, 16, 16)).eval()
    halved = SliceNetwork(3, 1, "efficientnet-lite0", (32, 16, 16, 16)).eval()
    halved.load_state_dict(network.state_dict(), strict=True)
    image = torch.randn(1, 3, 64, 96)
    wide = image.repeat_interleave(2, -1).repeat_interleave(2, -2)
    with torch.no_grad():
        means = torch.nn.functional.avg_pool2d(halved(wide), 2)
        assert torch.allclose(means[..., 1:-1, 1:-1], blurred(network(image))[..., 1:-1, 1:-1], atol=1e-4)
    assert (network.reduction, halved.reduction) == (16, 32)


def blurred(logits):
    """Return what enlarging between pixels and averaging back makes of logits."""
    return torch.nn.functional.avg_pool2d(torch.nn.functional.interpolate(logits, scale_factor=2, mode="bilinear"), 2)


def test_batch_norm_follows_quickly_everywhere():
    network = SliceNetwork(3, 2, "efficientnet-lite0", (64, 32, 16, 16), pretrained=True)
    momenta = {layer.momentum for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)}
    assert momenta == {0.1}


@pytest.mark.parametrize("scale", [0.5, 1, 2, 4])
def test_logits_have_the_size_of_the_slice(scale):
    network = SliceNetwork(3, scale, "efficientnet-lite0", (32, 16, 16, 16)).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 64, 128)).shape == (2, 1, 64, 128)


def test_ignored_voxels_do_not_matter_and_others_do():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 1, 8, 8, generator=rng)
    label = (torch.rand(1, 8, 8, generator=rng) > 0.5).to(torch.uint8)
    label[0, :4] = 255
    changed = logits.clone()
    changed[0, 0, :4] += 5
    assert masked_loss(logits, label) == masked_loss(changed, label)
    changed[0, 0, 4:] += 5
    assert masked_loss(logits, label) != masked_loss(changed, label)


def test_few_steps_on_two_slices_find_domains_in_slices_never_seen(scan, bundle):
    probability = segmented(scan, bundle, "trained.ome.zarr", 8)
    level = level_of(bundle)
    unseen = slice(28, 36)
    found = probability[unseen] >= level * 255
    assert dice(found, scan.truth[unseen]) > 0.8


def test_a_network_that_was_hardly_trained_does_not(scan, training_set):
    """The mutant of the test above."""
    out = scan.folder / "models" / "untrained"
    fine_tune(training_set, QUICK.model_copy(update={"steps": 1, "base": "imagenet"}), 1, out, threads=2)
    probability = segmented(scan, out, "untrained.ome.zarr", 8)
    assert dice(probability[28:36] >= 128, scan.truth[28:36]) < 0.4


def test_the_same_bytes_whatever_the_slabs(scan, bundle):
    assert (segmented(scan, bundle, "by8.ome.zarr", 8) == segmented(scan, bundle, "by24.ome.zarr", 24)).all()


def test_windows_blend_without_seams(scan, bundle):
    """Small windows change little; without overlap and weights the borders of windows would show."""
    small = segmented(scan, bundle, "small.ome.zarr", 48, QUICK.model_copy(update={"window": 64}))
    large = segmented(scan, bundle, "large.ome.zarr", 48, QUICK.model_copy(update={"window": 128}))
    level = level_of(bundle) * 255
    assert ((small >= level) != (large >= level)).mean() < 0.01


def shifted(bundle, by):
    """Return the trained network, too sure or too shy: the last layer's bias moved."""
    network = load_network(bundle)
    last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        last.bias += by
    return network


def judged_by(network, training):
    """Return what a network finds in all labelled slices, as if it were that of every fold."""
    predictor = SlicePredictor(network, QUICK.window)
    logits = [predictor.logit(item.image) for item in training.slices]
    return Judged("slices", 3, 1, training.slices, logits)


def area_ratio(found, level):
    """Return found over labelled area of what was judged."""
    area = sum(int((part >= level * 255).sum()) for part in found.probability)
    return area / sum(int((item.label == 1).sum()) for item in found.slices)


@pytest.mark.parametrize("shift", [-3.5, 3.5])
def test_the_level_gives_labels_their_area(training_set, bundle, shift, monkeypatch):
    network = shifted(bundle, shift)
    judged = judged_by(network, read_training_set(training_set))
    found = calibrate(network, judged, QUICK)["domain"]
    assert found.measured.calibrated
    assert area_ratio(found, found.measured.level) == pytest.approx(1, abs=0.02)
    # The mutant: a probability and a level that were not fitted.
    monkeypatch.setattr(calibrating, "outline_border", lambda *_: (0.0, False))
    assert abs(area_ratio(calibrate(network, judged, QUICK)["domain"], 0.5) - 1) > 0.03


def test_a_level_from_one_slice_is_not_that_of_all(training_set, bundle):
    """What is found in one slice is too narrow and in the others too wide: only together their area is right."""
    judged = judged_by(load_network(bundle), read_training_set(training_set))
    for part, away in zip(judged.logits, (-6.0, 2.0, 2.0), strict=True):
        part += away
    network = load_network(bundle)
    found = calibrate(network, judged, QUICK)["domain"]
    assert area_ratio(found, found.measured.level) == pytest.approx(1, abs=0.05)
    one = dataclasses.replace(judged, slices=judged.slices[:1], logits=judged.logits[:1])
    of_one = calibrate(network, one, QUICK)["domain"].measured
    fit = of_one.calibration
    mutant = [special.expit(fit.slope * part[0] + fit.offset) * 255 for part in judged.logits]
    assert abs(area_ratio(dataclasses.replace(found, probability=mutant), of_one.level) - 1) > 0.07


def test_a_missed_domain_does_not_widen_the_others(training_set, bundle):
    judged = judged_by(load_network(bundle), read_training_set(training_set))
    labels = [item.label == 1 for item in judged.slices]
    missed = []
    for part, label in zip(judged.logits, labels, strict=True):
        numbered, count = ndimage.label(label)
        missed.append(np.isin(numbered, range(1, 1 + count, 2)) & label)
        part[0][missed[-1]] = -9.0

    def widened(border):
        kept = [label & ~away for label, away in zip(labels, missed, strict=True)]
        near = [ndimage.binary_dilation(one, iterations=2) & ~away for one, away in zip(kept, missed, strict=True)]
        found = sum(int((part[0] >= border)[one].sum()) for part, one in zip(judged.logits, near, strict=True))
        return found / sum(int(one.sum()) for one in kept)

    fit = calibrate(load_network(bundle), judged, QUICK)["domain"].measured.calibration
    assert widened(-fit.offset / fit.slope) == pytest.approx(1, abs=0.05)
    # The mutant: the border at which everything found is as large as everything labelled.
    all_logits = np.sort(np.concatenate([part[0].ravel() for part in judged.logits]))[::-1]
    assert widened(all_logits[sum(int(label.sum()) for label in labels)]) > 1.1


def test_probabilities_mean_what_they_say(training_set, bundle):
    """Of the judged voxels with probability p, a share of p is labelled, however sure the network was of itself."""
    training = read_training_set(training_set)

    def error(probability):
        sure = np.concatenate([part.ravel() for part in probability]) / 255
        label = np.concatenate([(item.label == 1).ravel() for item in training.slices])
        bins = np.clip((sure * 5).astype(int), 0, 4)
        weights = np.bincount(bins, minlength=5) / sure.size
        gaps = [abs(sure[bins == n].mean() - label[bins == n].mean()) if weights[n] else 0.0 for n in range(5)]
        # A bin of unsure voxels may hold few of them, so they are judged together with the others, by their surprise.
        right = np.clip(np.where(label, sure, 1 - sure), 1 / 510, 1)
        return float(np.dot(weights, gaps)), -float(np.log(right).mean())

    network = shifted(bundle, 3.0)
    predictor = SlicePredictor(network, QUICK.window)
    overall, surprise = error([predictor.probability(item.image)[0] for item in training.slices])
    found = calibrate(network, judged_by(network, training), QUICK)["domain"]
    calibrated_overall, calibrated_surprise = error(found.probability)
    assert calibrated_overall < 0.7 * overall, "the mutant, which was not calibrated, is off"
    assert calibrated_surprise < 0.7 * surprise


def test_a_border_that_is_not_believable_is_cut_with_a_warning(training_set, bundle, caplog):
    judged = judged_by(load_network(bundle), read_training_set(training_set))
    for part, item in zip(judged.logits, judged.slices, strict=True):
        part[0] = np.where(item.label == 1, 9.0, 8.0)
    found = calibrate(load_network(bundle), judged, QUICK)["domain"].measured
    assert found.calibration.level_at_its_limit
    assert "too wide or too tight" in caplog.text


def test_the_bundle_holds_the_calibrated_level(bundle):
    kept = read_facts(bundle).measured["domain"]
    assert kept.calibrated
    assert load_network(bundle).calibration == ((kept.calibration.slope, kept.calibration.offset),)
    assert kept.held_out.conditions.level == kept.level == level_of(bundle)


def test_parts_of_a_single_label_judge_each_other_and_the_card_says_what_that_is_worth(scan):
    path = scan.folder / "one.npz"
    collect_labels([scan.label("single", (24,))], QUICK, path)
    out = scan.folder / "models" / "single"
    fine_tune(path, QUICK.model_copy(update={"steps": 2}), 1, out, threads=2)
    facts = read_facts(out)
    assert facts.labels.training == ("x z00024",)
    assert facts.folds.kind == "tiles"
    scores = facts.measured["domain"].held_out
    assert scores.conditions.n_voxels == scan.truth[24].size, "every voxel is judged once"
    text = (out / "docs/README.md").read_text()
    assert "how the accuracy differs in other slices they cannot tell" in " ".join(text.split())
    assert [flag.title for flag in weak_flags(read_segmentation(out))][-1] == "A model from one place"


def test_the_bundle_tells_how_the_model_was_made(bundle):
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    facts = metadata["tomoprofile"]
    assert facts["conditions"]["steps"] == 20
    assert facts["conditions"]["seed"] == 1
    assert facts["voxel_size_um"] == [0.5, 0.5, 0.5]
    assert len(facts["labels"]["labels"]) == len(facts["labels"]["training"]) == 3
    assert facts["labels"]["groups"] == [["x z00008"], ["x z00024"], ["x z00040"]]
    assert facts["folds"] == {"kind": "slices", "n_folds": 3, "steps": 20}
    assert facts["steps"] == 20
    assert [one["name"] for one in facts["measured"]["domain"]["held_out"]["slices"]] == facts["labels"]["training"]
    assert [point["step"] for point in facts["learning_curve"]] == [0, 10, 19]
    assert 0 < facts["measured"]["domain"]["held_out"]["dice"] <= 1
    assert {"version", "monai_version", "network_data_format"} <= set(metadata)
    assert list(bundle.parent.glob("quick.*")) == []


class Killer:
    """Kills a training at chosen draws, counted over all trainings of a run and its repetitions."""

    def __init__(self, monkeypatch):
        self.drawn, self.deaths, draw = [], (), CropSampler.draw
        monkeypatch.setattr(train, "CHECKPOINT_STEPS", 2)

        def draws(sampler, step):
            self.drawn.append(step)
            if len(self.drawn) in self.deaths:
                raise KeyboardInterrupt
            return draw(sampler, step)

        monkeypatch.setattr(CropSampler, "draw", draws)

    def run(self, training_set, config, out, *deaths):
        """Train, again after each death."""
        self.drawn.clear()
        self.deaths = deaths
        for _ in deaths:
            with pytest.raises(KeyboardInterrupt):
                fine_tune(training_set, config, 5, out, threads=2)
            assert not (out / "configs/metadata.json").exists()
        fine_tune(training_set, config, 5, out, threads=2)
        facts = read_facts(out)
        return load_network(out).state_dict(), facts.measured


def same_weights(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_that_was_killed_continues_where_it_was_and_gives_the_same_model(scan, training_set, monkeypatch):
    config, killer = QUICK.model_copy(update={"steps": 5, "batch": 1}), Killer(monkeypatch)
    whole_fold = [0, 1, 2, 3, 4]
    models = scan.folder / "models"
    weights, measured = killer.run(training_set, config, models / "whole")
    assert killer.drawn == 4 * whole_fold
    # In the model itself at step 3, and in the second fold at step 3.
    found, known = killer.run(training_set, config, models / "broken", 4, 16)
    before = [0, 1, 2, 3, 2, 3, 4, *whole_fold, 0, 1, 2, 3]
    assert killer.drawn == [*before, 4, 2, 3, 4, *whole_fold], "the model takes its steps since the checkpoint again"
    assert same_weights(weights, found)
    assert known == measured


@pytest.mark.deep
def test_what_a_run_forgets_when_it_continues_would_be_seen(scan, training_set, monkeypatch):
    """Mutants: momenta of the optimiser forgotten, in the model and in a fold; folds that were finished forgotten."""
    config, killer = QUICK.model_copy(update={"steps": 5, "batch": 1}), Killer(monkeypatch)
    models = scan.folder / "models"
    weights, measured = killer.run(training_set, config, models / "undisturbed")
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "load_state_dict", lambda *_: None)
        assert not same_weights(weights, killer.run(training_set, config, models / "forgetful", 4)[0])
        assert killer.run(training_set, config, models / "fold", 14)[1] != measured
    monkeypatch.setattr(folding, "_finished", lambda *_: None)
    killer.run(training_set, config, models / "again", 14)
    assert len(killer.drawn) > 4 * config.steps + 4


def test_a_checkpoint_of_other_conditions_is_ignored(scan, training_set, monkeypatch):
    killer, out = Killer(monkeypatch), scan.folder / "models" / "changed"
    config = QUICK.model_copy(update={"steps": 3, "batch": 1})
    killer.deaths = (9,)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(training_set, config, 1, out, threads=2)
    assert out.with_name("changed.fold.checkpoint.pt").exists()
    assert out.with_name("changed.fold0.npz").exists()
    killer.drawn.clear()
    killer.deaths = ()
    fine_tune(training_set, config, 2, out, threads=2)
    assert killer.drawn == 4 * [0, 1, 2], "another seed must begin from the start"


def test_a_fold_whose_result_is_damaged_is_trained_again(scan, training_set, monkeypatch, caplog):
    killer, out = Killer(monkeypatch), scan.folder / "models" / "damaged"
    config = QUICK.model_copy(update={"steps": 1, "batch": 1})
    killer.deaths = (3,)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(training_set, config, 1, out, threads=2)
    out.with_name("damaged.fold0.npz").write_bytes(b"not what was written")
    killer.deaths = ()
    fine_tune(training_set, config, 1, out, threads=2)
    assert len(killer.drawn) == 3 + 4
    assert "the fold is trained again" in caplog.text
    assert list(out.parent.glob("damaged.*")) == []


def test_an_earlier_bundle_is_a_base(scan, training_set, bundle):
    out = scan.folder / "models" / "carried"
    config = QUICK.model_copy(update={"base": str(bundle), "steps": 1, "learning_rate": 1e-9})
    fine_tune(training_set, config, 1, out, threads=2)
    mine, theirs = load_network(out), load_network(bundle)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))
    assert read_facts(out).base == str(bundle)


def test_anything_that_speaks_monai_bundles_can_use_the_model(scan, bundle):
    parser = ConfigParser()
    parser.read_config(bundle / "configs/inference.json")
    parser.read_meta(bundle / "configs/metadata.json")
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(bundle / "models/model.pt", weights_only=True), strict=True)
    grey = parser["_meta_::tomoprofile::seen::scans::x"]
    image = 5 * np.arcsinh((scan.phantom.grey[31:34] - grey["centre"]) / grey["spread"] / 5).astype("float32")
    with torch.no_grad():
        logits = parser.get_parsed_content("inferer")(torch.from_numpy(image)[None], network)
    fit = parser["_meta_::tomoprofile::measured::domain::calibration"]
    found = torch.sigmoid(fit["slope"] * logits + fit["offset"])[0, 0].numpy() >= level_of(bundle)
    assert dice(found, scan.truth[32]) > 0.8


def test_slices_smaller_than_a_window(scan, bundle):
    """A window larger than the slice must not change the result, nor sides that 32 does not divide."""
    store = create_store(scan.folder / "narrow.ome.zarr", (8, 70, 50), "float32", (0.5, 0.5, 0.5), 8)
    store.write(0, scan.phantom.grey[28:36, 50:120, 20:70])
    found = []
    for window in (96, 256):
        path = scan.folder / f"narrow{window}.ome.zarr"
        create_store(path, (8, 70, 50), "uint8", (0.5, 0.5, 0.5), 8, channels=("domain",))
        config = QUICK.model_copy(update={"window": window})
        slab = Slab(store.path, path, 0, 8, threads=2, appearance=scan.appearance)
        segmenter_at(bundle, config).predict(slab)
        found.append(open_store(path, "domain").read(0, 8))
    assert (found[0] == found[1]).all()
    assert dice(found[0] >= level_of(bundle) * 255, scan.truth[28:36, 50:120, 20:70]) > 0.7


def test_weights_that_run_code_are_refused(bundle, tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("code was run",))

    copy = tmp_path / "evil"
    (copy / "configs").mkdir(parents=True)
    (copy / "models").mkdir()
    (copy / "configs/metadata.json").write_bytes((bundle / "configs/metadata.json").read_bytes())
    (copy / "models/model.pt").write_bytes(pickle.dumps({"x": Evil()}))
    with pytest.raises(InputError, match="weights cannot be used"):
        load_network(copy)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"decoder_channels": (32, 16, 16, 16)}, "decoder_channels"),
        ({"neighbours": 2}, "neighbours"),
        ({"encoder": "efficientnet-lite1"}, "encoder"),
        ({"classes": {"background": 0, "domain": 1, "void": 2}}, "classes"),
    ],
)
def test_a_base_for_another_network_is_refused(training_set, bundle, tmp_path, change, told):
    config = QUICK.model_copy(update={"base": str(bundle), **change})
    with pytest.raises(InputError, match=told):
        fine_tune(training_set, config, 1, tmp_path / "model", threads=2)


def test_a_bundle_for_other_voxels_is_refused(scan, bundle, tmp_path):
    copy = tmp_path / "coarse"
    copy.mkdir()
    for name in ("models", "configs"):
        (copy / name).symlink_to(bundle / name)
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    metadata["tomoprofile"]["voxel_size_um"] = [2.0, 2.0, 2.0]
    (copy / "configs").unlink()
    (copy / "configs").mkdir()
    (copy / "configs/metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="trained on voxels of 2, 2, 2 um"):
        segmented(scan, copy, "coarse.ome.zarr", 48)


def test_not_a_bundle(tmp_path):
    with pytest.raises(InputError, match="not a model bundle"):
        level_of(tmp_path)
    (tmp_path / "threshold.json").write_text("{}")
    with pytest.raises(InputError, match="not a threshold file"):
        level_of(tmp_path / "threshold.json")


def test_random_numbers_are_used_from_the_seed_alone(training_set):
    np.random.seed(0)  # noqa: NPY002 - a global state that must not matter
    one = CropSampler(read_training_set(training_set), QUICK, 1).draw(0)[0]
    np.random.seed(1)  # noqa: NPY002
    other = CropSampler(read_training_set(training_set), QUICK, 1).draw(0)[0]
    assert (one == other).all()


def test_slices_without_a_domain_calibrate_nothing(training_set, bundle, caplog):
    training = read_training_set(training_set)
    network = load_network(bundle)
    judged = judged_by(network, training)
    blank = [dataclasses.replace(item, label=0 * item.label) for item in training.slices]
    found = calibrate(network, dataclasses.replace(judged, slices=blank), QUICK)["domain"]
    assert found.measured == calibrating.NOT_CALIBRATED
    assert "no fold could judge domain" in caplog.text
