"""The template: the case, and the lattice on it, in whose space all deformations are described."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .grid import Case, Grid
from .lattice import Lattice
from .storage import stored, write_arrays
from .structure import mobility

PARTS = 16  # intervals between control points along the longest edge
_KIND = "template of deformations"


@dataclass(frozen=True)
class Template:
    """A case that all others are registered to.

    Attributes
    ----------
    case : Case
    lattice : Lattice
        Control points over its box.
    """

    case: Case
    lattice: Lattice

    @classmethod
    def of(cls, case: Case, parts: int = PARTS) -> Template:
        """Take a case as the template, with so many intervals of control points along its longest edge.

        They are at least three voxels apart: between two voxels nothing could be learned.
        """
        spacing = max(float(case.grid.lengths.max()) / parts, 3 * float(case.grid.spacing.min()))
        return cls(case, Lattice.over(case.grid, spacing))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of image, place and lattice: what coefficients mean depends on all three."""
        place = json.dumps([self.case.grid.shape, self.case.grid.affine, self.lattice.parts])
        image = np.ascontiguousarray(self.case.image, np.float32)
        return hashlib.sha256(place.encode() + image.tobytes()).hexdigest()

    @cached_property
    def mobile(self) -> NDArray[np.float32]:
        """How freely each control point may move (*nodes): 1 where there is structure to follow, 0 far away from it.

        In the air around a body a registration follows noise. Without this bound a tenth of the variance between cases
        was a component that lay outside of their bodies, in the place of the third true one.
        """
        return mobility(self.case, self.lattice)

    def is_of(self, case: Case) -> bool:
        """Whether a case is the one that was taken; one of another site may have its name."""
        return case.name == self.case.name and np.array_equal(case.image, self.case.image)

    def write(self, path: Path) -> None:
        """Write the template as one file."""
        arrays = {"image": np.asarray(self.case.image, np.float32), "affine": np.asarray(self.case.grid.affine)}
        if self.case.label is not None:
            arrays["label"] = np.asarray(self.case.label, np.int32)
        write_arrays(path, _KIND, arrays, {"name": self.case.name, "parts": list(self.lattice.parts)})


def read_template(path: Path) -> Template:
    """Return a template that was written.

    Raises
    ------
    InputError
        When the file holds something else.
    """
    with stored(path, _KIND) as (arrays, facts):
        image = arrays["image"]
        case = Case(str(facts["name"]), image, Grid.of(image.shape, arrays["affine"]), arrays.get("label"))
        return Template(case, Lattice(tuple(map(float, case.grid.lengths)), tuple(map(int, facts["parts"]))))
