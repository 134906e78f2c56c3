"""The phase of a scan as it is read from its store: slices as voxels, and as the cells of a level of thickness."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..volume.store import Store, open_store
from .neighbours import Neighbours, count_neighbours
from .thickness import Cells, Level, Opened, count_openings
from .window import Window


@dataclass(frozen=True)
class Phase:
    """The voxels of one class; light, as it goes to every worker.

    Attributes
    ----------
    probability : Path
        Store of stored probabilities.
    name : str
        The class.
    threshold : int
        Smallest stored value of its voxels. Small objects belong to it, too: no size filter comes before.
    connectivity : int
        6 or 26.
    window : Window
    """

    probability: Path
    name: str
    threshold: int
    connectivity: int
    window: Window = field(repr=False)

    def neighbours(self, bounds: tuple[int, int]) -> Neighbours:
        """Count pairs and groups of neighbours that begin in slices ``[start, stop)``; one more slice is read."""
        start, stop = bounds
        last = min(stop + 1, self.window.grid.shape[0])
        phase = self._voxels(open_store(self.probability, self.name), start, last)
        cells = np.stack([self.window.cells(z) for z in range(start, last)])
        return count_neighbours(phase, cells, self.window.n_cells, stop - start, self.connectivity)

    def openings(self, level: Level, bounds: tuple[int, int]) -> Opened:
        """Count openings in slices ``[start, stop)`` of the cells of a level; the halo of its radii is read as well."""
        start, stop = bounds
        slices = -(-self.window.grid.shape[0] // level.side)
        first, last = max(0, start - level.halo[0]), min(slices, stop + level.halo[0])
        cells = self._cells(level, first, last)
        return count_openings(cells, slice(start - first, stop - first), level, self.window.n_cells)

    def _voxels(self, store: Store, start: int, stop: int) -> NDArray[np.bool_]:
        return np.asarray(store.read(start, stop) >= self.threshold)

    def _cells(self, level: Level, first: int, last: int) -> Cells:
        side, shape = level.side, self.window.grid.shape
        rows, columns = (-(-n // side) for n in shape[1:])
        size = (last - first, rows, columns)
        voxels = np.zeros((2, *size), np.uint8 if side**3 < 256 else np.uint16)
        whole = np.ones((2, *(n * level.finer for n in size)), bool)
        finer = side // level.finer
        places = np.full(size, -1, np.int32)
        middle = side // 2
        y, x = (np.minimum(np.arange(n) * side + middle, m - 1) for n, m in zip(size[1:], shape[1:], strict=True))
        store = open_store(self.probability, self.name)
        for begin, end in store.shards(first * side, min(last * side, shape[0])):
            phase = self._voxels(store, begin, end)
            for z in range(begin, end):
                of_slice = self.window.cells(z)
                material = of_slice >= 0
                layer = z // side - first
                if z % side == middle or (z == shape[0] - 1 and z % side < middle):
                    places[layer] = of_slice[np.ix_(y, x)]
                for space, here in enumerate((phase[z - begin] & material, ~phase[z - begin] & material)):
                    voxels[space, layer] += _blocks(here, side, side, False).sum(axis=(1, 3), dtype=voxels.dtype)
                    whole[space, z // finer - first * level.finer] &= _blocks(here, side, finer, True).all(axis=(1, 3))
        return Cells(voxels, whole, places, self._clear(level, first, last))

    def _clear(self, level: Level, first: int, last: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        grid, side = self.window.grid, level.side
        counts = [-(-n // side) for n in grid.shape]
        middles = [(np.arange(n) + 0.5) * side * edge for n, edge in zip(counts, grid.voxel_size_um, strict=True)]
        z, y, x = (
            np.minimum(middle, n * edge - middle)
            for middle, n, edge in zip(middles, grid.shape, grid.voxel_size_um, strict=True)
        )
        inward = grid.view.inward_um(middles[1][:, None], middles[2][None, :])
        unit = side * min(grid.voxel_size_um)
        return z[first:last] / unit, np.minimum(np.minimum(y[:, None], x[None, :]), inward) / unit


def _blocks(image: NDArray[np.bool_], cell: int, side: int, beyond: bool) -> NDArray[np.bool_]:
    """Return an image (y, x) as blocks (y, side, x, side), filled up with a value to whole cells."""
    pad = [(0, -n % cell) for n in image.shape]
    padded = np.pad(image, pad, constant_values=beyond) if any(end for _, end in pad) else image
    rows, columns = (n // side for n in padded.shape)
    return padded.reshape(rows, side, columns, side)
