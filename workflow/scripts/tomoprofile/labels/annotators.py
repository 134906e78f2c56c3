"""Slices labelled by several people: their majority, and how well they agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..logs import LOG
from .classes import DOMAIN, IGNORE


class _Masks(Protocol):
    masks: dict[int, NDArray[np.uint8]]


@dataclass(frozen=True)
class Agreement:
    """How well the masks of one slice agree.

    Attributes
    ----------
    dice : float or None
        Mean Dice coefficient over all pairs and measured classes; None where nobody marked a domain.
    disagree : float or None
        Share of the voxels that at least two people labelled on which they disagree; None where there are none.
    """

    dice: float | None
    disagree: float | None

    def __str__(self) -> str:
        """In words: ``Dice 0.91 between pairs, 2.3 % of the voxels in dispute``."""
        dice = "no domain marked" if self.dice is None else f"Dice {self.dice:.2f} between pairs"
        dispute = "" if self.disagree is None else f", {100 * self.disagree:.1f} % of the voxels in dispute"
        return dice + dispute


def consensus(masks: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the class that more than half of those who labelled a voxel chose; ignored without such a majority.

    Parameters
    ----------
    masks : list of array (y, x) of uint8
        Class indices, 255 where somebody did not decide. A voxel labelled by only one person keeps that label.
    """
    stack = np.stack(masks)
    voters = (stack != IGNORE).sum(axis=0)
    out = np.full(stack.shape[1:], IGNORE, np.uint8)
    for index in np.setdiff1d(np.unique(stack), [IGNORE]):
        out[2 * (stack == index).sum(axis=0) > voters] = index
    return out


def agreement(masks: list[NDArray[np.uint8]], measured: Sequence[int] = (DOMAIN,)) -> Agreement:
    """Return how well masks of one slice agree; voxels that either person ignored do not count for that pair.

    Parameters
    ----------
    masks : list of array (y, x) of uint8
        Class indices, 255 ignored.
    measured : sequence of int
        Indices of the classes whose Dice coefficient is computed.
    """
    dice = []
    for (one, other), index in product(combinations(masks, 2), measured):
        known = (one != IGNORE) & (other != IGNORE)
        first, second = (one == index) & known, (other == index) & known
        marked = first.sum() + second.sum()
        if marked:
            dice.append(2 * (first & second).sum() / marked)
    stack = np.stack(masks)
    known = stack != IGNORE
    shared = known.sum(axis=0) > 1
    high = np.where(known, stack, 0).max(axis=0)
    low = np.where(known, stack, IGNORE).min(axis=0)
    disagree = float((high != low)[shared].mean()) if shared.any() else None
    return Agreement(float(np.mean(dice)) if dice else None, disagree)


def shared_slices(annotators: Mapping[str, _Masks]) -> dict[int, list[NDArray[np.uint8]]]:
    """Return the masks of each slice that several people labelled, by slice index."""
    by_slice: dict[int, list[NDArray[np.uint8]]] = {}
    for person in annotators.values():
        for z, mask in person.masks.items():
            by_slice.setdefault(z, []).append(mask)
    return {z: masks for z, masks in sorted(by_slice.items()) if len(masks) > 1}


def summary(
    names: Iterable[str], shared: Mapping[str, list[NDArray[np.uint8]]], measured: Sequence[int] = (DOMAIN,)
) -> dict[str, Any]:
    """Return who labelled and how well they agree, as plain values for the records of a model, and log it.

    Parameters
    ----------
    names : iterable of str
        Names of the annotators; the empty one, of files without a folder of their own, is left out.
    shared : mapping
        Masks of each slice that several people labelled, by name of the slice.
    measured : sequence of int
        Indices of the measured classes.

    Returns
    -------
    dict
        ``names``; ``slices_in_common``: for each its ``dice`` and ``disagree``, see :class:`Agreement`; ``dice``,
        ``disagree``: their means over slices, or None.
    """
    each = {where: agreement(masks, measured) for where, masks in shared.items()}
    dice = [found.dice for found in each.values() if found.dice is not None]
    disagree = [found.disagree for found in each.values() if found.disagree is not None]
    for where, found in each.items():
        LOG.info("%s, labelled by several people: %s", where, found)
    return {
        "names": sorted(name for name in names if name),
        "slices_in_common": {where: {"dice": each[where].dice, "disagree": each[where].disagree} for where in each},
        "dice": float(np.mean(dice)) if dice else None,
        "disagree": float(np.mean(disagree)) if disagree else None,
    }
