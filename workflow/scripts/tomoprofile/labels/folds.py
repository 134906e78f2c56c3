"""Folds: labels divided so that each judges a model that it did not train.

One group of slices after the other is left out. Where a single group shows what is measured, as in a labelled volume,
blocks of its slices take the place of groups, with a gap as wide as the scan's structure reaches; where it is too thin
for that, strips of its slices do, and what other slices look like they cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..config import MOST_FOLDS
from .classes import IGNORE
from .training_set import LabelledSlice, TrainingSet

_LEAST_GAP = 4  # voxels
_LEAST_SIDE = 16  # voxels of a strip, to train on it

Kind = Literal["slices", "blocks", "tiles", "none"]


@dataclass(frozen=True)
class Part:
    """A part of a labelled slice.

    Attributes
    ----------
    index : int
        Of the slice in the training set.
    place : tuple of slice
        Rows and columns.
    """

    index: int
    place: tuple[slice, slice]


@dataclass(frozen=True)
class Fold:
    """One division of the labels.

    Attributes
    ----------
    training : list of LabelledSlice
        Slices, or strips of them, that train.
    judged : list of Part
        What the model from them is judged on.
    """

    training: list[LabelledSlice]
    judged: list[Part]

    def teaches(self, measured: int) -> bool:
        """Return whether a class is in what trains: a model that was never shown it cannot be judged on it."""
        return any((item.label == measured).any() for item in self.training)

    def tests(self, measured: int, slices: Sequence[LabelledSlice]) -> bool:
        """Return whether a model that was shown a class is judged where the labels show it, too."""
        shown = any((slices[part.index].label[part.place] == measured).any() for part in self.judged)
        return shown and self.teaches(measured)


@dataclass(frozen=True)
class Folds:
    """All folds.

    Attributes
    ----------
    kind : {"slices", "blocks", "tiles", "none"}
        Whether groups of slices are left out, blocks of one group, or strips; none where the labels are too few.
    folds : list of Fold
    """

    kind: Kind
    folds: list[Fold]


def make_folds(training: TrainingSet, measured: Sequence[int]) -> Folds:
    """Return the folds of a training set.

    Parameters
    ----------
    training : TrainingSet
    measured : sequence of int
        Indices of the measured classes.
    """
    for kind, folds in (
        ("slices", _by_groups(training, measured)),
        ("blocks", _by_blocks(training)),
        ("tiles", _by_strips(training, measured)),
    ):
        useful = [fold for fold in folds if any(fold.teaches(index) for index in measured)]
        if any(fold.tests(index, training.slices) for fold in useful for index in measured):
            return Folds(kind, useful)  # type: ignore[arg-type]
    return Folds("none", [])


def _by_groups(training: TrainingSet, measured: Sequence[int]) -> list[Fold]:
    """Return folds of whole groups, those that show a measured class spread evenly."""
    area = {
        number: sum(int(np.isin(item.label, measured).sum()) for item in training.slices if item.group == number)
        for number in sorted({item.group for item in training.slices})
    }
    count = min(MOST_FOLDS, sum(bool(voxels) for voxels in area.values()))
    if count < 2:
        return []
    parts: list[set[int]] = [set() for _ in range(count)]
    for number in sorted(area, key=lambda one: -area[one]):
        min(parts, key=lambda part: (sum(area[one] for one in part), len(part))).add(number)
    return [
        Fold(
            [item for item in training.slices if item.group not in left_out],
            [Part(n, _whole(item)) for n, item in enumerate(training.slices) if item.group in left_out],
        )
        for left_out in parts
    ]


def _by_blocks(training: TrainingSet) -> list[Fold]:
    """Return folds of blocks of slices, where those with labels reach far enough for gaps between blocks."""
    reach = {sample: apart.slices for sample, apart in training.apart.items()}
    places = {sample: [item.z for item in training.slices if item.sample == sample] for sample in reach}
    labelled = {sample: (min(mine), max(mine) + 1) for sample, mine in places.items() if mine}
    for count in range(MOST_FOLDS, 1, -1):
        if all(last - first >= 2 * count * reach[sample] for sample, (first, last) in labelled.items()):
            cuts = {sample: np.linspace(*ends, count + 1) for sample, ends in labelled.items()}
            return [_block(training, cuts, number, reach) for number in range(count)]
    return []


def _block(training: TrainingSet, cuts: dict[str, NDArray[np.float64]], number: int, reach: dict[str, int]) -> Fold:
    """Return the fold that leaves out one block of the slices of every scan."""
    trains, judged = [], []
    for index, item in enumerate(training.slices):
        low, high = cuts[item.sample][number : number + 2]
        if low <= item.z < high:
            judged.append(Part(index, _whole(item)))
        elif item.z < low - reach[item.sample] or item.z >= high + reach[item.sample]:
            trains.append(item)
    return Fold(trains, judged)


def _by_strips(training: TrainingSet, measured: Sequence[int]) -> list[Fold]:
    """Return folds of strips across the axis along which what is measured is spread most evenly."""
    for axis in sorted((0, 1), key=lambda one: _unevenness(training, measured, one)):
        reach = max((apart.voxels[axis] for apart in training.apart.values()), default=0)
        gap = max(_LEAST_GAP, reach)
        narrowest = min(item.label.shape[axis] for item in training.slices)
        count = next((n for n in range(MOST_FOLDS, 1, -1) if narrowest / n >= max(2 * gap, 2 * _LEAST_SIDE)), 0)
        if count:
            cuts = [_cuts(item.label, measured, axis, count) for item in training.slices]
            return [_strip(training, cuts, number, axis, gap) for number in range(count)]
    return []


def _strip(training: TrainingSet, cuts: list[list[int]], number: int, axis: int, gap: int) -> Fold:
    """Return the fold that leaves out one strip of every slice."""
    trains, judged = [], []
    for index, (item, borders) in enumerate(zip(training.slices, cuts, strict=True)):
        low, high = borders[number], borders[number + 1]
        judged.append(Part(index, _across(axis, low, high)))
        for start, stop in ((0, low - gap), (high + gap, item.label.shape[axis])):
            place = _across(axis, start, stop)
            if stop - start >= _LEAST_SIDE and (item.label[place] != IGNORE).any():
                trains.append(replace(item, image=item.image[:, *place], label=item.label[place]))
    return Fold(trains, judged)


def _cuts(label: NDArray[np.uint8], measured: Sequence[int], axis: int, count: int) -> list[int]:
    """Return borders of strips: of equal width and of equal measured area have equal weight."""
    n = label.shape[axis]
    area = np.isin(label, measured).sum(axis=1 - axis).astype(float)
    share = np.full(n, 1 / n) + (area / area.sum() if area.any() else 1 / n)
    inner = np.searchsorted(np.cumsum(share) / share.sum(), np.arange(1, count) / count) + 1
    return [0, *inner.tolist(), n]


def _unevenness(training: TrainingSet, measured: Sequence[int], axis: int) -> float:
    """Return by how much measured area differs between strips of equal width, relative to its mean."""
    strips = np.zeros(MOST_FOLDS)
    for item in training.slices:
        area = np.isin(item.label, measured).sum(axis=1 - axis)
        strips += [part.sum() for part in np.array_split(area, MOST_FOLDS)]
    return float(strips.std() / strips.mean()) if strips.any() else 0.0


def _whole(item: LabelledSlice) -> tuple[slice, slice]:
    return slice(0, item.label.shape[0]), slice(0, item.label.shape[1])


def _across(axis: int, start: int, stop: int) -> tuple[slice, slice]:
    part = slice(max(0, start), max(0, stop))
    return (part, slice(None)) if axis == 0 else (slice(None), part)
