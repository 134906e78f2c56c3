"""Planes of voxels that contain the direction of depth, and what is drawn on them: outlines, boxes, the substrate.

Lines are SVG in micrometres. Rows of a cut point down and columns to the right, as image programs show them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours

from ..volume.plane import Plane
from ..volume.probability import threshold_of
from ..volume.store import Store

_STEPS = 4  # of an outline in a voxel, or in a pixel of a reduced overview
_BOX_DIAMETERS = 10.0
_BOX_LEAST_VOXELS = 48
_BOX_MOST_SHARE = 0.5
_ARROW_AT = 0.9  # along the line of the substrate
_ARROW_LENGTH = 0.12  # of the shorter side of a picture
_BELOW_SUBSTRATE = 0.15  # share of the box at the interface that shows substrate


@dataclass(frozen=True)
class Detail:
    """How much of a cut a picture shows.

    Attributes
    ----------
    pixels : int
        Longest side of an overview; the default is what a screen gives it.
    most_points : int
        Of outlines in one picture; the default is about 0.3 MB of text.
    """

    pixels: int = 640
    most_points: int = 60_000


FULL = Detail()


@dataclass(frozen=True)
class Box:
    """A rectangle in a section, in micrometres from its upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Arrow:
    """An arrow with a word at its tip.

    Attributes
    ----------
    path : str
        SVG path data in micrometres: from its start to its tip, then the head.
    x, y : float
        Where the word stands.
    anchor : {"start", "middle", "end"}
        Which part of the word stands there.
    """

    path: str
    x: float
    y: float
    anchor: str


@dataclass(frozen=True)
class Cut:
    """A plane of voxels that contains the direction of depth.

    Attributes
    ----------
    axis, index : int
        Voxels with this index along this volume axis.
    at_um : float
        Position of their centres along it.
    edges : tuple of float
        Voxel edges along rows and columns, in micrometres.
    grey : array (rows, columns)
        In physical units.
    probability : array (rows, columns) of uint8
        0 where no domain was kept, so that contours show what was measured.
    depth_um : array (rows, columns)
    """

    axis: int
    index: int
    at_um: float
    edges: tuple[float, float]
    grey: NDArray[Any]
    probability: NDArray[np.uint8]
    depth_um: NDArray[Any]


def read_cut(
    volume: Store, probability: Store, runs: pd.DataFrame, axis: int, index: int, level: float, plane: Plane
) -> Cut:
    rows, columns = (other for other in range(3) if other != axis)
    edges = volume.voxel_size_um
    grey = volume.grey.physical(volume.cut(axis, index))
    kept = np.zeros(grey.shape, bool)
    for row, start, stop in runs[["zyx"[rows], "x_start", "x_stop"]].itertuples(index=False):
        kept[row, start:stop] = True
    found = probability.cut(axis, index)
    position: list[Any] = [0.0, 0.0, 0.0]
    position[axis] = at_um = (index + 0.5) * edges[axis]
    position[rows] = ((np.arange(grey.shape[0]) + 0.5) * edges[rows])[:, None]
    position[columns] = ((np.arange(grey.shape[1]) + 0.5) * edges[columns])[None, :]
    # Objects dropped as noise would be drawn as if they had been counted.
    measured = np.where((found >= threshold_of(level)) & ~kept, 0, found).astype(np.uint8)
    return Cut(axis, index, at_um, (edges[rows], edges[columns]), grey, measured, plane.depth_um(*position))


def rows_of_pictures(plane: Plane) -> int:
    """Return the volume axis that points down in the pictures of slices; along the slices they are cut across it.

    Pictures are slices, which show the substrate as a line. Where it lies along the slices they are cut across y.
    """
    return 0 if plane.axis == 0 else 1


def within(depth_um: Any, depths: tuple[float, float]) -> Any:
    """Return which depths lie in a range; without any depth, NaN, all do."""
    return ~((depth_um < depths[0]) | (depth_um >= depths[1]))


def choose_box(cut: Cut, runs: pd.DataFrame, plane: Plane, depths: tuple[float, float], at_interface: bool) -> Box:
    """Return the square of the zoom, around the largest cross-section in the zone."""
    axes = [axis for axis in range(3) if axis != cut.axis]
    high, wide = (n * edge for n, edge in zip(cut.grey.shape, cut.edges, strict=True))
    diameter, middle = _largest_cross_section(cut, runs, axes[0], depths)
    least = _BOX_LEAST_VOXELS * max(cut.edges)
    side = min(max(_BOX_DIAMETERS * diameter, least), _BOX_MOST_SHARE * min(high, wide))
    if middle is None:
        inside = within(cut.depth_um, depths)
        places = np.argwhere(inside) if inside.any() else np.array([[n / 2 for n in cut.grey.shape]])
        middle = (places.mean(axis=0) + 0.5) * cut.edges
    row, column = middle
    if at_interface and plane.axis is not None:
        along = axes.index(plane.axis)
        sign = math.copysign(1.0, plane.normal[plane.axis])
        at = np.array([row, column])
        cell = tuple(np.clip((at / cut.edges).astype(int), 0, np.array(cut.grey.shape) - 1))
        depth = float(cut.depth_um[cell])
        # The domain and a strip of substrate both belong into the picture.
        side = min(max(side, (depth + diameter) / (1 - _BELOW_SUBSTRATE)), min(high, wide))
        at[along] += sign * ((0.5 - _BELOW_SUBSTRATE) * side - depth)
        row, column = at
    side = min(side, high, wide)
    left = min(max(column - side / 2, 0.0), wide - side)
    top = min(max(row - side / 2, 0.0), high - side)
    # Whole voxels, so that image and lines agree to the voxel.
    pixel_high, pixel_wide = (max(1, round(side / edge)) for edge in cut.edges)
    first_row = min(round(top / cut.edges[0]), cut.grey.shape[0] - pixel_high)
    first_column = min(round(left / cut.edges[1]), cut.grey.shape[1] - pixel_wide)
    return Box(
        first_column * cut.edges[1], first_row * cut.edges[0], pixel_wide * cut.edges[1], pixel_high * cut.edges[0]
    )


def _largest_cross_section(
    cut: Cut, runs: pd.DataFrame, row_axis: int, depths: tuple[float, float]
) -> tuple[float, NDArray[Any] | None]:
    """Return diameter and centre (row, column) of the largest cross-section whose centre lies in the zone."""
    if runs.empty:
        return 0.0, None
    length = runs["x_stop"] - runs["x_start"]
    parts = pd.DataFrame(
        {
            "domain_id": runs["domain_id"],
            "area": length,
            "row": runs["zyx"[row_axis]] * length,
            "column": (runs["x_start"] + runs["x_stop"] - 1) / 2 * length,
        }
    )
    sums = parts.groupby("domain_id").sum()
    middle = sums[["row", "column"]].to_numpy() / sums[["area"]].to_numpy()
    depth = cut.depth_um[tuple(np.round(middle).astype(int).T)]
    inside = within(depth, depths)
    if not inside.any():
        return 0.0, None
    best = int(np.argmax(np.where(inside, sums["area"], 0)))
    area_um2 = sums["area"].iloc[best] * cut.edges[0] * cut.edges[1]
    return 2 * math.sqrt(area_um2 / math.pi), (middle[best] + 0.5) * cut.edges


def draw_contours(cut: Cut, level: float, box: Box | None, detail: Detail = FULL) -> tuple[str, float, int]:
    """Return SVG path data of the domains' outlines, its unit in micrometres, and how many outlines were left out."""
    image = cut.probability
    first = np.zeros(2)
    coarse = max(1.0, max(cut.grey.shape) / detail.pixels)  # voxels in a pixel
    if box is not None:
        rows, columns = _pixels(box, cut.edges)
        image, first, coarse = image[rows, columns], np.array([rows.start, columns.start]), 1.0
    step = coarse * min(cut.edges) / _STEPS
    # Between the last value outside and the first inside; padding closes the outlines at the picture's edge.
    found = find_contours(np.pad(image, 1).astype(np.float32), threshold_of(level) - 0.5)
    found.sort(key=len, reverse=True)
    paths, points = [], 0
    for outline in found:
        line = approximate_polygon(outline, 0.05 if coarse == 1 else 0.4 * coarse)
        points += len(line)
        if points > detail.most_points:
            break
        # Padding shifts by one voxel, and the centre of a voxel lies half a voxel from its corner.
        whole = np.round((line[:-1] - 0.5 + first) * cut.edges / step).astype(int)[:, ::-1]
        rest = " ".join(f"{x} {y}" for x, y in np.diff(whole, axis=0)) or "0 0"  # coarse pictures make points of some
        paths.append(f"M{whole[0, 0]} {whole[0, 1]}l{rest}z")
    return "".join(paths), step, len(found) - len(paths)


def substrate_line(cut: Cut, plane: Plane, view: Box) -> tuple[float, ...] | None:
    """Return the surface of the substrate inside a view, or None when it does not cross it."""
    if plane.nodes.size:
        return _relief_line(cut, view)
    rows, columns = (axis for axis in range(3) if axis != cut.axis)
    at = plane.offset_um - plane.normal[cut.axis] * cut.at_um
    a, b = plane.normal[columns], plane.normal[rows]
    ends: list[tuple[float, float]] = []
    for x in (view.x, view.x + view.width):
        if b and view.y <= (at - a * x) / b <= view.y + view.height:
            ends.append((x, (at - a * x) / b))
    for y in (view.y, view.y + view.height):
        if a and view.x <= (at - b * y) / a <= view.x + view.width:
            ends.append(((at - b * y) / a, y))
    if len(ends) < 2:
        return None
    start, end = min(ends), max(ends)
    return (*start, *end)


def arrow_into_resin(line: tuple[float, ...] | None, cut: Cut, plane: Plane, view: Box) -> Arrow | None:
    """Return an arrow from the surface of the substrate into the resin, near an end of its line; None without a line.

    Parameters
    ----------
    line : tuple of float or None
        From :func:`substrate_line`.
    cut : Cut
    plane : Plane
        Its normal points into the resin.
    view : Box
        Its sides decide how long the arrow is.
    """
    if line is None or plane.axis is None:
        return None
    rows, columns = (axis for axis in range(3) if axis != cut.axis)
    into = np.array([plane.normal[columns], plane.normal[rows]])
    into /= np.linalg.norm(into)
    upright = abs(into[1]) > abs(into[0])
    points = np.array(line).reshape(-1, 2)
    lateral = 0 if upright else 1
    if points[0, lateral] > points[-1, lateral]:
        points = points[::-1]
    # To the right or at the top: away from the scale bar, which lies in the lower left corner.
    share, places = _ARROW_AT if upright else 1 - _ARROW_AT, np.linspace(0, 1, len(points))
    start = np.array([np.interp(share, places, column) for column in points.T])
    length = _ARROW_LENGTH * min(view.width, view.height)
    tip, across = start + length * into, 0.3 * length * into[::-1] * (-1, 1)
    barbs = [tip - 0.3 * length * into + side * across for side in (1, -1)]
    path = "M{:.7g} {:.7g}L{:.7g} {:.7g}M{:.7g} {:.7g}L{:.7g} {:.7g}L{:.7g} {:.7g}".format(
        *start, *tip, *barbs[0], *tip, *barbs[1]
    )
    x, y = (float(part) for part in tip + (0.35 if upright else 0.15) * length * into)
    return Arrow(path, x, y, "middle" if upright else "start" if into[0] > 0 else "end")


def _relief_line(cut: Cut, view: Box) -> tuple[float, ...] | None:
    """Return the longest piece of the line of depth 0."""
    rows, columns = _pixels(view, cut.edges)
    found = find_contours(cut.depth_um[rows, columns], 0.0) if min(cut.depth_um[rows, columns].shape) > 1 else []
    if not found:
        return None
    line = approximate_polygon(max(found, key=len), 0.1)
    points = (line + 0.5 + (rows.start, columns.start)) * cut.edges
    return tuple(float(value) for point in points for value in point[::-1])


def _pixels(box: Box, edges: tuple[float, float]) -> tuple[slice, slice]:
    row, column = round(box.y / edges[0]), round(box.x / edges[1])
    return slice(row, row + round(box.height / edges[0])), slice(column, column + round(box.width / edges[1]))


def crop(image: NDArray[Any], box: Box, edges: tuple[float, float]) -> NDArray[Any]:
    return image[_pixels(box, edges)]


def scale_bar_um(width_um: float) -> float:
    """Return a scale bar of 1, 2 or 5 times a power of ten, about a fifth of the width."""
    power = 10.0 ** math.floor(math.log10(width_um / 4))
    return max(step * power for step in (1, 2, 5) if step * power <= width_um / 4)
