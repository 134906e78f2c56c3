"""What each program reports for one body: the columns it has, under our names."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes, mesh_surface_area, regionprops

from tomoprofile.domains.table import measure_array

from .shapes import Edges

Body = NDArray[np.bool_]
Found = dict[str, float]
COLUMNS = (
    *("volume_um3", "equivalent_diameter_um", "surface_um2", "sphericity"),
    *("axis_1_um", "axis_2_um", "axis_3_um", "feret_max_um", "feret_min_um"),
)


def ours(body: Body, edges: Edges) -> Found:
    """Return the columns of domains.parquet."""
    probability = body.astype(np.uint8) * np.uint8(255)
    table = measure_array(probability, np.zeros(body.shape, np.uint8), edges)
    return {name: float(table[name][0]) for name in COLUMNS if name in table}


def skimage(body: Body, edges: Edges) -> Found:
    """Return what regionprops has, with the surface of marching cubes.

    There are properties for the longest and shortest axis, but none for the middle one. The Feret diameter needs the
    convex image and all pairs of its vertices: it is left out beyond 10,000 voxels and for flat bodies, which lack it.
    """
    region = regionprops(body.astype(np.uint8), spacing=edges)[0]
    vertices, faces, _, _ = marching_cubes(np.pad(body, 1).astype(np.float32), 0.5, spacing=edges)
    found = {
        "volume_um3": region.area,
        "equivalent_diameter_um": region.equivalent_diameter_area,
        "surface_um2": mesh_surface_area(vertices, faces),
        "axis_1_um": region.axis_major_length / 2,
        "axis_3_um": region.axis_minor_length / 2,
    }
    if region.num_pixels <= 10_000:
        with suppress(ValueError):
            found["feret_max_um"] = region.feret_diameter_max
    return found | {"sphericity": _sphericity(found)}


def porespy(body: Body, edges: Edges) -> Found | None:
    """Return the surface of regionprops_3D, a mesh of the smoothed voxels; it supports only cubic voxels.

    Some bodies of a few voxels have no surface, as their smoothed image is nowhere 0; they are left out.
    """
    from porespy.metrics import regionprops_3D

    if edges != (1, 1, 1):
        return None
    region = regionprops_3D(body.astype(np.uint8))[0]
    try:
        return {"surface_um2": region.surface_area, "sphericity": region.sphericity}
    except ValueError:
        return None


def simpleitk(body: Body, edges: Edges) -> Found:
    """Return what LabelShapeStatistics has."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(body.astype(np.uint8))
    image.SetSpacing(edges[::-1])
    measure = SimpleITK.LabelShapeStatisticsImageFilter()
    measure.ComputePerimeterOn()
    measure.ComputeFeretDiameterOn()
    measure.Execute(image)
    third, second, first = sorted(measure.GetEquivalentEllipsoidDiameter(1))
    return {
        "volume_um3": measure.GetPhysicalSize(1),
        "equivalent_diameter_um": 2 * measure.GetEquivalentSphericalRadius(1),
        "surface_um2": measure.GetPerimeter(1),
        "sphericity": measure.GetRoundness(1),
        "axis_1_um": first / 2,
        "axis_2_um": second / 2,
        "axis_3_um": third / 2,
        "feret_max_um": measure.GetFeretDiameter(1),
    }


def _sphericity(found: Found) -> float:
    return math.cbrt(math.pi * (6 * found["volume_um3"]) ** 2) / found["surface_um2"]


OURS = "tomoprofile"
METHODS: dict[str, Callable[[Body, Edges], Found | None]] = {
    OURS: ours,
    "scikit-image": skimage,
    "PoreSpy": porespy,
    "SimpleITK": simpleitk,
}
_MODULES = {"PoreSpy": "porespy", "SimpleITK": "SimpleITK"}
PACKAGES = {"scikit-image": "scikit-image", "PoreSpy": "porespy", "SimpleITK": "SimpleITK"}


def available() -> list[str]:
    """Return the methods that are installed."""
    return [name for name in METHODS if importlib.util.find_spec(_MODULES.get(name, "numpy")) is not None]
