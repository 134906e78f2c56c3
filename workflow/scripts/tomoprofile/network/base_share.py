"""How far a fine-tuned network goes from its base: all the way, half of it, or a quarter.

A few labels show few of the things that a scan holds, and fine-tuning forgets what they do not show. Where all labelled
domains were small, a base that found .99 of phantom A (Dice) was left with .58, without its large domains. The mean of
the weights before and after keeps much (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903). Three things tell how far to
go:

- Where one group of labels is all there is, its parts judge half of the way and all of it.
- More groups would say too little of their own: models of folds, which learn from fewer, would stay too near the base.
  But they judge the base as it is, since it trained on none of them. Where it reproduces them nearly, half is enough.
- Slices without a label tell what was forgotten. What the base is sure of, and right about in the labels, should be
  found elsewhere, too. The farthest share of the way that still finds it is the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..config import UNetConfig
from ..labels.classes import IGNORE, Classes
from ..labels.folds import Kind, Part
from ..labels.training_set import TrainingSet
from ..logs import LOG
from .calibration import outline_border
from .facts import FORGOTTEN
from .folds import PLAIN, Judged
from .initial import HALF, QUARTER, WHOLE, stays_near
from .slices import SlicePredictor
from .trainer import Windows
from .unet import SliceNetwork

CLEARLY = 2  # standard errors by which labels that did not train must speak for going farther
KNOWN = 0.97  # Dice of labels that the base reproduces as it is, from which on half of the way is enough
SURE = 0.95  # share of voxels that the base is right about in the labels, from which on it is sure of them elsewhere
LEAST_SURE = 0.25  # of the labelled voxels; a base that is sure of fewer has no say


@dataclass(frozen=True)
class Ways:
    """The shares of the way that are left to choose from.

    Attributes
    ----------
    shares : tuple of float
    forgotten : float
        How much of what the base is sure of the whole way would lose where nothing is labelled, beyond what it loses
        in the labels.
    """

    shares: tuple[float, ...] = (WHOLE,)
    forgotten: float = 0.0


def ways_from(
    start: Callable[[], SliceNetwork],
    trained: Callable[[float], SliceNetwork],
    kind: Kind,
    training: TrainingSet,
    config: UNetConfig,
) -> Ways:
    """Return how far from its base a network may go.

    Parameters
    ----------
    start : callable
        Returns the base.
    trained : callable
        Returns the network at a share of the way.
    kind : {"slices", "blocks", "tiles", "none"}
        What each fold leaves out.
    training : TrainingSet
    config : UNetConfig
    """
    if not stays_near(config):
        return Ways()
    seen = _Seen(training, config, start())
    forgotten = lost = seen.forgotten(trained(WHOLE))
    farthest = WHOLE
    for share in (HALF, QUARTER):
        if lost <= FORGOTTEN:
            break
        farthest, lost = share, seen.forgotten(trained(share))
    if farthest < WHOLE:
        LOG.warning(
            "the labels show too little: training lost %.0f %% of what the base is sure of in slices without a label, "
            "so the model ends %.0f %% of the way from its base; label slices that show what the labelled ones do not",
            100 * forgotten,
            100 * farthest,
        )
    if kind in ("tiles", "none"):
        shares = {min(HALF, farthest), farthest}
    else:
        dice = seen.dice_of_base()
        LOG.info("the base as it is has a Dice of %.3f on the labels", dice)
        shares = {min(HALF, farthest) if dice >= KNOWN else farthest}
    return Ways(tuple(sorted(shares)), forgotten)


def choose_share(judged: Mapping[float, Judged], classes: Classes) -> float:
    """Return how far to go: the nearer of two ways, unless the labels that did not train speak for the farther.

    They do when the Dice of the parts that folds judged is larger there, on average, by more than :data:`CLEARLY` times
    its standard error: parts of one label are few and alike, and what it does not show is lost unseen.

    Parameters
    ----------
    judged : mapping of float to Judged
        By share of the way: one, or two.
    classes : Classes
    """
    near, far = min(judged), max(judged)
    if near == far:
        return near
    gain = _dice_of_parts(judged[far], classes) - _dice_of_parts(judged[near], classes)
    gain = gain[np.isfinite(gain)]
    if len(gain) < 2:
        return near
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    share = far if gain.mean() > CLEARLY * error else near
    told = (
        "%.0f %% of the way from the base: from %.0f to %.0f %% the Dice of labels that did not train changes by %+.3f "
        "(standard error %.3f)"
    )
    LOG.info(told, 100 * share, 100 * near, 100 * far, gain.mean(), error)
    return share


class _Seen:
    """What the base finds in labels and in slices without one."""

    def __init__(self, training: TrainingSet, config: UNetConfig, base: SliceNetwork) -> None:
        self.config, self.classes = config, Classes.of(config)
        self.unlabelled = training.unlabelled
        windows = Windows(training.slices, self.classes, base.reduction)
        self.labels = [replace(training.slices[0], image=image, label=label) for image, label in windows]
        self.of_base, elsewhere = self._found(base)
        self.sure = [self._sure(channel, index, elsewhere) for channel, index in enumerate(self.classes.indices)]

    def dice_of_base(self) -> float:
        """Return the Dice of the base, a mean over the classes that the labels show; 0 without any."""
        both, found, labelled = _areas(self.of_base, self.classes).sum(2)
        shown = labelled > 0
        return float((2 * both / (found + labelled))[shown].mean()) if shown.any() else 0.0

    def forgotten(self, network: SliceNetwork) -> float:
        """Return how much of what the base is sure of a network loses elsewhere, beyond its loss in the labels.

        The class that loses most counts; 0 where the base is sure of too little, or no slice is without a label.
        """
        judged, elsewhere = self._found(network)
        most = 0.0
        for channel, (index, sure) in enumerate(zip(self.classes.indices, self.sure, strict=True)):
            if sure is not None:
                border, _ = outline_border(*judged.of(channel), index)
                here = _lost(judged.logits, sure.labels, channel, border)
                most = max(most, _lost(elsewhere, sure.elsewhere, channel, border) - here)
        return most

    def _found(self, network: SliceNetwork) -> tuple[Judged, list[NDArray[np.float32]]]:
        """Return the logits (m, y, x) of the labels, and of the slices without one."""
        predictor = SlicePredictor(network, self.config.window, PLAIN)
        parts = [Part(number, (slice(None), slice(None))) for number in range(len(self.labels))]
        judged = Judged("slices", 0, 0, self.labels, [predictor.logit(item.image) for item in self.labels], parts)
        return judged, [predictor.logit(image) for image in self.unlabelled]

    def _sure(self, channel: int, index: int, elsewhere: Sequence[NDArray[np.float32]]) -> _Sure | None:
        """Return where the base is sure of a class; None where it is sure of too little to be asked."""
        logits, slices = self.of_base.of(channel)
        if not slices:
            return None
        known = [item.label != IGNORE for item in slices]
        logit = np.concatenate([part[where] for part, where in zip(logits, known, strict=True)])
        right = np.concatenate([item.label[where] == index for item, where in zip(slices, known, strict=True)])
        order = np.argsort(-logit, kind="stable")
        precise = np.cumsum(right[order]) >= SURE * np.arange(1, len(order) + 1)
        if not precise.any():
            return None
        border, _ = outline_border(logits, slices, index)
        level = max(border, float(logit[order][np.flatnonzero(precise)[-1]]))
        if (right & (logit > level)).sum() < LEAST_SURE * right.sum():
            return None
        found = [part[channel] > level for part in elsewhere]
        if not any(part.any() for part in found):
            return None
        here = [(part > level) & where for part, where in zip(logits, known, strict=True)]
        return _Sure(here, found)


@dataclass(frozen=True)
class _Sure:
    """Voxels that the base is sure of, in the labels and elsewhere: arrays (y, x) of bool."""

    labels: list[NDArray[np.bool_]]
    elsewhere: list[NDArray[np.bool_]]


def _lost(
    logits: Sequence[NDArray[np.float32]], sure: Sequence[NDArray[np.bool_]], channel: int, border: float
) -> float:
    """Return which share of some voxels is not found."""
    found = sum(int((part[channel][where] > border).sum()) for part, where in zip(logits, sure, strict=True))
    return 1 - found / sum(int(where.sum()) for where in sure)


def _dice_of_parts(judged: Judged, classes: Classes) -> NDArray[np.float64]:
    """Return the Dice of each part, a mean over the classes it shows; NaN where it shows none."""
    both, found, labelled = _areas(judged, classes)
    shown = labelled > 0
    scores = np.where(shown, 2 * both / np.maximum(found + labelled, 1), 0)
    return np.where(shown.any(0), scores.sum(0) / np.maximum(shown.sum(0), 1), np.nan)


def _areas(judged: Judged, classes: Classes) -> NDArray[np.int64]:
    """Return the voxels that are found and labelled, found, and labelled: array (3, classes, parts)."""
    areas = np.zeros((3, len(classes.indices), len(judged.parts)), np.int64)
    for channel, index in enumerate(classes.indices):
        border, _ = outline_border(*judged.of(channel), index)
        for number, part in enumerate(judged.parts):
            logit = judged.logits[part.index][channel, *part.place]
            label = judged.slices[part.index].label[part.place]
            known = np.isfinite(logit) & (label != IGNORE)
            found, labelled = (logit > border) & known, (label == index) & known
            areas[:, channel, number] = (found & labelled).sum(), found.sum(), labelled.sum()
    return areas
