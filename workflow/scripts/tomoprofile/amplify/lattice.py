"""A velocity field as coefficients of cubic B-splines on a lattice of control points.

.. math:: v(x) = \\sum_k c_k \\prod_a \\beta^3(x_a / h_a - k_a)

The lattice fits its box: the spacing along an axis is the length of the box over a whole number. Cubic B-splines
reproduce linear functions with coefficients that are the values at the control points, so a field :math:`Mx + t`, whose
exponential is an affine map, is one of the lattice's own (Rueckert et al. 1999, 2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from .grid import Grid


@dataclass(frozen=True)
class Lattice:
    """Control points over the box of a grid.

    Attributes
    ----------
    lengths : tuple of float
        Edges of the box in millimetres.
    parts : tuple of int
        Into how many intervals each edge is divided.
    """

    lengths: tuple[float, ...]
    parts: tuple[int, ...]

    @classmethod
    def over(cls, grid: Grid, spacing_mm: float) -> Lattice:
        """Return the lattice over a grid whose control points are at most so many millimetres apart."""
        lengths = tuple(float(length) for length in grid.lengths)
        return cls(lengths, tuple(max(1, math.ceil(length / spacing_mm - 1e-6)) for length in lengths))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the coefficients: the component along each axis, then the control points."""
        return (len(self.parts), *(n + 3 for n in self.parts))

    @property
    def spacing(self) -> tuple[float, ...]:
        """Millimetres between control points along each axis."""
        return tuple(length / n for length, n in zip(self.lengths, self.parts, strict=True))

    def zeros(self, device: torch.device | None = None) -> torch.Tensor:
        """Return the coefficients of no deformation."""
        return torch.zeros(self.shape, device=device)

    def linear(self, matrix: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of the field ``matrix @ (x - middle) + offset``, in millimetres."""
        axes = [
            (torch.arange(n + 3, dtype=matrix.dtype, device=matrix.device) - 1 - n / 2) * h
            for n, h in zip(self.parts, self.spacing, strict=True)
        ]
        nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        return torch.tensordot(matrix, nodes, dims=1) + offset.reshape(-1, *[1] * len(self.parts))

    def velocity(self, coefficients: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """Return the field (d, *shape) in millimetres at the voxel centres of the box cut into ``shape`` voxels."""
        field = coefficients
        for axis, (n, parts) in enumerate(zip(shape, self.parts, strict=True), start=1):
            weights = _weights(n, parts).to(field)
            field = torch.tensordot(field, weights, dims=([axis], [1])).movedim(-1, axis)
        return field

    def bending(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the mean squared second difference of the coefficients over the spacing: 0 for any affine map.

        The penalty of P-splines (Eilers and Marx 1996), which stands for the bending energy of the field.
        """
        scaled = self._scaled(coefficients)
        total = coefficients.new_zeros(())
        for a in range(1, scaled.dim()):
            for b in range(1, scaled.dim()):
                total = total + scaled.diff(dim=a).diff(dim=b).square().mean()
        return total

    def _scaled(self, coefficients: torch.Tensor) -> torch.Tensor:
        spacing = torch.tensor(self.spacing, dtype=coefficients.dtype, device=coefficients.device)
        return coefficients / spacing.reshape(-1, *[1] * len(self.parts))


@lru_cache(maxsize=64)
def _weights(n: int, parts: int) -> torch.Tensor:
    """Return the values (n, parts + 3) of all B-splines at the centres of n voxels."""
    places = (np.arange(n) + 0.5) * parts / n
    t = np.abs(places[:, None] - (np.arange(parts + 3) - 1)[None, :])
    inner, outer = 2 / 3 - t**2 + t**3 / 2, (2 - t).clip(0) ** 3 / 6
    return torch.from_numpy(np.where(t < 1, inner, outer))
