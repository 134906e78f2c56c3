"""How far a class agrees with a reference made by other means: overlap, and distances between surfaces.

Voxels of both are read slab by slab; only the box around one class is in memory at a time, of a very large one every
second, third, ... voxel along each axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Read = Callable[[int, int], Mask]  # slices [start, stop) of a mask, as an array (z, y, x)
_MOST = 2**26  # voxels of a box whose distances are computed: about 2 GB
_P95 = 95


@dataclass(frozen=True)
class Agreement:
    """A class compared with its reference.

    Attributes
    ----------
    voxels : int
        Of the reference.
    dice : float
        NaN where neither has a voxel.
    mean_um, p95_um : float
        Distances between the surfaces; NaN where one has none.
    step : int
        Every how many-th voxel along each axis was used for the distances.
    """

    voxels: int
    dice: float
    mean_um: float
    p95_um: float
    step: int = 1


class Overlap:
    """Voxels of a mask and of its reference, and the box around both, added up slab by slab.

    Parameters
    ----------
    shape : tuple of int
        Voxels of the scan along (z, y, x).
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.both = self.own = self.other = 0
        self.low, self.high = np.array(shape), np.zeros(3, int)

    def add(self, start: int, mine: Mask, its: Mask) -> None:
        """Add slices of both, from ``start`` on."""
        self.both += int((mine & its).sum())
        self.own += int(mine.sum())
        self.other += int(its.sum())
        either = mine | its
        if either.any():
            (box,) = ndimage.find_objects(either.astype(np.uint8))
            self.low = np.minimum(self.low, [box[0].start + start, box[1].start, box[2].start])
            self.high = np.maximum(self.high, [box[0].stop + start, box[1].stop, box[2].stop])

    @property
    def dice(self) -> float:
        """NaN where neither has a voxel."""
        return 2 * self.both / (self.own + self.other) if self.own + self.other else math.nan


def agreement(
    overlap: Overlap, found: Read, reference: Read, edges_um: tuple[float, float, float], slab: int
) -> Agreement:
    """Compare a mask with its reference.

    Parameters
    ----------
    overlap : Overlap
        Of all slices.
    found, reference : callable
        Return slices ``[start, stop)`` of each; those around the class are read.
    edges_um : tuple of float
        Voxel edges.
    slab : int
        Slices that are read at once.
    """
    if not overlap.own or not overlap.other:
        return Agreement(overlap.other, overlap.dice, math.nan, math.nan)
    step = 1
    while math.prod(-(-(overlap.high - overlap.low) // step)) > _MOST:
        step += 1
    # What lies beyond on each side tells the surface of the class from a face of the scan.
    low, high = np.maximum(overlap.low - step, 0), np.minimum(overlap.high + step, overlap.shape)
    boxes = (_boxed(read, low, high, step, slab) for read in (found, reference))
    mean, p95 = surface_distances(*boxes, tuple(step * edge for edge in edges_um))
    return Agreement(overlap.other, overlap.dice, mean, p95, step)


def surface_distances(one: Mask, other: Mask, edges_um: tuple[float, ...]) -> tuple[float, float]:
    """Return the mean distance between the surfaces of two masks, and the larger of the 95th percentiles.

    The surface of a mask are its voxels with a neighbour outside; beyond the array everything is as at its border.
    """
    surfaces = [mask & ~ndimage.binary_erosion(mask, border_value=1) for mask in (one, other)]
    if not all(surface.any() for surface in surfaces):
        return math.nan, math.nan
    ways = []
    for here, there in (surfaces, surfaces[::-1]):
        ways.append(ndimage.distance_transform_edt(~there, sampling=edges_um)[here])
    together = np.concatenate(ways)
    return float(together.mean()), float(max(np.percentile(way, _P95) for way in ways))


def _boxed(read: Read, low: NDArray[np.int_], high: NDArray[np.int_], step: int, slab: int) -> Mask:
    (z, y, x), (z_stop, y_stop, x_stop) = low.tolist(), high.tolist()
    parts = []
    for start in range(z, z_stop, slab * step):
        part = read(start, min(start + slab * step, z_stop))
        parts.append(part[::step, y:y_stop:step, x:x_stop:step].copy())
    return np.concatenate(parts)


def worst_first(dice: Mapping[str, float]) -> list[str]:
    """Return names by their Dice, the worst first, unknown ones last."""
    return sorted(dice, key=lambda name: (math.isnan(dice[name]), dice[name]))
