"""One case is brought onto the template: accepted, or refused with a reason."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..logs import LOG
from .approach import LEAST_RATIO, Approach, approach, orientation
from .fit import RATE, Level, fitted
from .flow import exponential, inconsistency, jacobian
from .grid import Case, identity, in_other, sample
from .memory import affordable_voxels, out_of_memory
from .registration import Refusal, Registration
from .similarity import LEAST_SHARED
from .template import Template

LEAST_JACOBIAN = 0.1
MOST_INCONSISTENT = 0.5  # voxels, on average
_GAIN = 0.02  # of likeness that a deformation must bring
_STILL = 1.0  # voxels: a case moved less than that on average needs no gain, it was there


@dataclass(frozen=True)
class RegisterSettings:
    """How a case is registered.

    Attributes
    ----------
    steps : tuple of int
        Steps on coarse and on fine voxels.
    bending : float
        Weight of the bending of the velocity field.
    labels : float
        Weight of the overlap of labels, where both have some.
    voxels : int
        Most voxels of the fine level; the coarse one has an eighth (in 2-D a quarter) of them.
    device : str
    memory_mb : float, or None
        What may be used; None: what is free.
    """

    steps: tuple[int, int] = (60, 40)
    bending: float = 0.3
    labels: float = 0.5
    voxels: int = 64**3
    device: str = "cpu"
    memory_mb: float | None = None


def register_case(case: Case, template: Template, settings: RegisterSettings | None = None) -> Registration:
    """Return the deformation that brings a case onto the template.

    Where memory does not suffice, voxels are larger, and the log says so.

    Raises
    ------
    InputError
        When one has two and the other three dimensions.
    """
    settings = settings or RegisterSettings()
    if len(case.grid.shape) != len(template.case.grid.shape):
        got = f"{len(case.grid.shape)} dimensions"
        remedy = f"Give cases of {len(template.case.grid.shape)} dimensions."
        raise InputError(Fault(case.name, got, "the template has another number of dimensions", remedy))
    started = time.monotonic()
    voxels = affordable_voxels(settings.voxels, template.case.grid.shape, settings.memory_mb, settings.device)
    while True:
        try:
            made = _registered(case, template, settings, voxels)
            break
        except (RuntimeError, MemoryError) as error:
            voxels = out_of_memory(error, voxels, settings.device)
    made.measures["seconds"] = time.monotonic() - started
    LOG.info("%s: %s", case.name, made.why or "registered")
    return made


def _registered(case: Case, template: Template, settings: RegisterSettings, voxels: int) -> Registration:
    nothing = Registration(case.name, template.digest, template.lattice.zeros().numpy(), np.zeros(len(case.grid.shape)))
    if empty := _emptiness(case):
        return replace(nothing, refusal=Refusal.EMPTY, why=empty)
    device = torch.device(settings.device)
    start = approach(template, case, device)
    ratio, flipped = orientation(template, case, start, device)
    nothing = replace(nothing, shift_mm=start.shift_mm, measures={"over_mirrored": ratio})
    if flipped:
        why = f"it fits better when flipped along axis {flipped}: its orientation is not that of the template"
        return replace(nothing, refusal=Refusal.ORIENTATION, why=why)
    if ratio < LEAST_RATIO:
        why = f"it fits only {ratio:.2f} times as well as its mirrored copies: it shows another part of a body"
        return replace(nothing, refusal=Refusal.REGION, why=why)
    coefficients, before, level = _fine(template, start, settings, voxels, device)
    return _judged(
        replace(nothing, measures={**nothing.measures, "similarity_before": before}), template, coefficients, level
    )


def _emptiness(case: Case) -> str:
    if case.image.size == 0 or not np.isfinite(case.image).all():
        return "its grey values are not finite numbers"
    return "all its voxels have one grey value" if case.image.min() == case.image.max() else ""


def _fine(
    template: Template, start: Approach, settings: RegisterSettings, voxels: int, device: torch.device
) -> tuple[torch.Tensor, float, Level]:
    """Return coefficients, the likeness without them, and the level of fine voxels."""
    grid = template.case.grid
    edge = max(1.0, (np.prod(grid.shape) / voxels) ** (1 / len(grid.shape)))
    coefficients = start.coefficients
    for scale, steps, rate in zip((2, 1), settings.steps, (RATE, RATE / 2), strict=True):
        shape = tuple(max(8, round(n / edge / scale)) for n in grid.shape)
        level = Level.of(template.case, start.case, shape, device)
        coefficients = fitted(level, template, coefficients, steps, settings.bending, settings.labels, rate)
    with torch.no_grad():
        before = float(level.compared(torch.zeros(1, *shape, len(shape), device=device))[0])
    return coefficients, before, level


@torch.no_grad()
def _judged(made: Registration, template: Template, coefficients: torch.Tensor, level: Level) -> Registration:
    lattice = template.lattice
    near = exponential(lattice.velocity(coefficients, level.shape), lattice.lengths)
    after = float(level.compared(near)[0])
    shown = sample(level.valid, in_other(level.grid, level.larger, identity(level.shape, near.device) + near), "zeros")
    whole = template.case.grid.shape
    forward = exponential(lattice.velocity(coefficients, whole), lattice.lengths)
    backward = exponential(lattice.velocity(-coefficients, whole), lattice.lengths)
    determinants = jacobian(forward)
    moved = forward * forward.new_tensor([n / 2 for n in reversed(whole)])
    measures = {
        **made.measures,
        "similarity_after": after,
        "cover": float(shown.mean()),
        "folds": int((determinants <= 0).sum()),
        "min_jacobian": float(min(determinants.min(), jacobian(backward).min())),
        "inconsistency_voxels": inconsistency(forward, backward),
        "moved_voxels": float(moved.norm(dim=-1).mean()),
        "voxels": float(np.prod(level.shape)),
    }
    refusal, why = _refused(measures)
    return replace(
        made,
        coefficients=coefficients.cpu().numpy(),
        refusal=refusal,
        why=why,
        measures=measures,
        volumes=class_volumes(template.case, determinants.cpu().numpy()),
    )


def _refused(measures: dict[str, float]) -> tuple[Refusal | None, str]:
    """Return why a deformation cannot be believed."""
    gain = measures["similarity_after"] - measures["similarity_before"]
    if measures["cover"] < LEAST_SHARED:
        return Refusal.REGION, f"it shows only {measures['cover']:.0%} of what the template shows"
    if gain < -_GAIN or (gain < _GAIN and measures["moved_voxels"] > _STILL):
        return Refusal.NOT_ALIKE, f"its similarity changed by {gain:.3f}, which is no gain"
    if measures["folds"]:
        return Refusal.FOLDED, f"the deformation folds in {measures['folds']} voxels"
    if measures["min_jacobian"] <= LEAST_JACOBIAN:
        return Refusal.FOLDED, f"the deformation shrinks a voxel to {measures['min_jacobian']:.2f} of its volume"
    if not measures["inconsistency_voxels"] < MOST_INCONSISTENT:
        return (
            Refusal.INCONSISTENT,
            f"there and back misses by {measures['inconsistency_voxels']:.2f} voxels on average",
        )
    return None, ""


def class_volumes(case: Case, determinants: NDArray[np.float32]) -> dict[int, float]:
    """Return the volume of each class of the template's label in the case: the sum of the determinants over it."""
    if case.label is None:
        return {}
    inner = tuple(slice(0, n) for n in determinants.shape)
    sums = np.bincount(case.label[inner].ravel(), weights=determinants.ravel())
    voxel = float(np.prod(case.grid.spacing))
    return {value: float(sums[value]) * voxel for value in range(1, len(sums)) if sums[value] > 0}
