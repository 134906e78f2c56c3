"""Label volumes have more slices than training can use, neighbours of which show nearly the same: some are enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .alignment import spread
from .masks import Annotator

_MOST, _FEW = 48, 8  # slices of a scan that train; the fewest, however large they are
_VOXELS = 48 * 2**20  # of them all: each is kept with its neighbours, as numbers of 32 bits
_OF_A_CLASS = 4  # slices, where it has as many


def slices_of_volumes(annotators: Mapping[str, Annotator]) -> set[int]:
    """Return the slices that are labelled in volumes of the whole scan, and by nobody in a file of their own."""
    kinds: dict[int, set[str]] = {}
    for person in annotators.values():
        for z, file in person.files.items():
            kinds.setdefault(z, set()).add(file.kind)
    return {z for z, found in kinds.items() if found == {"volume"}}


def thinned(
    masks: Mapping[int, NDArray[np.uint8]], of_volumes: set[int], measured: Sequence[int]
) -> dict[int, NDArray[np.uint8]]:
    """Return the masks that train: all that were made for a slice, and of label volumes some, spread evenly.

    Of each measured class there are at least four slices, or all it has. Whoever labels single slices chose them, so
    none is left out.

    Parameters
    ----------
    masks : mapping of int to uint8 array (y, x)
        Class indices, by slice.
    of_volumes : set of int
        Slices that were labelled in a volume.
    measured : sequence of int
        Indices of the measured classes.
    """
    some = sorted(of_volumes & masks.keys())
    if not some:
        return dict(masks)
    most = max(_FEW, min(_MOST, _VOXELS // math.prod(masks[some[0]].shape)))
    chosen = (masks.keys() - of_volumes) | set(spread(some, most))
    for index in measured:
        showing = [z for z in some if (masks[z] == index).any()]
        if len(chosen.intersection(showing)) < min(_OF_A_CLASS, len(showing)):
            chosen |= set(spread(showing, _OF_A_CLASS))
    return {z: masks[z] for z in sorted(chosen)}
