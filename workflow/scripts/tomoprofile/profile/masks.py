"""Which voxels count, and where: field of view, resin, layers of depth and lateral blocks.

Domains and resin are counted by the same kernel, on runs of voxels: the resin of a slice is one run on every row. So a
voxel cannot be in the numerator of a ratio without being in its denominator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..volume.plane import Plane

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FieldOfView:
    """The reconstructed part of every slice, as one stretch of columns on each row.

    Attributes
    ----------
    x_start, x_stop : array (rows,) of int64
        First column and one past the last; equal where nothing was reconstructed.
    radius_um : float
        Of the circle; infinite when the whole slice counts.
    """

    x_start: Ints
    x_stop: Ints
    radius_um: float

    @classmethod
    def of(cls, kind: str, shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]) -> FieldOfView:
        """Return the field of view: ``all``, or ``cylinder``, the largest circle in each slice.

        A voxel is inside when its centre is.
        """
        rows, columns = shape[1:]
        if kind == "all":
            return cls(np.zeros(rows, np.int64), np.full(rows, columns, np.int64), math.inf)
        height, width = rows * voxel_size_um[1], columns * voxel_size_um[2]
        radius = min(height, width) / 2
        y = (np.arange(rows) + 0.5) * voxel_size_um[1] - height / 2
        x = (np.arange(columns) + 0.5) * voxel_size_um[2] - width / 2
        inside = y[:, None] ** 2 + x[None, :] ** 2 <= radius**2
        start = inside.argmax(axis=1).astype(np.int64)
        return cls(start, start + inside.sum(axis=1, dtype=np.int64), radius)

    def holds(self, y_um: Floats, x_um: Floats, voxel_size_um: tuple[float, float, float], columns: int) -> Floats:
        """Return whether points lie inside."""
        y = y_um - len(self.x_start) * voxel_size_um[1] / 2
        x = x_um - columns * voxel_size_um[2] / 2
        return y**2 + x**2 <= self.radius_um**2


@dataclass(frozen=True)
class Grid:
    """Layers of depth and lateral blocks of a scan.

    Attributes
    ----------
    shape : tuple of int
        Voxels along (z, y, x).
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x).
    plane : Plane
        Depth 0.
    view : FieldOfView
        Voxels outside are not counted.
    borders_um : array (n_layers + 1,)
        Ascending; layer i holds depths in ``[borders_um[i], borders_um[i + 1])``. What lies before the first or behind
        the last border is not counted: the substrate, or a guard.
    blocks : tuple of arrays
        For each axis and voxel index the share of the block number; the sum over axes is the number of the block.
    n_blocks : int
    """

    shape: tuple[int, int, int]
    voxel_size_um: tuple[float, float, float]
    plane: Plane
    view: FieldOfView
    borders_um: Floats
    blocks: tuple[Ints, Ints, Ints]
    n_blocks: int

    @classmethod
    def of(
        cls,
        shape: tuple[int, int, int],
        voxel_size_um: tuple[float, float, float],
        plane: Plane,
        view: FieldOfView,
        borders_um: Floats,
        block_um: float,
    ) -> Grid:
        """Divide the two axes along the substrate into equal blocks, as many as fit with sides >= ``block_um``."""
        blocks: list[Ints] = []
        n_blocks = 1
        for axis, n in enumerate(shape):
            if axis == plane.axis:
                blocks.append(np.zeros(n, np.int64))
                continue
            pieces = max(1, min(n, int(n * voxel_size_um[axis] / block_um + 1e-9)))
            blocks.append((2 * np.arange(n) + 1) * pieces // (2 * n) * n_blocks)
            n_blocks *= pieces
        return cls(shape, voxel_size_um, plane, view, borders_um, (blocks[0], blocks[1], blocks[2]), n_blocks)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.borders_um) - 1

    def count(self, z: Ints, y: Ints, x_start: Ints, x_stop: Ints, tallies: Ints) -> None:
        """Add the voxels of runs to ``tallies``, layer by layer and block by block.

        Parameters
        ----------
        z, y, x_start, x_stop : arrays (n,) of int
            Runs: columns ``[x_start, x_stop)`` on row y of slice z, all inside the scan.
        tallies : array (n_layers, n_blocks) of int64
            Changed in place.
        """
        nz, ny, nx = self.plane.normal
        edges = np.concatenate([[-np.inf], self.borders_um, [np.inf]])
        _count(
            np.asarray(z, np.int64),
            np.asarray(y, np.int64),
            np.asarray(x_start, np.int64),
            np.asarray(x_stop, np.int64),
            self.view.x_start,
            self.view.x_stop,
            nz,
            ny,
            nx,
            self.plane.offset_um,
            *self.voxel_size_um,
            edges,
            *self.blocks,
            tallies,
        )

    def count_resin(self, start: int = 0, stop: int | None = None) -> Ints:
        """Return the voxels of resin, matrix and domains together, by layer and block (P28).

        Parameters
        ----------
        start, stop : int
            Slices; all by default.

        Notes
        -----
        No file is read: everything beyond the plane and inside the field of view counts.

        Returns
        -------
        array (n_layers, n_blocks) of int64
        """
        tallies = np.zeros((self.n_layers, self.n_blocks), np.int64)
        rows = np.arange(self.shape[1])
        for z in range(start, self.shape[0] if stop is None else stop):
            self.count(np.full(len(rows), z), rows, self.view.x_start, self.view.x_stop, tallies)
        return tallies

    def place(self, z_um: Floats, y_um: Floats, x_um: Floats) -> tuple[Ints, Ints]:
        """Return layer and block of points, both -1 for those that do not count.

        Parameters
        ----------
        z_um, y_um, x_um : arrays (n,)
            Positions.
        """
        layer = np.searchsorted(self.borders_um, self.plane.depth_um(z_um, y_um, x_um), side="right") - 1
        block = np.zeros(len(layer), np.int64)
        for position, edge, n, share in zip(
            (z_um, y_um, x_um), self.voxel_size_um, self.shape, self.blocks, strict=True
        ):
            block += share[np.clip((position / edge).astype(np.int64), 0, n - 1)]
        counts = (layer >= 0) & (layer < self.n_layers)
        counts &= self.view.holds(y_um, x_um, self.voxel_size_um, self.shape[2])
        return np.where(counts, layer, -1), np.where(counts, block, -1)


@njit(cache=True, nogil=True)
def _count(z, y, start, stop, view_start, view_stop, nz, ny, nx, offset, dz, dy, dx, edges, bz, by, bx, tallies):  # type: ignore[no-untyped-def]
    n_layers = tallies.shape[0]
    for run in range(z.size):
        i, j = z[run], y[run]
        first, last = max(start[run], view_start[j]), min(stop[run], view_stop[j])
        # The same order of operations as Plane.depth_um, so that both agree to the last bit at a border.
        row = nz * ((i + 0.5) * dz) + ny * ((j + 0.5) * dy)
        row_block = bz[i] + by[j]
        layer, block, held = 0, -1, 0
        for k in range(first, last):
            depth = row + nx * ((k + 0.5) * dx) - offset
            here = layer
            while depth < edges[here]:
                here -= 1
            while depth >= edges[here + 1]:
                here += 1
            at = row_block + bx[k]
            if here != layer or at != block:
                if held and 0 < layer <= n_layers:
                    tallies[layer - 1, block] += held
                layer, block, held = here, at, 0
            held += 1
        if held and 0 < layer <= n_layers:
            tallies[layer - 1, block] += held
