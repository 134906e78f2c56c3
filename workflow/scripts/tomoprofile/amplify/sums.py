"""What sites add up: how many cases, the sum of their deformations, and the sum of the products.

Sums form a monoid: the order in which cases or sites come does not matter, and sums of parts give the same model as all
cases together. No single case can be read from the sums of many; those of fewer than :data:`FEWEST_SHARED` are marked,
and must not leave a site.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from .basis import Basis
from .lattice import Lattice
from .registration import Refusal, Registration
from .storage import stored, write_arrays

FEWEST_SHARED = 20
_KIND = "file of sums of deformations"


@dataclass(frozen=True)
class Sums:
    """Statistics of deformations to one template.

    Attributes
    ----------
    template : str
        Digest of the template.
    lattice : Lattice
    count : int
    total : array (k,)
        Sum of the numbers of :class:`Basis`.
    products : array (k, k)
        Sum of their outer products.
    volumes : dict
        Class: count, sum and sum of squares of the logarithm of its volume in mm³ (in 2-D mm²).
    refused : dict
        Reason: how many cases were left out for it.
    """

    template: str
    lattice: Lattice
    count: int
    total: NDArray[np.float64]
    products: NDArray[np.float64]
    volumes: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    @classmethod
    def none(cls, template: str, lattice: Lattice) -> Sums:
        """Return the sums of no cases."""
        size = Basis(lattice).size
        return cls(template, lattice, 0, np.zeros(size), np.zeros((size, size)))

    @classmethod
    def of(cls, registrations: Iterable[Registration], template: str, lattice: Lattice) -> Sums:
        """Return the sums over cases; refused ones are only counted.

        Raises
        ------
        InputError
            When a case was registered to another template, which would be averaged with nothing in common.
        """
        basis = Basis(lattice)
        cases = list(registrations)
        faults = [_other_template(case) for case in cases if case.template != template]
        faults += [
            _other_lattice(case)
            for case in cases
            if case.template == template and case.coefficients.shape != lattice.shape
        ]
        if faults:
            raise InputError(*faults)
        accepted = [case for case in cases if case.refusal is None]
        refused = Counter(str(case.refusal) for case in cases if case.refusal is not None)
        if not accepted:
            return cls.none(template, lattice)._with(refused)
        rows = np.stack([basis.of_coefficients(case.coefficients) for case in accepted])
        made = cls(template, lattice, len(accepted), rows.sum(0), rows.T @ rows, _logarithms(accepted))
        return made._with(refused)

    def _with(self, refused: dict[str, int]) -> Sums:
        return Sums(
            self.template,
            self.lattice,
            self.count,
            self.total,
            self.products,
            self.volumes,
            dict(sorted(refused.items())),
        )

    def __add__(self, other: Sums) -> Sums:
        """Return the sums over the cases of both.

        Raises
        ------
        InputError
            When they belong to different templates.
        """
        if (self.template, self.lattice) != (other.template, other.lattice):
            got = f"{self.template[:12]} and {other.template[:12]}"
            remedy = "Register all cases to one template, and add those sums."
            raise InputError(Fault("sums of deformations", got, "they belong to different templates", remedy))
        classes = sorted({*self.volumes, *other.volumes})
        none = (0.0, 0.0, 0.0)
        volumes = {
            value: tuple(map(add, self.volumes.get(value, none), other.volumes.get(value, none))) for value in classes
        }
        return Sums(
            self.template,
            self.lattice,
            self.count + other.count,
            self.total + other.total,
            self.products + other.products,
            volumes,  # type: ignore[arg-type]
            dict(sorted((Counter(self.refused) + Counter(other.refused)).items())),
        )

    @property
    def shareable(self) -> bool:
        """Whether so many cases are in them that they may leave a site."""
        return self.count >= FEWEST_SHARED

    def write(self, path: Path) -> None:
        """Write the sums as one file, marked whether they may be shared."""
        classes = sorted(self.volumes)
        volumes = np.array([self.volumes[value] for value in classes], np.float64).reshape(-1, 3)
        facts = {
            "template": self.template,
            "lengths": list(self.lattice.lengths),
            "parts": list(self.lattice.parts),
            "count": self.count,
            "classes": classes,
            "refused": self.refused,
            "shareable": self.shareable,
        }
        write_arrays(path, _KIND, {"total": self.total, "products": self.products, "volumes": volumes}, facts)


def read_sums(path: Path) -> Sums:
    """Return sums that were written.

    Raises
    ------
    InputError
        When the file holds something else, or sums that no cases can have.
    """
    with stored(path, _KIND) as (arrays, facts):
        lattice = Lattice(tuple(map(float, facts["lengths"])), tuple(map(int, facts["parts"])))
        total, products = arrays["total"], arrays["products"]
        size = Basis(lattice).size
        if total.shape != (size,) or products.shape != (size, size) or int(facts["count"]) < 0:
            raise ValueError("its sums do not belong to its lattice")
        if not np.allclose(products, products.T):
            raise ValueError("its sum of products is not symmetric")
        volumes = dict(zip(map(int, facts["classes"]), map(tuple, arrays["volumes"].tolist()), strict=True))
        refused = {str(Refusal(reason)): int(count) for reason, count in facts["refused"].items()}
        return Sums(str(facts["template"]), lattice, int(facts["count"]), total, products, volumes, refused)


def added(sums: Iterable[Sums]) -> Sums:
    """Return the sums over the cases of all sites."""
    return reduce(add, sums)


def _logarithms(cases: list[Registration]) -> dict[int, tuple[float, float, float]]:
    classes = sorted({value for case in cases for value in case.volumes})
    found = {value: np.log([case.volumes[value] for case in cases if value in case.volumes]) for value in classes}
    return {value: (float(len(logs)), float(logs.sum()), float((logs**2).sum())) for value, logs in found.items()}


def _other_template(case: Registration) -> Fault:
    remedy = "Register it to the template of the others."
    return Fault(case.name, case.template[:12], "the case was registered to another template", remedy)


def _other_lattice(case: Registration) -> Fault:
    remedy = "Register it again."
    return Fault(case.name, str(case.coefficients.shape), "its coefficients belong to another lattice", remedy)
