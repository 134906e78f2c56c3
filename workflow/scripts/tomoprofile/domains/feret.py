"""Feret diameters: the largest and the smallest distance of two parallel planes that hold a domain.

The hull of a domain is that of the ends of its runs, and of those only the corners of the convex outline of each slice
matter: a few points, found as runs go by, and those of two parts together make those of the whole. The surface of a
voxel is taken half an edge from its centre along each axis, as a surface at half height between voxels would be:
spheres read 0.8 voxels long then, elongated bodies 0.1, cubes 0.3 short (docs/accuracy.md).

The largest is exact: the largest distance of two of those surface points, which for voxels at distances D along the
axes with edges s is D_z^2 + D_y^2 + D_x^2 + max(2 D s + s^2), squared. The smallest is the least width among 13 lattice
directions and the principal axes, then refined by turning the best of them in ever smaller steps down to 1.1 degrees;
it is never too small. Directions are whole numbers, so that equal hulls give equal widths whatever else is known.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .runs import Int32, Int64, RowRuns
from .surface import DIRECTIONS

Float = NDArray[np.float64]

_LATTICE = np.array(DIRECTIONS)
_FINE = 1024  # directions are whole numbers up to this
_STEPS = (0.3, 0.15, 0.08, 0.04, 0.02)
_MOST_CUBES = 12_000  # voxels from the first point, so that squares of distances fit in 32 bits
_FEW_RUNS = 48
_LANES = 16  # points are filled up to a multiple of it, so that no loop has a remainder


def outline_points(runs: RowRuns, ny: int, start: int, order: Int32, first: Int64, components: Int64) -> list[Int32]:
    """Return the corners of the outlines, slice by slice, of some components.

    Parameters
    ----------
    runs : RowRuns
    ny : int
        Rows in a slice.
    start : int
        The first slice.
    order : int32 array (runs,)
        Runs sorted by component, those of one in raster order.
    first : int64 array (components + 1,)
        Where those of each component begin.
    components : int64 array
        Whose points are wanted.

    Returns
    -------
    list of int32 array (points, 3)
        z, y, x of voxels, a list entry a component.
    """
    row = _rows_of(runs.row_ptr)
    found = []
    for component in components:
        mine = order[first[component] : first[component + 1]]
        points = np.empty((2 * len(mine), 3), np.int32)
        count = _outline(mine, row, runs.x_start, runs.x_stop, ny, start, points)
        found.append(points[:count].copy())
    return found


def feret_of_components(
    runs: RowRuns, ny: int, order: Int32, first: Int64, wanted: NDArray[np.bool_], axes: Float, edges: Float
) -> Float:
    """Return the largest and smallest Feret diameter of components, (components, 2); NaN of those not wanted.

    Parameters
    ----------
    runs, ny, order, first
        As in :func:`outline_points`.
    wanted : bool array (components,)
    axes : float array (components, 3, 3)
        Principal axes, unit columns over (z, y, x).
    edges : float array (3,)
        Voxel edges in micrometres.
    """
    out = np.full((len(wanted), 2), np.nan)
    most = int(np.diff(first).max(initial=0))
    points = np.empty((2 * most, 3), np.int32)
    _feret_all(order, first, _rows_of(runs.row_ptr), runs.x_start, runs.x_stop, ny, wanted, axes, edges, points, out)
    return out


def feret_of_points(points: Int32, axes: Float, edges: Float) -> tuple[float, float]:
    """Return the largest and smallest Feret diameter of voxels (points, 3) that hold all corners of their hull."""
    return _feret(points, len(points), axes, edges, _lengths(edges), *_room(len(points)))


@njit(cache=True, nogil=True)
def _rows_of(row_ptr: Any) -> Any:
    row = np.empty(row_ptr[-1], np.int32)
    for r in range(len(row_ptr) - 1):
        row[row_ptr[r] : row_ptr[r + 1]] = r
    return row


@njit(cache=True, nogil=True)
def sort_by_component(component: Any, n_components: Any) -> Any:
    """Return runs sorted by component, in raster order within, and where each component begins."""
    first = np.zeros(n_components + 1, np.int64)
    for run in range(len(component)):
        first[component[run] + 1] += 1
    for c in range(n_components):
        first[c + 1] += first[c]
    at = first[:-1].copy()
    order = np.empty(len(component), np.int32)
    for run in range(len(component)):
        order[at[component[run]]] = run
        at[component[run]] += 1
    return order, first


@njit(cache=True, nogil=True, inline="always")
def _turns_in(points: Any, count: Any, base: Any, y: Any, x: Any, sign: Any) -> Any:
    """Return whether the last point of a chain lies on or inside the line from the one before it to (y, x)."""
    if count - base < 2:
        return False
    y1, x1 = np.int64(points[count - 2, 1]), np.int64(points[count - 2, 2])
    y2, x2 = np.int64(points[count - 1, 1]), np.int64(points[count - 1, 2])
    return sign * ((y2 - y1) * (x - x1) - (x2 - x1) * (y - y1)) >= 0


@njit(cache=True, nogil=True)
def _outline(mine: Any, row: Any, x_start: Any, x_stop: Any, ny: Any, start: Any, points: Any) -> Any:
    """Write the corners of the convex outline of each slice, or all ends of few runs; return how many there are."""
    count = 0
    if len(mine) <= _FEW_RUNS:
        z, base_row = 0, 0
        for run in mine:
            if row[run] >= base_row + ny or run == mine[0]:
                z = row[run] // ny
                base_row = z * ny
            for x in range(x_start[run], x_stop[run], max(1, x_stop[run] - 1 - x_start[run])):
                points[count, 0], points[count, 1], points[count, 2] = z + start, row[run] - base_row, x
                count += 1
        return count
    i = 0
    while i < len(mine):
        z = row[mine[i]] // ny
        base_row = z * ny
        end = i
        while end < len(mine) and row[mine[end]] < base_row + ny:
            end += 1
        for sign in (-1, 1):  # the chain of least x, then that of largest x
            base = count
            j = i
            while j < end:
                r = row[mine[j]]
                x = np.int64(x_start[mine[j]])
                while j < end and row[mine[j]] == r:
                    if sign > 0:
                        x = np.int64(x_stop[mine[j]]) - 1
                    j += 1
                y = np.int64(r - base_row)
                while _turns_in(points, count, base, y, x, sign):
                    count -= 1
                points[count, 0], points[count, 1], points[count, 2] = z + start, y, x
                count += 1
        i = end
    return count


@njit(cache=True, nogil=True)
def _room(most: Any) -> Any:
    """Return room for z, y and x of points, and for those that may be farthest apart."""
    z, y, x = np.empty(most + _LANES, np.int32), np.empty(most + _LANES, np.int32), np.empty(most + _LANES, np.int32)
    return z, y, x, np.empty((most, 4))


@njit(cache=True, nogil=True)
def _lengths(edges: Any) -> Any:
    """Return what turns places along the lattice directions into micrometres."""
    lengths = np.empty(len(_LATTICE))
    for start in range(len(_LATTICE)):
        kz, ky, kx = _LATTICE[start, 0], _LATTICE[start, 1], _LATTICE[start, 2]
        lengths[start] = 1 / math.sqrt((kz / edges[0]) ** 2 + (ky / edges[1]) ** 2 + (kx / edges[2]) ** 2)
    return lengths


@njit(cache=True, nogil=True)
def _width(z: Any, y: Any, x: Any, count: Any, kz: Any, ky: Any, kx: Any, edges: Any) -> Any:
    """Return the width along the direction nearest to k (over voxel indices) whose entries are whole numbers."""
    scale = _FINE / max(abs(kz), abs(ky), abs(kx))
    iz, iy, ix = round(kz * scale), round(ky * scale), round(kx * scale)
    extent = _extent(z, y, x, count, iz, iy, ix)
    return extent / math.sqrt((iz / edges[0]) ** 2 + (iy / edges[1]) ** 2 + (ix / edges[2]) ** 2)


@njit(cache=True, nogil=True)
def _extent(z: Any, y: Any, x: Any, count: Any, kz: Any, ky: Any, kx: Any) -> Any:
    """Return largest minus smallest place along a direction of whole numbers, with the voxels' surfaces."""
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
def _largest_of_cubes(z: Any, y: Any, x: Any, count: Any) -> Any:
    """Return the largest Feret diameter in voxels that are cubes of edge 1: all pairs, in whole numbers."""
    best = np.int32(1)
    for i in range(count):
        zi, yi, xi = z[i], y[i], x[i]
        for j in range(count):  # all of them: from 0 on the compiler makes vectors of it
            dz, dy, dx = abs(np.int32(z[j] - zi)), abs(np.int32(y[j] - yi)), abs(np.int32(x[j] - xi))
            squared = np.int32(np.int32(dz * dz) + np.int32(dy * dy) + np.int32(dx * dx))
            best = max(best, np.int32(squared + np.int32(2 * max(max(dz, dy), dx) + 1)))
    return math.sqrt(best)


@njit(cache=True, nogil=True)
def _largest(points: Any, count: Any, edges: Any, far: Any) -> Any:
    """Return the largest Feret diameter.

    Two points are no farther apart than both are from any centre, so all points go that are too near to it to be one of
    the pair, given a pair that is nearly the best.
    """
    best, i = _farthest_from(points, count, 0, edges)
    for _ in range(2):
        found, i = _farthest_from(points, count, i, edges)
        best = max(best, found)
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
    for i in range(kept):
        for j in range(i + 1, kept):
            # Differences of whole numbers: a distance does not depend on which other points are there.
            found = _squared(far[j, 0] - far[i, 0], far[j, 1] - far[i, 1], far[j, 2] - far[i, 2], edges)
            best = max(best, found)
    return math.sqrt(best)


@njit(cache=True, nogil=True)
def _smallest(z: Any, y: Any, x: Any, count: Any, axes: Any, edges: Any, lengths: Any) -> Any:
    """Return the smallest Feret diameter that is found."""
    best = np.inf
    bz, by, bx = 1.0, 0.0, 0.0
    for start in range(len(_LATTICE)):
        kz, ky, kx = _LATTICE[start, 0], _LATTICE[start, 1], _LATTICE[start, 2]
        width = _extent(z, y, x, count, kz, ky, kx) * lengths[start]
        if width < best:
            best = width
            bz, by, bx = kz / edges[0], ky / edges[1], kx / edges[2]
    for start in range(3):
        nz, ny, nx = axes[0, start], axes[1, start], axes[2, start]
        width = _width(z, y, x, count, nz * edges[0], ny * edges[1], nx * edges[2], edges)
        if width < best:
            best = width
            bz, by, bx = nz, ny, nx
    for angle in _STEPS:
        length = math.sqrt(bz * bz + by * by + bx * bx)
        nz, ny, nx = bz / length, by / length, bx / length
        # Two directions across, from the axis that is farthest from the normal.
        if abs(nz) <= abs(ny) and abs(nz) <= abs(nx):
            uz, uy, ux = 0.0, nx, -ny
        elif abs(ny) <= abs(nx):
            uz, uy, ux = -nx, 0.0, nz
        else:
            uz, uy, ux = ny, -nz, 0.0
        length = math.sqrt(uz * uz + uy * uy + ux * ux) / angle
        uz, uy, ux = uz / length, uy / length, ux / length
        vz, vy, vx = ny * ux - nx * uy, nx * uz - nz * ux, nz * uy - ny * uz
        for turn in range(4):
            sign = 1 - 2 * (turn % 2)
            tz, ty, tx = (uz, uy, ux) if turn < 2 else (vz, vy, vx)
            tz, ty, tx = nz + sign * tz, ny + sign * ty, nx + sign * tx
            width = _width(z, y, x, count, tz * edges[0], ty * edges[1], tx * edges[2], edges)
            if width < best:
                best = width
                bz, by, bx = tz, ty, tx
    return best


@njit(cache=True, nogil=True)
def _feret(points: Any, count: Any, axes: Any, edges: Any, lengths: Any, z: Any, y: Any, x: Any, far: Any) -> Any:
    filled = (count + _LANES - 1) // _LANES * _LANES
    for i in range(filled):
        from_first = i if i < count else 0
        z[i] = points[from_first, 0] - points[0, 0]
        y[i] = points[from_first, 1] - points[0, 1]
        x[i] = points[from_first, 2] - points[0, 2]
    if edges[0] == edges[1] == edges[2] and _reach(z, y, x, filled) < _MOST_CUBES:
        largest = _largest_of_cubes(z, y, x, filled) * edges[0]
    else:
        largest = _largest(points, count, edges, far)
    return largest, _smallest(z, y, x, filled, axes, edges, lengths)


@njit(cache=True, nogil=True)
def _reach(z: Any, y: Any, x: Any, count: Any) -> Any:
    """Return the largest distance along an axis from the first point."""
    reach = np.int32(0)
    for i in range(count):
        reach = max(max(reach, abs(z[i])), max(abs(y[i]), abs(x[i])))
    return reach


@njit(cache=True, nogil=True)
def _feret_all(
    order: Any, first: Any, row: Any, x_start: Any, x_stop: Any, ny: Any, wanted: Any, axes: Any, edges: Any,
    points: Any, out: Any,
) -> None:  # fmt: skip
    z, y, x, far = _room(len(points))
    lengths = _lengths(edges)
    one_voxel = (0.0, 0.0)
    for component in range(len(wanted)):
        if wanted[component]:
            mine = order[first[component] : first[component + 1]]
            count = _outline(mine, row, x_start, x_stop, ny, 0, points)
            if count == 1 and one_voxel[0]:  # as many are in noise
                out[component] = one_voxel
                continue
            out[component] = _feret(points, count, axes[component], edges, lengths, z, y, x, far)
            if count == 1:
                one_voxel = (out[component, 0], out[component, 1])
