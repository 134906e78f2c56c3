"""The largest sphere around a summit of the distance to what is outside, whose middle lies between those of voxels.

No distance changes by more than the way, so those of the 26 neighbours bound it everywhere around a summit. The bound
is reached where it falls off as fast as it can on all sides that matter: beside the middle of a ball, the axis of a
rod, the plane in the middle of a plate.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numba import njit

from ..profile.masks import Floats

_AROUND = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)], np.int64)
# Places in a voxel, from its middle: coarse ones, then others around the best of them.
_COARSE = np.array(list(product((-1, 0, 1), repeat=3)), np.float32) / np.float32(3)
_FINE = _COARSE / np.float32(3)


def raise_summits(squares: Floats, most: float, edges: tuple[float, float, float]) -> Floats:
    """Return squared distances, each summit replaced by the largest around it.

    Parameters
    ----------
    squares : float32 array (z, y, x)
        Of :func:`~.thickness.capped_distance`.
    most : float
        The radius up to which they are exact.
    edges : tuple of float
        Of a voxel or cell along (z, y, x); the unit of the distance.
    """
    out = squares.copy()
    _raise(squares, np.float32(most**2), np.array(edges, np.float32), _AROUND, _COARSE, _FINE, out)
    return out


@njit(cache=True, nogil=True)
def _raise(squares, cap, edges, around, coarse, fine, out):  # type: ignore[no-untyped-def]
    nz, ny, nx = squares.shape
    places = np.empty((len(around), 3), np.float32)
    distances = np.empty(len(around), np.float32)
    middle = np.zeros(3, np.float32)
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                here = squares[z, y, x]
                if here == 0 or here >= cap:
                    continue
                n, summit = 0, True
                for k in range(len(around)):
                    i, j, l = z + around[k, 0], y + around[k, 1], x + around[k, 2]  # noqa: E741
                    if not (0 <= i < nz and 0 <= j < ny and 0 <= l < nx):
                        continue
                    if squares[i, j, l] > here:
                        summit = False
                        break
                    distances[n] = squares[i, j, l]
                    for axis in range(3):
                        places[n, axis] = around[k, axis] * edges[axis]
                    n += 1
                if not summit:
                    continue
                for k in range(n):
                    distances[k] = np.sqrt(distances[k])
                best, at = np.sqrt(here), 13
                best, at = _highest(places, distances, n, middle, coarse, edges, best, at)
                best, _ = _highest(places, distances, n, coarse[at], fine, edges, best, 13)
                out[z, y, x] = best * best


@njit(cache=True, nogil=True)
def _highest(places, distances, n, middle, offsets, edges, best, at):  # type: ignore[no-untyped-def]
    """Return the highest bound of some places, and which has it; ``best`` and ``at`` where none is higher."""
    for place in range(len(offsets)):
        bound = np.float32(np.inf)
        for k in range(n):
            square = np.float32(0)
            for axis in range(3):
                square += ((middle[axis] + offsets[place, axis]) * edges[axis] - places[k, axis]) ** 2
            bound = min(bound, distances[k] + np.sqrt(square))
            if bound <= best:
                break
        if bound > best:
            best, at = bound, place
    return best, at
