"""Checks of a fitted plane: each doubt examines one aspect and returns the problem, or None."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..volume.plane import Plane
from ..volume.store import Store
from . import edges
from .candidates import COMPARABLE, STEP_VOXELS, other_part, two_planes

MAX_TILT_DEG = 10.0
MAX_RESIDUAL_VOXELS = 3.0
LEAST_AGREEMENT = 0.6
LEAST_COLUMNS = 9
END_VOXELS = 5


@dataclass(frozen=True)
class Fit:
    """A plane fitted to the edges of columns, with the data it was fitted to.

    Attributes
    ----------
    store : Store
    means : array (blocks along z, y, x)
        See :func:`.edges.block_means`.
    side : int
        Voxels in a block.
    step : Step
        Axis, side and grey levels of the substrate.
    a_um, b_um, edge_um : arrays (n,)
        See :func:`.edges.column_edges`.
    sheet : Sheet
        The surface on which most columns agree.
    """

    store: Store
    means: NDArray[np.float32]
    side: int
    step: edges.Step
    a_um: edges.Floats
    b_um: edges.Floats
    edge_um: edges.Floats
    sheet: edges.Sheet

    @property
    def voxel_um(self) -> float:
        """Voxel edge along the depth."""
        return self.store.voxel_size_um[self.step.axis]

    @property
    def share(self) -> float:
        """Share of the columns that agree on the plane."""
        return float(self.sheet.agrees.mean()) if self.sheet.agrees.size else 0.0

    @property
    def plane(self) -> Plane:
        """The plane, its normal into the resin."""
        return edges.plane_of(self.step, self.sheet)


Doubt = Callable[[Fit], tuple[str, str] | None]


def has_a_step(fit: Fit) -> tuple[str, str] | None:
    """Reject a fit when many columns lie on a second plane."""
    both = two_planes(fit.a_um, fit.b_um, fit.edge_um, STEP_VOXELS * fit.voxel_um)
    if both is None:
        return None
    first, second = (f"{100 * share:.0f} %" for share in both)
    return f"the substrate's edge has a step: {first} of the columns lie on one plane and {second} on another", ""


def _is_not_flat(fit: Fit) -> tuple[str, str] | None:
    if fit.sheet.agrees.sum() < LEAST_COLUMNS or fit.share < LEAST_AGREEMENT:
        agree = f"{100 * fit.share:.0f} % of {len(fit.edge_um)} columns agree on one plane"
        needed = f"{100 * LEAST_AGREEMENT:.0f} % and {LEAST_COLUMNS} columns are needed"
        return f"the substrate's edge is not a plane: {agree}, and {needed}", ""
    if fit.sheet.residual_um > MAX_RESIDUAL_VOXELS * fit.voxel_um:
        return "the substrate's edge deviates too far from a plane", f"{fit.sheet.residual_um:.2f} um"
    return None


def _is_tilted(fit: Fit) -> tuple[str, str] | None:
    if fit.plane.axis == fit.step.axis and fit.plane.tilt_deg <= MAX_TILT_DEG:
        return None
    return f"the plane found is tilted by more than {MAX_TILT_DEG:g} degrees", f"{fit.plane.tilt_deg:.1f} degrees"


def _lies_at_the_end(fit: Fit) -> tuple[str, str] | None:
    shape, axis = fit.store.shape, fit.step.axis
    middle = [np.array(n * edge / 2) for n, edge in zip(shape, fit.store.voxel_size_um, strict=True)]
    a, b = edges.lateral_axes(axis)
    height = float(fit.sheet.height_um(middle[a], middle[b])) / fit.voxel_um
    if END_VOXELS <= height <= shape[axis] - END_VOXELS:
        return None
    return "the plane found lies at the very end of the scan", f"voxel {height:.1f} along {'zyx'[axis]}"


def may_be_another(fit: Fit) -> tuple[str, str] | None:
    """Reject a fit when another part of the scan could be the substrate."""
    depth_um = edges.depth_of_blocks_um(fit.means.shape, fit.side, fit.plane, fit.store.voxel_size_um)
    doubt, share = other_part(fit.means, depth_um, fit.side * fit.voxel_um, fit.step)
    if share < COMPARABLE:
        return None
    return f"the plane found may be the wrong one: {doubt}, in {100 * share:.0f} % of the columns", ""


DOUBTS: tuple[Doubt, ...] = (has_a_step, _is_not_flat, _is_tilted, _lies_at_the_end, may_be_another)
