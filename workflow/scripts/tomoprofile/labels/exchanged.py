"""Labels whose background and domains seem to be exchanged, as masks of an inverted lookup table are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .classes import BACKGROUND, IGNORE, Classes

_MOST = 0.5  # share of the labelled voxels
_NEARLY_ALL = 0.98
_IN_ONE_PIECE = 0.9  # share of the class in its largest piece of a slice
_LEAST_HOLES = 3  # in a slice, on average


def exchanged(masks: Mapping[int, NDArray[np.uint8]], classes: Classes) -> list[str]:
    """Return a warning when the measured class looks like the matrix, and the background like domains; else nothing.

    It covers most of what is labelled, in one piece with holes that do not touch the border of the slice; or nearly
    everything. Dense domains that touch are in one piece, too, but what is left between them reaches the border.

    Parameters
    ----------
    masks : mapping of int to array (y, x)
        Class indices and 255 for ignored, by slice.
    classes : Classes
    """
    if len(classes.names) != 2:
        return []
    index, name = classes.indices[0], classes.measured[0]
    labelled = sum(int((mask != IGNORE).sum()) for mask in masks.values())
    share = sum(int((mask == index).sum()) for mask in masks.values()) / max(labelled, 1)
    if share <= _MOST:
        return []
    pieces = [_piece_and_holes(mask, index) for mask in masks.values()]
    whole, holes = (float(np.mean(part)) for part in zip(*pieces, strict=True))
    if share < _NEARLY_ALL and not (whole >= _IN_ONE_PIECE and holes >= _LEAST_HOLES):
        return []
    ground, other = classes.value(classes.background), classes.value(name)
    return [
        f"{100 * share:.0f} % of what is labelled is {name}, in one piece around {holes:.0f} holes in a slice: are the "
        f"values of {classes.background} and {name} exchanged? If so, set "
        f"`classes: {{{classes.background}: {other}, {name}: {ground}}}` for the model. If {name} does fill most of "
        "the scan, all is well"
    ]


def _piece_and_holes(mask: NDArray[np.uint8], index: int) -> tuple[float, int]:
    """Return the share of a class in its largest piece, and how many pieces of background lie away from the border."""
    pieces, count = ndimage.label(mask == index)
    sizes = np.bincount(pieces.ravel(), minlength=2)[1:]
    holes, number = ndimage.label(mask == BACKGROUND, np.ones((3, 3)))
    rim = np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])
    return float(sizes.max() / max(sizes.sum(), 1)) if count else 0.0, number - len(np.unique(rim[rim > 0]))
