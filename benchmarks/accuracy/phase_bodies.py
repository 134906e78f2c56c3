"""Bodies whose measures as a phase are known: their voxels in a cube, at random places and orientations.

A voxel is inside when its middle is. Voxels are 1 um wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats
from scipy.spatial.transform import Rotation

Mask = NDArray[np.bool_]
Truth = dict[str, float]
# Of a cubic cell of sin x cos y + sin y cos z + sin z cos x = 0: area for an edge of 1, by marching cubes on 60 and 120
# steps, which differ by 0.03 %; two primitive cells of genus 3, so the surface has the Euler number -8, a side half.
GYROID_AREA, GYROID_EULER = 3.092, -4


@dataclass(frozen=True)
class Body:
    """A body or random structure.

    Attributes
    ----------
    sizes : tuple of float
        In voxels; what they are the size of is in ``of``.
    of : str
    side : callable
        Voxels along an edge of the cube for a size.
    draw : callable
        Its voxels, of a size, a number of voxels along an edge and a random generator.
    truth : callable
        True values of columns of ``phase.parquet`` for a size.
    sampled : bool
        Whether the cube is a sample of something larger, so that intervals should hold the truth.
    """

    sizes: tuple[float, ...]
    of: str
    side: Callable[[float], int]
    draw: Callable[[float, int, np.random.Generator], Mask]
    truth: Callable[[float], Truth]
    sampled: bool = False


def _turned(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the places of voxels from a random point near the middle of the cube, turned at random."""
    middle = np.arange(side) + 0.5 - side / 2
    place = np.stack(np.meshgrid(middle, middle, middle, indexing="ij"), -1) + rng.uniform(-0.5, 0.5, 3)
    return np.asarray(place @ Rotation.random(rng=rng).as_matrix())


def _within(axes: int) -> Callable[[float, int, np.random.Generator], Mask]:
    """Return what draws the points within half of a size of a plane, line or point: 1, 2 or 3 axes."""

    def draw(size: float, side: int, rng: np.random.Generator) -> Mask:
        return np.linalg.norm(_turned(side, rng)[..., :axes], axis=-1) < size / 2

    return draw


def _plates(size: float, side: int, rng: np.random.Generator) -> Mask:
    """Plates and gaps of the same thickness."""
    return np.asarray(_turned(side, rng)[..., 0] % (2 * size) < size)


def _gyroid(size: float, side: int, rng: np.random.Generator) -> Mask:
    x, y, z = np.moveaxis((_turned(side, rng) + rng.uniform(0, size, 3)) * 2 * math.pi / size, -1, 0)
    return np.asarray(np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x) > 0)


def _field(level: float, stretch: float = 1.0) -> Callable[[float, int, np.random.Generator], Mask]:
    """Return what draws where a random field of a width exceeds a level; along x it is stretched."""

    def draw(size: float, side: int, rng: np.random.Generator) -> Mask:
        noise = rng.normal(size=(side,) * 3).astype(np.float32)
        widths = (size, size, size * stretch)
        smooth = ndimage.gaussian_filter(noise, widths, mode="wrap", truncate=5)
        # Of the field, not of this sample of it: by the sum of the squares of the weights of the filter.
        return np.asarray(smooth > level * math.prod((2 * math.sqrt(math.pi) * width) ** -0.5 for width in widths))

    return draw


def field_truth(level: float, size: float) -> Truth:
    """Return the measures of where a random field with correlation exp(-r^2 / 4 size^2) exceeds a level.

    Rice's number of crossings and Adler's Euler number (The Geometry of Random Fields (1981), theorem 5.3.1), with
    minus the second derivative of the correlation at 0, 1 / 2 size^2.
    """
    root, falls = 1 / (math.sqrt(2) * size), math.exp(-(level**2) / 2)
    return {
        "volume_ratio": float(stats.norm.sf(level)),
        "surface_density_per_mm": 1e3 * 2 / math.pi * root * falls,
        "euler_density_per_mm3": 1e9 * root**3 * (level**2 - 1) * falls / (2 * math.pi) ** 2,
        "anisotropy": 0.0,
    }


def _stretched(stretch: float) -> Callable[[float], Truth]:
    return lambda _: {"volume_ratio": 0.5, "anisotropy": 1 - stretch**-2}


_LONE = (6.0, 8.0, 10.0, 14.0, 18.0, 24.0, 32.0, 44.0, 60.0)


def _roomy(size: float) -> int:
    """Every point of the body is known up to its thickness and beyond."""
    return math.ceil(2.2 * size) + 8


def _plates_truth(size: float) -> Truth:
    lengths = {"thickness_mean_um": size, "separation_mean_um": size}
    return {"surface_density_per_mm": 1e3 / size, **lengths, "anisotropy": 1.0}


def _gyroid_truth(size: float) -> Truth:
    surface, euler = 1e3 * GYROID_AREA / size, 1e9 * GYROID_EULER / size**3
    return {"volume_ratio": 0.5, "surface_density_per_mm": surface, "euler_density_per_mm3": euler, "anisotropy": 0.0}


def _random(level: float) -> Body:
    return Body((2.0, 3.0), "width", _cube, _field(level), lambda size: field_truth(level, size), sampled=True)


def _stretched_field(stretch: float) -> Body:
    return Body((2.0,), "width", _cube, _field(0.0, stretch), _stretched(stretch), sampled=True)


def _cube(_: float) -> int:
    return 64


BODIES = {
    "ball": Body(_LONE, "diameter", _roomy, _within(3), lambda size: {"thickness_mean_um": size}),
    "rod": Body(_LONE[:7], "diameter", _roomy, _within(2), lambda size: {"thickness_mean_um": size}),
    "plate": Body(_LONE[:7], "thickness", _roomy, _within(1), lambda size: {"thickness_mean_um": size}),
    "plates": Body((4.0, 6.0, 10.0, 16.0), "thickness", lambda size: math.ceil(4 * size) + 24, _plates, _plates_truth),
    "gyroid": Body((12.0, 20.0, 32.0), "edge of a cell", lambda size: math.ceil(2 * size) + 24, _gyroid, _gyroid_truth),
    "random field, half": _random(0.0),
    # Beyond 1 standard deviation the Euler number would be 0, and a relative error without a meaning.
    "random field, beyond 1.5 standard deviations": _random(1.5),
    "random field, stretched 1.3 times": _stretched_field(1.3),
    "random field, stretched 2 times": _stretched_field(2.0),
}
