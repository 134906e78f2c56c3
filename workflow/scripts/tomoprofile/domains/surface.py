"""Surface from counted chords: the Crofton formula in the 13 directions of neighbouring voxels.

The mean over all directions of the area that a body hides, counted once for each chord, is a quarter of its surface
(Cauchy, Crofton). Along the direction k from a voxel to a neighbour, chords are chains of voxels: an object of V voxels
with P_k pairs (p, p + k) has chi_k = V - P_k of them, and each stands for an area v / d_k, where v is the volume of a
voxel and d_k the length of the step. So S = 4 sum_k c_k (v / d_k) chi_k, where c_k is the share of the sphere that is
nearer to direction k than to any other (Legland, Kieu, Devaux 2007, Image Analysis & Stereology 26, 83).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import SphericalVoronoi

# (z, y, x); of each pair of opposite steps the one that goes forward in raster order.
DIRECTIONS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 1),
    (0, 1, -1), (0, 1, 0), (0, 1, 1),
    (1, -1, -1), (1, -1, 0), (1, -1, 1),
    (1, 0, -1), (1, 0, 0), (1, 0, 1),
    (1, 1, -1), (1, 1, 0), (1, 1, 1),
)  # fmt: skip


def direction_weights(voxel_size_um: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the share of the sphere of each direction, exact for any voxel edges.

    Parameters
    ----------
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x).

    Returns
    -------
    float64 array (13,)
        Areas of the Voronoi cells of a direction and its opposite on the unit sphere over 4 pi; their sum is 1.
    """
    steps = np.array(DIRECTIONS) * np.array(voxel_size_um)
    points = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    areas = SphericalVoronoi(np.concatenate([points, -points])).calculate_areas()
    cells = areas[:13] + areas[13:]
    return cells / cells.sum()


def crofton_surface(
    voxels: NDArray[np.int64], pairs: NDArray[np.int64], voxel_size_um: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Return the surface of objects in square micrometres.

    Against spheres, on average over places of the centre: -5 % at a radius of 2 voxels, -2 % at 3, -0.6 % at 5,
    -0.1 % at 10. Planes of voxels read 7 % low. Of what the border of the scan cuts, the face of the cut counts too.

    Parameters
    ----------
    voxels : int64 array (objects,)
        Voxels of each object.
    pairs : int64 array (objects, 13)
        Pairs of neighbouring voxels of the object along each of ``DIRECTIONS``.
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x).
    """
    steps = np.linalg.norm(np.array(DIRECTIONS) * np.array(voxel_size_um), axis=1)
    area = direction_weights(voxel_size_um) * np.prod(voxel_size_um) / steps
    chords = voxels[:, None] - pairs
    # Added one direction after the other: a matrix product may order the terms by the number of objects.
    surface = np.zeros(len(voxels))
    for k in range(len(DIRECTIONS)):
        surface += 4 * area[k] * chords[:, k]
    return surface
