"""Calibrate probability and decision level on labels that the models which judge them did not train on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, special

from ..config import UNetConfig
from ..labels.classes import IGNORE, Classes
from ..labels.training_set import LabelledSlice
from ..logs import LOG
from ..volume.probability import stored
from .facts import LEVEL, NOT_CALIBRATED, Calibration, MeasuredClass
from .folds import Judged
from .unet import SliceNetwork

BINS, REACH = 1200, 12.0
SLOPES, BORDERS = (0.2, 3.0), (-4.0, 4.0)  # of logits; beyond, the network is sure that there is no border
AROUND = 3  # voxels around a domain that belong to its outline


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
    border, clipped = outline_border(logits, slices, index)
    if clipped:
        LOG.warning("%s: no level gives the outlines of the labels: they may be too wide or too tight", name)
    slope = likely_slope(logits, slices, index, border)
    probability = [stored(special.expit(slope * (part - border))) for part in logits]
    fit = Calibration(slope=slope, offset=-slope * border, level_at_its_limit=clipped)
    measured = MeasuredClass(level=LEVEL, calibrated=True, calibration=fit, held_out=None)
    return Calibrated(measured, slices, probability)


def outline_border(logits: list[NDArray[np.float32]], slices: list[LabelledSlice], measured: int) -> tuple[float, bool]:
    """Return the logit at which domains that were found have their labelled area, and whether it had to be clipped.

    Domains of which less than half was found do not count. A level can move outlines, it cannot find what was missed:
    set by the area of everything, it makes up for missed domains by drawing all others too wide, and the model from all
    labels, which misses fewer than those of the folds, found 8 % too much on a scan with faint domains.

    Parameters
    ----------
    logits : list of array (y, x)
    slices : list of LabelledSlice
    measured : int
        Index of the class.
    """
    area, found = 0, np.zeros(BINS)
    for part, item in zip(logits, slices, strict=True):
        target = item.label == measured
        outlined = _found_domains(target, part > 0)
        around = ndimage.binary_dilation(outlined, iterations=AROUND) & (item.label != IGNORE) & ~(target & ~outlined)
        area += int(outlined.sum())
        found += np.histogram(np.clip(part[around], -REACH, REACH), BINS, (-REACH, REACH))[0]
    if not area:
        return 0.0, True
    above = np.append(np.cumsum(found[::-1])[::-1], 0)
    wanted = float(np.linspace(-REACH, REACH, BINS + 1)[np.abs(above - area).argmin()])
    border = float(np.clip(wanted, *BORDERS))
    return border, border != wanted


def _found_domains(target: NDArray[np.bool_], found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the labelled domains of a slice of which at least half was found."""
    numbered, count = ndimage.label(target)
    share = ndimage.mean(found, numbered, np.arange(count + 1)) >= 0.5
    share[0] = False
    return share[numbered]


def likely_slope(logits: list[NDArray[np.float32]], slices: list[LabelledSlice], measured: int, border: float) -> float:
    """Return the slope on logits of highest likelihood on labelled slices: how sure the network may be of itself.

    Platt scaling with a given border. Logits are binned, so the cost does not grow with the slices. Half a pseudo-voxel
    of both classes in the middle bin keeps the slope finite where the classes do not overlap.

    Parameters
    ----------
    logits : list of array (y, x)
    slices : list of LabelledSlice
    measured : int
        Index of the class.
    border : float
        Logit of an even chance.
    """
    edges = np.linspace(-REACH, REACH, BINS + 1)
    yes, no = np.zeros(BINS), np.zeros(BINS)
    for part, item in zip(logits, slices, strict=True):
        known, target = item.label != IGNORE, item.label == measured
        value = np.clip(part, -REACH, REACH)
        yes += np.histogram(value[target], edges)[0]
        no += np.histogram(value[known & ~target], edges)[0]
    yes[BINS // 2] += 0.5
    no[BINS // 2] += 0.5
    middle = (edges[:-1] + edges[1:]) / 2

    def surprise(slope: float) -> float:
        value = slope * (middle - border)
        return float(-(yes * special.log_expit(value) + no * special.log_expit(-value)).sum())

    return float(optimize.minimize_scalar(surprise, bounds=SLOPES, method="bounded").x)
