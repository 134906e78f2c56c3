"""Measures of domains, derived once from their merged sums.

Every formula works row by row from whole numbers, so equal sums give equal measures whatever the partition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..volume.grey import GreyScale
from ..volume.plane import Plane
from ..volume.probability import CERTAIN
from .axes import covariance, principal_axes
from .objects import ObjectsMetadata
from .sums import Sums
from .surface import crofton_surface
from .touching import CAVITIES, EULER, PROBABILITY

Float = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

# Diameters in voxels from which mean error and spread together stay within 5 % for round and elongated domains
# (docs/accuracy.md). For oblong voxels the unit is the edge of a cube of equal volume.
ONE_SLICE = "one_slice"
OF_BODIES = (
    *("surface_um2", "sphericity", "compactness", "axis_1_um", "axis_2_um", "axis_3_um", "elongation", "flatness"),
    *("tilt_deg", "feret_min_um", "euler", "cavities"),
)  # what a section does not show
TRUSTED_FROM = {"small_for_surface": 4, "small_for_axes": 8}


@dataclass(frozen=True)
class Frame:
    """What the domains of a scan are measured against: the same for all rows of its tables.

    Attributes
    ----------
    plane : Plane
        Where depth is measured from.
    grey : GreyScale
        Meaning of the grey values.
    reference : int or float
        What the grey sums are relative to.
    is_mask : bool
        Whether the probabilities are those of a mask, so that the confidence is unknown, NaN.
    flag : str
        Why the measures of all domains are doubtful; empty when they are not.
    """

    plane: Plane
    grey: GreyScale
    reference: np.int64 | np.float64
    is_mask: bool = False
    flag: str = ""

    def columns(self, sums: Sums, metadata: ObjectsMetadata) -> Columns:
        """Return the columns of the domains of one class; only flag, size and place where the sums tell no more."""
        edges, flat = metadata.voxel_size_um, flat_axis(metadata.shape)
        columns: Columns = {
            "domain_id": np.arange(1, len(sums) + 1),
            "class": np.full(len(sums), metadata.name, object),
            "flag": np.array(
                flags(sums, self.flag, flat is not None) if sums.detailed else [self.flag] * len(sums), object
            ),
            **size(sums, edges, flat),
            **place(sums, edges, self.plane),
            **border(sums, metadata.shape, self.plane),
        }
        if sums.detailed:
            axes = principal_axes(covariance(sums, edges))
            columns |= surface(sums, axes, edges)
            columns |= shape(axes, self.plane)
            columns |= extent(sums)
            columns |= topology(sums)
            columns |= nearest(columns)
            columns |= values(sums, self.grey, self.reference)
            if self.is_mask:
                columns["confidence"] = np.full(len(sums), np.nan)
        if not self.plane.has_depth:
            columns["depth_um"] = _null(len(sums))
        if sums.detailed and self.plane.axis is None:
            columns["tilt_deg"] = _null(len(sums))
        if sums.detailed and flat is not None:
            columns |= {name: _null(len(sums)) for name in OF_BODIES}
        return columns


def _null(n: int) -> np.ndarray:
    return np.full(n, None, object)


def flat_axis(shape: tuple[int, int, int]) -> int | None:
    """Return the axis along which a scan has one voxel, so that it shows sections and no bodies; None for others."""
    return shape.index(1) if 1 in shape else None


def flags(sums: Sums, of_scan: str, one_slice: bool = False) -> list[str]:
    """Return for each domain why some of its measures are doubtful, reasons joined by ``;``.

    Parameters
    ----------
    sums : Sums
    of_scan : str
        Reason that holds for the whole scan; empty when there is none.
    one_slice : bool
        Whether the scan is one slice, in which no shape of a body is measured.
    """
    if one_slice:
        return [";".join(filter(None, (of_scan, ONE_SLICE)))] * len(sums)
    diameter = np.cbrt(6 * sums.voxels / math.pi)
    reasons = [name for name in (of_scan,) if name]
    # There are few different ones: each is made once and then looked up.
    words = [";".join([*reasons, *list(TRUSTED_FROM)[skipped:]]) for skipped in range(len(TRUSTED_FROM) + 1)]
    skipped = np.searchsorted(list(TRUSTED_FROM.values()), diameter, side="right")
    return [words[number] for number in skipped]


def size(sums: Sums, voxel_size_um: tuple[float, float, float], flat: int | None = None) -> Columns:
    """Return voxels, volume and the diameter (6 V / pi)^(1/3) of the sphere of equal volume.

    In a scan of one voxel along the axis ``flat`` it is that of the circle of equal area, (4 A / pi)^(1/2).
    """
    volume = sums.voxels * math.prod(voxel_size_um)
    diameter = np.cbrt(6 * volume / math.pi)
    if flat is not None:
        diameter = np.sqrt(4 * volume / voxel_size_um[flat] / math.pi)
    return {"voxels": sums.voxels, "volume_um3": volume, "equivalent_diameter_um": diameter}


def surface(sums: Sums, axes: tuple[Float, Float], voxel_size_um: tuple[float, float, float]) -> Columns:
    """Return surface (:mod:`.surface`), sphericity and compactness.

    Sphericity is that of Wadell, the surface of the sphere of equal volume over the surface. Compactness
    36 pi V^2 / S^3 is its third power. The surface of a domain at the border of the scan includes the face of the cut.
    """
    volume = sums.voxels * math.prod(voxel_size_um)
    area = crofton_surface(sums.voxels, sums.tally[:, :EULER], axes, voxel_size_um)
    return {
        "surface_um2": area,
        "sphericity": np.cbrt(math.pi * (6 * volume) ** 2) / area,
        "compactness": 36 * math.pi * volume**2 / area**3,
    }


def place(sums: Sums, voxel_size_um: tuple[float, float, float], plane: Plane) -> Columns:
    """Return the centroid from the outer corner of voxel (0, 0, 0), its depth, and the half-open box."""
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


def shape(axes: tuple[Float, Float], plane: Plane) -> Columns:
    """Return semi-axes, elongation, flatness and the tilt of the longest axis against the plane's normal.

    A semi-axis is sqrt(5 lambda), lambda being an eigenvalue of the covariance: that of the ellipsoid with the same
    covariance. The tilt of a domain without a longest axis (a sphere) is meaningless.
    """
    values, vectors = axes
    first, second, third = np.sqrt(5 * values).T
    nz, ny, nx = plane.normal
    along = np.abs(vectors[:, 0, 0] * nz + vectors[:, 1, 0] * ny + vectors[:, 2, 0] * nx)
    return {
        "axis_1_um": first,
        "axis_2_um": second,
        "axis_3_um": third,
        "elongation": second / first,
        "flatness": third / second,
        "tilt_deg": np.degrees(np.arccos(np.minimum(along, 1))),
    }


def extent(sums: Sums) -> Columns:
    """Return the Feret diameters: the largest and the smallest width of the hull (:mod:`.feret`)."""
    return {"feret_max_um": sums.feret[:, 0], "feret_min_um": sums.feret[:, 1]}


def topology(sums: Sums) -> Columns:
    """Return Euler number and cavities (:mod:`.touching`, :mod:`.pores`).

    The Euler number is pieces + cavities - tunnels; a solid domain has 1 and no cavity. Only given labels have several
    pieces.
    """
    return {"euler": sums.tally[:, EULER], "cavities": sums.tally[:, CAVITIES]}


def nearest(columns: Columns) -> Columns:
    """Return the distance of each centroid to the nearest other one; NaN for a domain that is alone."""
    centroids = np.column_stack([columns[f"centroid_{axis}_um"] for axis in "zyx"])
    if len(centroids) < 2:
        return {"nearest_um": np.full(len(centroids), np.nan)}
    distance, _ = cKDTree(centroids, balanced_tree=False, compact_nodes=False).query(centroids, k=2)
    return {"nearest_um": distance[:, 1]}


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
    if sums.grey.dtype.kind == "f":  # a domain with a voxel that is NaN or infinite has no grey values
        ends = np.where(np.isfinite(mean)[:, None], ends, np.nan)
        mean, variance = (np.where(np.isfinite(mean), values, np.nan) for values in (mean, variance))
    return {
        "grey_mean": grey.slope * (mean + reference) + grey.offset,
        "grey_sd": abs(grey.slope) * np.sqrt(variance),
        "grey_min": ends[:, 0],
        "grey_max": ends[:, 1],
        "confidence": sums.tally[:, PROBABILITY] / (CERTAIN * voxels),
    }


def border(sums: Sums, shape: tuple[int, int, int], plane: Plane) -> Columns:
    """Return which domains touch a face of the scan, and their Miles-Lantuejoul weights.

    The weight corrects for large domains being cut more often. Along an axis of n voxels, a box of b voxels has
    n - b - 1 places where it touches neither end, so that nothing of it can be missing, out of n places in all. The
    weight is the product of n / (n - b - 1) over the two axes along the substrate, and 0 for domains that touch one of
    the four faces across them (Miles 1974; Lantuejoul 1980). A domain that touches a face along the direction of depth
    keeps its weight and is on the border. Where depth has no one direction, the weight is over all three axes. An axis
    of one voxel cuts every domain, and does not count.
    """
    start, stop = sums.box[:, :3], sums.box[:, 3:]
    touches = (start == 0) | (stop == np.array(shape))
    weight = np.ones(len(start))
    for axis in range(3):
        if axis != plane.axis and shape[axis] > 1:
            places = shape[axis] - (stop[:, axis] - start[:, axis]) - 1
            weight *= np.where(touches[:, axis], 0.0, shape[axis] / np.maximum(places, 1))
    return {"on_border": touches.any(axis=1), "edge_weight": weight}
