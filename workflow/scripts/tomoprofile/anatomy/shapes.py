"""Bodies as functions of the position: negative inside, and about the distance to their surface in millimetres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Points(NamedTuple):
    """Positions in millimetres in the template.

    Attributes
    ----------
    x, y, z : array (n,) of float32
        To the left, posterior and superior.
    """

    x: Floats
    y: Floats
    z: Floats

    def those(self, which: NDArray) -> Points:
        """Return some of them."""
        return Points(self.x[which], self.y[which], self.z[which])


Shape = Callable[[Points], Floats]


class Knot(NamedTuple):
    """A point of a centre line and the radius there, in millimetres."""

    x: float
    y: float
    z: float
    radius: float


@dataclass(frozen=True)
class Box:
    """Limits in millimetres within which a body lies."""

    x: tuple[float, float] = (-1e3, 1e3)
    y: tuple[float, float] = (-1e3, 1e3)
    z: tuple[float, float] = (-1e3, 1e3)

    def holds(self, points: Points) -> NDArray[np.bool_]:
        """Return which points lie in the box."""
        inside = np.ones(points.x.shape, bool)
        for values, (low, high) in zip(points, (self.x, self.y, self.z), strict=True):
            if low > -1e3:
                inside &= values > low
            if high < 1e3:
                inside &= values < high
        return inside

    @classmethod
    def around(cls, knots: Sequence[Knot], margin: float) -> Box:
        """Return the box of a centre line and its radii, with a margin."""
        lows = [min(knot[axis] - knot.radius for knot in knots) - margin for axis in range(3)]
        highs = [max(knot[axis] + knot.radius for knot in knots) + margin for axis in range(3)]
        return cls(*zip(lows, highs, strict=True))


EVERYWHERE = Box()


def ellipsoid(points: Points, centre: Sequence[float], radii: Sequence[float]) -> Floats:
    """Return the function of an ellipsoid along the axes; distances are exact on the axes and near the surface."""
    along = [(values - c) / r for values, c, r in zip(points, centre, radii, strict=True)]
    level = np.sqrt(sum(part**2 for part in along))
    slope = np.sqrt(sum((part / r) ** 2 for part, r in zip(along, radii, strict=True)))
    return level * (level - 1) / np.maximum(slope, 1e-6)


def tilted(points: Points, centre: Sequence[float], x_per_z: float, y_per_z: float) -> Points:
    """Return points sheared so that an upright body leans along x and y."""
    height = points.z - centre[2]
    return Points(points.x - x_per_z * height, points.y - y_per_z * height, points.z)


def chain(points: Points, knots: Sequence[Knot], rounding: float = 0.0) -> Floats:
    """Return the function of a tube along straight pieces whose radius changes linearly between knots.

    Parameters
    ----------
    points : Points
    knots : sequence of Knot
    rounding : float
        Millimetres over which two pieces melt into each other.
    """
    found: Floats | None = None
    for start, end in pairwise(knots):
        along = np.subtract(end[:3], start[:3], dtype=np.float32)
        offset = [values - np.float32(c) for values, c in zip(points, start[:3], strict=True)]
        share = np.clip(sum(a * b for a, b in zip(offset, along, strict=True)) / float(along @ along), 0, 1)
        distance = np.sqrt(sum((a - share * b) ** 2 for a, b in zip(offset, along, strict=True)))
        piece = distance - (np.float32(start.radius) + share * np.float32(end.radius - start.radius))
        found = piece if found is None else joined(found, piece, rounding)
    assert found is not None
    return found


def joined(first: Floats, second: Floats, rounding: float = 0.0) -> Floats:
    """Return the union of two bodies, its inner edges rounded."""
    lower = np.minimum(first, second)
    if not rounding:
        return lower
    return lower - np.maximum(rounding - np.abs(first - second), 0) ** 2 / np.float32(4 * rounding)


def common(first: Floats, second: Floats, rounding: float = 0.0) -> Floats:
    """Return the intersection of two bodies, its edges rounded."""
    return -joined(-first, -second, rounding)
