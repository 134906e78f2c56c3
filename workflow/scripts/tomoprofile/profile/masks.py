"""The voxels that count: field of view, resin without air, layers of depth and lateral blocks.

Domains and resin are counted by the same kernel, on runs of voxels: the resin of a slice is one run on every row. So a
voxel cannot be in the numerator of a fraction without being in its denominator. An object lies where the voxel that
holds its centroid is counted, so numbers of objects and volumes of resin end at the same border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..config_profile import Circle
from ..substrate.resin import Resin
from ..volume.plane import Plane, distance_at

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_BLOCKS = 1000  # of a scan in which depth has no one direction: more do not make intervals better


@dataclass(frozen=True)
class FieldOfView:
    """The reconstructed part of every slice, as one range of columns on each row.

    Attributes
    ----------
    x_start, x_stop : array (rows,) of int64
        First column and one past the last; equal where nothing was reconstructed.
    circle : Circle or None
        Its border; None when the whole slice counts.
    """

    x_start: Ints
    x_stop: Ints
    circle: Circle | None

    @classmethod
    def of(
        cls,
        kind: str | Circle,
        shape: tuple[int, int, int],
        voxel_size_um: tuple[float, float, float],
        found: Circle | None = None,
    ) -> FieldOfView:
        """Return the field of view.

        A voxel is inside when its centre is.

        Parameters
        ----------
        kind : str or Circle
            ``all``; ``cylinder``, the largest circle in each slice; ``auto``, the circle ``found`` or else all; or a
            circle from the configuration.
        shape, voxel_size_um : tuple
            Properties of the scan.
        found : Circle, optional
            The reconstructed part, as far as the scan shows it.
        """
        rows, columns = shape[1:]
        height, width = rows * voxel_size_um[1], columns * voxel_size_um[2]
        circle = found if kind == "auto" else kind if isinstance(kind, Circle) else None
        if kind == "cylinder":
            circle = Circle(radius_um=min(height, width) / 2)
        if circle is None:
            return cls(np.zeros(rows, np.int64), np.full(rows, columns, np.int64), None)
        circle = Circle(radius_um=circle.radius_um, centre_um=circle.centre_um or (height / 2, width / 2))
        y = (np.arange(rows) + 0.5) * voxel_size_um[1]
        x = (np.arange(columns) + 0.5) * voxel_size_um[2]
        centre_y, centre_x = circle.centre_um or (0.0, 0.0)
        inside = (y[:, None] - centre_y) ** 2 + (x[None, :] - centre_x) ** 2 <= circle.radius_um**2
        start = inside.argmax(axis=1).astype(np.int64)
        return cls(start, start + inside.sum(axis=1, dtype=np.int64), circle)

    def within(self, y: slice, x: slice) -> FieldOfView:
        """Return the part of it in a window of rows and columns."""
        inside = np.zeros(len(self.x_start), bool)
        inside[y] = True
        start = np.clip(self.x_start, x.start, x.stop)
        return FieldOfView(start, np.where(inside, np.clip(self.x_stop, start, x.stop), start), self.circle)

    def inward_um(self, y_um: Floats, x_um: Floats) -> Floats:
        """Return how far inside the circle points lie; infinity without a circle."""
        if self.circle is None:
            return np.full(np.broadcast(y_um, x_um).shape, np.inf)
        y, x = self.circle.centre_um or (0.0, 0.0)
        return self.circle.radius_um - np.hypot(y_um - y, x_um - x)


@dataclass(frozen=True)
class Space:
    """The part of a scan that counts: resin beyond the substrate, inside the field of view, without air.

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
    resin : Resin
        Voxels in air are not counted either.
    """

    shape: tuple[int, int, int]
    voxel_size_um: tuple[float, float, float]
    plane: Plane
    view: FieldOfView
    resin: Resin

    @classmethod
    def of(
        cls,
        shape: tuple[int, int, int],
        voxel_size_um: tuple[float, float, float],
        plane: Plane,
        resin: Resin,
        field_of_view: str | Circle,
    ) -> Space:
        """Return the space of a scan; ``field_of_view`` as in the configuration, see :meth:`FieldOfView.of`."""
        view = FieldOfView.of(field_of_view, shape, voxel_size_um, resin.circle)
        return cls(shape, voxel_size_um, plane, view, resin)

    @property
    def voxel_um3(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.voxel_size_um))

    @property
    def thinnest_um(self) -> float:
        """Voxel edge along the depth; the smallest one where depth has no one direction."""
        return min(self.voxel_size_um) if self.plane.axis is None else self.voxel_size_um[self.plane.axis]

    @property
    def deepest_um(self) -> float:
        """Largest depth in the scan."""
        return float(max(depths.max() for depths in self.plane.end_depths_um(self.shape, self.voxel_size_um)))

    def whole_objects_um(self, radius_um: float) -> tuple[float, float]:
        """Return the depths between which centroids of objects up to a radius lie without the scan's ends cutting them.

        The near end is open, and so has a limit, only when the substrate lies wholly outside the scan. A centroid may
        lie half a voxel beyond, in a voxel whose centre does not: a sphere there still loses no voxel to the end.
        Where depth has no one direction, weights correct for cuts at all six faces, and there are no such limits.
        """
        if self.plane.axis is None:
            return -np.inf, np.inf
        near, far = self.plane.end_depths_um(self.shape, self.voxel_size_um)
        near_um = float(near.max()) + radius_um if near.min() > 0 else -np.inf
        return near_um, float(far.min()) - radius_um


@dataclass(frozen=True)
class Grid(Space):
    """A space divided into layers of depth and lateral blocks.

    Attributes
    ----------
    borders_um : array (n_layers + 1,)
        Ascending; layer i holds depths in ``[borders_um[i], borders_um[i + 1])``. Anything before the first or beyond
        the last border is not counted: the substrate, or a guard.
    blocks : tuple of arrays
        For each axis and voxel index the share of the block number; the sum over axes is the number of the block.
    n_blocks : int
    """

    borders_um: Floats
    blocks: tuple[Ints, Ints, Ints]
    n_blocks: int

    @classmethod
    def dividing(cls, space: Space, borders_um: Floats, block_um: float) -> Grid:
        """Divide the axes across the depth into equal blocks, as many as fit with sides >= ``block_um``.

        Where depth has no one direction, these are all three axes.
        """
        blocks: list[Ints] = []
        if space.plane.axis is None:
            block_um = max(block_um, (math.prod(space.shape) * space.voxel_um3 / MOST_BLOCKS) ** (1 / 3))
        n_blocks = 1
        for axis, n in enumerate(space.shape):
            if axis == space.plane.axis:
                blocks.append(np.zeros(n, np.int64))
                continue
            pieces = max(1, min(n, int(n * space.voxel_size_um[axis] / block_um + 1e-9)))
            blocks.append((2 * np.arange(n) + 1) * pieces // (2 * n) * n_blocks)
            n_blocks *= pieces
        return cls(**vars(space), borders_um=borders_um, blocks=(blocks[0], blocks[1], blocks[2]), n_blocks=n_blocks)

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
        geometry = _Geometry(
            self.plane.normal,
            self.plane.offset_um,
            self.plane.nodes,
            self.plane.node_spacing_um,
            self.voxel_size_um,
            self.view.x_start,
            self.view.x_stop,
            self.resin.air,
            self.resin.side,
            np.concatenate([[-np.inf], self.borders_um, [np.inf]]),
            self.blocks,
        )
        runs = _Runs(*(np.asarray(column, np.int64) for column in (z, y, x_start, x_stop)))
        _count(runs, geometry, tallies)

    def count_resin(self, start: int = 0, stop: int | None = None) -> Ints:
        """Return the voxels of resin, matrix and domains together, by layer and block.

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

        A point lies where its voxel is counted: number densities divide points by voxels, and a border through a voxel
        would otherwise have the whole voxel on one side and a part of its points on the other.

        Parameters
        ----------
        z_um, y_um, x_um : arrays (n,)
            Positions inside the scan.
        """
        z, y, x = (
            np.clip((position / edge).astype(np.int64), 0, n - 1)
            for position, edge, n in zip((z_um, y_um, x_um), self.voxel_size_um, self.shape, strict=True)
        )
        centre = ((index + 0.5) * edge for index, edge in zip((z, y, x), self.voxel_size_um, strict=True))
        if self.plane.has_depth:
            layer = np.searchsorted(self.borders_um, self.plane.depth_um(*centre), side="right") - 1
        else:
            layer = np.zeros(len(z), np.int64)
        block = self.blocks[0][z] + self.blocks[1][y] + self.blocks[2][x]
        counts = (layer >= 0) & (layer < self.n_layers) & ~self.resin.is_air(z, y, x)
        counts &= (x >= self.view.x_start[y]) & (x < self.view.x_stop[y])
        return np.where(counts, layer, -1), np.where(counts, block, -1)


class _Runs(NamedTuple):
    z: Ints
    y: Ints
    start: Ints
    stop: Ints


class _Geometry(NamedTuple):
    """A :class:`Grid` as the kernel takes it; without nodes depths are those of a plane."""

    normal: tuple[float, float, float]
    offset_um: float
    nodes: Floats
    node_spacing_um: tuple[float, float, float]
    voxel_size_um: tuple[float, float, float]
    view_start: Ints
    view_stop: Ints
    air: NDArray[np.bool_]
    side: int
    edges_um: Floats
    blocks: tuple[Ints, Ints, Ints]


@njit(cache=True, nogil=True)
def _count(runs, geometry, tallies):  # type: ignore[no-untyped-def]
    (nz, ny, nx), (dz, dy, dx) = geometry.normal, geometry.voxel_size_um
    nodes, (sz, sy, sx) = geometry.nodes, geometry.node_spacing_um
    air, side, edges, (bz, by, bx) = geometry.air, geometry.side, geometry.edges_um, geometry.blocks
    n_layers = tallies.shape[0]
    for run in range(runs.z.size):
        i, j = runs.z[run], runs.y[run]
        first, last = max(runs.start[run], geometry.view_start[j]), min(runs.stop[run], geometry.view_stop[j])
        # The same order of operations as in Plane.depth_um, so that both agree to the last bit at a border.
        row = nz * ((i + 0.5) * dz) + ny * ((j + 0.5) * dy)
        row_block = bz[i] + by[j]
        layer, block, held = 0, -1, 0
        for k in range(first, last):
            if nodes.size:
                depth = distance_at(nodes, sz, sy, sx, (i + 0.5) * dz, (j + 0.5) * dy, (k + 0.5) * dx)
            else:
                depth = row + nx * ((k + 0.5) * dx) - geometry.offset_um
            here = layer
            while depth < edges[here]:
                here -= 1
            while depth >= edges[here + 1]:
                here += 1
            at = row_block + bx[k]
            if air[i // side, j // side, k // side]:
                at = -1
            if here != layer or at != block:
                if block >= 0 and 0 < layer <= n_layers:
                    tallies[layer - 1, block] += held
                layer, block, held = here, at, 0
            held += 1
        if block >= 0 and 0 < layer <= n_layers:
            tallies[layer - 1, block] += held
