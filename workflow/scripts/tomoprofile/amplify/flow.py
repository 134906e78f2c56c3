"""Maps from velocity fields: scaling and squaring, composition, Jacobian determinants.

A stationary velocity field :math:`v` is followed for one unit of time (Arsigny et al. 2006):

.. math:: \\exp(v) = \\exp(v / 2^n)^{2^n}, \\quad \\exp(v)^{-1} = \\exp(-v)

A map is kept as its displacement: (1, *shape, d) in units of the box (-1 to 1), last axis in the order x, y(, z).
"""

from __future__ import annotations

import itertools
import math

import torch

from .grid import identity, sample

_STEP = 0.5  # voxels that the first, smallest map may move
_MOST = 12


def exponential(velocity: torch.Tensor, lengths: tuple[float, ...]) -> torch.Tensor:
    """Return the displacement of the map that a velocity field (d, *shape) in millimetres leads to."""
    shape = velocity.shape[1:]
    scale = velocity.new_tensor([2 / length for length in lengths])
    field = (velocity.movedim(0, -1) * scale).flip(-1)[None]
    voxels = field.detach().abs() * field.new_tensor([n / 2 for n in reversed(shape)])
    fastest = float(voxels.max())
    squarings = min(_MOST, max(1, math.ceil(math.log2(max(fastest, 1e-9) / _STEP))))
    field, start = field / 2**squarings, identity(shape, field.device)
    for _ in range(squarings):
        field = field + displacement_at(field, start + field)
    return field


def displacement_at(field: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return a displacement at other positions; outside of the box that of the nearest point of its border."""
    return sample(field.movedim(-1, 1), points).movedim(1, -1)


def composed(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the displacement of going along ``first``, and from there along ``second``."""
    return first + displacement_at(second, identity(tuple(first.shape[1:-1]), first.device) + first)


def jacobian(field: torch.Tensor) -> torch.Tensor:
    """Return the smallest Jacobian determinant about each voxel (the shape less one along each axis).

    It is that of the linear interpolation at the corners of each cell of 2^d voxels, where it is smallest; central
    differences would not see a fold between two voxels.
    """
    shape = tuple(field.shape[1:-1])
    dims = len(shape)
    places = (identity(shape, field.device) + field)[0].flip(-1)
    places = places * places.new_tensor([n / 2 for n in shape])  # voxels
    least: torch.Tensor | None = None
    differences = [places.diff(dim=axis) for axis in range(dims)]
    for corner in itertools.product((0, 1), repeat=dims):
        columns = []
        for axis, difference in enumerate(differences):
            part = difference
            for other in range(dims):
                if other != axis:
                    part = part.narrow(other, corner[other], shape[other] - 1)
            columns.append(part)
        value = _determinant(columns)
        least = value if least is None else torch.minimum(least, value)
    assert least is not None
    return least


def _determinant(columns: list[torch.Tensor]) -> torch.Tensor:
    if len(columns) == 2:
        (a, b) = columns
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    a, b, c = columns
    return (a * torch.linalg.cross(b, c)).sum(-1)


def inconsistency(forward: torch.Tensor, backward: torch.Tensor) -> float:
    """Return the mean distance in voxels by which going along a map and back again misses the start.

    Positions that leave the box are left out, since nothing is known there.
    """
    shape = tuple(forward.shape[1:-1])
    inside = ((identity(shape, forward.device) + forward).abs() <= 1).all(-1)
    back = composed(forward, backward) * forward.new_tensor([n / 2 for n in reversed(shape)])
    return float(back.norm(dim=-1)[inside].mean()) if bool(inside.any()) else math.inf
