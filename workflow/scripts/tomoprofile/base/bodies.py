"""Bodies of any orientation on the voxel grid: each is painted where it finds room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

FREE = 0  # who owns a voxel: nobody
ELLIPSOID, CYLINDER, BLOCK = 0, 1, 2  # a block has rounded edges


@dataclass(frozen=True)
class Bodies:
    """Candidates, in the order in which they are tried.

    Attributes
    ----------
    centres : array (n, 3)
        Voxels along (z, y, x).
    matrices : array (n, 3, 3)
        Each maps the unit body, of half axes 1, onto the body; columns are the half axes.
    kind : int
        :data:`ELLIPSOID`, :data:`CYLINDER` (its axis is the third column) or :data:`BLOCK`.
    contrasts : array (n,)
        Of each, relative to the others.
    cores : array (n,)
        Level at which the core of a shell begins: 0 for none.
    """

    centres: NDArray[np.float64]
    matrices: NDArray[np.float64]
    kind: int
    contrasts: NDArray[np.float64]
    cores: NDArray[np.float64]


@dataclass(frozen=True)
class Canvas:
    """What bodies are painted on; all arrays (z, y, x).

    Attributes
    ----------
    owner : array of uint8
        :data:`FREE`, or the code of what has its centre there.
    share : array of float32
        Fraction of each voxel that bodies fill, their cores included.
    wall : array of float32
        The same times the contrast of the body, without cores.
    core : array of float32
        The same of the cores.
    """

    owner: NDArray[np.uint8]
    share: NDArray[np.float32]
    wall: NDArray[np.float32]
    core: NDArray[np.float32]


def place(canvas: Canvas, bodies: Bodies, code: int, gap: float, touching: bool, voxels: int) -> int:
    """Paint bodies until they fill so many voxels; return how many voxels they fill.

    Parameters
    ----------
    canvas : Canvas
        Changed in place; its ``share``, ``wall`` and ``core`` hold only bodies of this code.
    bodies : Bodies
    code : int
        Written to ``owner``.
    gap : float
        Least distance in voxels to what is there already.
    touching : bool
        Whether bodies of this code may overlap with each other.
    voxels : int
    """
    inverses = np.ascontiguousarray(np.linalg.inv(bodies.matrices))
    extents = np.linalg.norm(bodies.matrices, axis=2)
    if bodies.kind != ELLIPSOID:
        extents = np.abs(bodies.matrices).sum(axis=2)
    parts = (canvas.owner, canvas.share, canvas.wall, canvas.core)
    return int(
        _place(parts, bodies.centres, inverses, extents, bodies.kind, bodies.contrasts, bodies.cores, code, gap,
               touching, voxels)
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _place(  # type: ignore[no-untyped-def]
    parts, centres, inverses, extents, kind, contrasts, cores, code, gap, touching, voxels
):
    owner, share, wall, core = parts
    painted = 0
    for body in range(len(centres)):
        if painted >= voxels:
            break
        if _has_room(owner, centres[body], inverses[body], extents[body], kind, code, gap, touching):
            painted += _paint(
                owner, share, wall, core, centres[body], inverses[body], extents[body], kind, contrasts[body],
                cores[body], code,
            )  # fmt: skip
    return painted


@njit(cache=True, nogil=True)
def _has_room(owner, centre, inverse, extent, kind, code, gap, touching):  # type: ignore[no-untyped-def]
    nz, ny, nx = owner.shape
    reach = gap + 1.0
    bound = 1 + gap * _steepest(inverse)
    for z in range(max(int(centre[0] - extent[0] - reach), 0), min(int(centre[0] + extent[0] + reach) + 1, nz)):
        for y in range(max(int(centre[1] - extent[1] - reach), 0), min(int(centre[1] + extent[1] + reach) + 1, ny)):
            low, high = int(centre[2] - extent[2] - reach), int(centre[2] + extent[2] + reach) + 1
            first, last = _row(z, y, centre, inverse, kind, bound, max(low, 0), min(high, nx))
            for x in range(first, last):
                there = owner[z, y, x]
                if there == 0 or (touching and there == code):
                    continue
                if _distance(z + 0.5, y + 0.5, x + 0.5, centre, inverse, kind)[0] < gap:
                    return False
    return True


@njit(cache=True, nogil=True)
def _paint(  # type: ignore[no-untyped-def]
    owner, share, wall, core, centre, inverse, extent, kind, contrast, core_level, code
):
    nz, ny, nx = owner.shape
    count = 0
    bound = 1 + _steepest(inverse)
    for z in range(max(int(centre[0] - extent[0] - 1), 0), min(int(centre[0] + extent[0] + 1) + 1, nz)):
        for y in range(max(int(centre[1] - extent[1] - 1), 0), min(int(centre[1] + extent[1] + 1) + 1, ny)):
            low, high = int(centre[2] - extent[2] - 1), int(centre[2] + extent[2] + 1) + 1
            first, last = _row(z, y, centre, inverse, kind, bound, max(low, 0), min(high, nx))
            for x in range(first, last):
                distance, level, slope = _distance(z + 0.5, y + 0.5, x + 0.5, centre, inverse, kind)
                mine = min(max(0.5 - distance, 0.0), 1.0)
                if mine <= share[z, y, x]:
                    continue
                inside = 0.0
                if core_level > 0:
                    inside = min(max(0.5 - (level - core_level) / slope, 0.0), mine)
                share[z, y, x] = mine
                wall[z, y, x] = contrast * (mine - inside)
                core[z, y, x] = contrast * inside
                if mine > 0.5 and owner[z, y, x] != code:
                    owner[z, y, x] = code
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _steepest(inverse):  # type: ignore[no-untyped-def]
    """Return how fast the level rises at most, per voxel: along the shortest half axis."""
    most = 0.0
    for axis in range(3):
        most = max(most, inverse[axis, 0] ** 2 + inverse[axis, 1] ** 2 + inverse[axis, 2] ** 2)
    return np.sqrt(most)


@njit(cache=True, nogil=True)
def _row(z, y, centre, inverse, kind, bound, low, high):  # type: ignore[no-untyped-def]
    """Return the part of a row from ``low`` to ``high`` in which the level may lie below ``bound``.

    The box around an oblique fibre is the whole scan, and nearly all of it is empty.
    """
    dz, dy = z + 0.5 - centre[0], y + 0.5 - centre[1]
    circular = 3 if kind == 0 else (2 if kind == 1 else 0)  # of the three coordinates, those that add as squares
    begin, end, aa, ab, bb = -1e9, 1e9, 0.0, 0.0, 0.0
    for axis in range(3):
        a, b = inverse[axis, 0] * dz + inverse[axis, 1] * dy, inverse[axis, 2]
        if axis < circular:
            aa, ab, bb = aa + a * a, ab + a * b, bb + b * b
        elif abs(b) > 1e-6:
            begin, end = max(begin, -a / b - bound / abs(b)), min(end, -a / b + bound / abs(b))
        elif abs(a) > bound + 1e-3:
            return low, low
    rest = aa - bound * bound
    if circular and bb > 1e-12:
        square = ab * ab - bb * rest
        if square < 0:
            return low, low
        begin, end = max(begin, (-ab - np.sqrt(square)) / bb), min(end, (-ab + np.sqrt(square)) / bb)
    elif circular and rest > 1e-3:
        return low, low
    # A voxel more to both sides, whatever rounding does.
    return int(max(centre[2] + begin - 1.5, low)), int(min(centre[2] + end + 1.5, high))


@njit(cache=True, nogil=True)
def _distance(z, y, x, centre, inverse, kind):  # type: ignore[no-untyped-def]
    """Return the distance in voxels to the surface, negative inside; the level, 1 on the surface; and its slope."""
    dz, dy, dx = z - centre[0], y - centre[1], x - centre[2]
    u = inverse[0, 0] * dz + inverse[0, 1] * dy + inverse[0, 2] * dx
    v = inverse[1, 0] * dz + inverse[1, 1] * dy + inverse[1, 2] * dx
    w = inverse[2, 0] * dz + inverse[2, 1] * dy + inverse[2, 2] * dx
    if kind == 0:
        level = np.sqrt(u * u + v * v + w * w) + 1e-9
        gu, gv, gw = u / level, v / level, w / level
    elif kind == 1:
        radial = np.sqrt(u * u + v * v) + 1e-9
        if radial > abs(w):
            level = radial
            gu, gv, gw = u / radial, v / radial, 0.0
        else:
            level = abs(w) + 1e-9
            gu, gv, gw = 0.0, 0.0, 1.0
    else:
        level = np.sqrt(np.sqrt(u**4 + v**4 + w**4)) + 1e-9
        gu, gv, gw = (u / level) ** 3, (v / level) ** 3, (w / level) ** 3
    sz = inverse[0, 0] * gu + inverse[1, 0] * gv + inverse[2, 0] * gw
    sy = inverse[0, 1] * gu + inverse[1, 1] * gv + inverse[2, 1] * gw
    sx = inverse[0, 2] * gu + inverse[1, 2] * gv + inverse[2, 2] * gw
    slope = np.sqrt(sz * sz + sy * sy + sx * sx) + 1e-9
    return (level - 1) / slope, level, slope
