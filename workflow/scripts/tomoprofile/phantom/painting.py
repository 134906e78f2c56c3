"""Spheres, ellipsoids and layers on the voxel grid: the fraction of each voxel they fill, and the voxels of each."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..volume.plane import Plane
from .shapes import Shapes

# Surface voxels are sampled at 5^3 points: fractions are within 0.07 of the true ones, volumes of 3 um spheres at
# 0.5 um voxels within 0.3 %. A linear ramp of the signed distance would add 2.8 % to such a sphere.
_SAMPLES = 5
_HALF_DIAGONAL = 0.8660254037844386
TALLIES = ("voxels", "sum_z", "sum_y", "sum_x", "z_start", "z_stop", "y_start", "y_stop", "x_start", "x_stop")


def paint_spheres(
    occupancy: NDArray[np.float32],
    origin_um: NDArray[np.float64],
    voxel_um: float,
    centres_um: NDArray[np.float64],
    radii_um: NDArray[np.float64],
    labels: NDArray[np.uint8],
    corner: tuple[int, int, int],
    label: int,
) -> NDArray[np.int64]:
    """Add the fraction of each voxel that spheres fill; label and count the voxels whose centre they contain.

    With the centre rule, voxelised volumes are right on average. "At least half filled" would take 2-3 % from spheres
    of 3 um at 0.5 um voxels, because their surface is curved.

    Parameters
    ----------
    occupancy : array (z, y, x) of float32
        Changed in place.
    origin_um : array (3,)
        Position of the outer corner of its first voxel.
    voxel_um : float
        Voxel edge.
    centres_um, radii_um : arrays (n, 3), (n,)
        Spheres that do not overlap.
    labels : array (z, y, x) of uint8
        The scan, a part of the grid; changed in place.
    corner : tuple of int
        Index in the grid of the first voxel of the scan.
    label : int
        Value for the voxels of these spheres.

    Returns
    -------
    array (n, 10) of int64
        Columns ``TALLIES``: labelled voxels, sums of their indices in the scan, and their half-open bounding box.
    """
    tallies = np.zeros((len(radii_um), len(TALLIES)), np.int64)
    centres, radii = (centres_um - origin_um) / voxel_um, radii_um / voxel_um
    _paint(occupancy, centres, radii, labels, np.array(corner), label, tallies)
    return tallies


def paint_ellipsoids(
    occupancy: NDArray[np.float32],
    origin_um: NDArray[np.float64],
    voxel_um: float,
    centres_um: NDArray[np.float64],
    shapes: Shapes,
    which: NDArray[np.int64],
    labels: NDArray[np.uint8],
    corner: tuple[int, int, int],
    label: int,
) -> NDArray[np.int64]:
    """Paint ellipsoids, as :func:`paint_spheres` paints spheres.

    The overlap of two objects grown together is painted and counted once, for the first of them.

    Parameters
    ----------
    occupancy, origin_um, voxel_um, labels, corner, label
        As in :func:`paint_spheres`.
    centres_um : array (n, 3)
        Of all objects.
    shapes : Shapes
        Of all objects.
    which : array (m,) of int64
        The objects to paint, in ascending order.

    Returns
    -------
    array (m, 10) of int64
        Columns ``TALLIES``.
    """
    tallies = np.zeros((len(which), len(TALLIES)), np.int64)
    matrices = shapes.matrices_um / voxel_um
    extents = np.linalg.norm(matrices, axis=2)
    shortest = np.linalg.norm(matrices, axis=1).min(axis=1, initial=np.inf)
    centres = (centres_um - origin_um) / voxel_um
    inverses = np.ascontiguousarray(np.linalg.inv(matrices))
    bodies = (centres, inverses, extents, shortest, shapes.partners)
    _paint_ellipsoids(occupancy, bodies, which, labels, np.array(corner), label, tallies)
    return tallies


def paint_layer(
    occupancy: NDArray[np.float32], origin_um: NDArray[np.float64], voxel_um: float, plane: Plane, thickness_um: float
) -> None:
    """Write the fraction of each voxel that lies behind the plane, by no more than ``thickness_um``.

    The fraction is a linear ramp of the depth of the voxel's centre. That is exact for a plane along the grid; at a
    tilt of 2 degrees it is within 0.02, at 0.5 degrees within 0.005.

    Parameters
    ----------
    occupancy : array (z, y, x) of float32
        Changed in place: the fraction of the layer is added.
    origin_um : array (3,)
        Position of the outer corner of its first voxel.
    voxel_um : float
        Voxel edge.
    plane : Plane
        The front of the layer; its normal points out of it.
    thickness_um : float
        Thickness of the layer; may be infinite.
    """
    z, y, x = (origin_um[axis] + (np.arange(n) + 0.5) * voxel_um for axis, n in enumerate(occupancy.shape))
    for index, z_um in enumerate(z):
        depth = plane.depth_um(z_um, y[:, None], x[None, :]) / voxel_um
        front = np.clip(0.5 - depth, 0, 1)
        occupancy[index] += front - np.clip(0.5 - depth - thickness_um / voxel_um, 0, 1)


@njit(cache=True, nogil=True)
def _paint(occupancy, centres, radii, labels, corner, label, tallies):  # type: ignore[no-untyped-def]
    nz, ny, nx = occupancy.shape
    for sphere in range(radii.size):
        cz, cy, cx = centres[sphere]
        radius = radii[sphere]
        for z in range(max(int(np.floor(cz - radius)), 0), min(int(np.ceil(cz + radius)), nz)):
            for y in range(max(int(np.floor(cy - radius)), 0), min(int(np.ceil(cy + radius)), ny)):
                for x in range(max(int(np.floor(cx - radius)), 0), min(int(np.ceil(cx + radius)), nx)):
                    distance = np.sqrt((z + 0.5 - cz) ** 2 + (y + 0.5 - cy) ** 2 + (x + 0.5 - cx) ** 2)
                    if distance >= radius + _HALF_DIAGONAL:
                        continue
                    share = 1.0
                    if distance > radius - _HALF_DIAGONAL:
                        share = _share(z - cz, y - cy, x - cx, radius)
                    occupancy[z, y, x] += share
                    if distance < radius:
                        _mark(labels, z - corner[0], y - corner[1], x - corner[2], label, tallies[sphere])


@njit(cache=True, nogil=True)
def _mark(labels, i, j, k, label, row):  # type: ignore[no-untyped-def]
    if i < 0 or j < 0 or k < 0 or i >= labels.shape[0] or j >= labels.shape[1] or k >= labels.shape[2]:
        return
    labels[i, j, k] = label
    if row[0] == 0:
        row[4], row[5], row[6], row[7], row[8], row[9] = i, i + 1, j, j + 1, k, k + 1
    row[0] += 1
    row[1] += i
    row[2] += j
    row[3] += k
    row[4], row[5] = min(row[4], i), max(row[5], i + 1)
    row[6], row[7] = min(row[6], j), max(row[7], j + 1)
    row[8], row[9] = min(row[8], k), max(row[9], k + 1)


@njit(cache=True, nogil=True)
def _share(z, y, x, radius):  # type: ignore[no-untyped-def]
    inside = 0
    for i in range(_SAMPLES):
        for j in range(_SAMPLES):
            for k in range(_SAMPLES):
                dz, dy, dx = z + (i + 0.5) / _SAMPLES, y + (j + 0.5) / _SAMPLES, x + (k + 0.5) / _SAMPLES
                inside += dz * dz + dy * dy + dx * dx < radius * radius
    return inside / _SAMPLES**3


@njit(cache=True, nogil=True)
def _paint_ellipsoids(occupancy, bodies, which, labels, corner, label, tallies):  # type: ignore[no-untyped-def]
    centres, inverses, extents, shortest, partners = bodies
    nz, ny, nx = occupancy.shape
    for position in range(which.size):
        body = which[position]
        cz, cy, cx = centres[body]
        ez, ey, ex = extents[body]
        band = _HALF_DIAGONAL / shortest[body]  # no step within a voxel changes the level by more
        other = partners[body] if partners[body] < body else -1
        for z in range(max(int(np.floor(cz - ez)), 0), min(int(np.ceil(cz + ez)), nz)):
            for y in range(max(int(np.floor(cy - ey)), 0), min(int(np.ceil(cy + ey)), ny)):
                for x in range(max(int(np.floor(cx - ex)), 0), min(int(np.ceil(cx + ex)), nx)):
                    level = _level(z + 0.5, y + 0.5, x + 0.5, centres[body], inverses[body])
                    if level >= 1 + band:
                        continue
                    theirs = np.inf
                    if other >= 0:
                        theirs = _level(z + 0.5, y + 0.5, x + 0.5, centres[other], inverses[other])
                    share = 1.0
                    if level > 1 - band or (other >= 0 and theirs < 1 + _HALF_DIAGONAL / shortest[other]):
                        share = _share_alone(z, y, x, body, other, centres, inverses)
                    occupancy[z, y, x] += share
                    if level < 1 and theirs >= 1:
                        _mark(labels, z - corner[0], y - corner[1], x - corner[2], label, tallies[position])


@njit(cache=True, nogil=True)
def _level(z, y, x, centre, inverse):  # type: ignore[no-untyped-def]
    """Return a level that is 0 in the centre of an ellipsoid and 1 on its surface."""
    dz, dy, dx = z - centre[0], y - centre[1], x - centre[2]
    square = 0.0
    for axis in range(3):
        square += (inverse[axis, 0] * dz + inverse[axis, 1] * dy + inverse[axis, 2] * dx) ** 2
    return np.sqrt(square)


@njit(cache=True, nogil=True)
def _share_alone(z, y, x, body, other, centres, inverses):  # type: ignore[no-untyped-def]
    inside = 0
    for i in range(_SAMPLES):
        for j in range(_SAMPLES):
            for k in range(_SAMPLES):
                pz, py, px = z + (i + 0.5) / _SAMPLES, y + (j + 0.5) / _SAMPLES, x + (k + 0.5) / _SAMPLES
                if _level(pz, py, px, centres[body], inverses[body]) < 1:
                    inside += other < 0 or _level(pz, py, px, centres[other], inverses[other]) >= 1
    return inside / _SAMPLES**3
