"""The circle that a reconstruction fills in each slice, beyond which programs write one constant, or NaN."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CORNER = 3  # voxels along an edge: because of noise, 36 equal ones are all but impossible in reconstructed data
_FILLED = 0.5  # of a ring of voxels, for the ring to lie outside the circle


def constant_of_corners(image: NDArray) -> float:
    """Return the value that fills the four corners of a slice (y, x), or NaN when there is none."""
    n = _CORNER
    corners = np.stack([image[:n, :n], image[:n, -n:], image[-n:, :n], image[-n:, -n:]])
    return float(corners.flat[0]) if np.all(corners == corners.flat[0]) else float("nan")


def radius_around(filled: NDArray[np.bool_], edges: tuple[float, float] = (1.0, 1.0)) -> float:
    """Return the radius of the circle beyond which most voxels of a slice hold the value of the outside; 0 without one.

    Its centre is that of the slice, where reconstruction programs put the rotation axis.

    Parameters
    ----------
    filled : array (y, x) of bool
        Which voxels hold that value.
    edges : tuple of float
        Of a voxel along y and x, in any unit; the radius has the same.
    """
    ring = (distance_from_middle(filled.shape, edges) / max(edges)).astype(np.int64)
    voxels = np.bincount(ring.ravel())
    share = np.bincount(ring.ravel(), weights=filled.ravel()) / np.maximum(voxels, 1)
    inside = np.flatnonzero((share < _FILLED) & (voxels > 0))
    # The last ring inside may be cut by the circle; one ring less holds nothing from outside.
    return float(inside[-1] * max(edges)) if inside.size else 0.0


def distance_from_middle(shape: tuple[int, ...], edges: tuple[float, float] = (1.0, 1.0)) -> NDArray[np.float64]:
    """Return the distance of the centre of each voxel from the middle of a slice (y, x)."""
    y, x = ((np.arange(n) + 0.5 - n / 2) * edge for n, edge in zip(shape, edges, strict=True))
    return np.hypot(y[:, None], x[None, :])


def outside_of(middle: NDArray) -> NDArray[np.bool_] | None:
    """Return which voxels of a slice (y, x) lie outside the circle that the middle one shows; None without a circle."""
    lost = ~np.isfinite(middle)
    constant = constant_of_corners(np.where(lost, 0, middle))
    radius = 0.0 if np.isnan(constant) else radius_around(lost | (middle == constant))
    return distance_from_middle(middle.shape) > radius if radius else None
