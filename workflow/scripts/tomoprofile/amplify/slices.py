"""Slices of a deformed case, in the voxels of its scan: what a network that sees slices trains on.

A map is known on a box of few voxels, since it is smooth; the image along it is taken from the scan itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..labels.classes import IGNORE
from .flow import composed, displacement_at, exponential, jacobian
from .grid import Case, Grid, identity, in_other, sample
from .stored import StoredCase
from .template import Template
from .warp import labels_at, warped


class Slice(NamedTuple):
    """A slice between its neighbours: image (2 k + 1, y, x) in physical units, and label (y, x)."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8]


@torch.no_grad()
def slice_in_space(case: StoredCase, placed: Grid, box: Grid, field: torch.Tensor, z: int, neighbours: int) -> Slice:
    """Return a slice of a case that is deformed in three dimensions.

    Parameters
    ----------
    case : StoredCase
    placed : Grid
        Its voxels, moved to where the case lies in the box.
    box : Grid
    field : tensor (1, *shape, 3)
        The map, from the deformed case to its source, in units of the box.
    z : int
        The slice, of a deformed case with the voxels of its source.
    neighbours : int

    Returns
    -------
    Slice
        What comes from beyond the scan, or from slices without a label, is ignored.
    """
    stack = _from_slice(placed, z - neighbours, 2 * neighbours + 1)
    points = in_other(stack, box, identity(stack.shape))
    places = in_other(box, placed, points + displacement_at(field, points))
    depth = (places[..., 2] + 1) / 2 * placed.shape[0] - 0.5
    last = placed.shape[0] - 1
    start = int(np.clip(np.floor(float(depth.min())), 0, last))
    stop = int(np.clip(np.ceil(float(depth.max())), 0, last)) + 1
    image, label = case.block(start, stop)
    inside = in_other(placed, _from_slice(placed, start, stop - start), places)
    taken = sample(torch.from_numpy(image)[None, None], inside)[0, 0].numpy()
    middle = slice(neighbours, neighbours + 1)
    found = labels_at(label, inside[:, middle])[0].astype(np.uint8)
    found[_outside(places[:, middle])[0]] = IGNORE
    return Slice(taken, found)


@torch.no_grad()
def slice_in_plane(
    case: StoredCase, placed: Grid, template: Template, ways: list[NDArray], z: int, neighbours: int
) -> tuple[Slice, float]:
    """Return a slice of a case that is deformed within its plane, and the least Jacobian determinant.

    The other slices have no labels that could move into it. The velocities are restricted to the slice and to its
    directions, so the map has an inverse as they have in three dimensions.

    Parameters
    ----------
    case, placed, z, neighbours
        As for :func:`slice_in_space`; the neighbours move alike.
    template : Template
        The box and its lattice.
    ways : list of arrays
        Coefficients of velocities that are followed one after the other.
    """
    size = placed.lengths[1:]
    field: torch.Tensor | None = None
    for coefficients in ways:
        part = exponential(_within(placed, template, coefficients, z), (float(size[0]), float(size[1])))
        field = part if field is None else composed(field, part)
    assert field is not None
    flat = Grid.of(placed.shape[1:], np.diag([*placed.spacing[1:], 1.0]))
    image, label = case.block(z - neighbours, z + neighbours + 1)
    taken = np.stack([warped(Case(case.name, one, flat), flat, field)[0] for one in image])
    places = identity(flat.shape) + field
    found = labels_at(label[neighbours], places).astype(np.uint8)
    found[_outside(places)] = IGNORE
    return Slice(taken, found), float(jacobian(field).min())


def _within(placed: Grid, template: Template, coefficients: NDArray, z: int) -> torch.Tensor:
    """Return the part (2, y, x) of a velocity in a slice that lies in its plane, in millimetres."""
    box, lattice = template.case.grid, template.lattice
    velocity = lattice.velocity(torch.from_numpy(np.asarray(coefficients)).float(), box.shape)
    units = (velocity.movedim(0, -1) * velocity.new_tensor([2 / length for length in lattice.lengths])).flip(-1)[None]
    plane = _from_slice(placed, z, 1)
    points = in_other(plane, box, identity(plane.shape))
    # Positions are mapped linearly from box to box, so velocities are differences of positions.
    moved = in_other(box, plane, points + displacement_at(units, points)) - in_other(box, plane, points)
    return torch.stack([moved[0, 0, ..., 1 - axis] * float(plane.lengths[1 + axis] / 2) for axis in (0, 1)])


def _from_slice(grid: Grid, first: int, count: int) -> Grid:
    """Return the part of a grid that has so many slices, from one on, which may lie beyond its ends."""
    affine = np.array(grid.affine)
    affine[:-1, -1] += affine[:-1, 0] * first
    return Grid.of((count, *grid.shape[1:]), affine)


def _outside(places: torch.Tensor) -> NDArray[np.bool_]:
    return (places.abs() > 1).any(-1)[0].numpy()
