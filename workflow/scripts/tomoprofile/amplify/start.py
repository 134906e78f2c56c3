"""Where a registration begins: the shift that brings two bodies together, whatever their files say of positions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .grid import Case, Grid, resampled

_COARSE = 24  # voxels along the longest edge
_LEAST_OVERLAP = 0.4  # of the smaller of both


def coarse_shape(grid: Grid, most: int = _COARSE) -> tuple[int, ...]:
    """Return into how many voxels a box is cut so that its longest edge has at most so many."""
    edge = max(grid.lengths.max() / most, float(grid.spacing.min()))
    return tuple(max(4, round(length / edge)) for length in grid.lengths)


def shift_to(template: Case, case: Case) -> NDArray[np.float64]:
    """Return how far a case must be moved along the axes of the template, in millimetres.

    The masked correlation of the magnitudes of gradients (Padfield 2012) is largest there, over all shifts: they do not
    change where dark and bright are exchanged.
    """
    from skimage.registration import phase_cross_correlation

    grid = template.grid.cut(coarse_shape(template.grid))
    centred = middle_of(template.grid, template.grid) - middle_of(template.grid, case.grid)
    reach = np.abs(_corners(case.grid, template.grid) - middle_of(template.grid, case.grid)).max(0)
    margin = int(np.ceil(((reach - grid.lengths / 2) / grid.spacing).clip(0).max()))
    common = grid.padded(margin)
    edges, masks = [], []
    for one in (template, Case(case.name, case.image, moved_along(template.grid, case.grid, centred))):
        image, valid = resampled(one, common)
        edges.append(_gradients(image[0, 0].numpy() * valid[0, 0].numpy()))
        masks.append(_eroded(valid[0, 0].numpy() > 0))
    if not all(mask.any() for mask in masks):
        return centred
    found = phase_cross_correlation(
        edges[0], edges[1], reference_mask=masks[0], moving_mask=masks[1], overlap_ratio=_LEAST_OVERLAP
    )[0]
    return centred + np.asarray(found, np.float64) * grid.spacing


def moved_along(axes: Grid, grid: Grid, shift: NDArray[np.float64]) -> Grid:
    """Return a grid moved by millimetres along the axes of another one."""
    affine = np.array(grid.affine)
    affine[:-1, -1] += np.asarray(axes.affine)[:-1, :-1] / axes.spacing @ shift
    return Grid.of(grid.shape, affine)


def mirrored(case: Case) -> Iterator[tuple[tuple[int, ...], Case]]:
    """Yield a case flipped along each set of its axes, as a header with wrong signs would show it."""
    dims = len(case.grid.shape)
    for count in range(1, dims + 1):
        for axes in itertools.combinations(range(dims), count):
            yield axes, Case(case.name, np.flip(case.image, axes).copy(), case.grid)


def middle_of(axes: Grid, grid: Grid) -> NDArray[np.float64]:
    """Return the middle of a box in millimetres along the axes of another grid."""
    return _corners(grid, axes).mean(0)


def _corners(grid: Grid, axes: Grid) -> NDArray[np.float64]:
    affine = np.asarray(grid.affine)
    ends = np.array(list(itertools.product(*[(-0.5, n - 0.5) for n in grid.shape])))
    frame = np.asarray(axes.affine)[:-1, :-1] / axes.spacing
    return (ends @ affine[:-1, :-1].T + affine[:-1, -1]) @ np.linalg.inv(frame).T


def _gradients(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(np.sum([np.gradient(image, axis=axis) ** 2 for axis in range(image.ndim)], axis=0))


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    # The step at the border of a field of view is none of the body's edges.
    return ndimage.binary_erosion(mask)
