"""Sizes of the levels of a pyramid. Standard library only: the estimates of a run need them."""

from __future__ import annotations

COARSEST = 256  # voxels along the longest side of the last level: what a viewer draws at once in three dimensions


def level_shapes(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Return the shapes of the levels, each half the one before, rounded up, until the longest side is short enough.

    Parameters
    ----------
    shape : tuple of int
        Voxels along (z, y, x), which is the first level.
    """
    shapes = [shape]
    while max(shapes[-1]) > COARSEST:
        nz, ny, nx = ((n + 1) // 2 for n in shapes[-1])
        shapes.append((nz, ny, nx))
    return shapes
