"""Variants of a real case: its image and labels under random smooth motions, which are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from ..errors import Fault, InputError, StageError
from .lattice import Field, Floats, Grid, folds

MOST_DRAWS = 20
_LATTICES = 4  # points of the lattice over the distance at which motions become alike


@dataclass(frozen=True, eq=False)
class Variant:
    """A simulated variant of a real case.

    Attributes
    ----------
    image, labels : array (z, y, x)
        With the types of the real ones; voxels from outside of it have its lowest value and label 0.
    grid : Grid
        Of the voxels, in millimetres from the first.
    back : Field
        Displacement from the variant into the real case.
    redrawn : int
        How many motions were left out before, because they would have folded the body.
    """

    image: NDArray[Any]
    labels: NDArray[Any]
    grid: Grid
    back: Field
    redrawn: int

    def displacement_mm(self) -> Floats:
        """Return the true displacement from the variant into the real case: array (3, z, y, x), along z, y, x."""
        return self.back.on(self.grid)


def simulate_variant(
    image: NDArray[Any],
    labels: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    seed: int,
    rms_mm: float = 8.0,
    alike_mm: float = 60.0,
) -> Variant:
    """Simulate a variant of a real case: a random smooth invertible motion, equal for equal seeds.

    Parameters
    ----------
    image, labels : array (z, y, x)
        Grey values, and whole numbers.
    spacing_mm : tuple of float
        Along (z, y, x).
    seed : int
    rms_mm : float
        Root mean square of the length of the velocity, about that of the displacement.
    alike_mm : float
        Distance over which neighbouring motions are alike: sigma of a Gaussian.

    Raises
    ------
    InputError
        When image and labels differ in shape, or motions would not be smooth.
    StageError
        When every motion of this size folds the body.
    """
    if image.shape != labels.shape or image.ndim != 3:
        got = f"{image.shape} and {labels.shape}"
        raise InputError(
            Fault("variant", got, "image and labels must have one shape", "Give the labels of this image.")
        )
    if not alike_mm >= _LATTICES * max(spacing_mm):
        problem = f"motions must be alike over at least {_LATTICES} voxels"
        raise InputError(Fault("variant: alike_mm", str(alike_mm), problem, "Choose smoother motions."))
    nz, ny, nx = image.shape
    grid = Grid((0.0, 0.0, 0.0), spacing_mm, (nz, ny, nx))
    rng = np.random.default_rng(seed)
    for redrawn in range(MOST_DRAWS):
        back = _random_velocity(grid, rms_mm, alike_mm, rng).flow()
        if not folds(back, grid):
            where = (grid.positions() + back.on(grid)) / np.reshape(spacing_mm, (3, 1, 1, 1)).astype(np.float32)
            lowest = image.min()
            warped = map_coordinates(image.astype(np.float32), where, order=1, mode="constant", cval=lowest)
            warped = (np.rint(warped) if image.dtype.kind in "iu" else warped).astype(image.dtype)
            moved = map_coordinates(labels, where, order=0, mode="constant", cval=0)
            return Variant(warped, moved, grid, back, redrawn)
    problem = f"in each of {MOST_DRAWS} draws some place changed its volume more than tenfold"
    raise StageError(Fault("variant: rms_mm", str(rms_mm), problem, "Choose smaller or smoother motions."))


def _random_velocity(grid: Grid, rms_mm: float, alike_mm: float, rng: np.random.Generator) -> Field:
    edge = alike_mm / _LATTICES
    lattice = Grid.around(grid, edge, 2 * edge)
    white = rng.standard_normal((3, *lattice.size))
    smooth = np.stack([gaussian_filter(part, _LATTICES, mode="wrap") for part in white])
    smooth *= rms_mm / np.sqrt((smooth**2).sum(axis=0).mean())
    return Field.through(lattice, smooth.astype(np.float32))
