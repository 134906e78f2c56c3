"""The class map of a scan: one class for each voxel, where each class was found as if it were alone.

Where domains of several classes hold a voxel, it goes to the class whose probability is highest in relation to the
level from which its own voxels count; of equal ones to the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..volume.store import Store, open_store
from .objects import ObjectsMetadata
from .voxels import Domains

_ALL = slice(None)


@dataclass(frozen=True)
class ClassMap:
    """Values of classes by voxel, painted where they are asked for; 0 is none.

    Parameters
    ----------
    objects : Path
        Objects file.
    classes : sequence of ObjectsMetadata
        Those in the map.
    probability : Path
        Store of the probability of each class; read only where classes overlap.
    values : dict of str to int
        What stands for each class, from 1.
    """

    objects: Path
    classes: Sequence[ObjectsMetadata]
    probability: Path
    values: Mapping[str, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        return self.classes[0].shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integers that hold all values."""
        return np.dtype(np.min_scalar_type(max(self.values.values())))

    @cached_property
    def _painted(self) -> list[Domains]:
        return [Domains(self.objects, one) for one in self.classes]

    @cached_property
    def _stores(self) -> list[Store]:
        if not self.probability.exists():
            problem = "two classes hold the same voxels, and the probabilities that decide between them were removed"
            remedy = "Set `keep: standard` or `all` and run the workflow again."
            raise InputError(Fault(str(self.probability), "", problem, remedy))
        return [open_store(self.probability, one.name) for one in self.classes]

    def read(self, start: int, stop: int, rows: slice = _ALL) -> NDArray[Any]:
        """Return some rows of slices ``[start, stop)``, as an array (z, y, x)."""
        masks = [painted.read(start, stop, rows).astype(bool) for painted in self._painted]
        shared = np.sum(masks, axis=0, dtype=np.uint8) > 1
        found = np.zeros(masks[0].shape, self.dtype)
        for mask, one in zip(reversed(masks), reversed(self.classes), strict=True):
            found[mask] = self.values[one.name]
        if shared.any():
            scores = np.stack(
                [mask[shared] * self._relative(number, start, stop, rows)[shared] for number, mask in enumerate(masks)]
            )
            values = np.array([self.values[one.name] for one in self.classes], self.dtype)
            found[shared] = values[scores.argmax(axis=0)]
        return found

    def _relative(self, number: int, start: int, stop: int, rows: slice) -> NDArray[np.float64]:
        """Return the probability of a class in relation to its level."""
        return self._stores[number].read(start, stop)[:, rows] / self.classes[number].level
