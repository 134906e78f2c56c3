"""How cases differ: the principal components of their deformations.

With the sums of :mod:`~tomoprofile.amplify.sums`, the mean is :math:`m = \\sum c / n` and the covariance
:math:`(\\sum cc^T - n\\,mm^T) / (n - 1)`, whose eigenvectors are the components (statistical deformation models:
Rueckert et al. 2003; on velocities, where any combination is a map with an inverse: Arsigny et al. 2006).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, StageError
from ..logs import LOG
from .basis import Basis
from .registration import Refusal, Registration, read_registration
from .sums import FEWEST_SHARED, Sums, read_sums
from .template import Template

FEWEST = 3  # cases: two give one line through two points
_EXPLAINED = 0.98  # share of the variance that components are kept for
_OUTLYING = 5.0  # robust standard deviations
_FEWEST_JUDGED = 5  # cases, from which on one can be told from the others
_SPREAD = 3.0  # standard deviations of the logarithm of a volume: the learned range
_LEAST_RANGE = 0.1  # of that logarithm: few cases know little of the spread


@dataclass(frozen=True)
class DeformationModel:
    """Mean and components.

    Attributes
    ----------
    sums : Sums
        What it was made from.
    mean : array (k,)
    components : array (m, k)
        Orthonormal, largest variance first.
    variances : array (m,)
        In square millimetres of the numbers of :class:`~tomoprofile.amplify.basis.Basis`.
    total_variance : float
        Of all components, those that were not kept included.
    """

    sums: Sums
    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    variances: NDArray[np.float64]
    total_variance: float

    @classmethod
    def of(cls, sums: Sums) -> DeformationModel:
        """Return the components of sums.

        Raises
        ------
        StageError
            When they are of too few cases.
        """
        if sums.count < FEWEST:
            refused = ", ".join(f"{count} {reason}" for reason, count in sums.refused.items())
            problem = f"a deformation model needs at least {FEWEST} registered cases beside those left out"
            remedy = f"Give more cases, labelled or not, or use `elastic`. Left out: {refused or 'none'}."
            raise StageError(Fault("amplify", f"{sums.count} cases", problem, remedy))
        mean = sums.total / sums.count
        covariance = (sums.products - sums.count * np.outer(mean, mean)) / (sums.count - 1)
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        values, vectors = values[::-1].clip(0), vectors[:, ::-1]
        total = float(values.sum())
        if total <= 0:
            problem, remedy = "all cases have the same shape", "Give cases of different subjects, or use `elastic`."
            raise StageError(Fault("amplify", f"{sums.count} cases", problem, remedy))
        kept = min(sums.count - 1, int(np.searchsorted(np.cumsum(values) / total, _EXPLAINED)) + 1)
        components = vectors[:, :kept].T
        # An eigenvector has no sign of its own; one is chosen, so that a seed draws the same everywhere.
        largest = np.abs(components).argmax(1)
        components = components * np.sign(components[np.arange(kept), largest])[:, None]
        return cls(sums, mean, components, values[:kept], total)

    @property
    def template_outlies(self) -> bool:
        """Whether the template lies farther from the mean than a case usually does."""
        return bool(self.mean @ self.mean > self.total_variance)

    def coefficients(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the lattice's coefficients for weights (m,) in standard deviations of the components."""
        numbers = self.mean + (weights * np.sqrt(self.variances)) @ self.components
        return Basis(self.sums.lattice).to_coefficients(numbers)

    def volume_range(self, value: int) -> tuple[float, float] | None:
        """Return the smallest and largest volume of a class that the cases make believable, or None if unknown."""
        count, first, second = self.sums.volumes.get(value, (0.0, 0.0, 0.0))
        if count < FEWEST:
            return None
        mean = first / count
        deviation = np.sqrt(max(0.0, (second - count * mean**2) / (count - 1)))
        reach = max(_LEAST_RANGE, _SPREAD * deviation)
        return float(np.exp(mean - reach)), float(np.exp(mean + reach))


def read_model(path: Path) -> DeformationModel:
    """Return the model of sums that were written.

    Raises
    ------
    InputError
        When the file holds something else.
    StageError
        When the sums are of too few cases.
    """
    return DeformationModel.of(read_sums(path))


def build_model(
    registrations: Iterable[Registration | Path], template: Template
) -> tuple[DeformationModel, list[Registration]]:
    """Return the model of registered cases, and the cases with outliers among them refused.

    Raises
    ------
    InputError
        When a case was registered to another template.
    StageError
        When too few cases are left.
    """
    sums, judged = add_up(registrations, template)
    model = DeformationModel.of(sums)
    if model.template_outlies:
        LOG.warning(
            "the template %s lies farther from the mean shape than its cases do; choose another, or build one",
            template.case.name,
        )
    return model, judged


def add_up(registrations: Iterable[Registration | Path], template: Template) -> tuple[Sums, list[Registration]]:
    """Return the sums over registered cases, however few, and the cases with outliers among them refused.

    Raises
    ------
    InputError
        When a case was registered to another template.
    """
    cases = [read_registration(case) if isinstance(case, Path) else case for case in registrations]
    judged = without_outliers(cases)
    for case in judged:
        if case.refusal is not None:
            LOG.warning("%s is left out of the deformation model: %s (%s)", case.name, case.refusal, case.why)
    sums = Sums.of(judged, template.digest, template.lattice)
    if not sums.shareable:
        LOG.info("the sums are of %d cases; fewer than %d must not be shared", sums.count, FEWEST_SHARED)
    return sums, judged


def without_outliers(cases: list[Registration]) -> list[Registration]:
    """Return the cases, those refused that are far from all others: in how alike they became, or in their shape."""
    accepted = [case for case in cases if case.refusal is None]
    if len(accepted) < _FEWEST_JUDGED:
        return cases
    middle = np.median([case.coefficients for case in accepted], axis=0)
    apart = _robust([float(np.sqrt(np.mean((case.coefficients - middle) ** 2))) for case in accepted])
    # The template became like nothing: it is not registered to itself.
    similar = {case.name: case.measures["similarity_after"] for case in accepted if "similarity_after" in case.measures}
    alike = dict(zip(similar, _robust(list(similar.values())), strict=True)) if similar else {}
    refused = {}
    for case, far in zip(accepted, apart, strict=True):
        like = alike.get(case.name, 0.0)
        if far > _OUTLYING:
            refused[case.name] = f"its shape lies {far:.0f} robust standard deviations from that of the others"
        elif like < -_OUTLYING:
            refused[case.name] = f"its similarity lies {-like:.0f} robust standard deviations below that of the others"
    return [
        replace(case, refusal=Refusal.OUTLIER, why=refused[case.name])
        if case.refusal is None and case.name in refused
        else case
        for case in cases
    ]


def _robust(values: list[float]) -> NDArray[np.float64]:
    """Return distances from the median in robust standard deviations, of at least a twentieth of the median."""
    numbers = np.asarray(values, np.float64)
    middle = np.median(numbers)
    spread = max(1.4826 * float(np.median(np.abs(numbers - middle))), 0.05 * abs(float(middle)), 1e-12)
    return (numbers - middle) / spread
