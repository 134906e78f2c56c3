"""The frame of the torso: skin, fat, muscle, the cavity within and the dome of the diaphragm."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .settings import Torso
from .shapes import Floats, Points

# The template is drawn for this torso; one of another width or depth is the same, stretched.
WIDTH_MM, DEPTH_MM = 320.0, 230.0
_MUSCLE_X, _MUSCLE_Y = 142.0, 97.0  # half axes of the outline of the muscles
_CORNERS = 2.4  # exponent of the outline; 2 would be an ellipse
_SKIN_MM = 2.0
_FURROW_MM = 7.0  # depth of the groove along the spine


@dataclass(frozen=True)
class Place:
    """Positions in the template, and how far they are from what bounds its organs.

    Attributes
    ----------
    points : Points
    skin, fat, muscle, cavity : array (n,)
        Distances in millimetres to the outer faces of skin, fat and muscle, and to the inner face of the wall; negative
        inside.
    dome : array (n,)
        Height of the diaphragm at x and y.
    back : array (n,)
        From -1 in front to 1 at the back.
    """

    points: Points
    skin: Floats
    fat: Floats
    muscle: Floats
    cavity: Floats
    dome: Floats
    back: Floats

    def those(self, which: NDArray) -> Place:
        """Return some of them."""
        rest = (getattr(self, field.name)[which] for field in fields(self)[1:])
        return Place(self.points.those(which), *rest)


def stretched(points: Points, torso: Torso) -> Points:
    """Return points of the drawn template for those of a torso of other width or depth."""
    x, y = np.float32(WIDTH_MM / torso.width_mm), np.float32(DEPTH_MM / torso.depth_mm)
    return Points(points.x * x, points.y * y, points.z)


def place(points: Points, fat_mm: float) -> Place:
    """Return where points of the drawn template lie.

    Parameters
    ----------
    points : Points
    fat_mm : float
        Thickness of the fat at the sides.
    """
    back = points.y / np.maximum(np.hypot(points.x, points.y), 1e-3)
    muscle = _outline(points)
    fat = muscle - fat_mm * (1 - 0.3 * back)
    cavity = muscle + 12 + 14 * _step((back - 0.5) / 0.4)
    return Place(points, fat - _SKIN_MM, fat, muscle, cavity, _dome(points, cavity, back), back)


def _outline(points: Points) -> Floats:
    """Return the distance to the outer face of the muscles: a rounded box, wider at chest and hips."""
    x, y, z = points
    y = y + _FURROW_MM * np.exp(-((x / 18) ** 2)) * _step(y / 60)
    across = _MUSCLE_X - 3 + 7 * np.exp(-(((z - 90) / 60) ** 2)) + 10 * np.exp(-(((z + 150) / 50) ** 2))
    deep = _MUSCLE_Y + 6 * np.exp(-(((z - 110) / 60) ** 2))
    u, v = np.abs(x) / across, np.abs(y) / deep
    power = u**_CORNERS + v**_CORNERS
    level = np.maximum(power, 1e-6) ** (1 / _CORNERS)
    slope = level ** (1 - _CORNERS) * np.hypot(u ** (_CORNERS - 1) / across, v ** (_CORNERS - 1) / deep)
    return (level - 1) / np.maximum(slope, 1 / _MUSCLE_X)


def _dome(points: Points, cavity: Floats, back: Floats) -> Floats:
    """Return the height of the diaphragm: higher on the right, and falling to the wall, deepest at the back."""
    top = 92 - 12 * _step(points.x / 40 + 0.5) - 10 * np.exp(-((points.x / 28) ** 2))
    return top - (70 + 24 * back) * np.exp(np.minimum(cavity, 0) / 20)


def _step(share: Floats) -> Floats:
    """Return a smooth step from 0 at 0 to 1 at 1."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)
