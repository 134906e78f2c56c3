"""The template: every body grown to its volume, and what lies at a position."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, Fault
from .bodies import Body
from .frame import DEPTH_MM, WIDTH_MM, Place, place, stretched
from .lattice import Grid
from .organs import organs
from .settings import LABELS, Torso
from .shapes import Floats, Points
from .wall import surroundings

_EDGE_MM = 4.0  # of the voxels on which volumes are measured
_HALF_MM = (110.0, 110.0, 160.0)  # of the box around all organs with a volume, along z, y, x


@dataclass(frozen=True)
class Template:
    """The mean body.

    Attributes
    ----------
    torso : Torso
    bodies : tuple of Body
        In the order in which they are painted.
    levels : dict of str to float
        By how many millimetres bodies are larger than drawn.
    """

    torso: Torso
    bodies: tuple[Body, ...]
    levels: dict[str, float]

    def place(self, points: Points) -> Place:
        """Return where points lie in the frame of the torso."""
        return place(stretched(points, self.torso), self.torso.fat_mm)

    def functions(self, place: Place, absent: tuple[str, ...] = ()) -> Iterator[tuple[Body, NDArray[np.intp], Floats]]:
        """Yield each body, the points in its box, and its function there, from the lowest to the uppermost."""
        for body in self.bodies:
            if body.name in absent:
                continue
            inside = np.flatnonzero(body.box.holds(place.points))
            if inside.size:
                yield body, inside, body.at(place.those(inside), self.levels.get(body.name, 0.0))

    def labels(self, points: Points, absent: tuple[str, ...] = ()) -> NDArray[np.uint8]:
        """Return the labels of points: the uppermost organ at each."""
        labels = np.zeros(points.x.shape, np.uint8)
        only = Template(self.torso, tuple(body for body in self.bodies if body.name in LABELS), self.levels)
        for body, inside, function in only.functions(self.place(points), absent):
            labels[inside[function < 0]] = LABELS[body.name]
        return labels


@functools.lru_cache(maxsize=4)
def template_of(torso: Torso) -> Template:
    """Return the template of a population.

    Each organ with a volume grows or shrinks within the space that the organs painted over it leave, until it has the
    median volume of the population.

    Raises
    ------
    ConfigError
        When an organ does not fit into the torso.
    """
    bodies = organs(torso)
    drawn = Template(torso, tuple(bodies), {})
    z, y, x = (part.ravel() for part in measured_grid(torso).positions())
    points = Points(x, y, z)
    place = drawn.place(points)
    free = np.ones(points.x.size, bool)
    levels = {}
    for body in reversed(bodies):
        inside = np.flatnonzero(body.box.holds(place.points))
        inside = inside[free[inside]]
        there = place.those(inside)
        function = body.shape(there)
        if body.name in LABELS and (volume := median_ml(torso, body.name)):
            if body.bounds is not None:
                function = np.where(body.bounds(there) < 0, function, np.inf)
            wanted = round(volume * 1e3 / _EDGE_MM**3)
            if wanted >= np.isfinite(function).sum():
                raise ConfigError(_too_large(body.name, volume))
            levels[body.name] = float(np.partition(function, wanted)[wanted])
        if body.name in LABELS:
            free[inside[body.at(there, levels.get(body.name, 0.0)) < 0]] = False
    return Template(torso, (*surroundings(), *bodies), levels)


def _too_large(organ: str, volume_ml: float) -> Fault:
    remedy = "Choose a smaller volume or a larger torso."
    return Fault(f"torso: {organ}", f"{volume_ml:.0f} ml", "the organ does not fit into the torso", remedy)


def measured_grid(torso: Torso) -> Grid:
    """Return the voxels on which volumes of the template are measured."""
    stretch = (1.0, torso.depth_mm / DEPTH_MM, torso.width_mm / WIDTH_MM)
    halves = [half * share for half, share in zip(_HALF_MM, stretch, strict=True)]
    nz, ny, nx = (2 * math.ceil(half / _EDGE_MM) for half in halves)
    z, y, x = (-(n - 1) / 2 * _EDGE_MM for n in (nz, ny, nx))
    return Grid((z, y, x), (_EDGE_MM,) * 3, (nz, ny, nx))


def log_sd(cv: float) -> float:
    """Return the standard deviation of the logarithm of a lognormal number by its coefficient of variation."""
    return math.sqrt(math.log1p(cv**2))


def median_ml(torso: Torso, organ: str) -> float | None:
    """Return the median volume of an organ whose mean is given; None for one that has another size."""
    kind = organ.removesuffix("_left").removesuffix("_right")
    mean = getattr(torso, f"{kind}_ml", None)
    return None if mean is None else mean / math.sqrt(1 + getattr(torso, f"{kind}_cv") ** 2)
