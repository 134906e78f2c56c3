"""Probability and decision level that held-out slices confirm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ..config import UNetConfig
from ..labels.masks import IGNORE
from ..labels.training_set import LabelledSlice, TrainingSet
from ..logs import LOG
from ..volume.probability import CERTAIN, stored
from .slices import SlicePredictor
from .unet import SliceNetwork

LEVELS = (0.3, 0.7)  # a calibrated level outside the boundary band would not be believable
BINS, REACH = 1200, 12.0
SLOPES, OFFSETS = (0.2, 3.0), (-4.0, 4.0)


@dataclass(frozen=True)
class Calibration:
    """What the held-out slices say of the probability.

    Attributes
    ----------
    slope, offset : float
        On the logit of the measured class: probability = sigmoid(slope * logit + offset) (Platt 1999).
    level : float
        Probability at which the held-out slices have the labelled area: volume is then unbiased.
    calibrated : bool
        False when no domain was held out: then the level is 0.5 and nothing is known of the model's errors.
    clipped : bool
        The level of equal area lay outside 0.3 to 0.7.
    """

    slope: float
    offset: float
    level: float
    calibrated: bool
    clipped: bool


NOT_CALIBRATED = Calibration(1.0, 0.0, 0.5, False, False)


def calibrate(
    network: SliceNetwork, training: TrainingSet, config: UNetConfig
) -> tuple[Calibration, list[NDArray[np.uint8]]]:
    """Fit probability and decision level to the held-out slices; the network's calibration is set.

    Returns
    -------
    Calibration
    list of array (y, x) of uint8
        Calibrated probability of each held-out slice; 255 is certain.
    """
    network.calibration = (1.0, 0.0)
    held_out = training.part(held_out=True)
    if not held_out:
        LOG.warning(
            "nothing was held out: the decision level is not calibrated and errors are unknown; label more slices"
        )
        return NOT_CALIBRATED, []
    predictor = SlicePredictor(network, config.window)
    logits = [predictor.logit(item.image) for item in held_out]
    if not any((item.label == config.measured).any() for item in held_out):
        LOG.warning("the held-out slices contain no domain: the decision level is not calibrated")
        return NOT_CALIBRATED, [stored(special.expit(part)) for part in logits]
    slope, offset = fit_probability(logits, held_out, config.measured)
    network.calibration = (slope, offset)
    probability = [stored(special.expit(slope * part + offset)) for part in logits]
    level, clipped = equal_area_level(probability, held_out, config.measured)
    return Calibration(slope, offset, level, True, clipped), probability


def fit_probability(
    logits: list[NDArray[np.float32]], slices: list[LabelledSlice], measured: int
) -> tuple[float, float]:
    """Return slope and offset on logits that make labelled slices most likely (Platt scaling).

    Logits are binned, so the cost does not grow with the slices. Half a pseudo-voxel of both classes in the middle bin
    keeps the slope finite where the classes do not overlap.

    Parameters
    ----------
    logits : list of array (y, x)
    slices : list of LabelledSlice
    measured : int
        Index of the class.
    """
    edges = np.linspace(-REACH, REACH, BINS + 1)
    yes, no = np.zeros(BINS), np.zeros(BINS)
    for part, item in zip(logits, slices, strict=True):
        known, target = item.label != IGNORE, item.label == measured
        value = np.clip(part, -REACH, REACH)
        yes += np.histogram(value[target], edges)[0]
        no += np.histogram(value[known & ~target], edges)[0]
    middle = (edges[:-1] + edges[1:]) / 2
    yes[BINS // 2] += 0.5
    no[BINS // 2] += 0.5
    total = yes.sum() + no.sum()

    def surprise(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value = parameters[0] * middle + parameters[1]
        loss = -(yes * special.log_expit(value) + no * special.log_expit(-value)).sum() / total
        slip = (special.expit(value) * (yes + no) - yes) / total
        return loss, np.array([(slip * middle).sum(), slip.sum()])

    found = optimize.minimize(surprise, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[SLOPES, OFFSETS])
    return float(found.x[0]), float(found.x[1])


def equal_area_level(
    probability: list[NDArray[np.uint8]], slices: list[LabelledSlice], measured: int
) -> tuple[float, bool]:
    """Return the level at which as much area is found as was labelled, and whether it had to be clipped."""
    chance = np.concatenate([part[item.label != IGNORE] for part, item in zip(probability, slices, strict=True)])
    labelled = sum(int((item.label == measured).sum()) for item in slices)
    # Voxels at or above each stored value 1 ... 255; the level lies half a step below the best.
    area = np.cumsum(np.bincount(chance, minlength=256)[::-1])[::-1][1:]
    wanted = (float(np.abs(area - labelled).argmin()) + 0.5) / CERTAIN
    level = float(np.clip(wanted, *LEVELS))
    if level != wanted:
        LOG.warning(
            "the level of equal area is %.2f, outside %.1f..%.1f: the labels may be drawn too wide or tight",
            wanted,
            *LEVELS,
        )
    return level, level != wanted
