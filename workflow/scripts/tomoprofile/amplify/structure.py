"""Where an image has structure that a deformation can follow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .grid import Case, Grid, resampled
from .lattice import Lattice

_FINEST = 64  # voxels along the longest edge
_WINDOW = 5  # voxels
_LEAST = 0.1  # of the variance of the image
_NEAR, _FAR = 1.0, 3.0  # spacings of control points: how far from structure one moves freely, or not at all


def structure(case: Case, grid: Grid) -> NDArray[np.bool_]:
    """Return where an image varies within a small window, and what such places enclose.

    Even tissue has no structure, but lies within what has; it is filled slice by slice along each axis, since a body
    that leaves the field of view is not closed there.
    """
    image = ndimage.uniform_filter(resampled(case, grid)[0][0, 0].numpy(), 3)
    variance = ndimage.uniform_filter(image**2, _WINDOW) - ndimage.uniform_filter(image, _WINDOW) ** 2
    found = variance > _LEAST * image.var()
    if found.ndim == 2:
        return ndimage.binary_fill_holes(found)
    filled = found.copy()
    for axis in range(found.ndim):
        for number, part in enumerate(np.moveaxis(found, axis, 0)):
            np.moveaxis(filled, axis, 0)[number] |= ndimage.binary_fill_holes(part)
    return filled


def mobility(case: Case, lattice: Lattice) -> NDArray[np.float32]:
    """Return how freely control points may move, from 1 near structure to 0 far away; 1 without any structure."""
    edge = max(case.grid.lengths.max() / _FINEST, float(case.grid.spacing.min()))
    grid = case.grid.cut([max(4, round(length / edge)) for length in case.grid.lengths])
    found = structure(case, grid)
    if not found.any():
        return np.ones(lattice.shape[1:], np.float32)
    away = ndimage.distance_transform_edt(~found, sampling=grid.spacing) / max(lattice.spacing)
    axes = [(np.arange(parts + 3) - 1) * n / parts - 0.5 for parts, n in zip(lattice.parts, grid.shape, strict=True)]
    at_nodes = ndimage.map_coordinates(away, np.meshgrid(*axes, indexing="ij"), order=1, mode="nearest")
    part = ((_FAR - at_nodes) / (_FAR - _NEAR)).clip(0, 1)
    return (part * part * (3 - 2 * part)).astype(np.float32)
