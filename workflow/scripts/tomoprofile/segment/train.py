"""Fine-tune a pretrained 2-D U-Net on a few labelled slices (P22, P31)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from .. import __version__
from ..config import UNetConfig, digest
from ..errors import Fault, InputError
from ..files import whole_file
from ..logs import LOG, progress
from .augment import CropSampler, normalise
from .bundle import load_network, read_facts, write_bundle
from .card import model_card
from .labels import DOMAIN, IGNORE
from .network import SliceNetwork, choose_device, choose_precision
from .predict import SlicePredictor
from .training_set import TrainingSet, read_training_set

CHECKPOINT_STEPS = 50
LEVELS = (0.3, 0.7)  # a calibrated level outside the boundary band would not be believable
WEIGHT_DECAY = 1e-4


@dataclass(frozen=True)
class Calibration:
    """The decision level and what the held-out slices say of the model.

    Attributes
    ----------
    level : float
    calibrated : bool
        False when no domain was held out: then the level is 0.5 and nothing is known of the model's errors.
    metrics : dict
        Dice, IoU, and predicted over labelled area at the level.
    """

    level: float
    calibrated: bool
    metrics: dict[str, float]


def fine_tune(training_set: Path, config: UNetConfig, seed: int, out: Path, threads: int) -> None:
    """Train a model and write its bundle.

    A checkpoint ``<out>.checkpoint.pt`` beside the bundle lets a run that was killed continue; the result is that of an
    unbroken run.

    Parameters
    ----------
    training_set : Path
        Written by :func:`~tomoprofile.segment.training_set.collect_labels`.
    config : UNetConfig
        Learning conditions (P23), all recorded in the bundle.
    seed : int
    out : Path
        Folder of the bundle.
    threads : int
        CPU threads.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    training = read_training_set(training_set)
    identity = digest(
        [hashlib.sha256(training_set.read_bytes()).hexdigest(), config.model_dump(mode="json"), seed, __version__]
    )
    checkpoint = out.with_name(out.name + ".checkpoint.pt")
    network = _initial_network(config)
    curve = _train(network, training, config, seed, checkpoint, identity)
    calibration = calibrate(network, training, config)
    facts = {
        "network": {
            "in_channels": 2 * config.neighbours + 1,
            "input_scale": config.input_scale,
            "decoder_channels": list(config.decoder_channels),
        },
        "normalisation": {"centre": training.centre, "spread": training.spread},
        "voxel_size_um": list(training.voxel_size_um),
        "classes": ["background", "domain"],
        "decision_level": calibration.level,
        "calibrated": calibration.calibrated,
        "held_out": calibration.metrics,
        "conditions": {**config.model_dump(mode="json"), "seed": seed},
        "base": config.base,
        "labels": training.facts,
        "learning_curve": curve,
    }
    write_bundle(out, network, facts, model_card(out.name, facts))
    checkpoint.unlink(missing_ok=True)


def masked_loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return soft Dice plus cross-entropy over the voxels that are not ignored.

    Parameters
    ----------
    logits : tensor (n, 1, y, x)
    label : tensor (n, y, x) of uint8
        0 background, 1 domain, 255 ignore.
    """
    logits = logits[:, 0]
    known = (label != IGNORE).float()
    target = (label == DOMAIN).float()
    count = known.sum().clamp(min=1)
    entropy = (functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * known).sum() / count
    probability = torch.sigmoid(logits) * known
    overlap = (probability * target).sum()
    dice = (2 * overlap + 1) / (probability.sum() + (target * known).sum() + 1)
    return entropy + 1 - dice


def calibrate(network: SliceNetwork, training: TrainingSet, config: UNetConfig) -> Calibration:
    """Choose the level at which held-out slices have the labelled area: volume is then unbiased.

    Without held-out slices the level is 0.5, and the bundle says that it was not calibrated.
    """
    held_out = training.part(held_out=True)
    if not held_out:
        LOG.warning(
            "nothing was held out: the decision level is not calibrated and errors are unknown; label more slices"
        )
        return Calibration(0.5, False, {})
    predictor = SlicePredictor(network, config.window)
    probability, label = [], []
    for item in held_out:
        known = item.label != IGNORE
        found = predictor.probability(normalise(item.image, training.centre, training.spread))
        probability.append(found[known])
        label.append(item.label[known] == DOMAIN)
    chance, truth = np.concatenate(probability), np.concatenate(label)
    if not truth.any():
        LOG.warning("the held-out slices contain no domain: the decision level is not calibrated")
        return Calibration(0.5, False, {})
    # Voxels at or above each stored value 1 ... 255; the level lies half a step below the best.
    area = np.cumsum(np.bincount(chance, minlength=256)[::-1])[::-1][1:]
    wanted = (float(np.abs(area - truth.sum()).argmin()) + 0.5) / 255
    level = float(np.clip(wanted, *LEVELS))
    if level != wanted:
        LOG.warning(
            "the level of equal area is %.2f, outside %.1f..%.1f: the labels may be drawn too wide or tight",
            wanted,
            *LEVELS,
        )
    scores = _scores(chance >= level * 255, truth)
    LOG.info("held out: Dice %.3f, IoU %.3f; decision level %.3f", scores["dice"], scores["iou"], level)
    return Calibration(level, True, scores)


def _scores(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float]:
    both, either = float((found & truth).sum()), float((found | truth).sum())
    area = float(found.sum() + truth.sum())
    return {
        "dice": 2 * both / area,
        "iou": both / either,
        "area_ratio": float(found.sum()) / float(truth.sum()),
        "labelled_fraction": float(truth.mean()),
    }


def _initial_network(config: UNetConfig) -> SliceNetwork:
    in_channels = 2 * config.neighbours + 1
    if config.base in {"imagenet", "none"}:
        return SliceNetwork(in_channels, config.input_scale, config.decoder_channels, config.base == "imagenet")
    base = Path(config.base)
    decoder = tuple(read_facts(base)["network"]["decoder_channels"])
    if decoder != config.decoder_channels:
        problem = f"the base {base} has another decoder: {list(decoder)}"
        remedy = "Set `decoder_channels` to that of the base."
        raise InputError(Fault("models: decoder_channels", str(list(config.decoder_channels)), problem, remedy))
    network = load_network(base, in_channels)
    network.input_scale = config.input_scale
    return network


def _train(
    network: SliceNetwork, training: TrainingSet, config: UNetConfig, seed: int, checkpoint: Path, identity: str
) -> list[dict[str, float]]:
    """Train in place; returns the learning curve."""
    device = choose_device()
    precision = choose_precision(device)
    network.to(device, memory_format=torch.channels_last).train()
    groups = network.parameter_groups(config.learning_rate)
    optimiser = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group["lr"] for group in groups], total_steps=config.steps + 1, pct_start=0.2
    )
    sampler = CropSampler(training, config.crop, config.batch, seed)
    curve: list[dict[str, float]] = []
    first = 0
    saved = _read_checkpoint(checkpoint, identity)
    if saved:
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        curve, first = json.loads(saved["curve"]), saved["step"]
        LOG.info("continuing from step %d of %d", first, config.steps)
    LOG.info("fine-tuning from %s on %s in %s", config.base, device, precision)
    for step in progress(range(first, config.steps), config.steps - first, "steps"):
        image, label = (torch.from_numpy(part).to(device) for part in sampler.draw(step))
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits = network(image.contiguous(memory_format=torch.channels_last))
        loss = masked_loss(logits.float(), label)
        if not torch.isfinite(loss):
            problem = f"the loss is no number any more at step {step}"
            remedy = "Lower `learning_rate` of the model; look at the labelled slices for extreme grey values."
            raise InputError(Fault("models: learning_rate", str(config.learning_rate), problem, remedy))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 10 == 0 or step + 1 == config.steps:
            curve.append({"step": step, "loss": round(float(loss.detach()), 5)})
        if step % CHECKPOINT_STEPS == CHECKPOINT_STEPS - 1 and step + 1 < config.steps:
            LOG.info("step %d: loss %.3f", step + 1, float(loss.detach()))
            state: dict[str, Any] = {"identity": identity, "step": step + 1, "curve": json.dumps(curve)}
            state |= {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
            with whole_file(checkpoint) as partial:
                torch.save(state | {"schedule": schedule.state_dict()}, partial)
    return curve


def _read_checkpoint(path: Path, identity: str) -> dict[str, Any] | None:
    """Return a checkpoint of the same training set and conditions, or None."""
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        LOG.warning("%s cannot be read and is ignored: %s", path, error)
        return None
    if state.get("identity") != identity:
        LOG.info("%s belongs to other conditions and is ignored", path)
        return None
    return state
