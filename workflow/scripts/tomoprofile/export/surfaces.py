"""Surfaces of domains as triangles, slab by slab, with exactly the volume that the tables give.

The surface between voxels 1 and 0 half-way between their centres cuts convex edges: a sphere of radius 2 voxels would
lose 10 % of its volume. So the whole surface is moved by the same fraction of a voxel, along the lines between the
centres, until it encloses the volume of the voxels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from ..domains.label_volume import paint
from ..domains.objects import Runs
from ..domains.voxels import Domains

# Where the surface lies between a centre inside (1) and one outside (0). At exactly 0.5 the cases in which two
# diagonals of a face compete would be undecided; on each side three levels describe the volume as a parabola.
_OUTWARDS, _INWARDS = (0.05, 0.27, 0.49), (0.51, 0.73, 0.95)
_SLAB_VOXELS = 2**22


class Piece(NamedTuple):
    """A part of a surface.

    Attributes
    ----------
    vertices : float64 array (n, 3)
        In voxel indices (z, y, x).
    triangles : int array (m, 3)
        Each by three vertices, counter-clockwise around (z, y, x) seen from outside.
    last : int
        The slice that it shares with the next piece, whose vertices there are the same.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[Any]
    last: int


class Solid(Protocol):
    """What a surface is drawn around.

    Attributes
    ----------
    origin, shape : tuple of int
        The box of voxels, along (z, y, x), that holds it.
    voxels : int
        How many it has.
    """

    origin: tuple[int, int, int]
    shape: tuple[int, int, int]
    voxels: int

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return slices ``[start, stop)`` of the box, 1 inside."""
        ...


class WholeClass:
    """All domains of a class; see :class:`Solid`."""

    def __init__(self, domains: Domains) -> None:
        self.origin = (0, 0, 0)
        self.shape = domains.shape
        self.voxels = sum(_voxels(runs) for runs in domains.runs())
        self.read = domains.read


@dataclass(frozen=True)
class OneDomain:
    """One domain in its bounding box; see :class:`Solid`."""

    runs: Runs
    origin: tuple[int, int, int]
    shape: tuple[int, int, int]
    voxels: int

    @classmethod
    def of(cls, runs: Runs) -> OneDomain:
        """Return the domain that consists of these runs."""
        z, y, x = (int(start.min()) for start in (runs.z, runs.y, runs.x_start))
        shape = (int(runs.z.max()) + 1 - z, int(runs.y.max()) + 1 - y, int(runs.x_stop.max()) - x)
        return cls(runs, (z, y, x), shape, _voxels(runs))

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return slices ``[start, stop)`` of the box, 1 inside."""
        z, y, x = self.origin
        image = np.zeros((stop - start, *self.shape[1:]), np.uint8)
        inside = self.runs.at((self.runs.z >= z + start) & (self.runs.z < z + stop))
        ones = np.ones(len(inside), np.int64)
        paint(image, inside.z - z - start, inside.y - y, inside.x_start - x, inside.x_stop - x, ones)
        return image


def domains_of(domains: Domains, numbers: list[int]) -> dict[int, OneDomain]:
    """Return some domains of a class, found in one reading of its runs."""
    wanted = np.unique(numbers)
    parts = [runs.at(np.isin(runs.domain_id, wanted)) for runs in domains.runs()]
    together = Runs(*(np.concatenate([getattr(part, name) for part in parts]) for name in Runs.__dataclass_fields__))
    return {number: OneDomain.of(together.at(together.domain_id == number)) for number in numbers}


def surface(solid: Solid) -> Iterator[Piece]:
    """Yield the surface of a solid in pieces, one slab of voxels after the other.

    Together they are closed, also where the solid is cut by the border of the scan, and enclose as much as its voxels.
    """
    level = _level(solid) if solid.voxels else _OUTWARDS[-1]
    for image, top in _slabs(solid):
        yield _piece(image, top, solid, level)


def enclosed(piece: Piece) -> float:
    """Return what a piece adds to the enclosed volume, in voxels."""
    a, b, c = (piece.vertices[piece.triangles[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _level(solid: Solid) -> float:
    """Return where between voxels the surface must lie to enclose the volume of the solid."""
    levels = _OUTWARDS
    beyond = _enclosed_at(solid, levels) - solid.voxels
    if beyond[-1] > 0:  # concave edges dominate, as in a foam
        levels = _INWARDS
        beyond = _enclosed_at(solid, levels) - solid.voxels
    return float(np.clip(_root(np.asarray(levels), beyond), levels[0], levels[-1]))


def _enclosed_at(solid: Solid, levels: tuple[float, ...]) -> NDArray[np.float64]:
    found = np.zeros(len(levels))
    for image, top in _slabs(solid):
        found += [enclosed(_piece(image, top, solid, level)) for level in levels]
    return found


def _root(levels: NDArray[np.float64], beyond: NDArray[np.float64]) -> float:
    """Return the level at which the parabola through three volumes is zero; that nearest to the middle."""
    roots = np.roots(np.polyfit(levels, beyond, 2))
    return float(roots[np.abs(roots - levels[1]).argmin()].real)


def _slabs(solid: Solid) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield slabs with a rim of empty voxels around the box, and the first slice of each; neighbours share a slice."""
    depth, height, width = solid.shape
    thick = max(1, _SLAB_VOXELS // (height * width))
    for top in range(-1, depth, thick):
        bottom = min(top + thick, depth)
        image = np.zeros((bottom - top + 1, height + 2, width + 2), np.float32)
        first, last = max(top, 0), min(bottom + 1, depth)
        image[first - top : last - top, 1:-1, 1:-1] = solid.read(first, last)
        yield image, top


def _piece(image: NDArray[np.float32], top: int, solid: Solid, level: float) -> Piece:
    z, y, x = solid.origin
    last = z + top + len(image) - 1
    if image.min() == image.max():
        return Piece(np.empty((0, 3)), np.empty((0, 3), np.int64), last)
    vertices, triangles, _, _ = marching_cubes(image, level)
    return Piece(vertices + np.array([z + top, y - 1.0, x - 1.0]), triangles[:, ::-1], last)


def _voxels(runs: Runs) -> int:
    return int((runs.x_stop.astype(np.int64) - runs.x_start).sum())
