"""The domains as spheres above the substrate, packed for the page, which draws them with the graphics card."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.colors import sample_colorscale

from ...domains.objects import ObjectsMetadata
from ...volume.plane import Plane
from ..cuts import rows_of_pictures
from ..numbers import count, length, short
from .section import Content

MOST_SPHERES = 500_000  # 5 MB of the page
_LARGEST = 65_535  # of a number in 16 bits
_STOPS = np.linspace(0, 1, 33)


def build(
    domains: pd.DataFrame, plane: Plane, levels: dict[str, ObjectsMetadata], most_spheres: int = MOST_SPHERES
) -> Content:
    """Return the scene, and its content in words."""
    objects = levels["calibrated"]
    size_z, size_y, size_x = (n * edge for n, edge in zip(objects.shape, objects.voxel_size_um, strict=True))
    diameter, depth = domains["equivalent_diameter_um"], domains["depth_um"]
    words: dict[str, Any] = {
        "scene": scene(domains, plane, (size_z, size_y, size_x), most_spheres),
        "smallest": short(diameter.min()),
        "largest": short(diameter.max()),
        "nearest": length(depth.min()),
        "furthest": length(depth.max()),
        "drawn": count(min(len(domains), most_spheres)),
        "found": count(len(domains)),
        "cropped": len(domains) > most_spheres,
    }
    return Content(words)


def scene(
    domains: pd.DataFrame, plane: Plane, size_um: tuple[float, float, float], most_spheres: int
) -> dict[str, Any]:
    """Return what ``scene.js`` draws.

    Parameters
    ----------
    domains : DataFrame
        At least one.
    plane : Plane
        The substrate.
    size_um : tuple of float
        Extent of the scan along (z, y, x).
    most_spheres : int
        Only this many of the largest are drawn.

    Returns
    -------
    dict
        ``count`` spheres, the largest first, so that the first of them are a coarse picture of all; ``positions``
        (x, y, z) and ``diameters`` as base64 of uint16, in units of ``size`` / 65535 and ``largest_um`` / 65535:
        a millimetre is known to 0.02 µm. ``depths``: the same from the least to the greatest of ``depth_range``.
        ``ids``: base64 of uint32. ``size`` (x, y, z) in µm; ``down``: index in (x, y, z) of the axis that points
        down in the pictures of slices, and so here; ``from_above``: whether the first view is from above, where it
        sees the domains and not the back of the substrate; ``substrate``: corners of the plane over the lateral
        extent; ``ranges`` and ``colours`` of the ways to colour. Without a substrate there is no depth: the range and
        the corners are empty.
    """
    drawn = domains.nlargest(most_spheres, "equivalent_diameter_um", keep="first")
    diameter = drawn["equivalent_diameter_um"].to_numpy(float)
    size = np.array(size_um[::-1])
    centres = drawn[[f"centroid_{axis}_um" for axis in "xyz"]].to_numpy(float)
    largest = float(diameter.max())
    # From the table: the substrate may not be a plane.
    depth = drawn["depth_um"].to_numpy(float) if plane.has_depth else np.zeros(len(drawn))
    nearest, furthest = float(depth.min()), float(max(depth.max(), depth.min() + 1e-3))
    rows = rows_of_pictures(plane)
    return {
        "count": len(drawn),
        "positions": _packed(centres / size),
        "diameters": _packed(diameter / largest),
        "depths": _packed((depth - nearest) / (furthest - nearest)),
        "largest_um": largest,
        "depth_range": [nearest, furthest],
        "size": [float(edge) for edge in size],
        "ids": base64.b64encode(drawn["domain_id"].to_numpy("<u4").tobytes()).decode("ascii"),
        "down": 2 - rows,
        "from_above": plane.axis != rows or plane.normal[rows] < 0,
        "substrate": _corners(plane, size_um) if plane.axis is not None else [],
        "ranges": ({"depth": _around(nearest, furthest)} if plane.has_depth else {})
        | {"diameter": _around(float(diameter.min()), largest)},
        # Both rise evenly in lightness, and read the same with any colour vision.
        "colours": {"depth": _colours("Viridis"), "diameter": _colours("Cividis")},
    }


def _around(low: float, high: float) -> list[float]:
    """Return ends of a scale with few digits, whatever the size of the voxels."""
    power = math.floor(math.log10(max(high - low, 1e-3 * high))) - 1
    return [round(whole(end / 10.0**power) * 10.0**power, 9) for whole, end in ((math.floor, low), (math.ceil, high))]


def _packed(shares: NDArray[Any]) -> str:
    whole = np.round(np.clip(shares, 0, 1) * _LARGEST).astype("<u2")
    return base64.b64encode(np.ascontiguousarray(whole).tobytes()).decode("ascii")


def _colours(name: str) -> list[list[int]]:
    return [[round(255 * part) for part in colour] for colour in sample_colorscale(name, _STOPS, colortype="tuple")]


def _corners(plane: Plane, size_um: tuple[float, float, float]) -> list[list[float]]:
    """Return the corners (x, y, z) of the plane over the whole lateral extent of the scan, in turn."""
    first, second = (axis for axis in range(3) if axis != plane.axis)
    corners = []
    for a, b in ((0, 0), (1, 0), (1, 1), (0, 1)):
        place = [0.0, 0.0, 0.0]
        place[first], place[second] = a * size_um[first], b * size_um[second]
        rest = plane.offset_um - sum(plane.normal[axis] * place[axis] for axis in (first, second))
        place[plane.axis] = rest / plane.normal[plane.axis]
        corners.append([float(part) for part in place[::-1]])
    return corners
