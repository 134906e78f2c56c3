"""Feret diameters: the largest and the smallest distance of two parallel planes that enclose a domain.

Points that hold the corners of the hull (:mod:`.outline`) are all that is needed. The surface of a voxel is taken half
an edge from its centre along each axis, as a surface at half height between voxels would be: spheres then read 0.8
voxels long, elongated bodies 0.1, cubes 0.3 short (docs/accuracy.md).

The largest is exact: the largest distance of two of those surface points. For voxels at distances D along the axes with
edges s its square is D_z^2 + D_y^2 + D_x^2 + max(2 D s + s^2). The smallest is the least width among 13 lattice
directions and the principal axes, refined by turning the best of them in ever smaller steps down to 1.1 degrees; it is
never too small. Directions are whole numbers, so equal hulls give equal widths whatever other points there are.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .outline import Members, outline
from .surface import DIRECTIONS

Float = NDArray[np.float64]

_LATTICE = np.array(DIRECTIONS)
_FINE = 1024  # directions are whole numbers up to this
_STEPS = (0.3, 0.15, 0.08, 0.04, 0.02)
_MOST_CUBES = 12_000  # voxels from the first point, so that squares of distances fit in 32 bits
_LANES = 16  # points are filled up to a multiple of it, so that no loop has a remainder


def feret_of_components(members: Members, wanted: NDArray[np.bool_], axes: Float, edges: Float) -> Float:
    """Return the largest and smallest Feret diameter of components, (components, 2); NaN for those not wanted.

    Parameters
    ----------
    members : Members
    wanted : bool array (components,)
    axes : float array (components, 3, 3)
        Principal axes, unit columns over (z, y, x).
    edges : float array (3,)
        Voxel edges in micrometres.
    """
    out = np.full((len(wanted), 2), np.nan)
    most = int(np.diff(members.first).max(initial=0))
    _feret_all(members, wanted, axes, edges, np.empty((2 * most, 3), np.int32), out)
    return out


@njit(cache=True, nogil=True)
def feret_of_points(points: Any, axes: Any, edges: Any) -> Any:
    """Return the largest and smallest Feret diameter of voxels (points, 3) that hold all corners of their hull."""
    return _feret(points, len(points), axes, _Scale(edges, _lengths(edges)), _room(len(points)))


class _Points(NamedTuple):
    """Voxels by axis, relative to the first of them; filled up with the first to ``count``, a multiple of the lanes."""

    z: Any
    y: Any
    x: Any
    count: Any


class _Room(NamedTuple):
    """Room for the z, y and x of points, and for those that may be farthest apart."""

    z: Any
    y: Any
    x: Any
    far: Any


class _Scale(NamedTuple):
    """Voxel edges, and what turns places along the lattice directions into micrometres."""

    edges: Any
    lengths: Any


@njit(cache=True, nogil=True)
def _room(most: Any) -> Any:
    n = most + _LANES
    return _Room(np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32), np.empty((most, 4)))


@njit(cache=True, nogil=True)
def _lengths(edges: Any) -> Any:
    lengths = np.empty(len(_LATTICE))
    for start in range(len(_LATTICE)):
        kz, ky, kx = _LATTICE[start, 0], _LATTICE[start, 1], _LATTICE[start, 2]
        lengths[start] = 1 / math.sqrt((kz / edges[0]) ** 2 + (ky / edges[1]) ** 2 + (kx / edges[2]) ** 2)
    return lengths


@njit(cache=True, nogil=True)
def _width(points: Any, direction: Any, edges: Any) -> Any:
    """Return the width along the direction nearest to a unit normal that is whole numbers over voxel indices."""
    nz, ny, nx = direction
    kz, ky, kx = nz * edges[0], ny * edges[1], nx * edges[2]
    scale = _FINE / max(abs(kz), abs(ky), abs(kx))
    iz, iy, ix = round(kz * scale), round(ky * scale), round(kx * scale)
    extent = _extent(points, iz, iy, ix)
    return extent / math.sqrt((iz / edges[0]) ** 2 + (iy / edges[1]) ** 2 + (ix / edges[2]) ** 2)


@njit(cache=True, nogil=True)
def _extent(points: Any, kz: Any, ky: Any, kx: Any) -> Any:
    """Return largest minus smallest place along a direction of whole numbers, with the voxels' surfaces."""
    z, y, x, count = points
    iz, iy, ix = np.int32(kz), np.int32(ky), np.int32(kx)
    low = high = np.int32(0)  # the first point is the origin
    for i in range(count):
        place = np.int32(np.int32(iz * z[i]) + np.int32(iy * y[i]) + np.int32(ix * x[i]))
        low = min(low, place)
        high = max(high, place)
    return np.int64(high) - low + max(abs(kz), abs(ky), abs(kx))


@njit(cache=True, nogil=True, inline="always")
def _squared(dz: Any, dy: Any, dx: Any, edges: Any) -> Any:
    """Return the largest squared distance of surface points of two voxels that lie so many voxels apart."""
    dz, dy, dx = abs(dz) * edges[0], abs(dy) * edges[1], abs(dx) * edges[2]
    more = max((2 * dz + edges[0]) * edges[0], (2 * dy + edges[1]) * edges[1], (2 * dx + edges[2]) * edges[2])
    return dz * dz + dy * dy + dx * dx + more


@njit(cache=True, nogil=True, inline="always")
def _farthest_from(points: Any, count: Any, i: Any, edges: Any) -> Any:
    best, at = 0.0, 0
    for j in range(count):
        dz, dy, dx = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
        found = _squared(dz, dy, dx, edges)
        if found > best:
            best, at = found, j
    return best, at


@njit(cache=True, nogil=True)
def _largest_of_cubes(points: Any) -> Any:
    """Return the largest Feret diameter in voxels that are cubes of edge 1: all pairs, in whole numbers."""
    z, y, x, count = points
    best = np.int32(1)
    for i in range(count):
        zi, yi, xi = z[i], y[i], x[i]
        for j in range(count):  # all of them: a loop from 0 is one that the compiler vectorises
            dz, dy, dx = abs(np.int32(z[j] - zi)), abs(np.int32(y[j] - yi)), abs(np.int32(x[j] - xi))
            squared = np.int32(np.int32(dz * dz) + np.int32(dy * dy) + np.int32(dx * dx))
            best = max(best, np.int32(squared + np.int32(2 * max(max(dz, dy), dx) + 1)))
    return math.sqrt(best)


@njit(cache=True, nogil=True)
def _largest(points: Any, count: Any, edges: Any, far: Any) -> Any:
    """Return the largest Feret diameter of voxels of any edges.

    No two points are farther apart than the sum of their distances from any centre. Given a pair that is nearly the
    best, all points go that are too near to the centre to belong to a better one.
    """
    best, i = _farthest_from(points, count, 0, edges)
    for _ in range(2):
        found, i = _farthest_from(points, count, i, edges)
        best = max(best, found)
    kept = _keep_far(points, count, edges, best, far)
    for i in range(kept):
        for j in range(i + 1, kept):
            # Differences of whole numbers: a distance does not depend on which other points are there.
            found = _squared(far[j, 0] - far[i, 0], far[j, 1] - far[i, 1], far[j, 2] - far[i, 2], edges)
            best = max(best, found)
    return math.sqrt(best)


@njit(cache=True, nogil=True)
def _keep_far(points: Any, count: Any, edges: Any, best: Any, far: Any) -> Any:
    """Write the points that may belong to a pair farther apart than ``best``, squared; return how many there are."""
    low, high = np.empty(3), np.empty(3)
    for axis in range(3):
        low[axis] = high[axis] = points[0, axis]
    for j in range(count):
        for axis in range(3):
            low[axis], high[axis] = min(low[axis], points[j, axis]), max(high[axis], points[j, axis])
    outermost = 0.0
    for j in range(count):
        radius = 0.0
        more = 0.0
        for axis in range(3):
            away = abs(points[j, axis] - (low[axis] + high[axis]) / 2) * edges[axis]
            radius += away * away
            more = max(more, (away + edges[axis] / 4) * edges[axis])
        far[j, 3] = radius + more
        outermost = max(outermost, far[j, 3])
    enough = max(0.0, math.sqrt(best) - math.sqrt(outermost)) ** 2 * (1 - 1e-9)
    kept = 0
    for j in range(count):
        if far[j, 3] >= enough:
            for axis in range(3):
                far[kept, axis] = points[j, axis]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def _smallest(points: Any, axes: Any, scale: Any) -> Any:
    """Return the smallest Feret diameter that is found."""
    edges, lengths = scale
    best = np.inf
    normal = (1.0, 0.0, 0.0)
    for start in range(len(_LATTICE)):
        kz, ky, kx = _LATTICE[start, 0], _LATTICE[start, 1], _LATTICE[start, 2]
        width = _extent(points, kz, ky, kx) * lengths[start]
        if width < best:
            best, normal = width, (kz / edges[0], ky / edges[1], kx / edges[2])
    for start in range(3):
        axis = (axes[0, start], axes[1, start], axes[2, start])
        width = _width(points, axis, edges)
        if width < best:
            best, normal = width, axis
    for angle in _STEPS:
        nz, ny, nx = _unit(normal, 1.0)
        uz, uy, ux = _unit(_across(nz, ny, nx), angle)
        vz, vy, vx = ny * ux - nx * uy, nx * uz - nz * ux, nz * uy - ny * uz
        for tz, ty, tx in ((uz, uy, ux), (-uz, -uy, -ux), (vz, vy, vx), (-vz, -vy, -vx)):
            turned = (nz + tz, ny + ty, nx + tx)
            width = _width(points, turned, edges)
            if width < best:
                best, normal = width, turned
    return best


@njit(cache=True, nogil=True)
def _unit(vector: Any, length: Any) -> Any:
    """Return a vector with another length."""
    z, y, x = vector
    divisor = math.sqrt(z * z + y * y + x * x) / length
    return z / divisor, y / divisor, x / divisor


@njit(cache=True, nogil=True)
def _across(nz: Any, ny: Any, nx: Any) -> Any:
    """Return a vector at right angles to a normal and to the axis that is farthest from it."""
    if abs(nz) <= abs(ny) and abs(nz) <= abs(nx):
        return 0.0, nx, -ny
    if abs(ny) <= abs(nx):
        return -nx, 0.0, nz
    return ny, -nz, 0.0


@njit(cache=True, nogil=True)
def _feret(corners: Any, count: Any, axes: Any, scale: Any, room: Any) -> Any:
    z, y, x, far = room
    filled = (count + _LANES - 1) // _LANES * _LANES
    for i in range(filled):
        from_first = i if i < count else 0
        z[i] = corners[from_first, 0] - corners[0, 0]
        y[i] = corners[from_first, 1] - corners[0, 1]
        x[i] = corners[from_first, 2] - corners[0, 2]
    points = _Points(z, y, x, filled)
    edges = scale.edges
    if edges[0] == edges[1] == edges[2] and _reach(points) < _MOST_CUBES:
        largest = _largest_of_cubes(points) * edges[0]
    else:
        largest = _largest(corners, count, edges, far)
    return largest, _smallest(points, axes, scale)


@njit(cache=True, nogil=True)
def _reach(points: Any) -> Any:
    """Return the largest distance along an axis from the first point."""
    z, y, x, count = points
    reach = np.int32(0)
    for i in range(count):
        reach = max(max(reach, abs(z[i])), max(abs(y[i]), abs(x[i])))
    return reach


@njit(cache=True, nogil=True)
def _feret_all(members: Any, wanted: Any, axes: Any, edges: Any, points: Any, out: Any) -> None:
    runs, row, order, first = members
    room, scale = _room(len(points)), _Scale(edges, _lengths(edges))
    one_voxel = (0.0, 0.0)
    for component in range(len(wanted)):
        if wanted[component]:
            mine = order[first[component] : first[component + 1]]
            count = outline(runs, row, mine, 0, points)
            if count == 1 and one_voxel[0]:  # noise has many of them
                out[component] = one_voxel
                continue
            out[component] = _feret(points, count, axes[component], scale, room)
            if count == 1:
                one_voxel = (out[component, 0], out[component, 1])
