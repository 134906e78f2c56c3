"""Sums of deformations of many sites: what a site lets out of its own, and what is made of all of them.

A site tells how many cases it has, the sum of their numbers and the sum of the products, in the space of a template
that all sites have; never the numbers of a case. Two sums that differ by one case would tell that case, so a site lets
out other sums to the same template only when many cases came in between; its own log remembers what it let out.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..amplify.basis import Basis
from ..amplify.lattice import Lattice
from ..amplify.sums import FEWEST_SHARED, Sums
from ..errors import Fault, FederationError
from .log import append, read_log
from .policy import Policy
from .update import Contract, Kind, Update

_EVENT = "deformation sums released"
_DIGITS = 6  # bytes
_ROUNDING = 1e-9  # relative, of sums of float64
_ASK = "Ask the site to make its sums anew."


def sums_contract(lattice: Lattice, n_classes: int) -> Contract:
    """Return what an update of sums holds, for labels of so many classes, background included."""
    size = Basis(lattice).size
    shapes: dict[str, tuple[int, ...]] = {"template": (1,), "count": (1,), "total": (size,), "products": (size, size)}
    shapes["volumes"] = (n_classes - 1, 3)
    return Contract(Kind.DEFORMATIONS, {name: (shape, "float64") for name, shape in shapes.items()})


def release_sums(sums: Sums, n_classes: int, policy: Policy, log: Path) -> Update:
    """Return the sums of a site as they may leave it, and note in the site's log that they did.

    Volumes of classes that too few cases have are left out, and how many cases were refused is not told.

    Parameters
    ----------
    sums : Sums
    n_classes : int
        Classes of the labels, background included.
    policy : Policy
    log : Path
        Of the site.

    Raises
    ------
    FederationError
        When the policy keeps them, or they would tell a case together with those that left before.
    """
    volumes = np.zeros((n_classes - 1, 3))
    for index, told in sums.volumes.items():
        if told[0] >= policy.fewest_cases:
            volumes[index - 1] = told
    tensors = {"template": _number_of(sums.template), "count": np.array([sums.count], np.float64)}
    tensors |= {"total": sums.total, "products": sums.products}
    update = Update(Kind.DEFORMATIONS, {**tensors, "volumes": volumes}, 0, 0, sums.count)
    policy.release(update, sums_contract(sums.lattice, n_classes))
    entries = [entry.facts for entry in read_log(log) if entry.event == _EVENT] if log.exists() else []
    before = [facts for facts in entries if facts["template"] == sums.template]
    most = max((facts["cases"] for facts in before), default=-policy.fewest_cases)
    if sums.count - most < policy.fewest_cases and update.digest not in [facts["sums"] for facts in before]:
        problem = (
            f"sums of {most} cases to this template left before; the difference to other sums tells single cases, "
            f"unless {policy.fewest_cases} cases or more were added"
        )
        remedy = "Send the same sums again, or wait for more cases."
        raise FederationError(Fault("policy of this site", f"{sums.count} cases", problem, remedy))
    append(log, _EVENT, template=sums.template, cases=sums.count, sums=update.digest)
    return update


def sums_of(update: Update, template: str, lattice: Lattice, n_classes: int, site: str) -> Sums:
    """Return the sums that a site sent.

    Raises
    ------
    FederationError
        When they are of another lattice, or no cases can have them.
    """
    sums_contract(lattice, n_classes).check(update, site)
    if update.tensors["template"] != _number_of(template):
        problem, remedy = "the sums belong to another template", "Send all sites the same file, and let them register."
        raise FederationError(Fault(f"{site}: template", "", problem, remedy))
    count, total, products, volumes = (update.tensors[name] for name in ("count", "total", "products", "volumes"))
    n = float(count[0])
    if n % 1 or n < FEWEST_SHARED or n != update.cases:
        problem = f"sums are those of {FEWEST_SHARED} cases or more"
        raise FederationError(Fault(f"{site}: count", f"{n:g}", problem, _ASK))
    scale = float(np.abs(products).max())
    spread = np.diag(products) - total**2 / n
    if np.abs(products - products.T).max() > _ROUNDING * scale or spread.min() < -_ROUNDING * n * scale:
        raise FederationError(Fault(f"{site}: products", "", "no cases can have these sums", _ASK))
    told = {index + 1: tuple(map(float, row)) for index, row in enumerate(volumes) if row[0]}
    return Sums(template, lattice, int(n), total, products, told)  # type: ignore[arg-type]


def _number_of(template: str) -> NDArray[np.float64]:
    """Return the start of a digest as a number that float64 holds exactly, since updates are made of numbers."""
    return np.array([int.from_bytes(hashlib.sha256(template.encode()).digest()[:_DIGITS], "big")], np.float64)
