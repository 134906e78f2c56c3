"""Fine-tune a pretrained 2-D U-Net on a few labelled slices, and write it as a bundle."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import __version__
from ..config import UNetConfig, digest
from ..config_profile import OF_RESULTS
from ..labels.classes import BACKGROUND, DOMAIN, IGNORE, Classes
from ..labels.training_set import LabelledSlice, TrainingSet, read_training_set
from ..logs import LOG
from ..shift.alarm import remember
from ..volume.probability import stored
from .arguments import network_facts
from .bundle import write_bundle
from .calibration import Probabilities, calibrate
from .card import CardPictures
from .crops import CropSampler
from .facts import CurvePoint, LabelFacts, MeasuredClass, ModelFacts
from .initial import initial_network
from .pictures import HeldOutSlice
from .scale import scaled
from .scores import score_slices
from .trainer import Trainer, Windows
from .unet import SliceNetwork


def fine_tune(training_set: Path, config: UNetConfig, seed: int, out: Path, threads: int) -> None:
    """Train a model and write its bundle.

    A checkpoint ``<out>.checkpoint.pt`` beside the bundle lets a run that was killed continue; the result is that of an
    uninterrupted run.

    Parameters
    ----------
    training_set : Path
        Written by :func:`~tomoprofile.labels.training_set.collect_labels`.
    config : UNetConfig
        Training settings, all recorded in the bundle.
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
    config = scaled(config, training)
    held_out = training.part(held_out=True)
    content = hashlib.sha256(training_set.read_bytes()).hexdigest()
    identity = digest([content, config.model_dump(mode="json", exclude=OF_RESULTS), seed, __version__])
    checkpoint = out.with_name(out.name + ".checkpoint.pt")
    network = initial_network(config)
    trainer = Trainer(network, config, CropSampler(training, config, seed), held_out, checkpoint, identity)
    network = trainer.run()
    calibrated = calibrate(network, training, config)
    _tell_missing_classes(held_out, config)
    facts = ModelFacts(
        network=network_facts(config),
        window=config.window,
        voxel_size_um=training.voxel_size_um,
        classes=tuple(config.classes),
        measured=_scored(calibrated, training, Classes.of(config)),
        seen=remember(training.seen, _shown(calibrated) or _looked_at(trainer, network, training)),
        conditions={**config.model_dump(mode="json", exclude=OF_RESULTS), "seed": seed},
        base=config.base,
        labels=LabelFacts(**training.facts),
        learning_curve=tuple(CurvePoint(**point) for point in trainer.curve),
    )
    write_bundle(out, network, facts, CardPictures(_pictures(held_out, calibrated, config)))
    checkpoint.unlink(missing_ok=True)


def _scored(
    calibrated: dict[str, tuple[MeasuredClass, Probabilities]], training: TrainingSet, classes: Classes
) -> dict[str, MeasuredClass]:
    """Return the facts about each measured class, with its scores on the held-out slices."""
    held_out, known = training.part(held_out=True), {}
    for index, (name, (measured, probability)) in zip(classes.indices, calibrated.items(), strict=True):
        scores: dict[str, Any] | None = None
        if measured.calibrated:
            masks = [_alone(item.label, index) for item in held_out]
            scores = score_slices(probability, masks, measured.level, training.voxel_size_um)
            LOG.info(
                "held out: %s: Dice %.3f, IoU %.3f; decision level %.3f",
                *(name, scores["dice"], scores["iou"], measured.level),
            )
        known[name] = MeasuredClass.model_validate(measured.model_dump() | {"held_out": scores})
    return known


def _shown(calibrated: dict[str, tuple[MeasuredClass, Probabilities]]) -> Probabilities:
    """Return the probabilities of all measured classes on the held-out slices, which give the doubt."""
    return [part for _, probability in calibrated.values() for part in probability]


def _looked_at(trainer: Trainer, network: SliceNetwork, training: TrainingSet) -> Probabilities:
    """Return the probability of training slices, for lack of others."""
    network.eval()
    windows = Windows(training.slices, Classes.of(trainer.config), network.reduction)
    return [stored(channel) for image, _ in windows for channel in trainer.probability(network, image)]


def _pictures(
    held_out: list[LabelledSlice], calibrated: dict[str, tuple[MeasuredClass, Probabilities]], config: UNetConfig
) -> dict[str, tuple[HeldOutSlice, ...]]:
    """Return what the card shows of each measured class."""
    drawn = {}
    for index, (name, (_, probability)) in zip(Classes.of(config).indices, calibrated.items(), strict=True):
        drawn[name] = tuple(
            HeldOutSlice(
                f"{item.sample} z{item.z:05d}", item.image[config.neighbours], _alone(item.label, index), found
            )
            for item, found in zip(held_out, probability, strict=True)
        )
    return drawn


def _tell_missing_classes(held_out: list[LabelledSlice], config: UNetConfig) -> None:
    if not held_out:
        return
    seen = {int(value) for item in held_out for value in np.unique(item.label)}
    missing = [name for index, name in enumerate(config.classes) if index not in seen]
    if missing:
        where = ", ".join(f"{item.sample} z{item.z:05d}" for item in held_out)
        LOG.warning(
            "the held-out slices (%s) show no %s: the accuracy for it is unknown; label a slice that does",
            where,
            " and no ".join(missing),
        )


def _alone(label: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    """Return a mask of one class with ignored voxels kept."""
    return np.where(label == IGNORE, IGNORE, np.where(label == index, DOMAIN, BACKGROUND)).astype(np.uint8)
