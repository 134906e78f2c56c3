"""How far apart two labels must be for one to judge a model that the other trained: measured in the scan.

A domain, a fibre or a pore reaches through several slices, so a slice and its neighbour are nearly one label, and a
model that was trained on one does well on the other for no merit of its own. How far that goes differs from scan to
scan, from one slice where no two are alike to hundreds where domains are large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from .classes import DOMAIN, IGNORE

Item = TypeVar("Item")

LEFT = 0.1  # of the correlation of neighbouring slices, below which slices no longer know of each other
ALIKE = 0.2  # correlation of two masks beyond which they show the same objects
_NEAR, _FAR = 1.0, 8  # sigma that damps noise; part of a side whose sigma takes shading away
_KNEE = 4.0  # robust standard deviations, beyond which a void or a substrate would outweigh all else
_SIDE = 512  # of the middle of a slice, which stands for all of it
_STARTS = 3
_STEPS = (0, 1, 2, 3, 4, 6, 8, 11, 16, 22, 32, 45, 64, 90, 128)
_NOISE = 0.02  # correlation of neighbours that may be due to chance


@dataclass(frozen=True)
class Apart:
    """How far the structure of a scan reaches.

    Attributes
    ----------
    slices : int
        Slices from which on two of them show different things; 1 where neighbours are already unlike.
    voxels : tuple of int
        The same within a slice, along (y, x).
    neighbours : float
        Correlation of the grey structure of neighbouring slices, beyond that of slices far apart.
    """

    slices: int
    voxels: tuple[int, int]
    neighbours: float

    def record(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"slices": self.slices, "voxels": list(self.voxels), "neighbours": round(self.neighbours, 3)}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Apart:
        """Return it from plain values."""
        return cls(record["slices"], tuple(record["voxels"]), record["neighbours"])


def measure_apart(read: Callable[[int, int], NDArray[Any]], depth: int) -> Apart:
    """Measure how far the grey structure of a scan reaches, along z and within slices.

    About forty slices are read: three runs whose steps grow, so that all distances occur. Each is smoothed slightly and
    freed of slow shading. What all slices share (rings, the edge of a sample or a substrate) is the correlation of
    those far apart; a distance is reached where at most 10 % of what neighbours correlate beyond that is left.

    Parameters
    ----------
    read : callable
        Returns the slices [start, stop) as an array (z, y, x), in any unit.
    depth : int
        Slices of the scan.
    """
    starts = np.unique(np.round(np.linspace(0, depth - 1, _STARTS + 2)[1:-1]).astype(int)).tolist()
    places = sorted({start + step for start in starts for step in _STEPS if start + step < depth})
    planes = {z: structure(read(z, z + 1)[0]) for z in places}
    within = np.max([_reach_within(planes[z]) for z in starts], axis=0)
    slices, neighbours = _reach_along(planes, depth)
    return Apart(slices, (int(within[0]), int(within[1])), neighbours)


def groups_of(
    masks: Mapping[int, NDArray[np.uint8]], slices: int, measured: Sequence[int] = (DOMAIN,)
) -> list[list[int]]:
    """Return labelled slices in groups: those of one group show partly the same, those of two do not.

    Parameters
    ----------
    masks : mapping of int to uint8 array (y, x)
        Class indices by slice index.
    slices : int
        Slices nearer than this are one group, see :class:`Apart`.
    measured : sequence of int
        Indices of the classes whose masks are compared.
    """
    joined = [
        (one, other) for one, other in combinations(sorted(masks), 2)
        if other - one < slices or alike(masks[one], masks[other], measured) > ALIKE
    ]  # fmt: skip
    return connected(sorted(masks), joined)


def connected(items: Sequence[Item], joined: Iterable[tuple[Item, Item]]) -> list[list[Item]]:
    """Return items in groups that pairs connect, in the order of the items."""
    group = {item: number for number, item in enumerate(items)}
    for one, other in joined:
        kept, gone = sorted((group[one], group[other]))
        group = {item: kept if number == gone else number for item, number in group.items()}
    return [[item for item in items if group[item] == number] for number in sorted(set(group.values()))]


def alike(one: NDArray[np.uint8], other: NDArray[np.uint8], measured: Sequence[int] = (DOMAIN,)) -> float:
    """Return how alike two masks are beyond chance: the largest correlation of a class; 1 for equal masks.

    0 where either shows no class, or slices have different sizes. Voxels that either ignores do not count.
    """
    if one.shape != other.shape:
        return 0.0
    known = (one != IGNORE) & (other != IGNORE)
    found = [0.0]
    for index in measured:
        first, second = (part[known] == index for part in (one, other))
        spread = float(first.std() * second.std()) if known.any() else 0.0
        if spread:
            both = float((first & second).mean()) - float(first.mean()) * float(second.mean())
            found.append(both / spread)
    return max(found)


def copied(masks: Mapping[Any, NDArray[np.uint8]], measured: Sequence[int] = (DOMAIN,)) -> list[tuple[Any, Any]]:
    """Return pairs of slices whose masks are the same, voxel for voxel, and show a measured class."""
    telling = {z: mask for z, mask in masks.items() if np.isin(mask, list(measured)).any()}
    return [(one, other) for one, other in combinations(telling, 2) if np.array_equal(telling[one], telling[other])]


def structure(plane: NDArray[Any]) -> NDArray[np.float32]:
    """Return the grey structure of the middle of a slice without slow shading; the product of two is a correlation.

    Mean 0 and square sum 1, or all 0 where the slice is constant.
    """
    rows, columns = ((max(0, n - _SIDE) // 2, min(n, _SIDE)) for n in plane.shape)
    part = plane[rows[0] : rows[0] + rows[1], columns[0] : columns[0] + columns[1]].astype(np.float32)
    part = np.nan_to_num(part, copy=False, posinf=0.0, neginf=0.0)
    slow = ndimage.gaussian_filter(part, [max(2.0, n / _FAR) for n in part.shape], truncate=2.0)
    fast = ndimage.gaussian_filter(part, _NEAR) - slow
    away = fast - np.median(fast)
    usual = 1.4826 * float(np.median(np.abs(away)))
    if usual:
        away = np.clip(away, -_KNEE * usual, _KNEE * usual)
    away -= away.mean()
    size = float(np.sqrt((away.astype(np.float64) ** 2).sum()))
    return away / np.float32(size) if size else away


def _reach_along(planes: dict[int, NDArray[np.float32]], depth: int) -> tuple[int, float]:
    """Return the distance along z from which on slices are unlike, and the correlation of neighbours."""
    places = np.array(sorted(planes))
    flat = np.stack([planes[z].ravel() for z in places])
    first, second = np.triu_indices(len(places), 1)
    apart = places[second] - places[first]
    likeness = (flat @ flat.T)[first, second]
    if not (apart == 1).any():
        return 1, 0.0
    beyond = likeness[apart >= max(2, min(depth // 3, _STEPS[-1]))]
    always = float(np.median(beyond)) if len(beyond) else 0.0
    neighbours = float(likeness[apart == 1].mean()) - always
    chance = 4 * float(beyond.std()) if len(beyond) > 2 else 0.0
    if neighbours < max(_NOISE, chance):
        return 1, max(0.0, neighbours)
    distances = sorted(set(apart.tolist()))
    for distance in distances:
        if float(likeness[(apart >= distance) & (apart <= 1.25 * distance)].mean()) - always <= LEFT * neighbours:
            return int(distance), neighbours
    return depth, neighbours


def _reach_within(plane: NDArray[np.float32]) -> tuple[int, int]:
    """Return the distances along (y, x) from which on voxels of a slice are unlike."""
    # A substrate runs along rows or columns; what they share says nothing about objects.
    plane = plane - plane.mean(axis=1, keepdims=True)
    plane -= plane.mean(axis=0, keepdims=True)
    return _reach(plane), _reach(plane.T)


def _reach(rows: NDArray[np.float32]) -> int:
    """Return the distance along the first axis from which on voxels are unlike."""
    n = len(rows)
    power = (np.abs(fft.rfft(rows, 2 * n, axis=0)) ** 2).sum(axis=1)
    likeness = fft.irfft(power)[: max(2, n // 2)] / np.arange(n, n - max(2, n // 2), -1)
    always = float(np.median(likeness[n // 4 :])) if n >= 8 else 0.0
    near = np.flatnonzero(likeness - always <= LEFT * (likeness[0] - always))
    return max(1, int(near[0])) if len(near) else max(1, n // 2)
