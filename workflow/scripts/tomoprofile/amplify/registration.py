"""What came of bringing a case onto the template, as a file that is read without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .storage import stored, write_arrays

_KIND = "registration"


class Refusal(StrEnum):
    """Why a case is left out."""

    EMPTY = "empty"
    REGION = "other body region"
    ORIENTATION = "orientation"
    NOT_ALIKE = "similarity did not improve"
    FOLDED = "folds"
    INCONSISTENT = "inverse not consistent"
    OUTLIER = "outlier"


@dataclass(frozen=True)
class Registration:
    """What came of it.

    Attributes
    ----------
    name, template : str
        The case, and the digest of the template.
    coefficients : array
        Of the velocity field on the template's lattice, in millimetres.
    shift_mm : array (d,)
        How far the case was moved before, along the axes of the template: where a body lies is none of its shape.
    refusal : Refusal, or None
    why : str
        The refusal in one sentence.
    measures : dict
        ``similarity_before``, ``similarity_after``, ``over_mirrored``, ``cover``, ``folds``, ``min_jacobian``,
        ``inconsistency_voxels``, ``seconds``, ``voxels``; as far as it came.
    volumes : dict
        Class of the template's label: its volume in this case in cubic (in 2-D square) millimetres.
    """

    name: str
    template: str
    coefficients: NDArray[np.float32]
    shift_mm: NDArray[np.float64]
    refusal: Refusal | None = None
    why: str = ""
    measures: dict[str, float] = field(default_factory=dict)
    volumes: dict[int, float] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the registration as one file."""
        facts = {
            "name": self.name,
            "template": self.template,
            "refusal": self.refusal,
            "why": self.why,
            "measures": self.measures,
            "volumes": {str(key): value for key, value in self.volumes.items()},
        }
        write_arrays(path, _KIND, {"coefficients": self.coefficients, "shift_mm": self.shift_mm}, facts)


def read_registration(path: Path) -> Registration:
    """Return a registration that was written.

    Raises
    ------
    InputError
        When the file holds something else.
    """
    with stored(path, _KIND) as (arrays, facts):
        return Registration(
            str(facts["name"]),
            str(facts["template"]),
            arrays["coefficients"],
            arrays["shift_mm"],
            None if facts["refusal"] is None else Refusal(facts["refusal"]),
            str(facts["why"]),
            {str(key): float(value) for key, value in facts["measures"].items()},
            {int(key): float(value) for key, value in facts["volumes"].items()},
        )
