"""Images and labels along a map, from the source's own voxels in one interpolation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .grid import Case, Grid, identity, in_other, sample


def warped(source: Case, grid: Grid, field: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.int32] | None]:
    """Return the image and the label of a source on a grid, each voxel taken from where a map leads.

    A label is warped as the share of each class in a voxel, and the largest share wins: a thin organ keeps its course
    between voxels, where the nearest voxel's class would break it.

    Parameters
    ----------
    source : Case
        Moved to where it fits.
    grid : Grid
    field : tensor (1, *shape, d)
        Displacement in units of the grid's box.
    """
    points = in_other(grid, source.grid, identity(grid.shape, field.device) + field)
    image = torch.from_numpy(np.ascontiguousarray(source.image, np.float32))[None, None]
    taken = sample(image, points)[0, 0].cpu().numpy()
    return taken, None if source.label is None else labels_at(source.label, points)


def labels_at(label: NDArray, points: torch.Tensor) -> NDArray[np.int32]:
    """Return the class (*shape) with the largest share at positions (1, *shape, d) in the box of a label."""
    shape = tuple(points.shape[1:-1])
    best, found = torch.full(shape, -1.0), torch.zeros(shape, dtype=torch.int32)
    for value in np.unique(label):
        share = sample(torch.from_numpy((label == value).astype(np.float32))[None, None], points)[0, 0]
        found[share > best] = int(value)
        best = torch.maximum(best, share)
    return found.numpy()
