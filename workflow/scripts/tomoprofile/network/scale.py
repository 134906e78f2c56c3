"""Choose from the labels how far a slice is reduced before the network sees it.

Domains far wider than the network sees at once have no inside and outside for it; at a coarser resolution they have.
Slices are reduced as far as the widest domains need and the smallest ones allow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..config import UNetConfig
from ..config_profile import AUTO
from ..labels.classes import IGNORE, Classes
from ..labels.training_set import TrainingSet
from ..logs import LOG
from .unet import USUAL

MOST_REDUCED = 8
WIDEST = 64  # voxels that the network sees of a slice, well inside its field of view
NARROWEST = 6  # voxels that the smallest domains keep
MIN_VOXELS = 5  # smaller objects are as likely a slip of the hand; the default of the tables, too
FULLY = 0.5  # share of voxels with a label from which objects are whole; scribbles are none
DIAMETERS, MOST_GROWN, MULTIPLE = 4, 1.5, 16  # of a crop: domains across, growth, divisor


@dataclass(frozen=True)
class Widths:
    """How wide labelled domains are, as circles of the same area, in voxels.

    Attributes
    ----------
    small : float
        A tenth of the domains are smaller.
    mean : float
        Where a labelled voxel lies, on average.
    large : float
        A tenth of the labelled area lies in wider domains.
    """

    small: float
    mean: float
    large: float


def widths(labels: list[NDArray[np.uint8]], measured: tuple[int, ...]) -> Widths | None:
    """Return how wide the domains of fully labelled slices are, or None without any.

    Parameters
    ----------
    labels : list of array (y, x)
    measured : tuple of int
        Indices of the measured classes; objects of each are counted on their own.
    """
    return widths_of(areas_of(labels, measured))


def areas_of(labels: list[NDArray[np.uint8]], measured: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the areas in pixels of the domains of fully labelled slices, as :func:`widths` counts them."""
    whole = [label for label in labels if (label != IGNORE).mean() > FULLY]
    return np.concatenate([_areas(label == index) for label in whole for index in measured] or [[]])


def widths_of(areas: NDArray[np.float64]) -> Widths | None:
    """Return how wide domains of these areas are."""
    areas = np.sort(areas)
    if not areas.size:
        return None
    wide = np.sqrt(4 * areas / math.pi)
    share = np.cumsum(areas) / areas.sum()
    large = wide[np.searchsorted(share, 0.9)]
    return Widths(float(np.percentile(wide, 10)), float(np.average(wide, weights=areas)), float(large))


def _areas(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(parts.ravel())[1:]
    return areas[areas >= MIN_VOXELS]


def reduction_for(found: Widths | None) -> int:
    """Return how many voxels become one, a power of two: no more than wide domains need and small ones allow."""
    reduction = 1
    while (
        found is not None
        and reduction < MOST_REDUCED
        and found.large / reduction > WIDEST
        and found.small / (2 * reduction) >= NARROWEST
    ):
        reduction *= 2
    return reduction


def crop_for(found: Widths | None, reduction: int, crop: int) -> int:
    """Return the side in voxels of a training crop that shows several domains, a multiple of 16 reduced voxels.

    Parameters
    ----------
    found : Widths or None
    reduction : int
    crop : int
        Smallest side after the reduction; the largest is half as large again, because time grows with the square.
    """
    wanted = 0.0 if found is None else DIAMETERS * found.mean / reduction
    side = min(max(wanted, crop), MOST_GROWN * crop)
    return reduction * MULTIPLE * math.ceil(side / MULTIPLE)


def scaled(config: UNetConfig, training: TrainingSet) -> UNetConfig:
    """Return settings whose scale and crop are numbers: with ``input_scale: auto`` those the labels ask for."""
    if config.input_scale != AUTO:
        return config
    return scaled_for(config, widths([item.label for item in training.slices], Classes.of(config).indices))


def scaled_for(config: UNetConfig, found: Widths | None) -> UNetConfig:
    """Return settings with the scale and the crop that such domains ask for."""
    reduction = reduction_for(found)
    chosen = {
        "input_scale": USUAL / reduction,
        "crop": crop_for(found, reduction, config.crop),
    }
    if found is not None:
        LOG.info(
            "labelled domains are %.0f to %.0f voxels wide: input_scale %g, crop %d",
            *(found.small, found.large, *chosen.values()),
        )
    return config.model_copy(update=chosen)


def scale_of(config: UNetConfig) -> float:
    """Return the scale of settings; before labels were seen, the usual one."""
    return USUAL if config.input_scale == AUTO else float(config.input_scale)
