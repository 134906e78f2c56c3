"""What may leave a site, as the site itself decides in a file of its own; nothing the coordinator sends changes it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from ..amplify.sums import FEWEST_SHARED
from ..errors import Fault, FederationError
from .declared import Declared, read_declared
from .update import Contract, Kind, Update

_PAGE = "docs/federation.md describes every key."
# No policy raises these: a small picture of 64 x 64 pixels is more.
_MOST_NUMBERS = {Kind.COUNTS: 1000, Kind.METRICS: 1000, Kind.QUANTILES: 1000}


class Allowance(Declared):
    """How much of one kind may leave at a time."""

    names: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        ("*",), min_length=1, description="Names of tensors, `*` stands for any characters."
    )
    most_numbers: int = Field(100_000_000, ge=1, le=10**10, description="Numbers in all tensors of an update together.")


class Policy(Declared):
    """The policy file of a site."""

    allow: dict[Kind, Allowance] = Field(
        {kind: Allowance() for kind in (Kind.WEIGHTS, Kind.COUNTS, Kind.METRICS)},
        description="Kinds that may leave, each with its limits: `weights`, `counts`, `metrics`, `quantiles`, "
        "`deformation_sums`; what is not named stays.",
    )
    fewest_cases: int = Field(
        FEWEST_SHARED, ge=FEWEST_SHARED, description="Cases in the sums of deformations that may leave."
    )

    def release(self, update: Update, contract: Contract) -> Update:
        """Return an update that may leave the site.

        Parameters
        ----------
        update : Update
        contract : Contract
            What the site itself says an update of this kind holds.

        Raises
        ------
        FederationError
            When it may not; nothing has left then.
        """
        where = f"policy of this site, round {update.round}"
        allowed = self.allow.get(update.kind)
        if allowed is None:
            remedy = f"Add `{update.kind}: {{}}` below `allow:` in the policy file, if the site agrees. {_PAGE}"
            raise FederationError(Fault(where, update.kind, "this kind may not leave the site", remedy))
        limit = min(allowed.most_numbers, _MOST_NUMBERS.get(update.kind, allowed.most_numbers))
        numbers = sum(array.size for array in update.tensors.values())
        if numbers > limit:
            problem = f"{update.kind} of at most {limit} numbers may leave the site"
            raise FederationError(Fault(where, f"{numbers} numbers", problem, f"Find out what made so many. {_PAGE}"))
        contract.check(update, where)
        faults = [
            Fault(f"{where}: {name}", "", f"{update.kind} of this name may not leave the site", _PAGE)
            for name in sorted(update.tensors)
            if not any(fnmatchcase(name, pattern) for pattern in allowed.names)
        ]
        if update.kind == Kind.DEFORMATIONS:
            faults += self._too_few(update, where)
        if faults:
            raise FederationError(*faults)
        return update

    def _too_few(self, update: Update, where: str) -> list[Fault]:
        """Return the faults of sums over so few cases that one could be guessed from them."""
        remedy = "Register more cases at this site, or leave it out of the sums."
        counted = update.tensors.get("count")
        count = float(counted.sum()) if counted is not None and counted.size == 1 else -1.0
        faults = []
        if not (count == update.cases and count >= self.fewest_cases):
            problem = f"sums of deformations of fewer than {self.fewest_cases} cases may not leave the site"
            faults.append(Fault(where, f"{update.cases} cases, {count:g} in the sums", problem, remedy))
        volumes = update.tensors.get("volumes", np.zeros((0, 3)))
        told = volumes[volumes.any(axis=1)] if volumes.ndim == 2 else np.zeros((1, 1))  # rows of zeros tell nothing
        if (told[:, 0] < self.fewest_cases).any():
            problem = f"volumes of a class that fewer than {self.fewest_cases} cases have may not leave the site"
            faults.append(Fault(where, "", problem, "Leave the class out of the sums."))
        return faults


def read_policy(path: Path) -> Policy:
    """Return the policy of a site.

    Raises
    ------
    FederationError
        When there is none, or it holds an unknown key or value: what was forbidden must not leave by a typing error.
    ConfigError
        When it is no YAML.
    """
    remedy = "Write one (docs/federation.md; `{}` has every default)."
    return read_declared(Policy, path, "the site has no policy file, so nothing may leave it", remedy)
