"""Cases as the workflow stores them: averaged to what registration needs, and slices in the scan's own voxels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..labels.classes import IGNORE
from ..volume.store import Store, open_store
from .grid import Case, Grid

MOST_VOXELS = 96**3  # of a case that is registered; its control points lie many voxels apart
_READ = 64  # slices at a time
_FEWEST_WHOLE, _LEAST_WHOLE = 8, 0.8  # slices, and share of those between the first and the last, of a labelled volume
# Of a scan whose file says nothing of space: columns to the left, rows to the back, slices upwards, as CT is stored.
_USUAL = np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class StoredCase:
    """A scan in its store.

    Attributes
    ----------
    name : str
    store : Store
    labels : mapping of int to array (y, x) of uint8
        Class indices of the labelled slices.
    """

    name: str
    store: Store
    labels: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)

    @classmethod
    def at(cls, name: str, volume: Path) -> StoredCase:
        """Open a store of grey values."""
        return cls(name, open_store(volume))

    @property
    def grid(self) -> Grid:
        """Its voxels in patient space; their edges are those of the sample sheet."""
        affine = np.eye(4)
        affine[:3, :3] = _USUAL
        if self.store.geometry is not None:
            affine = np.array(self.store.geometry.affine)
            affine[:3, :3] /= np.linalg.norm(affine[:3, :3], axis=0)
        affine[:3, :3] *= np.asarray(self.store.voxel_size_um) / 1000
        return Grid.of(self.store.shape, affine)

    @property
    def is_whole(self) -> bool:
        """Whether so many neighbouring slices are labelled that they can be deformed in three dimensions."""
        if len(self.labels) < _FEWEST_WHOLE:
            return False
        return len(self.labels) >= _LEAST_WHOLE * (max(self.labels) - min(self.labels) + 1)

    @cached_property
    def whole_classes(self) -> list[int]:
        """The labelled classes of which all is labelled: none of it at the first or the last labelled slice."""
        if not self.is_whole:
            return []
        found = {int(value) for mask in self.labels.values() for value in np.unique(mask)}
        ends = {int(value) for end in (min(self.labels), max(self.labels)) for value in np.unique(self.labels[end])}
        return sorted(found - ends - {0, IGNORE})

    def small(self) -> Case:
        """Return the image averaged over blocks of voxels; a few slices are in memory at a time."""
        (fz, fy, fx), (nz, ny, nx) = self._factors, self._small_shape
        image = np.empty((nz, ny, nx), np.float32)
        step = max(1, _READ // fz)
        for first in range(0, nz, step):
            last = min(first + step, nz)
            part = self.store.grey.physical(self.store.read(first * fz, last * fz))[:, : ny * fy, : nx * fx]
            image[first:last] = part.reshape(last - first, fz, ny, fy, nx, fx).mean((1, 3, 5))
        return Case(self.name, image, self._small_grid)

    def small_label(self) -> NDArray[np.uint8]:
        """Return the class in the middle of each of these blocks, 255 where no slice is labelled."""
        z, y, x = (
            ((np.arange(n) + 0.5) * f).astype(int) for n, f in zip(self._small_shape, self._factors, strict=True)
        )
        nothing = np.full(self.store.shape[1:], IGNORE, np.uint8)
        return np.stack([self.labels.get(int(one), nothing)[np.ix_(y, x)] for one in z])

    def block(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return grey values in physical units and classes of some slices; beyond the ends the last one is repeated."""
        nothing = np.full(self.store.shape[1:], IGNORE, np.uint8)
        label = np.stack([self.labels.get(z, nothing) for z in range(start, stop)])
        return self.store.grey.physical(self.store.read_padded(start, stop)), label

    @property
    def _factors(self) -> tuple[int, ...]:
        """Voxels of a block along each axis: blocks are about as long as wide."""
        factors, edges = [1, 1, 1], np.asarray(self.store.voxel_size_um)
        while math.prod(n // f for n, f in zip(self.store.shape, factors, strict=True)) > MOST_VOXELS:
            factors[int(np.argmin(edges * factors))] += 1
        return tuple(factors)

    @property
    def _small_shape(self) -> tuple[int, ...]:
        return tuple(n // f for n, f in zip(self.store.shape, self._factors, strict=True))

    @property
    def _small_grid(self) -> Grid:
        whole = [n * f for n, f in zip(self._small_shape, self._factors, strict=True)]
        return Grid.of(whole, self.grid.affine).cut(self._small_shape)
