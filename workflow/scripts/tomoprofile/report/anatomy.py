"""Slices as people look at patients: axial, coronal, sagittal, turned by where the file says its voxels lie in space.

The patient's right is on the left of a picture, anterior or superior on top. Oblique scans are shown along the axes of
their voxels, each named after the direction it comes nearest to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import nibabel
import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours

from ..domains.label_volume import paint
from ..domains.voxels import Domains
from ..volume.geometry import Geometry
from ..volume.readers import ScanReader

Place = tuple[int, int]  # axis of the volume, and index along it
ENDS = (
    ("L", "R"),
    ("P", "A"),
    ("I", "S"),
)  # of the directions of RAS: of low and of high numbers
_MOST_POINTS = 20_000  # of the outlines of a class in a picture
_TOLERANCE = 0.15  # voxels


@dataclass(frozen=True)
class View:
    """A plane through a patient, and how its pixels come from a cut of the volume.

    Attributes
    ----------
    name : {"axial", "coronal", "sagittal"}
    axis : int
        Of the volume, across the plane.
    rows, columns : int
        Axes of the volume that point down and to the right.
    flips : tuple of bool
        Whether they run against those of the volume.
    letters : tuple of str
        At the top, the bottom, the left and the right of the picture.
    """

    name: str
    axis: int
    rows: int
    columns: int
    flips: tuple[bool, bool]
    letters: tuple[str, str, str, str]

    def turned(self, cut: NDArray) -> NDArray:
        """Return a cut of the volume across ``axis``, its other axes in their order, as the picture shows it."""
        picture = cut if self.rows < self.columns else cut.T
        return np.ascontiguousarray(picture[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)])


def views_of(geometry: Geometry) -> tuple[View, View, View]:
    """Return the three views of a scan."""
    found = nibabel.orientations.io_orientation(np.asarray(geometry.affine))
    axis_of = {int(direction): axis for axis, (direction, _) in enumerate(found)}
    rises = [found[axis_of[direction], 1] > 0 for direction in range(3)]  # with the index

    def view(name: str, across: int, down: int, right: int) -> View:
        # Every picture goes from high to low of RAS, downwards and to the right.
        (bottom, top), (end, left) = ENDS[down], ENDS[right]
        flips = bool(rises[down]), bool(rises[right])
        return View(name, axis_of[across], axis_of[down], axis_of[right], flips, (top, bottom, left, end))

    return view("axial", 2, 1, 0), view("coronal", 1, 2, 0), view("sagittal", 0, 2, 1)


def position_in_words(right: float, anterior: float, superior: float) -> str:
    """Return a position in millimetres with the letters of its directions: ``L 62, P 12, S 301``."""
    parts = []
    for value, (low, high) in zip((right, anterior, superior), ENDS, strict=True):
        parts.append(f"{high if value >= 0 else low} {round(abs(value))}")
    return ", ".join(parts)


def cuts_of_domains(domains: Domains, places: Sequence[Place]) -> dict[Place, NDArray[np.bool_]]:
    """Return where a class is in some cuts, from one reading of its runs."""
    found = {place: np.zeros(_other(domains.shape, place[0]), np.uint8) for place in places}
    for runs in domains.runs():
        for (axis, index), cut in found.items():
            if axis == 2:
                inside = (runs.x_start <= index) & (runs.x_stop > index)
                cut[runs.z[inside], runs.y[inside]] = 1
                continue
            chosen = runs.at((runs.z if axis == 0 else runs.y) == index)
            row = chosen.y if axis == 0 else chosen.z
            paint(cut[None], np.zeros_like(row), row, chosen.x_start, chosen.x_stop, np.ones(len(chosen), np.int64))
    return {place: cut.astype(bool) for place, cut in found.items()}


def cuts_of_image(reader: ScanReader, places: Sequence[Place], slab: int) -> dict[Place, NDArray]:
    """Return some cuts of an image from one reading of all of it."""
    depth = reader.shape[0]
    parts: dict[Place, list[NDArray]] = {place: [] for place in places}
    for start in range(0, depth, slab):
        part = reader.read(start, min(start + slab, depth))
        for (axis, index), found in parts.items():
            if axis > 0:
                found.append(part.take(index, axis))
            elif start <= index < start + len(part):
                found.append(part[index - start])
    return {place: np.concatenate(found) if place[0] else found[0] for place, found in parts.items()}


def outline(mask: NDArray[np.bool_], edges: tuple[float, float]) -> str:
    """Return SVG path data around the voxels of a picture; edges are those of rows and columns in its unit."""
    paths, points = [], 0
    # Padding closes the outlines at the picture's edge.
    for line in sorted(find_contours(np.pad(mask, 1).astype(np.float32), 0.5), key=len, reverse=True):
        corners = (approximate_polygon(line, _TOLERANCE)[:-1] - 0.5) * edges
        points += len(corners)
        if points > _MOST_POINTS:
            break
        paths.append("M" + "L".join(f"{x:g} {y:g}" for y, x in corners) + "z")
    return "".join(paths)


def _other(shape: Iterable[int], axis: int) -> tuple[int, ...]:
    return tuple(n for number, n in enumerate(shape) if number != axis)
