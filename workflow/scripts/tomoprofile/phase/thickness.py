"""Local thickness: the diameter of the largest sphere inside of a phase that holds a point.

Hildebrand and Rüegsegger 1997, J. Microscopy 185, 67. No sphere is drawn: the points that lie in some sphere of radius
r are the opening of the phase by that sphere, so the share of the phase in openings, radius by radius, is the
distribution of the thickness (Serra 1982). Each opening is two exact distance transforms that go no farther than r, so
time is linear in the size of the scan.

Radii up to :data:`MOST_RADIUS` voxels are looked for on voxels. Larger ones need fewer details, so each further range,
twice as large, is looked for on cells twice as wide, and the middles of its spheres on cells :data:`_FINER` times
narrower than these. A cell with any voxel that is not of the phase is not of the phase there: a sphere never contains
what its cells hide, and what it loses to them by that is added (:func:`_margin`).

The middle of the largest sphere rarely is that of a voxel. Where it is not, the sphere is sought between
(:mod:`~tomoprofile.phase.summits`): a lone ball would otherwise read one voxel thin.

A point counts for a radius r when the scan shows everything within 2 r of it; nearer to a face, what lies outside would
decide (minus sampling). The borders of the material, such as the substrate, are real and end a sphere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..profile.masks import Floats, Ints
from .summits import raise_summits

MOST_RADIUS = 8.0  # in cells
_STEP = 0.5  # of the radius, on voxels: one of them of thickness; on cells the same, half a cell
_FINER = 2
_APART = 0.5  # cells; how far the middle of a sphere may lie from that of its cell
_BEYOND = 0.1  # voxels; chosen on balls, rods and plates, which then read within half a voxel on average
_TILE = 256  # rows and columns of a slice that are worked on together
SPACES = ("phase", "rest")


@dataclass(frozen=True)
class Level:
    """A range of radii and the cells on which they are looked for.

    Attributes
    ----------
    number : int
        Cells are 2^number voxels wide.
    radii : tuple of float
        In units of the smallest edge of a cell.
    edges : tuple of float
        Of a cell along (z, y, x), in the same unit.
    """

    number: int
    radii: tuple[float, ...]
    edges: tuple[float, float, float]

    @property
    def side(self) -> int:
        """Voxels along an edge of a cell."""
        return 1 << self.number

    @property
    def finer(self) -> int:
        """How many times narrower the cells are on which the middles of spheres are looked for."""
        return min(_FINER, self.side)

    @property
    def step(self) -> float:
        """Steps of the radii, in units of the smallest edge of a cell."""
        return _STEP / self.finer

    @property
    def margin(self) -> float:
        """What is added to a distance between the finer cells, in units of their smallest edge."""
        return _margin(self.side // self.finer)

    @property
    def drawn(self) -> float:
        """What is added to a sphere when its points are counted, in units of the smallest edge of a cell.

        It may be larger, up to the next radius, and its middle and that of the cell are not the same.
        """
        return self.step + (_APART if self.finer > 1 else 0.0)

    @property
    def halo(self) -> tuple[int, int, int]:
        """Cells that must be known beyond those that are counted, along each axis."""
        most, finer = self.radii[-1], self.finer
        # One more of the finer ones, with which a summit is compared.
        free = most * finer - self.margin
        z, y, x = (-(-(_reach(free, e) + 1) // finer) + _reach(most + self.drawn, e) for e in self.edges)
        return z, y, x


def levels_of(shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]) -> list[Level]:
    """Return the levels for a scan: up to the largest radius for which some point of it counts."""
    smallest = min(voxel_size_um)
    dz, dy, dx = (edge / smallest for edge in voxel_size_um)
    largest = min(n * edge for n, edge in zip(shape, (dz, dy, dx), strict=True)) / 4
    levels: list[Level] = []
    while True:
        number = len(levels)
        step = _STEP / min(_FINER, 2**number)
        first = step if number == 0 else MOST_RADIUS / 2 + step
        steps = round((MOST_RADIUS - first) / step) + 1
        radii = tuple(first + step * n for n in range(steps) if (first + step * n) * 2**number <= largest)
        if not radii:
            return levels
        levels.append(Level(number, radii, (dz, dy, dx)))


def radii_um(levels: list[Level], voxel_size_um: tuple[float, float, float]) -> Floats:
    """Return the radii of all levels in micrometres, ascending."""
    return np.array([radius * level.side * min(voxel_size_um) for level in levels for radius in level.radii])


@dataclass(frozen=True)
class Opened:
    """Openings, counted; arrays (2 spaces, radii, cells of the window) of int64.

    Attributes
    ----------
    known : array
        Voxels of each space for which a radius can be told.
    inside : array
        Those of them that lie in a sphere of that radius.
    """

    known: Ints
    inside: Ints

    def __add__(self, other: Opened) -> Opened:
        """Return the counts of both parts."""
        return Opened(self.known + other.known, self.inside + other.inside)

    def beside(self, other: Opened) -> Opened:
        """Return the counts of further radii after these."""
        return Opened(*(np.concatenate([getattr(self, n), getattr(other, n)], axis=1) for n in ("known", "inside")))


@dataclass(frozen=True)
class Cells:
    """Slices of cells, with a halo.

    Attributes
    ----------
    voxels : array (2, z, y, x) of uint8 or uint16
        Voxels of the phase and of the rest in each cell.
    whole : array (2, z, y, x) of bool
        Whether all voxels of the finer cells, as many times more of them, belong to that space.
    places : array (z, y, x) of int32
        The cell of the window that holds it; -1 outside of the material.
    clear : tuple of array (z,) and (y, x)
        Distance of its middle to what the scan does not show along z, and in the slice, in units of the smallest edge
        of a cell; the smaller one counts.
    """

    voxels: NDArray[np.unsignedinteger]
    whole: NDArray[np.bool_]
    places: NDArray[np.int32]
    clear: tuple[Floats, Floats]


def count_openings(cells: Cells, counted: slice, level: Level, n_places: int) -> Opened:
    """Count the openings of phase and rest by the spheres of a level.

    Parameters
    ----------
    cells : Cells
    counted : slice
        Which slices are counted; the others are their halo.
    level : Level
    n_places : int
        Cells of the window.
    """
    found = Opened(*(np.zeros((2, len(level.radii), n_places), np.int64) for _ in range(2)))
    for rows, columns in _tiles(cells.places.shape[1:], _TILE // level.finer):
        window = [counted, rows, columns]
        if not (cells.places[tuple(window)] >= 0).any():
            continue
        wide = tuple(
            slice(max(0, part.start - halo), min(n, part.stop + halo))
            for part, halo, n in zip(window, level.halo, cells.places.shape, strict=True)
        )
        inner = tuple(slice(part.start - w.start, part.stop - w.start) for part, w in zip(window, wide, strict=True))
        finer = tuple(slice(part.start * level.finer, part.stop * level.finer) for part in wide)
        for space in range(2):
            if cells.voxels[(space, *window)].any():
                clear = (cells.clear[0][counted], cells.clear[1][rows, columns])
                tile = (cells.voxels[(space, *window)], cells.places[tuple(window)], *clear)
                _open(cells.whole[(space, *finer)], inner, tile, level, found.known[space], found.inside[space])
    return found


def _open(whole, inner, tile, level: Level, known: Ints, inside: Ints) -> None:  # type: ignore[no-untyped-def]
    """Count the openings of one space in one tile."""
    most = level.radii[-1] * level.finer - level.margin
    free = capped_distance(~whole, most, level.edges)
    largest = _largest(raise_summits(free, most, level.edges), level.finer)
    nowhere = np.full(tile[0].shape, np.inf, np.float32)
    for number, radius in enumerate(level.radii):
        centres = largest >= np.float32((radius * level.finer - level.margin) ** 2)
        drawn = radius + level.drawn
        near = capped_distance(centres, drawn, level.edges)[inner] if centres.any() else nowhere
        reach = 2 * radius + 1 + max(level.edges)
        _count(tile, near, np.float32(drawn**2), reach, known[number], inside[number])


def _largest(values: Floats, side: int) -> Floats:
    """Return the largest of each cell of so many values along each edge."""
    if side == 1:
        return values
    z, y, x = (n // side for n in values.shape)
    return np.asarray(values.reshape(z, side, y, side, x, side).max(axis=(1, 3, 5)))


def capped_distance(targets: NDArray[np.bool_], radius: float, edges: tuple[float, float, float]) -> Floats:
    """Return the squared distance of every cell to the nearest target, exact below the square of a radius.

    Parameters
    ----------
    targets : bool array (z, y, x)
    radius : float
        Farther cells get its square or more.
    edges : tuple of float
        Of a cell; the unit of the distance.

    Returns
    -------
    float32 array (z, y, x)
    """
    reach = tuple(_reach(radius, edge) for edge in edges)
    squares = tuple(np.float32(edge**2) for edge in edges)
    return _capped(targets, reach, squares, np.float32(np.nextafter(np.float32(radius**2), np.float32(np.inf))))


def _reach(radius: float, edge: float) -> int:
    return math.ceil(radius / edge - 1e-9)


def _margin(side: int) -> float:
    """Return what is missing from a distance to the middle of the nearest cell that is not whole, in cells.

    A cell with a single voxel outside is not whole. Averaged over all directions of the surface that takes
    3/4 (1 - 1 / side) of a cell of so many voxels from the distance, and at most 0.21 more or less. Between voxels
    nothing is taken, but the middle of the first one outside lies beyond the surface: by half a voxel along an axis,
    less in other directions and where the surface is curved.
    """
    return 0.75 * (1 - 1 / side) if side > 1 else -_BEYOND


def _tiles(shape: tuple[int, int], side: int) -> Iterator[tuple[slice, slice]]:
    rows, columns = ([slice(a, min(a + side, n)) for a in range(0, n, side)] for n in shape)
    for row in rows:
        for column in columns:
            yield row, column


@njit(cache=True, nogil=True, fastmath={"nnan"})
def _lower(out, other, add):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        value = other[i] + add
        out[i] = value if value < out[i] else out[i]


@njit(cache=True, nogil=True, fastmath={"nnan"})
def _capped(targets, reach, squares, cap):  # type: ignore[no-untyped-def]
    """One axis after the other: the least of all shifts within reach."""
    nz, ny, nx = targets.shape
    (rz, ry, rx), (wz, wy, wx) = reach, squares
    within = np.empty((nz, ny, nx), np.float32)
    plane = np.empty((ny, nx), np.float32)
    row = np.full(nx + 2 * rx, cap, np.float32)
    for z in range(nz):
        for y in range(ny):
            some = False
            for x in range(nx):
                row[rx + x] = np.float32(0) if targets[z, y, x] else cap
                some |= targets[z, y, x]
            plane[y] = cap
            if some:
                for k in range(2 * rx + 1):
                    _lower(plane[y], row[k : k + nx], np.float32((k - rx) ** 2) * wx)
        for y in range(ny):
            within[z, y] = plane[y]
            for k in range(1, ry + 1):
                if y >= k:
                    _lower(within[z, y], plane[y - k], np.float32(k * k) * wy)
                if y + k < ny:
                    _lower(within[z, y], plane[y + k], np.float32(k * k) * wy)
    out = np.empty((nz, ny, nx), np.float32)
    for z in range(nz):
        for y in range(ny):
            out[z, y] = within[z, y]
            for k in range(1, rz + 1):
                if z >= k:
                    _lower(out[z, y], within[z - k, y], np.float32(k * k) * wz)
                if z + k < nz:
                    _lower(out[z, y], within[z + k, y], np.float32(k * k) * wz)
    return out


@njit(cache=True, nogil=True)
def _count(tile, near, square, reach, known, inside):  # type: ignore[no-untyped-def]
    voxels, places, clear_z, clear_yx = tile
    nz, ny, nx = places.shape
    for z in range(nz):
        if clear_z[z] < reach:
            continue
        for y in range(ny):
            for x in range(nx):
                place = places[z, y, x]
                if place >= 0 and clear_yx[y, x] >= reach:
                    known[place] += voxels[z, y, x]
                    if near[z, y, x] < square:
                        inside[place] += voxels[z, y, x]
