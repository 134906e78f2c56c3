"""What a site has at the end of a run: the model with its own norms, and what judged its labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..amplify.storage import stored, write_arrays

_KIND = "result of a site"


@dataclass(frozen=True)
class SiteFiles:
    """What a site needs and keeps.

    Attributes
    ----------
    training_set : Path
    folder : Path
        For what it keeps from one task to the next.
    result : Path
        The finished model, and what judged it.
    """

    training_set: Path
    folder: Path
    result: Path


@dataclass(frozen=True)
class SiteResult:
    """The result of a site, finished or not.

    Attributes
    ----------
    identity : str
        Of labels and settings of the site.
    logits : list of arrays (m, y, x) of float32
        In each labelled slice, by models that did not train on it; NaN where none could judge.
    network : dict of arrays
        All weights and statistics; empty before the end.
    """

    identity: str
    logits: list[NDArray[np.float32]]
    network: dict[str, NDArray] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it; :meth:`read` reads it."""
        arrays = {f"network.{name}": value for name, value in self.network.items()}
        for number, part in enumerate(self.logits):
            known = np.isfinite(part)
            arrays |= {f"logits.{number}": np.where(known, part, np.float32(0)), f"known.{number}": known}
        write_arrays(path, _KIND, arrays, {"identity": self.identity, "slices": len(self.logits)})

    @classmethod
    def read(cls, path: Path, identity: str) -> SiteResult | None:
        """Return the result in a file, or None where there is none of the same labels and settings."""
        if not path.is_file():
            return None
        with stored(path, _KIND) as (arrays, facts):
            if facts["identity"] != identity:
                return None
            logits = [
                np.where(arrays[f"known.{n}"], arrays[f"logits.{n}"], np.float32("nan")) for n in range(facts["slices"])
            ]
            own = {
                name.removeprefix("network."): value for name, value in arrays.items() if name.startswith("network.")
            }
            return cls(identity, logits, own)
