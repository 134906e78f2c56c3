"""Mean intercept lengths and the fabric tensor: how much, and in which direction, a phase is elongated.

The mean intercept length along a direction u is the length of a line per crossing of the surface. An ellipsoid with
1 / length(u)^2 = u' M u is fitted to those of the 13 lattice directions, each with its share of the sphere as weight
(Harrigan and Mann 1984, J. Mater. Sci. 19, 761).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..domains.surface import DIRECTIONS, direction_weights
from ..profile.masks import Floats

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


def fabric_of(pairs: Floats, changes: Floats, voxel_size_um: tuple[float, float, float]) -> Fabric:
    """Return the ellipsoid of mean intercept lengths; NaN where a direction has no pairs, or none crosses the surface.

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
    flat = (crossings**2).reshape(13, -1)
    fitted = np.linalg.pinv(design * weight) @ (flat * weight)
    known = np.isfinite(fitted).all(axis=0)
    matrix = np.zeros((fitted.shape[1], 3, 3))
    for part, (i, j) in zip(np.where(known, fitted, 0.0), _PARTS, strict=True):
        matrix[:, i, j] = matrix[:, j, i] = part
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, 0.0)
    largest = values[:, 2]
    degree = np.where(known & (largest > 0), 1 - values[:, 0] / np.where(largest > 0, largest, 1), np.nan)
    with np.errstate(divide="ignore"):
        radii = np.where(np.isfinite(degree)[:, None], 1 / np.sqrt(values), np.nan)
    shape = pairs.shape[1:]
    axes = np.where(np.isfinite(degree)[:, None, None], np.swapaxes(vectors, 1, 2), np.nan)
    return Fabric(radii.reshape(*shape, 3), axes.reshape(*shape, 3, 3), degree.reshape(shape))
