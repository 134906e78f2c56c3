"""Mean intercept lengths and the fabric tensor: how much, and in which direction, a phase is elongated.

The mean intercept length along a direction u is the length of a line per crossing of the surface. An ellipsoid with
1 / length(u)^2 = u' M u is fitted to those of the 13 lattice directions, each with its share of the sphere as weight
(Harrigan and Mann 1984, J. Mater. Sci. 19, 761).

Chance makes any sample anisotropic: its degree is never below 0, and those of its resamples are larger still. So the
interval is no range of resampled degrees. It holds those degrees of anisotropy, of this shape and direction, with which
the measured one would not be unusual, given the scatter of the matrix M among resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from ..domains.surface import DIRECTIONS, direction_weights
from ..profile.estimators import COVERAGE, expanded_tail
from ..profile.masks import Floats

_FAR = 100.0  # times the measured deviation: nothing is known where chance is as much larger
_HALVINGS = 24
_PARTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


class Fabric(NamedTuple):
    """Fitted ellipsoids.

    Attributes
    ----------
    lengths_um : array (..., 3)
        Mean intercept lengths along the axes of the ellipsoid, longest first; infinite where nothing is crossed.
    axes : array (..., 3, 3)
        Directions (z, y, x) of these axes, in rows.
    degree : array (...,)
        Degree of anisotropy, 1 - (shortest / longest)^2: 0 for isotropic, 1 for plates and rods without end.
    """

    lengths_um: Floats
    axes: Floats
    degree: Floats


def fabric_matrix(pairs: Floats, changes: Floats, voxel_size_um: tuple[float, float, float]) -> Floats:
    """Return the matrix M of the ellipsoid of mean intercept lengths, array (..., 3, 3) in 1/um^2.

    It is NaN where a direction has no pairs, or none crosses the surface.

    Parameters
    ----------
    pairs, changes : array (13, ...)
        Pairs of neighbouring voxels along each of :data:`~tomoprofile.domains.surface.DIRECTIONS`, and those that cross
        the surface.
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x).
    """
    steps = np.array(DIRECTIONS) * np.array(voxel_size_um)
    lengths = np.linalg.norm(steps, axis=1)
    unit = steps / lengths[:, None]
    weight = np.sqrt(direction_weights(voxel_size_um))[:, None]
    design = np.stack([unit[:, i] * unit[:, j] * (1 if i == j else 2) for i, j in _PARTS], axis=1)
    along = lengths.reshape(-1, *[1] * (pairs.ndim - 1)) * pairs
    crossings = np.divide(changes, along, out=np.full(pairs.shape, np.nan), where=along > 0)
    crossings[:, ~(crossings > 0).any(axis=0)] = np.nan
    fitted = np.linalg.pinv(design * weight) @ ((crossings**2).reshape(13, -1) * weight)
    matrix = np.empty((fitted.shape[1], 3, 3))
    for part, (i, j) in zip(fitted, _PARTS, strict=True):
        matrix[:, i, j] = matrix[:, j, i] = part
    matrix[~np.isfinite(matrix).all(axis=(1, 2))] = np.nan
    return matrix.reshape(*pairs.shape[1:], 3, 3)


def fabric_of(matrix: Floats) -> Fabric:
    """Return the ellipsoids of matrices (..., 3, 3) from :func:`fabric_matrix`; NaN where these are."""
    known = np.isfinite(matrix).all(axis=(-2, -1))
    values, vectors = np.linalg.eigh(np.where(known[..., None, None], matrix, 0.0))
    values = np.maximum(values, 0.0)
    known &= values[..., 2] > 0
    with np.errstate(divide="ignore"):
        lengths = np.where(known[..., None], 1 / np.sqrt(values), np.nan)
    axes = np.where(known[..., None, None], np.swapaxes(vectors, -2, -1), np.nan)
    return Fabric(lengths, axes, _degree(matrix))


def degree_interval(matrix: Floats, resampled: Floats, blocks: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a degree of anisotropy; the lower one is 0 where chance explains it.

    Parameters
    ----------
    matrix : array (3, 3)
        As measured.
    resampled : array (resamples, 3, 3)
        The same of each resample; those that are NaN are ignored.
    blocks : int
        That were drawn from: few of them vary too little, and the scatter is widened as that of other intervals is.

    Notes
    -----
    M = m (I + D), with the mean m of its eigenvalues. For every k the degree of m (I + k D) has a distribution, that of
    the resampled deviations around it, and k is in the interval when the measured degree lies within its central 95 %.
    """
    resampled = resampled[np.isfinite(resampled).all(axis=(1, 2))]
    unit, shapes = _shape(matrix), _shape(resampled)
    widened = special.ndtri(expanded_tail(blocks)) / special.ndtri((1 - COVERAGE) / 2)
    scatter, deviation, found = widened * (shapes - unit), unit - np.eye(3), float(_degree(matrix))
    most = 1 / max(1e-9, -np.linalg.eigvalsh(deviation)[0])  # from there on the degree is 1

    def above(k: float) -> bool:  # the measured degree is too large for it
        return bool((_degree(np.eye(3) + k * deviation + scatter) >= found).mean() < (1 - COVERAGE) / 2)

    def below(k: float) -> bool:
        return bool((_degree(np.eye(3) + k * deviation + scatter) <= found).mean() >= (1 - COVERAGE) / 2)

    low, high = (_last(holds, min(most, _FAR)) for holds in (above, below))
    ends = _degree(np.eye(3) + np.array([low, high])[:, None, None] * deviation)
    return min(float(ends[0]), found), max(float(ends[1]), found)


def _last(holds: Callable[[float], bool], most: float) -> float:
    """Return the largest number from 0 to a greatest one up to which a condition holds; 0 if it never does."""
    if holds(most):
        return most
    low, high = 0.0, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _shape(matrix: Floats) -> Floats:
    """Return matrices (..., 3, 3) divided by the mean of their eigenvalues."""
    return np.asarray(3 * matrix / np.trace(matrix, axis1=-2, axis2=-1)[..., None, None])


def _degree(matrix: Floats) -> Floats:
    """Return the degrees (...,) of matrices (..., 3, 3); NaN where these are or have no eigenvalue above 0."""
    known = np.isfinite(matrix).all(axis=(-2, -1))
    values = np.maximum(np.linalg.eigvalsh(np.where(known[..., None, None], matrix, 0.0)), 0.0)
    known &= values[..., 2] > 0
    return np.where(known, 1 - values[..., 0] / np.where(known, values[..., 2], 1.0), np.nan)
