"""Analytic shapes: their true measures, and their voxels at random positions and orientations.

A voxel is inside when its centre is. The size of a shape is the radius of the sphere of equal volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from scipy.special import ellipeinc, ellipkinc

Edges = tuple[float, float, float]
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """A convex body.

    Attributes
    ----------
    kind : str
        ``ellipsoid``, ``cylinder`` or ``box``.
    proportions : tuple of float
        Of the semi-axes; of a cylinder (length, diameter, diameter).
    """

    kind: str
    proportions: tuple[float, float, float]

    def half_lengths(self, radius: float) -> Float:
        """Return half the lengths along the axes of the body whose volume is that of a sphere of this radius."""
        filling = {"ellipsoid": 4 / 3 * math.pi, "cylinder": 2 * math.pi, "box": 8.0}[self.kind]
        unit = filling * math.prod(self.proportions)
        return np.array(self.proportions) * math.cbrt(4 / 3 * math.pi / unit) * radius

    def truth(self, radius: float) -> dict[str, float]:
        """Return the true measures of the body; semi-axes are those of the ellipsoid of equal second moments."""
        a, b, c = half = self.half_lengths(radius)
        if self.kind == "ellipsoid":
            surface, axes = ellipsoid_surface(half), half
            widest, narrowest = 2 * half.max(), 2 * half.min()
        elif self.kind == "cylinder":
            surface, axes = 2 * math.pi * b * (b + 2 * a), half * np.sqrt([5 / 3, 5 / 4, 5 / 4])
            widest, narrowest = 2 * math.hypot(a, b), 2 * min(a, b)
        else:
            surface, axes = 8 * (a * b + b * c + c * a), half * math.sqrt(5 / 3)
            widest, narrowest = 2 * float(np.linalg.norm(half)), 2 * half.min()
        first, second, third = sorted(axes, reverse=True)
        return {
            "volume_um3": 4 / 3 * math.pi * radius**3,
            "equivalent_diameter_um": 2 * radius,
            "surface_um2": surface,
            "sphericity": 4 * math.pi * radius**2 / surface,
            "axis_1_um": first,
            "axis_2_um": second,
            "axis_3_um": third,
            "feret_max_um": widest,
            "feret_min_um": narrowest,
        }

    def voxels(self, radius: float, edges: Edges, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Return the voxels of the body at a random position and orientation, with a margin of one empty voxel.

        Thin bodies may fall apart; then the largest piece (26-connected) is returned.

        Parameters
        ----------
        radius : float
            In micrometres, as ``edges`` along (z, y, x) are.
        edges : tuple of float
        rng : numpy.random.Generator
        """
        half = self.half_lengths(radius)
        reach = np.linalg.norm(half) if self.kind != "ellipsoid" else half.max()
        places = (np.arange(-n, n + 1) for n in (math.ceil(reach / edge) + 1 for edge in edges))
        shift = rng.uniform(-0.5, 0.5, 3)
        rotation = Rotation.random(rng=rng).as_matrix()
        # Coordinates along the axes of the body, broadcast: a sum of one term from each axis of the grid.
        grid = np.meshgrid(
            *((place + s) * e for place, s, e in zip(places, shift, edges, strict=True)), indexing="ij", sparse=True
        )
        u, v, w = (sum(row[i] * grid[i] for i in range(3)) / h for row, h in zip(rotation, half, strict=True))
        if self.kind == "ellipsoid":
            inside = u**2 + v**2 + w**2 <= 1
        elif self.kind == "cylinder":
            inside = (np.abs(u) <= 1) & (v**2 + w**2 <= 1)
        else:
            inside = (np.abs(u) <= 1) & (np.abs(v) <= 1) & (np.abs(w) <= 1)
        pieces, count = ndimage.label(inside, np.ones((3, 3, 3)))
        if count > 1:
            inside = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
        if not count:  # a plate between two layers of voxel centres
            return self.voxels(radius, edges, rng)
        box = ndimage.find_objects(inside.view(np.uint8))[0]
        return np.pad(inside[box], 1)


def ellipsoid_surface(half: Float) -> float:
    """Return the surface of an ellipsoid from its semi-axes (Legendre's formula)."""
    c, b, a = sorted(half)
    if math.isclose(a, c):
        return 4 * math.pi * a**2
    phi = math.acos(c / a)
    modulus = a**2 * (b**2 - c**2) / (b**2 * (a**2 - c**2))
    parts = ellipeinc(phi, modulus) * math.sin(phi) ** 2 + ellipkinc(phi, modulus) * math.cos(phi) ** 2
    return float(2 * math.pi * c**2 + 2 * math.pi * a * b / math.sin(phi) * parts)


SHAPES = {
    "sphere": Shape("ellipsoid", (1, 1, 1)),
    "ellipsoid 1:1:2": Shape("ellipsoid", (1, 1, 2)),
    "ellipsoid 1:2:2": Shape("ellipsoid", (1, 2, 2)),
    "ellipsoid 1:2:3": Shape("ellipsoid", (1, 2, 3)),
    "ellipsoid 1:1:3": Shape("ellipsoid", (1, 1, 3)),
    "ellipsoid 1:3:3": Shape("ellipsoid", (1, 3, 3)),
    "cylinder 1:2": Shape("cylinder", (1, 2, 2)),
    "cylinder 1:1": Shape("cylinder", (1, 1, 1)),
    "cylinder 2:1": Shape("cylinder", (2, 1, 1)),
    "cube": Shape("box", (1, 1, 1)),
}
