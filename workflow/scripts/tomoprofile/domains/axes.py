"""Covariance and principal axes of domains, from whole moments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .sums import MOMENTS, Sums

Float = NDArray[np.float64]


def covariance(sums: Sums, voxel_size_um: tuple[float, float, float]) -> Float:
    """Return the covariance of components in square micrometres, (components, 3, 3) over z, y, x.

    It is that of the voxels' centres, but in no direction less than that of a voxel, a brick: a domain one voxel thick
    is as thick as a voxel. Adding edge^2 / 12 everywhere would be right only for bricks along the grid. A body whose
    voxels are those with their centres inside has, on average, the covariance of the centres; with the addition the
    short axis of an ellipsoid of 1:2:3 would read 15 % high at a radius of 2 voxels (docs/accuracy.md).

    The moments are shifted to the corner of the box before they become floats, so that what cancels is of the size of
    the domain and not of the scan.
    """
    voxels = sums.voxels
    origin = sums.box[:, :3].astype(np.int64)
    first = sums.moments[:, 1:4]
    shifted = first - voxels[:, None] * origin
    mean = shifted / voxels[:, None]
    matrix = np.empty((len(voxels), 3, 3))
    for column, (a, b) in enumerate(("zyx".index(name[0]), "zyx".index(name[1])) for name in MOMENTS[4:]):
        # Whole numbers: an overflow on the way cancels.
        second = (
            sums.moments[:, 4 + column]
            - origin[:, a] * first[:, b]
            - origin[:, b] * first[:, a]
            + voxels * origin[:, a] * origin[:, b]
        )
        value = (second / voxels - mean[:, a] * mean[:, b]) * voxel_size_um[a] * voxel_size_um[b]
        matrix[:, a, b] = matrix[:, b, a] = value
    return _no_thinner_than_a_voxel(matrix, voxel_size_um)


def _no_thinner_than_a_voxel(matrix: Float, voxel_size_um: tuple[float, float, float]) -> Float:
    """Raise eigenvalues to 1 where voxels are cubes of variance 1, so that no direction is preferred by accident."""
    scale = np.array(voxel_size_um) / math.sqrt(12)
    values, vectors = principal_axes(matrix / (scale[:, None] * scale))
    thin = values[:, 2] < 1
    raised = np.maximum(values[thin], 1)
    for a in range(3):
        for b in range(3):
            entry = sum(vectors[thin, a, i] * raised[:, i] * vectors[thin, b, i] for i in range(3))
            matrix[thin, a, b] = entry * scale[a] * scale[b]
    return matrix


def principal_axes(matrices: Float) -> tuple[Float, Float]:
    """Return eigenvalues, the largest first, and eigenvectors of symmetric matrices.

    Jacobi's rotations, written out for 3 x 3: several times as fast as LAPACK, which is called for each matrix, and
    with the same digits wherever a matrix stands.

    Parameters
    ----------
    matrices : float64 array (n, 3, 3)

    Returns
    -------
    values : float64 array (n, 3)
    vectors : float64 array (n, 3, 3)
        Unit eigenvectors as columns, in the order of the values.
    """
    values, vectors = np.empty((len(matrices), 3)), np.empty((len(matrices), 3, 3))
    _jacobi(np.ascontiguousarray(matrices), values, vectors)
    return values, vectors


@njit(cache=True, nogil=True)
def _jacobi(matrices: Any, values: Any, vectors: Any) -> None:
    a, v = np.empty((3, 3)), np.empty((3, 3))
    for i in range(len(matrices)):
        a[:] = matrices[i]
        v[:] = 0
        v[0, 0] = v[1, 1] = v[2, 2] = 1
        scale = abs(a[0, 0]) + abs(a[1, 1]) + abs(a[2, 2])
        for _ in range(30):
            off = abs(a[0, 1]) + abs(a[0, 2]) + abs(a[1, 2])
            if off <= 1e-16 * scale:
                break
            for p, q in ((0, 1), (0, 2), (1, 2)):
                if a[p, q] != 0:
                    _rotate(a, v, p, q)
        for place, axis in enumerate(_descending(a[0, 0], a[1, 1], a[2, 2])):
            values[i, place] = a[axis, axis]
            for k in range(3):
                vectors[i, k, place] = v[k, axis]


@njit(cache=True, nogil=True)
def _rotate(a: Any, v: Any, p: Any, q: Any) -> None:
    """Make the entry (p, q) of a symmetric matrix 0, and turn the eigenvectors along."""
    theta = (a[q, q] - a[p, p]) / (2 * a[p, q])
    t = 1 / (abs(theta) + math.sqrt(theta * theta + 1))
    if theta < 0:
        t = -t
    c = 1 / math.sqrt(t * t + 1)
    s = t * c
    r = 3 - p - q
    apq, apr, aqr = a[p, q], a[p, r], a[q, r]
    a[p, p] -= t * apq
    a[q, q] += t * apq
    a[p, q] = a[q, p] = 0
    a[p, r] = a[r, p] = c * apr - s * aqr
    a[q, r] = a[r, q] = s * apr + c * aqr
    for k in range(3):
        vp, vq = v[k, p], v[k, q]
        v[k, p], v[k, q] = c * vp - s * vq, s * vp + c * vq


@njit(cache=True, nogil=True)
def _descending(*values: Any) -> Any:
    """Return the places of three values, that of the largest first."""
    one, two, three = 0, 1, 2
    if values[one] < values[two]:
        one, two = two, one
    if values[two] < values[three]:
        two, three = three, two
    if values[one] < values[two]:
        one, two = two, one
    return one, two, three
