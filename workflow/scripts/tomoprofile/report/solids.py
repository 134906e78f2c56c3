"""Surfaces of classes for the page: smooth and small, to look at. Meshes with the volume of the tables are exported."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from ..domains.voxels import Domains
from ..volume.geometry import Geometry

_SIDE = 96  # cells along the longest side of a scan
_SMOOTH = 0.7  # cells


class Surface(NamedTuple):
    """Vertices (n, 3) in millimetres of RAS, and triangles (m, 3) by three of them."""

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]


def surface_of(domains: Domains, geometry: Geometry) -> Surface | None:
    """Return the surface of a class, or None where it is too small to be seen."""
    step = math.ceil(max(domains.shape) / _SIDE)
    share = np.pad(ndimage.gaussian_filter(_shares(domains, step), _SMOOTH), 1)
    if share.max() <= 0.5:
        return None
    vertices, triangles, _, _ = marching_cubes(share, 0.5)
    index = (vertices - 1 + 0.5) * step - 0.5  # of voxels, whose centres are whole numbers
    affine = np.asarray(geometry.affine)[:3]
    return Surface((index @ affine[:, :3].T + affine[:, 3]).astype(np.float32), triangles.astype(np.int32))


def _shares(domains: Domains, step: int) -> NDArray[np.float32]:
    """Return the share of a class in cells of ``step`` voxels a side, a layer of cells in memory at a time."""
    depth, *plane = domains.shape
    missing = [(0, -n % step) for n in plane]
    layers = []
    for start in range(0, depth, step):
        part = domains.read(start, min(start + step, depth)).sum(axis=0, dtype=np.float32)
        cells = np.pad(part, missing)
        rows, columns = (n // step for n in cells.shape)
        layers.append(cells.reshape(rows, step, columns, step).sum(axis=(1, 3)) / step**3)
    return np.stack(layers)
