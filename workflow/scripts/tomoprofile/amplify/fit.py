"""The optimisation: an affine map first, then every control point, on coarse voxels and then on finer ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .flow import exponential
from .grid import Case, Grid, identity, in_other, resampled, sample
from .lattice import Lattice
from .similarity import Fixed, overlap, standardised
from .template import Template

_MARGIN = 0.15  # of the box: what a map brings in from outside
_AFFINE_RATE = 1 / 256  # of the longest edge: how far a step moves its ends
RATE = 1 / 20  # of the spacing of control points: how far a step of the optimiser moves one


@dataclass(frozen=True)
class Level:
    """One pair of images at one resolution, ready to be compared.

    Attributes
    ----------
    shape : tuple of int
        Voxels of the box.
    fixed : Fixed
        The template.
    moving : tensor (1, 1, *shape)
        The case, on a larger box.
    valid : tensor (1, 1, *shape)
        Where the case has voxels.
    grid, larger : Grid
        The box, and the larger one.
    labels : tuple of two tensors (1, classes, *shape), or None
        Shares of the classes, where both have labels.
    """

    shape: tuple[int, ...]
    fixed: Fixed
    moving: torch.Tensor
    valid: torch.Tensor
    grid: Grid
    larger: Grid
    labels: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def of(cls, template: Case, case: Case, shape: tuple[int, ...], device: torch.device) -> Level:
        """Prepare a pair; the grid of the case has been moved to that of the template."""
        grid = template.grid.cut(shape)
        larger = grid.padded(max(2, round(_MARGIN * max(shape))))
        fixed, weight = resampled(template, grid)
        moving, valid = resampled(case, larger)
        labels = None
        if template.label is not None and case.label is not None:
            classes = sorted({*_classes(template)} & {*_classes(case)})
            if classes:
                labels = _shares(template, grid, classes).to(device), _shares(case, larger, classes).to(device)
        fixed, moving = standardised(fixed, weight).to(device), standardised(moving, valid).to(device)
        return cls(shape, Fixed.of(fixed, weight.to(device)), moving, valid.to(device), grid, larger, labels)

    def compared(self, field: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return how alike both are after a map, and the overlap of their labels."""
        points = in_other(self.grid, self.larger, identity(self.shape, field.device) + field)
        moving, valid = sample(self.moving, points), sample(self.valid, points, padding="zeros")
        alike = self.fixed.likeness(moving, valid)
        shared = None if self.labels is None else overlap(self.labels[0], sample(self.labels[1], points))
        return alike, shared


def _classes(case: Case) -> set[int]:
    assert case.label is not None
    return {int(value) for value in torch.unique(torch.from_numpy(case.label.astype("int32")))} - {0}


def _shares(case: Case, grid: Grid, classes: list[int]) -> torch.Tensor:
    assert case.label is not None
    return torch.cat([resampled(Case(case.name, case.label == value, case.grid), grid)[0] for value in classes], 1)


def fitted_affine(level: Level, lattice: Lattice, steps: int) -> torch.Tensor:
    """Return the coefficients of the affine map that brings a case onto the template."""
    dims = len(level.shape)
    device = level.moving.device
    matrix = torch.zeros(dims, dims, device=device, requires_grad=True)
    offset = torch.zeros(dims, device=device, requires_grad=True)
    groups = [
        {"params": [matrix], "lr": 2 * _AFFINE_RATE},
        {"params": [offset], "lr": _AFFINE_RATE * max(lattice.lengths)},
    ]
    optimiser = torch.optim.Adam(groups)
    for _ in range(steps):
        field = exponential(lattice.velocity(lattice.linear(matrix, offset), level.shape), lattice.lengths)
        optimiser.zero_grad()
        (-level.compared(field)[0]).backward()
        optimiser.step()
    return lattice.linear(matrix.detach(), offset.detach())


def fitted(
    level: Level,
    template: Template,
    start: torch.Tensor,
    steps: int,
    bending: float,
    labels: float = 0.0,
    rate: float = RATE,
) -> torch.Tensor:
    """Return the coefficients that bring a case onto the template.

    Parameters
    ----------
    level : Level
    template : Template
    start : tensor
        Coefficients to start from.
    steps : int
    bending : float
        Weight of the bending of the field.
    labels : float
        Weight of the overlap of labels, where both have some.
    rate : float
        Of the spacing of control points: how far one moves in a step, at first.
    """
    lattice, mobile = template.lattice, torch.from_numpy(template.mobile).to(start)
    coefficients = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([coefficients], lr=rate * max(lattice.spacing))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=rate * max(lattice.spacing) / 10)
    for _ in range(steps):
        field = exponential(lattice.velocity(coefficients * mobile, level.shape), lattice.lengths)
        alike, shared = level.compared(field)
        loss = bending * lattice.bending(coefficients) - alike
        if shared is not None:
            loss = loss + labels * (1 - shared)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return coefficients.detach() * mobile
