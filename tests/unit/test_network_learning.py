"""Encoders, classes and learning conditions, on a small simulated scan."""

import numpy as np
import pytest
import torch
from segment_scan import build, dice, level_of

from tomoprofile.config import AugmentConfig, UNetConfig, read_config
from tomoprofile.errors import ConfigError
from tomoprofile.labels.classes import Classes
from tomoprofile.labels.training_set import collect_labels, read_training_set
from tomoprofile.network.bundle import load_network
from tomoprofile.network.crops import CropSampler
from tomoprofile.network.facts import read_facts
from tomoprofile.network.fine_tune import fine_tune, initial_network
from tomoprofile.network.losses import masked_loss
from tomoprofile.network.trainer import Trainer, make_schedule
from tomoprofile.network.unet import SliceNetwork
from tomoprofile.volume.store import open_store

SLIM, WIDE = (64, 48, 32, 16), (128, 64, 48, 32)
QUICK = UNetConfig(steps=20, crop=64, decoder_channels=SLIM, window=96)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return build(tmp_path_factory.mktemp("scan"))


@pytest.fixture(scope="module")
def training_set(scan):
    return scan.training_set(QUICK)


@pytest.mark.parametrize("encoder", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_packaged_encoders_start_from_imagenet(encoder):
    torch.manual_seed(0)
    ours, scratch = (SliceNetwork(3, 2, encoder, SLIM, pretrained=given).eval() for given in (True, False))
    with torch.no_grad():
        assert ours(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)
    one, other = (network.encoder.stem[0].weight for network in (ours, scratch))
    assert one.std() > 1.3 * other.std()


@pytest.mark.parametrize("encoder", ["efficientnet-b0", "resnet18"])
def test_backbones_of_monai_work_without_any_hub(encoder, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_: pytest.fail("a hub was asked"))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("a hub was asked"))
    network = SliceNetwork(3, 1, encoder, WIDE, pretrained=True).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)


def test_the_configuration_knows_whose_weights_are_packaged():
    with pytest.raises(ConfigError, match="base: none"):
        read_config({"models": {"m": {"method": "unet", "encoder": "resnet18"}}})


@pytest.mark.parametrize("scale", [1, 2])
def test_it_sees_farther_than_the_largest_domain_is_wide(scale):
    """15 um are 30 voxels of 0.5 um; a change that far away must reach the logit."""
    torch.manual_seed(0)
    network = SliceNetwork(3, scale, "efficientnet-lite0", SLIM, pretrained=True).eval()
    image = torch.randn(1, 3, 128, 128, requires_grad=True)
    network(image)[0, 0, 64, 64].backward()
    reach = image.grad.abs().sum((0, 1))
    assert (reach[:, 64 + 30] > 0).any()
    # The mutant: what a single 3x3 convolution would see.
    alone = torch.nn.Conv2d(3, 1, 3, padding=1)
    image.grad = None
    alone(image)[0, 0, 64, 64].backward()
    assert not image.grad[..., 64 + 30].any()


@pytest.mark.deep
def test_several_classes_are_learned_and_the_measured_one_is_segmented(scan):
    """The resin of the lower half is called another class; what is measured are domains, in both halves."""
    classes = {"background": 0, "other": 1, "domain": 2}
    config = QUICK.model_copy(update={"classes": classes, "steps": 60})
    assert Classes.of(config).measured == ("domain",)

    def three(mask):
        label = np.where(mask == 1, 2, 0).astype(np.uint8)
        label[:40][label[:40] == 0] = 1
        return label

    path = scan.folder / "classes.npz"
    collect_labels([scan.label("classes", (8, 24, 40), change=three)], config, path)
    out = scan.folder / "models/classes"
    fine_tune(path, config, 1, out, threads=2)
    facts = read_facts(out)
    assert facts.classes == ("background", "other", "domain")
    assert load_network(out).decoder.head.out_channels == 3
    store = scan.empty("classes.ome.zarr")
    scan.predict(out, store, model=config)
    found = open_store(store, "domain").read(28, 36) >= level_of(out) * 255
    assert dice(found, scan.truth[28:36]) > 0.7


def test_a_class_that_a_single_slice_shows_is_learned_but_cannot_be_judged(scan, caplog):
    config = QUICK.model_copy(update={"classes": {"background": 0, "domain": 1, "void": 2}, "steps": 1})
    config = config.model_copy(update={"measure": ("domain", "void")})

    def with_void(mask):
        mask = mask.copy()
        mask[:3, :3] = 2
        return mask

    marks = iter((with_void, lambda mask: mask, lambda mask: mask))
    path = scan.folder / "voids.npz"
    collect_labels([scan.label("voids", (8, 24, 40), change=lambda mask: next(marks)(mask))], config, path)
    fine_tune(path, config, 1, scan.folder / "models/voids", threads=2)
    assert "no fold could judge void" in caplog.text
    assert "no fold could judge domain" not in caplog.text


def test_the_loss_of_two_classes_is_that_of_one_logit_twice():
    """Softmax over (0, l) is the sigmoid of l, so both ways must agree in cross-entropy and Dice."""
    rng = torch.Generator().manual_seed(0)
    logit = torch.randn(2, 1, 8, 8, generator=rng)
    label = torch.randint(0, 2, (2, 8, 8), generator=rng, dtype=torch.uint8)
    label[0, :3] = 255
    both = torch.cat([torch.zeros_like(logit), logit], 1)
    assert torch.isclose(masked_loss(logit, label), masked_loss(both, label), atol=1e-5)
    assert not torch.isclose(masked_loss(logit, label), masked_loss(both.flip(1), label), atol=1e-2)


def test_a_class_absent_from_a_batch_costs_nothing():
    logits = torch.zeros(1, 3, 4, 4)
    label = torch.ones(1, 4, 4, dtype=torch.uint8)
    sure = logits.clone()
    sure[:, 1] = 20
    assert masked_loss(sure, label) < 0.05


def test_the_measured_logit_is_against_all_others():
    network = SliceNetwork(3, 1, "efficientnet-lite0", SLIM, classes=3, measured=(2, 1))
    logits = torch.randn(2, 3, 4, 4)
    assert torch.allclose(network.measured(logits), torch.softmax(logits, 1)[:, [2, 1]], atol=1e-6)


def weights(bundle, part):
    network = load_network(bundle)
    return torch.cat([value.flatten() for value in getattr(network, part).parameters()])


def test_a_frozen_encoder_stays_as_it_was_and_learns_afterwards(scan, training_set):
    imagenet = initial_network(QUICK).encoder
    before = torch.cat([value.flatten() for value in imagenet.parameters()])
    same = {}
    for share in (1.0, 0.5):
        out = scan.folder / f"models/frozen{share}"
        fine_tune(training_set, QUICK.model_copy(update={"freeze_share": share, "steps": 4}), 1, out, threads=2)
        same[share] = torch.equal(weights(out, "encoder"), before)
    assert same == {1.0: True, 0.5: False}


@pytest.mark.parametrize(
    ("scores", "ends"),
    [
        ([0.91], 2),  # learned
        ([0.5, 0.509], 4),  # nothing gained
        ([0.5, 0.6, 0.91], 6),
        ([0.5, 0.6, 0.7, 0.8], 7),  # the most that may be taken
    ],
)
def test_training_goes_on_as_long_as_it_teaches_anything(scan, training_set, monkeypatch, scores, ends):
    left = iter(scores)
    monkeypatch.setattr(Trainer, "dice", lambda _: next(left))
    items = read_training_set(training_set)
    config = QUICK.model_copy(update={"steps": 7, "batch": 1})
    checkpoint = scan.folder / "cycles.pt"
    trainer = Trainer(initial_network(config), config, CropSampler(items, config, 1), items.slices, checkpoint, "x", 2)
    rates = []
    advance = trainer.advance

    def watched():
        rates.append(trainer.schedule.get_last_lr()[0])
        return advance()

    trainer.advance = watched
    trainer.run()
    assert trainer.step == len(rates) == ends
    assert [point["labels_dice"] for point in trainer.curve if "labels_dice" in point] == scores[: ends // 2]
    assert rates[: 2 * (ends // 2)] == rates[:2] * (ends // 2), "every cycle begins with the rate of the first"


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_the_rate_follows_its_schedule(schedule):
    network = torch.nn.Linear(1, 1)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    plan = make_schedule(optimiser, QUICK.model_copy(update={"schedule": schedule}))
    rates = []
    for _ in range(20):
        rates.append(plan.get_last_lr()[0])
        optimiser.step()
        plan.step()
    peak = int(np.argmax(rates))
    assert rates[-1] < 0.1 * max(rates)
    assert peak == 0 if schedule == "cosine" else 2 < peak < 6


def test_equal_seeds_give_equal_models_and_others_do_not(scan, training_set):
    config = QUICK.model_copy(update={"steps": 3, "augment": AugmentConfig()})
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        fine_tune(training_set, config, seed, scan.folder / f"models/seed_{name}", threads=2)
    a, b, c = (weights(scan.folder / f"models/seed_{name}", "decoder") for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
