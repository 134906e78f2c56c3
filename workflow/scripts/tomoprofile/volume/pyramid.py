"""Sizes of the levels of a pyramid. Standard library only, because the estimates of a run need them."""

from __future__ import annotations

COARSEST = 256  # voxels along the longest side of the last level: what a viewer draws at once in three dimensions


def level_shapes(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Return the shapes of the levels; each is half the previous one, rounded up, until the longest side fits.

    Parameters
    ----------
    shape : tuple of int
        Voxels of the first level along (z, y, x).
    """
    shapes = [shape]
    while max(shapes[-1]) > COARSEST:
        nz, ny, nx = ((n + 1) // 2 for n in shapes[-1])
        shapes.append((nz, ny, nx))
    return shapes
