"""Calibrate probability and decision level on labels that the models which judge them did not train on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ..config import UNetConfig
from ..labels.classes import IGNORE, Classes
from ..labels.training_set import LabelledSlice
from ..logs import LOG
from ..volume.probability import CERTAIN, stored
from .facts import Calibration, MeasuredClass
from .folds import Judged
from .unet import SliceNetwork

LEVELS = (0.3, 0.7)  # a calibrated level outside the boundary band would be implausible
BINS, REACH = 1200, 12.0
SLOPES, OFFSETS = (0.2, 3.0), (-4.0, 4.0)


NOT_CALIBRATED = MeasuredClass(
    level=0.5, calibrated=False, calibration=Calibration(slope=1.0, offset=0.0, level_at_its_limit=False), held_out=None
)


@dataclass(frozen=True)
class Calibrated:
    """A measured class, calibrated on what folds found.

    Attributes
    ----------
    measured : MeasuredClass
        Without scores.
    slices : list of LabelledSlice
        Those that were judged; voxels that were not are ignored.
    probability : list of arrays (y, x) of uint8
        Calibrated, by models that did not train on them; 255 is certain.
    """

    measured: MeasuredClass
    slices: list[LabelledSlice]
    probability: list[NDArray[np.uint8]]


def calibrate(network: SliceNetwork, judged: Judged, config: UNetConfig) -> dict[str, Calibrated]:
    """Fit probability and decision level of each measured class to all folds together, and set the network's.

    Returns
    -------
    dict
        By name of the class.
    """
    classes = Classes.of(config)
    if judged.kind == "none":
        LOG.warning("the labels are too few to judge each other: the decision level is not calibrated and the accuracy "
                    "is unknown; label more slices")  # fmt: skip
    each = enumerate(zip(classes.measured, classes.indices, strict=True))
    found = {name: _calibrate_class(*judged.of(channel), name, index) for channel, (name, index) in each}
    fits = [one.measured.calibration for one in found.values()]
    network.calibration = tuple((fit.slope, fit.offset) for fit in fits)
    return found


def _calibrate_class(
    logits: list[NDArray[np.float32]], slices: list[LabelledSlice], name: str, index: int
) -> Calibrated:
    if not any((item.label == index).any() for item in slices):
        if slices:
            LOG.warning("no fold could judge %s: the decision level for it is not calibrated", name)
        return Calibrated(NOT_CALIBRATED, slices, [stored(special.expit(part)) for part in logits])
    slope, offset = fit_probability(logits, slices, index)
    probability = [stored(special.expit(slope * part + offset)) for part in logits]
    level, clipped = equal_area_level(probability, slices, index)
    fit = Calibration(slope=slope, offset=offset, level_at_its_limit=clipped)
    measured = MeasuredClass(level=level, calibrated=True, calibration=fit, held_out=None)
    return Calibrated(measured, slices, probability)


def fit_probability(
    logits: list[NDArray[np.float32]], slices: list[LabelledSlice], measured: int
) -> tuple[float, float]:
    """Return the slope and offset on logits of highest likelihood on labelled slices (Platt scaling).

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
    """Return the level at which the found area equals the labelled area, and whether it had to be clipped."""
    chance = np.concatenate([part[item.label != IGNORE] for part, item in zip(probability, slices, strict=True)])
    labelled = sum(int((item.label == measured).sum()) for item in slices)
    # Voxels at or above each stored value 1 ... 255; the level lies half a step below the best.
    area = np.cumsum(np.bincount(chance, minlength=256)[::-1])[::-1][1:]
    wanted = (float(np.abs(area - labelled).argmin()) + 0.5) / CERTAIN
    level = float(np.clip(wanted, *LEVELS))
    if level != wanted:
        LOG.warning(
            "the level of equal area is %.2f, outside %.1f..%.1f: the outlines may be drawn too wide or too tight",
            wanted,
            *LEVELS,
        )
    return level, level != wanted
