"""Candidates for the bodies of a scene: sizes, directions and places, drawn as the recipe says."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .bodies import BLOCK, CYLINDER, ELLIPSOID, Bodies
from .recipe import Population

MOST = 20_000
_TRIES = 8  # candidates for each body that the volume asks for
_LONGEST = 400.0  # voxels: half axis of what crosses the whole scan
_SMALLEST, _LARGEST = 2.5, 120.0  # diameters in voxels, at the ends of the spread
_WOBBLE = 0.06  # of the directions of aligned bodies
_CHAIN = 60  # balls of a branching domain
_BRANCHES = 0.08  # share of the steps at which one begins

Shape = tuple[int, int, int]


def domains(recipe: Population, shape: Shape, voxels: int, scale: float, rng: np.random.Generator) -> Bodies:
    """Return candidates for domains of which some fill so many voxels.

    Parameters
    ----------
    recipe : Population
    shape : tuple of int
        Of the grid.
    voxels : int
    scale : float
        Size over that of the recipe.
    rng : numpy.random.Generator
    """
    count = _count(recipe, voxels, scale)
    sizes = recipe.diameter * scale * np.exp(recipe.spread * rng.standard_normal(count) - recipe.spread**2 / 2)
    radii = np.clip(sizes, _SMALLEST, _LARGEST) / 2
    centres = _centres(recipe.shape, radii, shape, rng)
    if recipe.shape == "branch":
        radii = np.repeat(radii[::_CHAIN], _CHAIN)[:count] / 1.5
    axes, kind = _axes(recipe, radii, rng)
    matrices = _directions(recipe, count, rng) * axes[:, None, :]
    contrasts = np.maximum(0.3, 1 + recipe.variation * rng.standard_normal(count))
    walls = np.minimum(recipe.rim * np.exp(0.2 * rng.standard_normal(count)), 0.6)
    walls = np.maximum(walls, 1.2 / axes.min(axis=1))  # a wall thinner than a voxel would vanish
    cores = np.where(walls < 0.8, 1 - walls, 0.0) * (recipe.rim > 0)
    return Bodies(centres, matrices, kind, contrasts, cores)


def specks(diameter: float, spread: float, flat: bool, shape: Shape, voxels: int, rng: np.random.Generator) -> Bodies:
    """Return candidates for voids or fillers: ellipsoids, or thin plates such as cracks.

    Parameters
    ----------
    diameter, spread : float
        In voxels, and the spread of the natural logarithm.
    flat : bool
    shape : tuple of int
    voxels : int
        They are to fill.
    rng : numpy.random.Generator
    """
    count = int(min(MOST, 3 * voxels / (math.pi / 6 * diameter**3) + 20))
    radii = diameter / 2 * np.exp(spread * rng.standard_normal((count, 1)))
    axes = radii * np.exp(0.3 * rng.standard_normal((count, 3)))
    if flat:
        axes[:, 2] = np.maximum(1.0, axes[:, 2] / 6)
    centres = rng.random((count, 3)) * shape
    return Bodies(
        centres, _random_directions(count, rng) * axes[:, None, :], ELLIPSOID, np.ones(count), np.zeros(count)
    )


def _count(recipe: Population, voxels: int, scale: float) -> int:
    radius = recipe.diameter * scale / 2
    volume = 4 / 3 * math.pi * radius**3
    longer = {"rod": recipe.aspect, "plate": recipe.aspect**2, "fibre": 20.0}.get(recipe.shape, 1.0)
    tries = _CHAIN if recipe.shape == "branch" else _TRIES
    return int(min(MOST, tries * voxels / (volume * longer) + 20))


def _centres(kind: str, radii: NDArray, shape: Shape, rng: np.random.Generator) -> NDArray[np.float64]:
    count = len(radii)
    centres = rng.random((count, 3)) * shape
    if kind == "cluster":
        towards = _unit(rng.standard_normal((count, 3)))
        for index in range(1, count):
            if index % 6:  # beside the one before
                reach = rng.uniform(0.7, 0.95) * (radii[index] + radii[index - 1])
                centres[index] = centres[index - 1] + reach * towards[index]
    if kind == "branch":
        for first in range(0, count, _CHAIN):
            _walk(centres[first : first + _CHAIN], 0.5 * radii[first] / 1.5, rng)
    return centres


def _walk(centres: NDArray[np.float64], step: float, rng: np.random.Generator) -> None:
    """Let a chain grow from its first centre; now and then it goes on from an earlier one."""
    heading = _unit(rng.standard_normal(3))
    here = 0
    for index in range(1, len(centres)):
        if rng.random() < _BRANCHES:
            here, heading = int(rng.integers(index)), _unit(rng.standard_normal(3))
        heading = _unit(heading + 0.25 * rng.standard_normal(3))
        centres[index] = centres[here] + step * heading
        here = index


def _axes(recipe: Population, radii: NDArray, rng: np.random.Generator) -> tuple[NDArray[np.float64], int]:
    """Return half axes (n, 3), and the kind of body."""
    one = np.ones_like(radii)
    if recipe.shape == "fibre":
        return np.stack([radii, radii * rng.uniform(0.9, 1.1), _LONGEST * one], 1), CYLINDER
    if recipe.shape == "rod":
        length = np.minimum(radii * recipe.aspect, _LONGEST)
        return np.stack([radii, radii, length], 1), int(rng.choice([CYLINDER, ELLIPSOID]))
    if recipe.shape == "plate":
        wide = radii * recipe.aspect
        across = wide * np.exp(0.3 * rng.standard_normal(len(radii)))
        return np.stack([wide, across, radii], 1), int(rng.choice([CYLINDER, ELLIPSOID, BLOCK]))
    if recipe.aspect == 1:
        return np.stack([radii, radii, radii], 1), ELLIPSOID
    middle = recipe.aspect ** rng.random(len(radii))
    axes = np.stack([one, middle, recipe.aspect * one], 1)
    axes *= (radii / np.cbrt(axes.prod(axis=1)))[:, None]
    angular = recipe.shape == "ellipsoid" and rng.random() < 0.3
    return axes, BLOCK if angular else ELLIPSOID


def _directions(recipe: Population, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if not recipe.aligned:
        return _random_directions(count, rng)
    common = np.eye(3)[::-1] if rng.random() < 0.6 else _random_directions(1, rng)[0]
    wobble = _WOBBLE * (recipe.shape != "fibre") + 0.01
    return np.linalg.qr(common + wobble * rng.standard_normal((count, 3, 3)))[0]


def _random_directions(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.linalg.qr(rng.standard_normal((count, 3, 3)))[0]


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
