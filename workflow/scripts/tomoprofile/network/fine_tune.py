"""Fine-tune a pretrained 2-D U-Net on a few labelled slices, and write it as a bundle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import __version__
from ..config import CYCLE_STEPS, UNetConfig, digest
from ..config_profile import OF_RESULTS
from ..labels.classes import BACKGROUND, DOMAIN, IGNORE, Classes
from ..labels.folds import make_folds
from ..labels.training_set import TrainingSet, read_training_set
from ..logs import LOG
from ..shift.alarm import remember
from .arguments import network_facts
from .base_share import choose_share, ways_from
from .bundle import write_bundle
from .calibration import Calibrated, calibrate
from .card import CardPictures
from .crops import CropSampler
from .facts import CurvePoint, FittedScores, FoldFacts, LabelFacts, MeasuredClass, ModelFacts
from .folds import Judged, Judges
from .initial import WHOLE, initial_network
from .pictures import HeldOutSlice
from .scale import scaled
from .scores import score_slices, slice_scores, voxel_scores
from .slices import SlicePredictor
from .trainer import Trainer, Windows
from .unet import SliceNetwork


def fine_tune(training_set: Path, config: UNetConfig, seed: int, out: Path, threads: int) -> None:
    """Train a model and write its bundle.

    First the model, from all labels, and how far from its base it may go. Then a short training for each fold, whose
    models judge the labels that they did not train on: they give the level, the calibration and the scores. What is
    kept beside the bundle (``<out>.fold*``, ``<out>.checkpoint.pt``) lets a run that was killed continue where it was;
    the result is that of an uninterrupted run.

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
    compute_reproducibly(threads)
    training = read_training_set(training_set)
    config = scaled(config, training)
    identity = identity_of(training_set, config, seed)
    checkpoint = out.with_name(out.name + ".checkpoint.pt")

    def start() -> SliceNetwork:
        return first_network(config, seed)

    sampler = CropSampler(training, config, seed)
    trainer = Trainer(start(), config, sampler, training.slices, checkpoint, identity, CYCLE_STEPS)
    trainer.run()
    classes = Classes.of(config)
    folds = make_folds(training, classes.indices)
    ways = ways_from(start, trainer.result, folds.kind, training, config)
    judges = Judges(start, config, seed, out, identity)
    judged = judges.judge(training, folds, min(config.steps, CYCLE_STEPS), ways.shares)
    share = choose_share(judged, classes)
    curve = tuple(CurvePoint(**point) for point in trainer.curve)
    trained = Trained(trainer.result(share), judged[share], trainer.step, curve, share, ways.forgotten)
    write_model(out, trained, training, config, seed)
    checkpoint.unlink(missing_ok=True)
    judges.clear()


def compute_reproducibly(threads: int) -> None:
    """Set the threads of PyTorch, and have it compute the same in every run."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)


def identity_of(training_set: Path, config: UNetConfig, seed: int) -> str:
    """Return a digest of all that a training depends on: what another one left is not continued."""
    content = hashlib.sha256(training_set.read_bytes()).hexdigest()
    return digest([content, config.model_dump(mode="json", exclude=OF_RESULTS), seed, __version__])


def first_network(config: UNetConfig, seed: int) -> SliceNetwork:
    """Return the network that a training begins with, the same in every call."""
    torch.manual_seed(seed)
    return initial_network(config)


@dataclass(frozen=True)
class Trained:
    """A network, and what models that left out some labels found in them.

    Attributes
    ----------
    network : SliceNetwork
    judged : Judged
    steps : int
        That it took.
    curve : tuple of CurvePoint
    share : float
        How far from the base it went.
    forgotten : float
        See :class:`~.base_share.Ways`.
    """

    network: SliceNetwork
    judged: Judged
    steps: int
    curve: tuple[CurvePoint, ...] = ()
    share: float = WHOLE
    forgotten: float = 0.0


def write_model(out: Path, trained: Trained, training: TrainingSet, config: UNetConfig, seed: int) -> None:
    """Calibrate a network on the labels that judge it, measure how good it is, and write its bundle.

    Parameters
    ----------
    out : Path
        Folder of the bundle.
    trained : Trained
    training : TrainingSet
        The labels here.
    config : UNetConfig
        With a number for ``input_scale``.
    seed : int
    """
    network, judged = trained.network, trained.judged
    calibrated = calibrate(network, judged, config)
    predictor = SlicePredictor(network, config.window)
    fitted = _fitted(predictor, training, calibrated, config)
    classes = Classes.of(config)
    facts = ModelFacts(
        network=network_facts(config),
        window=config.window,
        voxel_size_um=training.voxel_size_um,
        classes=tuple(config.classes),
        measured={
            name: _scored(name, index, calibrated[name], training, fitted[name])
            for name, index in zip(classes.measured, classes.indices, strict=True)
        },
        seen=remember(training.seen, _usual(predictor, training)),
        conditions={**config.model_dump(mode="json", exclude=OF_RESULTS), "seed": seed},
        base=config.base,
        base_share=trained.share,
        forgotten=trained.forgotten,
        labels=LabelFacts(**training.facts),
        steps=trained.steps,
        folds=FoldFacts(kind=judged.kind, n_folds=judged.n_folds, steps=judged.steps),
        learning_curve=trained.curve,
    )
    write_bundle(out, network, facts, CardPictures(_pictures(calibrated, config)))


def _scored(
    name: str, index: int, calibrated: Calibrated, training: TrainingSet, fitted: FittedScores
) -> MeasuredClass:
    """Return the facts about a measured class, with its scores on labels that did not train."""
    scores: dict[str, Any] | None = None
    measured, slices = calibrated.measured, calibrated.slices
    if measured.calibrated:
        masks = [_alone(item.label, index) for item in slices]
        groups = [item.group for item in slices]
        scores = score_slices(calibrated.probability, masks, measured.level, training.voxel_size_um, groups=groups)
        # Models of folds have fewer labels and steps than the model they stand for.
        if scores["dice_interval"] and fitted.dice:
            scores["dice_interval"]["high"] = max(scores["dice_interval"]["high"], fitted.dice)
        each = slice_scores(calibrated.probability, masks, measured.level)
        scores["slices"] = [
            {"name": item.name, "group": item.group, **one} for item, one in zip(slices, each, strict=True)
        ]
        LOG.info(
            "labels that did not train: %s: Dice %.3f, IoU %.3f; decision level %.3f",
            *(name, scores["dice"] or 0, scores["iou"] or 0, measured.level),
        )
    return MeasuredClass.model_validate(measured.model_dump() | {"held_out": scores, "fitted": fitted})


def _fitted(
    predictor: SlicePredictor, training: TrainingSet, calibrated: dict[str, Calibrated], config: UNetConfig
) -> dict[str, FittedScores]:
    """Return how well a model reproduces the labels that trained it, by class."""
    classes = Classes.of(config)
    windows = list(Windows(training.slices, classes, predictor.network.reduction))
    found = [predictor.probability(image) for image, _ in windows]
    fitted = {}
    for channel, (name, index) in enumerate(zip(classes.measured, classes.indices, strict=True)):
        masks, parts = [_alone(label, index) for _, label in windows], [part[channel] for part in found]
        fitted[name] = FittedScores(**voxel_scores(parts, masks, calibrated[name].measured.level))
    return fitted


def _usual(predictor: SlicePredictor, training: TrainingSet) -> list[NDArray[np.uint8]]:
    """Return the probability of slices that nobody labelled, of the labelled scans: how sure the model usually is.

    Where every slice is labelled, that of labelled ones, for lack of others.
    """
    images = training.unlabelled or [item.image for item in training.slices]
    return [channel for image in images for channel in predictor.probability(image)]


def _pictures(calibrated: dict[str, Calibrated], config: UNetConfig) -> dict[str, tuple[HeldOutSlice, ...]]:
    """Return what the card shows of each measured class."""
    drawn = {}
    for index, (name, known) in zip(Classes.of(config).indices, calibrated.items(), strict=True):
        drawn[name] = tuple(
            HeldOutSlice(item.name, item.image[config.neighbours], _alone(item.label, index), found)
            for item, found in zip(known.slices, known.probability, strict=True)
            if known.measured.calibrated
        )
    return drawn


def _alone(label: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    """Return a mask of one class with ignored voxels kept."""
    return np.where(label == IGNORE, IGNORE, np.where(label == index, DOMAIN, BACKGROUND)).astype(np.uint8)
