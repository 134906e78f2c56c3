"""Cases and the grid of a template: images of any spacing, origin and orientation come to one box in patient space.

Everything works in two and in three dimensions. A grid is a box that is cut into voxels; the same box may be cut into
fewer of them, so positions are told in millimetres from its corner, or from -1 to 1 across it (PyTorch's
``align_corners=False``), which both are the same at any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Grid:
    """Voxels in patient space.

    Attributes
    ----------
    shape : tuple of int
        (z, y, x) or (y, x).
    affine : tuple of tuples of float
        From voxel indices (z, y, x, 1) to millimetres of the centre of the voxel, as in ``volume.geometry``.
    """

    shape: tuple[int, ...]
    affine: Matrix

    @classmethod
    def of(cls, shape: ArrayLike, affine: ArrayLike) -> Grid:
        """Return a grid from arrays."""
        rows = np.asarray(affine, np.float64)
        return cls(tuple(int(n) for n in np.asarray(shape)), tuple(tuple(float(v) for v in row) for row in rows))

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Edges of a voxel in millimetres."""
        return np.linalg.norm(np.asarray(self.affine)[:-1, :-1], axis=0)

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Edges of the box in millimetres."""
        return self.spacing * np.asarray(self.shape)

    def padded(self, margin: int) -> Grid:
        """Return the grid with so many more voxels on each side."""
        affine = np.array(self.affine)
        affine[:-1, -1] -= affine[:-1, :-1] @ np.full(len(self.shape), float(margin))
        return Grid.of(np.asarray(self.shape) + 2 * margin, affine)

    def moved(self, shift: ArrayLike) -> Grid:
        """Return the grid moved in patient space by millimetres along its own axes."""
        affine = np.array(self.affine)
        affine[:-1, -1] += affine[:-1, :-1] / self.spacing @ np.asarray(shift, np.float64)
        return Grid.of(self.shape, affine)

    def cut(self, shape: ArrayLike) -> Grid:
        """Return the same box cut into another number of voxels."""
        old, new = np.asarray(self.shape, np.float64), np.asarray(shape, np.float64)
        affine = np.array(self.affine)
        affine[:-1, -1] += affine[:-1, :-1] @ (0.5 * old / new - 0.5)
        affine[:-1, :-1] *= old / new
        return Grid.of(shape, affine)


@dataclass(frozen=True)
class Case:
    """An image with its place in patient space, and labels where it has some.

    Attributes
    ----------
    name : str
    image : array (z, y, x) or (y, x)
    grid : Grid
    label : array of the same shape, or None
        Class of each voxel.
    """

    name: str
    image: NDArray
    grid: Grid
    label: NDArray | None = None


def identity(shape: tuple[int, ...], device: torch.device | None = None) -> torch.Tensor:
    """Return positions (1, *shape, d) from -1 to 1 of all voxel centres, last axis in the order x, y(, z)."""
    axes = [(torch.arange(n, device=device, dtype=torch.float32) + 0.5) * (2 / n) - 1 for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)[None]


def in_other(grid: Grid, other: Grid, points: torch.Tensor) -> torch.Tensor:
    """Return where positions in one box (-1 to 1) lie in another one, by way of patient space."""
    return points @ _between(grid, other)[0].to(points) + _between(grid, other)[1].to(points)


def _between(grid: Grid, other: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    matrix = np.linalg.inv(_from_unit(other)) @ _from_unit(grid)
    order = np.arange(len(grid.shape))[::-1]
    linear, offset = matrix[:-1, :-1][np.ix_(order, order)], matrix[:-1, -1][order]
    return torch.from_numpy(linear.T.copy()), torch.from_numpy(offset.copy())


def _from_unit(grid: Grid) -> NDArray[np.float64]:
    """Return the matrix from positions -1 to 1, in the order of the array's axes, to patient space."""
    shape = np.asarray(grid.shape, np.float64)
    scale = np.diag([*(shape / 2), 1.0])
    scale[:-1, -1] = shape / 2 - 0.5
    return np.asarray(grid.affine) @ scale


def sample(values: torch.Tensor, points: torch.Tensor, padding: str = "border", mode: str = "bilinear") -> torch.Tensor:
    """Return values (1, channels, *shape) at positions (1, *, d) in their box."""
    return functional.grid_sample(values, points, mode=mode, padding_mode=padding, align_corners=False)


def resampled(case: Case, grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an image (1, 1, *shape) on another grid, and where the image has voxels there (1, 1, *shape; 0 or 1).

    An image with smaller voxels than the grid is averaged first, so that nothing is missed between its points.
    """
    image = torch.from_numpy(np.ascontiguousarray(case.image, np.float32))[None, None]
    image, source = _averaged(image, case.grid, grid)
    points = in_other(grid, source, identity(grid.shape))
    inside = (points.abs() <= 1).all(-1)[:, None].to(image.dtype)
    return sample(image, points), inside


def _averaged(image: torch.Tensor, source: Grid, target: Grid) -> tuple[torch.Tensor, Grid]:
    # Along each of its axes, the spacing of the target that lies closest to it.
    axes = np.asarray(source.affine)[:-1, :-1] / source.spacing
    towards = np.asarray(target.affine)[:-1, :-1] / target.spacing
    wanted = target.spacing[np.abs(towards.T @ axes).argmax(0)]
    shape = tuple(
        max(1, round(n * min(1.0, s / w))) for n, s, w in zip(source.shape, source.spacing, wanted, strict=True)
    )
    if shape == source.shape:
        return image, source
    return functional.interpolate(image, size=shape, mode="area"), source.cut(shape)
