"""New shapes: drawn from how cases differ or at random, and what makes one believable.

A case :math:`i` is its template seen through its map, :math:`T(x) \\approx I_i(\\exp(v_i)(x))`. A subject of a drawn
shape :math:`v` would be :math:`J(\\exp(v)(x)) \\approx T(x)`; so its image, with the organs of case :math:`i`, is

.. math:: J(y) = I_i\\bigl(\\exp(v_i)(\\exp(-v)(y))\\bigr)

(learned spatial transforms of one labelled case: Zhao et al. 2019). A random elastic deformation knows of no template
and changes the case itself: :math:`J(y) = I_i(\\exp(-v)(y))`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray

from .appearance import AppearanceSettings
from .basis import Basis
from .flow import composed, exponential, jacobian
from .grid import Case
from .model import DeformationModel
from .registration import Registration
from .template import Template

_ELASTIC_SPREAD = 0.5  # of the size of elastic deformations
_ELASTIC_RANGE = 2.0  # factor of an organ's own volume, where no range was learned


class Kind(StrEnum):
    """Where new shapes come from."""

    ELASTIC = "elastic"
    DEFORMATION = "deformation"
    MIXED = "mixed"


@dataclass(frozen=True)
class SampleSettings:
    """How much drawn pairs vary.

    Attributes
    ----------
    truncation : float
        Standard deviations beyond which no component is drawn.
    elastic : float
        Root mean square of a random elastic displacement, as a share of the longest edge, on average.
    elastic_length : float
        Length of its waves, as a share of the longest edge.
    appearance : AppearanceSettings
    """

    truncation: float = 2.5
    elastic: float = 0.02
    elastic_length: float = 0.15
    appearance: AppearanceSettings = field(default_factory=AppearanceSettings)


def truncated(count: int, limit: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return standard normal numbers none of which is larger than a limit."""
    numbers = rng.standard_normal(count)
    while (beyond := np.abs(numbers) > limit).any():
        numbers[beyond] = rng.standard_normal(int(beyond.sum()))
    return numbers


def elastic(
    template: Template, settings: SampleSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights and the coefficients of a random smooth deformation on the same lattice."""
    basis = Basis(template.lattice)
    longest = max(template.lattice.lengths)
    waves = basis.frequencies
    sizes = np.exp(-0.5 * (waves * settings.elastic_length * longest * 2) ** 2) * (waves > 0)
    weights = truncated(basis.size, settings.truncation, rng) * (sizes > 1e-3)
    coefficients = basis.to_coefficients(weights * sizes)
    # B-splines flatten fast waves, so the size is measured on the field itself.
    shape = tuple(2 * n for n in template.lattice.parts)
    field = template.lattice.velocity(torch.from_numpy(coefficients), shape)
    wanted = settings.elastic * longest * rng.uniform(1 - _ELASTIC_SPREAD, 1 + _ELASTIC_SPREAD)
    factor = wanted / float(field.square().sum(0).mean().sqrt())
    return factor * weights[weights != 0], factor * coefficients


@torch.no_grad()
def map_to_source(
    template: Template, coefficients: NDArray[np.float64], registration: Registration | None
) -> tuple[torch.Tensor, float]:
    """Return the map from a drawn subject to its source, and its least Jacobian determinant or that of the drawn part.

    Parameters
    ----------
    template : Template
    coefficients : array
        Of the velocity of the drawn shape.
    registration : Registration, or None
        Of the source; without one the map is that of the drawn shape alone.
    """
    lattice, shape = template.lattice, template.case.grid.shape
    drawn = exponential(lattice.velocity(torch.from_numpy(-coefficients).float(), shape), lattice.lengths)
    least = float(jacobian(drawn).min())
    if registration is None:
        return drawn, least
    own = exponential(lattice.velocity(torch.from_numpy(registration.coefficients), shape), lattice.lengths)
    whole = composed(drawn, own)
    return whole, min(least, float(jacobian(whole).min()))


def volume_out_of_range(
    model: DeformationModel | None, source: Case, label: NDArray[np.int32], template: Template
) -> str:
    """Return which organ has a volume that no case makes believable."""
    assert source.label is not None
    counts, own = np.bincount(label.ravel()), np.bincount(np.asarray(source.label, np.int64).ravel())
    for value in range(1, len(own)):
        if not own[value]:
            continue
        volume = float(counts[value] if value < len(counts) else 0) * float(np.prod(template.case.grid.spacing))
        before = float(own[value]) * float(np.prod(source.grid.spacing))
        learned = model.volume_range(value) if model is not None else None
        low, high = learned or (before / _ELASTIC_RANGE, before * _ELASTIC_RANGE)
        if not low <= volume <= high:
            return f"class {value} has {volume:.0f} mm³, outside of {low:.0f} to {high:.0f} mm³"
    return ""
