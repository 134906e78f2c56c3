"""How far a fine-tuned network goes from its base: all the way, or half of it.

One label shows few of the things that a scan holds, and fine-tuning forgets what it does not show: on phantom B the
Dice fell from .956 to .951. The mean of the weights before and after keeps much of it (WiSE-FT, Wortsman et al. 2022,
arXiv:2109.01903): .964. Where a base knows nothing of a scan the mean would be worse, so parts of the label that did
not train decide.

Several groups of labels show more, and the models of folds, which learn from fewer, would stay too near the base. There
the base itself is judged, by all labels, as it trained on none: where it reproduces them nearly, little can be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..config import UNetConfig
from ..labels.classes import IGNORE, Classes
from ..labels.folds import Kind, Part
from ..labels.training_set import TrainingSet
from ..logs import LOG
from .calibration import outline_border
from .folds import PLAIN, Judged
from .initial import HALF, WHOLE, shares
from .slices import SlicePredictor
from .trainer import Windows
from .unet import SliceNetwork

KNOWN = 0.97  # Dice of labels that the base reproduces as it is, from which on half of the way is enough


def ways_to_judge(
    kind: Kind, training: TrainingSet, start: Callable[[], SliceNetwork], config: UNetConfig
) -> tuple[float, ...]:
    """Return the shares of the way among which the folds are to choose.

    Half and all of it where the parts of one group of labels judge each other. Several groups settle it beforehand:
    half where the base as it is has a Dice of :data:`KNOWN` on them, else all.

    Parameters
    ----------
    kind : {"slices", "blocks", "tiles", "none"}
        What each fold leaves out.
    training : TrainingSet
    start : callable
        Returns the base.
    config : UNetConfig
    """
    ways = shares(config)
    if len(ways) == 1 or kind in ("tiles", "none"):
        return ways
    dice = _dice_of_base(training, start(), config)
    told = "the base has a Dice of %.3f on the labels as it is: training goes %s of the way from it"
    LOG.info(told, dice, "half" if dice >= KNOWN else "all")
    return (HALF,) if dice >= KNOWN else (WHOLE,)


def choose_share(judged: Mapping[float, Judged], classes: Classes) -> float:
    """Return how far to go: half of the way, unless the labels that did not train speak for all of it.

    They do when the Dice of the parts that folds judged is larger at the end of the way, on average, by more than its
    standard error.

    Parameters
    ----------
    judged : mapping of float to Judged
        By share of the way.
    classes : Classes
    """
    if len(judged) == 1:
        return next(iter(judged))
    gain = _dice_of_parts(judged[WHOLE], classes) - _dice_of_parts(judged[HALF], classes)
    gain = gain[np.isfinite(gain)]
    if len(gain) < 2:
        return HALF
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    share = WHOLE if gain.mean() > error else HALF
    told = (
        "%s of the way from the base: at its end the Dice of labels that did not train is %+.3f (standard error %.3f)"
    )
    LOG.info(told, "all" if share == WHOLE else "half", gain.mean(), error)
    return share


def _dice_of_base(training: TrainingSet, base: SliceNetwork, config: UNetConfig) -> float:
    """Return the Dice of a network in windows of the labels, a mean over the classes they show; 0 without any."""
    classes, predictor = Classes.of(config), SlicePredictor(base, config.window, PLAIN)
    slices, logits = [], []
    for image, label in Windows(training.slices, classes, base.reduction):
        slices.append(replace(training.slices[0], image=image, label=label))
        logits.append(predictor.logit(image))
    windows = [Part(index, (slice(None), slice(None))) for index in range(len(slices))]
    both, found, labelled = _areas(Judged("slices", 0, 0, slices, logits, windows), classes).sum(2)
    shown = labelled > 0
    return float((2 * both / (found + labelled))[shown].mean()) if shown.any() else 0.0


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
