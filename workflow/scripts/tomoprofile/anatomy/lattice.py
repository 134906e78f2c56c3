"""Smooth fields of vectors on a lattice, and the motions that follow them: uniform cubic B-splines.

Vectors and positions are in millimetres along z, y, x.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

Floats = NDArray[np.float32]
LEAST_JACOBIAN = 0.1  # and its inverse the most
_STEPS = 4  # of the midpoint rule along a motion: within 0.05 mm of 24 steps for displacements of 30 mm


class Grid(NamedTuple):
    """Regular positions along z, y and x.

    Attributes
    ----------
    origin_mm : tuple of float
        Of the first position along each axis.
    spacing_mm : tuple of float
    size : tuple of int
    """

    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    size: tuple[int, int, int]

    @classmethod
    def around(cls, grid: Grid, edge_mm: float, margin_mm: float) -> Grid:
        """Return a grid of cubes over another one, with a margin on every side."""
        origin, size = [], []
        for start, edge, n in zip(*grid, strict=True):
            long = (n - 1) * edge
            size.append(math.ceil((long + 2 * margin_mm) / edge_mm) + 1)
            origin.append(start + long / 2 - (size[-1] - 1) / 2 * edge_mm)
        (oz, oy, ox), (nz, ny, nx) = origin, size
        return cls((oz, oy, ox), (edge_mm, edge_mm, edge_mm), (nz, ny, nx))

    def along(self) -> list[NDArray[np.float64]]:
        """Return the positions along each axis."""
        return [start + edge * np.arange(n) for start, edge, n in zip(*self, strict=True)]

    def positions(self) -> Floats:
        """Return all positions: array (3, z, y, x)."""
        return np.stack(np.meshgrid(*self.along(), indexing="ij")).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Field:
    """A smooth field of vectors.

    Attributes
    ----------
    lattice : Grid
        Of the control points.
    coefficients : array (3, z, y, x) of float32
        Of the B-splines, for the components along z, y and x.
    """

    lattice: Grid
    coefficients: Floats

    @classmethod
    def through(cls, lattice: Grid, vectors: Floats) -> Field:
        """Return the field that takes the given vectors (3, z, y, x) at the points of a lattice."""
        coefficients = [spline_filter(part, 3, output=np.float32, mode="mirror") for part in vectors]
        return cls(lattice, np.stack(coefficients))

    def times(self, factor: float) -> Field:
        """Return the field multiplied with a number."""
        return Field(self.lattice, self.coefficients * np.float32(factor))

    def on(self, grid: Grid) -> Floats:
        """Return the vectors at the positions of a grid: array (3, z, y, x)."""
        return np.stack([_product(part, _matrices(self.lattice, grid)) for part in self.coefficients])

    def slopes_on(self, grid: Grid) -> Floats:
        """Return the derivatives at the positions of a grid: array (3, 3, z, y, x), first of what, then along what."""
        plain, slopes = _matrices(self.lattice, grid), _matrices(self.lattice, grid, slope=True)
        rows = [
            [_product(part, [*plain[:axis], slopes[axis], *plain[axis + 1 :]]) for axis in range(3)]
            for part in self.coefficients
        ]
        return np.stack([np.stack(row) for row in rows])

    def divergence_on(self, grid: Grid) -> Floats:
        """Return by which share a volume grows per unit of time at the positions of a grid: array (z, y, x)."""
        slopes = self.slopes_on(grid)
        return slopes[0, 0] + slopes[1, 1] + slopes[2, 2]

    def at(self, positions: Floats) -> Floats:
        """Return the vectors at any positions: both arrays (3, ...)."""
        origin, spacing = (np.reshape(part, (3,) + (1,) * (positions.ndim - 1)) for part in self.lattice[:2])
        where = ((positions - origin) / spacing).astype(np.float32)
        parts = [
            map_coordinates(part, where, order=3, output=np.float32, prefilter=False, mode="mirror")
            for part in self.coefficients
        ]
        return np.stack(parts)

    def flow(self) -> Field:
        """Return the displacement after following this field, as a velocity, for a unit of time.

        It is smooth and invertible whatever the field: the flow of the reversed field is its inverse.
        """
        positions = start = self.lattice.positions()
        for _ in range(_STEPS):
            middle = positions + self.at(positions) * np.float32(0.5 / _STEPS)
            positions = positions + self.at(middle) * np.float32(1 / _STEPS)
        return Field.through(self.lattice, positions - start)


def jacobian(displacement: Field, grid: Grid) -> Floats:
    """Return the local change of volume by a displacement at the positions of a grid: array (z, y, x).

    It is 1 where nothing changes and not positive where space folds.
    """
    slopes = displacement.slopes_on(grid)
    for axis in range(3):
        slopes[axis, axis] += 1
    (a, b, c), (d, e, f), (g, h, i) = slopes
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def folds(displacement: Field, grid: Grid) -> bool:
    """Return whether a displacement folds, or changes the volume of any place more than tenfold."""
    change = jacobian(displacement, grid)
    return not (change.min() > LEAST_JACOBIAN and change.max() < 1 / LEAST_JACOBIAN)


def _product(coefficients: Floats, matrices: list[Floats]) -> Floats:
    z, y, x = matrices
    found = np.tensordot(z, coefficients, axes=(1, 0))
    found = np.tensordot(found, y, axes=(1, 1)).swapaxes(1, 2)
    return np.ascontiguousarray(found @ x.T)


@functools.lru_cache(maxsize=16)
def _matrices(lattice: Grid, grid: Grid, slope: bool = False) -> list[Floats]:
    """Return the matrices that take coefficients along each axis of a lattice to values, or slopes, on a grid."""
    matrices = []
    for start, edge, n, wanted in zip(*lattice, grid.along(), strict=True):
        where = (wanted - start) / edge
        first = np.floor(where).astype(int)
        matrix = np.zeros((len(wanted), n))
        for offset in range(-1, 3):
            node = first + offset
            weights = _slope(where - node) / edge if slope else _spline(where - node)
            node = np.abs(node)
            node = np.where(node >= n, 2 * (n - 1) - node, node)  # mirrored, as the filter does
            np.add.at(matrix, (np.arange(len(wanted)), node), weights)
        matrices.append(matrix.astype(np.float32))
    return matrices


def _spline(t: NDArray[np.float64]) -> NDArray[np.float64]:
    t = np.abs(t)
    return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0))


def _slope(t: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.abs(t)
    return np.sign(t) * np.where(size < 1, -2 * size + 1.5 * size**2, np.where(size < 2, -((2 - size) ** 2) / 2, 0))
