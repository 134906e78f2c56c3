"""The first, coarse fit, and whether a case is the same part of a body in the same orientation.

How alike two images can become says little by itself: it depends on noise, on structure, on the field of view. So each
case is its own control: mirrored, it has the same grey values, and nothing of its anatomy fits any more. A case is
another part of the body where it fits hardly better than its mirrored copies do, and its header is wrong where one of
them fits better. A body is nearly its own mirror image along one axis, so the copies in question are those of the lower
quarter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from .fit import Level, fitted, fitted_affine
from .flow import exponential
from .grid import Case
from .start import coarse_shape, mirrored, moved_along, shift_to
from .template import Template

_AFFINE_STEPS, _STEPS, _CLOSER_STEPS = 15, 20, 40
_FITTED, _COMPARED = 32, 64  # voxels along the longest edge, where orientations that fit nearly as well are told apart
_BENDING = 0.3
_NEAR = 1 / 12  # of the longest edge: shifts that need no second start
_HEADER = 0.02  # by how much a shift must fit better than what the header says, after an affine map
_CLOSE = 0.9  # of the best: orientations that deserve a closer look
_BETTER = 0.02  # by how much a mirrored copy must fit better to be believed
_LEAST_ALIKE = 0.1  # squared correlation; noise reaches 0.07, another part of a body 0.25
# Over the lower quarter of mirrored copies: true pairs 1.30 to 1.82, other parts of a body 0.93 to 1.14.
LEAST_RATIO = 1.2


@dataclass(frozen=True)
class Approach:
    """A coarse fit.

    Attributes
    ----------
    case : Case
        Moved to where it fits.
    shift_mm : array (d,)
        How far, along the axes of the template.
    coefficients : tensor
    likeness : float
    """

    case: Case
    shift_mm: NDArray[np.float64]
    coefficients: torch.Tensor
    likeness: float


def approach(template: Template, case: Case, device: torch.device) -> Approach:
    """Fit a case coarsely, from where its header puts it or from the shift that fits better."""
    shape, lattice = coarse_shape(template.case.grid), template.lattice
    shift = shift_to(template.case, case)
    # An affine map does the rest; and where the header is right, places mean the same in all cases.
    starts = [np.zeros(len(shape))]
    if np.abs(shift).max() > _NEAR * template.case.grid.lengths.max():
        starts.append(shift)
    found = []
    for start in starts:
        moved = replace(case, grid=moved_along(template.case.grid, case.grid, start))
        level = Level.of(replace(template.case, label=None), moved, shape, device)
        affine = fitted_affine(level, lattice, _AFFINE_STEPS)
        found.append((_likeness(level, template, affine), start, moved, level, affine))
    best = found[0]
    if len(found) > 1 and found[1][0] > best[0] + _HEADER:
        best = found[1]
    _, start, moved, level, affine = best
    coefficients = fitted(level, template, affine, _STEPS, _BENDING)
    return Approach(moved, start, coefficients, _likeness(level, template, coefficients))


def orientation(template: Template, case: Case, straight: Approach, device: torch.device) -> tuple[float, str]:
    """Return how much better a case fits than its mirrored copies, and which of them fits better (or "").

    Returns
    -------
    float
        Likeness over that of the mirrored copy at the lower quarter; 0 where nothing is alike.
    str
        The axes along which the copy is flipped, as "0" or "0, 2".
    """
    copies = sorted(
        ((approach(template, copy, device), axes) for axes, copy in mirrored(case)), key=lambda copy: copy[0].likeness
    )
    usual = _closer(template, copies[len(copies) // 4][0], device)
    own = _closer(template, straight, device)
    close = [copy for copy in copies if copy[0].likeness > _CLOSE * straight.likeness]
    if own < _LEAST_ALIKE:
        return 0.0, ""
    alike, axes = max(((_closer(template, copy, device), axes) for copy, axes in close), default=(0.0, ()))
    return own / max(usual, 1e-9), ", ".join(map(str, axes)) if alike > own + _BETTER else ""


def _closer(template: Template, start: Approach, device: torch.device) -> float:
    """Return the likeness on fine voxels, where small windows hold no more than one border."""
    bare = replace(template.case, label=None)
    level = Level.of(bare, start.case, coarse_shape(template.case.grid, _FITTED), device)
    coefficients = fitted(level, template, start.coefficients, _CLOSER_STEPS, _BENDING)
    fine = Level.of(bare, start.case, coarse_shape(template.case.grid, _COMPARED), device)
    return _likeness(fine, template, coefficients)


def _likeness(level: Level, template: Template, coefficients: torch.Tensor) -> float:
    with torch.no_grad():
        field = exponential(template.lattice.velocity(coefficients, level.shape), template.lattice.lengths)
        return float(level.compared(field)[0])
