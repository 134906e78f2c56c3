"""Whether a scan shows another edge that could equally be that of the substrate.

A fit finds one plane and fits it well, wherever it is. Whether it is the only candidate must be checked separately:
there may be a plate at the other end, a bright layer in the resin, a step in the substrate, or resin behind what was
taken for the substrate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from . import edges

COMPARABLE = 1 / 3  # of the columns of a scan; less is a defect, which gives a warning
AWAY_BLOCKS = 2.0  # from the plane, where rims and the edge itself are
STEP_VOXELS = 1.0
_THICK = 2  # blocks
_EXPLAINED = 0.8  # of the columns


def other_part(
    means: NDArray[np.float32], depth_um: NDArray[np.float64], block_um: float, step: edges.Step
) -> tuple[str, float]:
    """Return which part of the scan contradicts the plane most, and in what fraction of the columns along the depth.

    Parameters
    ----------
    means : array (blocks along z, y, x)
        See :func:`.edges.block_means`.
    depth_um : array, same shape
        Depth of the centres of blocks.
    block_um : float
        Edge of a block along the depth.
    step : Step
        Grey levels on both sides.
    """
    calm = edges.calm(means)
    behind, beyond = depth_um < -AWAY_BLOCKS * block_um, depth_um > AWAY_BLOCKS * block_um
    half = step.contrast / 2
    parts = {
        "there is material as bright as the substrate in the resin": beyond & (calm > step.resin + half),
        "there is material as dark as the resin in the substrate": behind & (calm < step.substrate - half),
        "there is much brighter material behind it, which may be the substrate": behind
        & (calm > step.substrate + 2 * half),
    }
    known = np.isfinite(means)
    thick = np.ones([_THICK if axis == step.axis else 1 for axis in range(3)], bool)
    columns = known.any(axis=step.axis)
    shares = {
        name: float(ndimage.binary_opening(part & known, thick).any(axis=step.axis)[columns].mean())
        for name, part in parts.items()
    }
    worst = max(shares, key=lambda name: shares[name])
    return worst, shares[worst]


def two_planes(
    a_um: edges.Floats, b_um: edges.Floats, edge_um: edges.Floats, tolerance_um: float
) -> tuple[float, float] | None:
    """Return the fractions of columns on two planes if the second has at least half as many as the first; else None.

    Together they must explain most columns: a rough substrate has many planes, none of which means anything.

    Parameters
    ----------
    a_um, b_um, edge_um : arrays (n,)
        See :func:`.edges.column_edges`.
    tolerance_um : float
        Distance within which a column lies on a plane; with a larger one, a step would pass as a tilt.
    """
    first = edges.fit_sheet(a_um, b_um, edge_um, tolerance_um)
    rest = ~first.agrees
    second = edges.fit_sheet(a_um[rest], b_um[rest], edge_um[rest], tolerance_um)
    shares = first.agrees.sum() / max(len(edge_um), 1), second.agrees.sum() / max(len(edge_um), 1)
    comparable = shares[1] * (1 - COMPARABLE) >= shares[0] * COMPARABLE
    return shares if comparable and sum(shares) >= _EXPLAINED else None
