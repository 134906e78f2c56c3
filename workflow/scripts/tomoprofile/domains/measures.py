"""Measures of domains, derived once from their merged sums.

Every formula works row by row on whole numbers, so that equal sums give equal measures whatever the partition.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..volume.plane import Plane
from ..volume.store import GreyScale
from .sums import MOMENTS, Sums
from .surface import crofton_surface

Float = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

# Units by column; those of grey values come from the scan.
UNITS = {
    "voxels": "voxel",
    "volume_um3": "um^3",
    "equivalent_diameter_um": "um",
    "surface_um2": "um^2",
    "sphericity": "1",
    "compactness": "1",
    "centroid_z_um": "um",
    "centroid_y_um": "um",
    "centroid_x_um": "um",
    "depth_um": "um",
    "bbox_z_start": "voxel",
    "bbox_z_stop": "voxel",
    "bbox_y_start": "voxel",
    "bbox_y_stop": "voxel",
    "bbox_x_start": "voxel",
    "bbox_x_stop": "voxel",
    "axis_1_um": "um",
    "axis_2_um": "um",
    "axis_3_um": "um",
    "elongation": "1",
    "flatness": "1",
    "tilt_deg": "degree",
    "confidence": "1",
    "edge_weight": "1",
}


def size_and_surface(sums: Sums, voxel_size_um: tuple[float, float, float]) -> Columns:
    """Return voxels, volume, equivalent diameter, surface, sphericity and compactness (P24).

    Sphericity is that of Wadell, the surface of the sphere of equal volume over the surface; trust it from 6 voxels
    diameter. Compactness 36 pi V^2 / S^3 is its third power. The surface of a domain at the border of the scan includes
    the face of the cut.
    """
    voxels = sums.voxels
    volume = voxels * math.prod(voxel_size_um)
    surface = crofton_surface(voxels, sums.pairs, voxel_size_um)
    return {
        "voxels": voxels,
        "volume_um3": volume,
        "equivalent_diameter_um": np.cbrt(6 * volume / math.pi),
        "surface_um2": surface,
        "sphericity": np.cbrt(math.pi * (6 * volume) ** 2) / surface,
        "compactness": 36 * math.pi * volume**2 / surface**3,
    }


def place(sums: Sums, voxel_size_um: tuple[float, float, float], plane: Plane) -> Columns:
    """Return the centroid from the outer corner of voxel (0, 0, 0), its depth (P42), and the half-open box."""
    mean = sums.moments[:, 1:4] / sums.voxels[:, None]
    z, y, x = ((mean[:, axis] + 0.5) * edge for axis, edge in enumerate(voxel_size_um))
    columns: Columns = {
        "centroid_z_um": z,
        "centroid_y_um": y,
        "centroid_x_um": x,
        "depth_um": plane.depth_um(z, y, x),
    }
    for axis, name in enumerate("zyx"):
        columns[f"bbox_{name}_start"] = sums.box[:, axis]
        columns[f"bbox_{name}_stop"] = sums.box[:, axis + 3]
    return columns


def covariance(sums: Sums, voxel_size_um: tuple[float, float, float]) -> Float:
    """Return the covariance of the points of each domain in square micrometres, (domains, 3, 3) over z, y, x.

    A voxel is a brick and no point: edge^2 / 12 is added to each variance. The moments are shifted to the corner of the
    box before they become floats: what cancels then is of the domain's own size and not of the scan's.
    """
    voxels = sums.voxels
    origin = sums.box[:, :3].astype(np.int64)
    first = sums.moments[:, 1:4]
    shifted = first - voxels[:, None] * origin
    mean = shifted / voxels[:, None]
    matrix = np.empty((len(voxels), 3, 3))
    for column, (a, b) in enumerate(("zyx".index(name[0]), "zyx".index(name[1])) for name in MOMENTS[4:]):
        # Whole numbers; what wraps around on the way comes back.
        second = (
            sums.moments[:, 4 + column]
            - origin[:, a] * first[:, b]
            - origin[:, b] * first[:, a]
            + voxels * origin[:, a] * origin[:, b]
        )
        value = (second / voxels - mean[:, a] * mean[:, b]) * voxel_size_um[a] * voxel_size_um[b]
        matrix[:, a, b] = matrix[:, b, a] = value
    for axis, edge in enumerate(voxel_size_um):
        matrix[:, axis, axis] += edge**2 / 12
    return matrix


def axes(sums: Sums, voxel_size_um: tuple[float, float, float], plane: Plane) -> Columns:
    """Return semi-axes, elongation, flatness and the tilt of the longest axis against the plane's normal.

    A semi-axis is sqrt(5 lambda), lambda being an eigenvalue of the covariance: that of the ellipsoid with the same
    covariance. The tilt of a domain without a longest axis (a sphere) has no meaning.
    """
    values, vectors = np.linalg.eigh(covariance(sums, voxel_size_um))
    third, second, first = np.sqrt(5 * values).T
    nz, ny, nx = plane.normal
    along = np.abs(vectors[:, 0, 2] * nz + vectors[:, 1, 2] * ny + vectors[:, 2, 2] * nx)
    return {
        "axis_1_um": first,
        "axis_2_um": second,
        "axis_3_um": third,
        "elongation": second / first,
        "flatness": third / second,
        "tilt_deg": np.degrees(np.arccos(np.minimum(along, 1))),
    }


def values(sums: Sums, grey: GreyScale, reference: np.int64 | np.float64) -> Columns:
    """Return mean, standard deviation (of the population), least and largest grey in physical units, and confidence.

    Parameters
    ----------
    sums : Sums
        Merged sums.
    grey : GreyScale
        Meaning of the grey values.
    reference : int or float
        What the grey sums are relative to.
    """
    voxels = sums.voxels
    squares = sums.grey[:, 1] if sums.grey.dtype.kind == "f" else sums.grey[:, 1].view(np.uint64)
    mean = sums.grey[:, 0] / voxels
    variance = np.maximum(squares / voxels - mean**2, 0)  # rounding may leave a hair below 0
    ends = np.sort(grey.slope * (sums.grey_range + reference) + grey.offset, axis=1)
    return {
        "grey_mean": grey.slope * (mean + reference) + grey.offset,
        "grey_sd": abs(grey.slope) * np.sqrt(variance),
        "grey_min": ends[:, 0],
        "grey_max": ends[:, 1],
        "confidence": sums.probability / (255 * voxels),
    }


def border(sums: Sums, shape: tuple[int, int, int], plane: Plane) -> Columns:
    """Return which domains touch a face of the scan, and their Miles-Lantuejoul weights.

    The weight undoes that large domains are cut more often. Along an axis of n voxels, a box of b voxels has
    n - b - 1 places where it touches neither end, so that nothing of it can be missing, against n places in all: the
    weight is the product of n / (n - b - 1) over the two axes along the substrate, and 0 for domains that touch one of
    the four faces across them (Miles 1974; Lantuejoul 1980). A domain that touches a face along the direction of depth
    keeps its weight and is on the border.
    """
    start, stop = sums.box[:, :3], sums.box[:, 3:]
    touches = (start == 0) | (stop == np.array(shape))
    weight = np.ones(len(start))
    for axis in range(3):
        if axis != plane.axis:
            places = shape[axis] - (stop[:, axis] - start[:, axis]) - 1
            weight *= np.where(touches[:, axis], 0.0, shape[axis] / np.maximum(places, 1))
    return {"on_border": touches.any(axis=1), "edge_weight": weight}
