"""The domains of a class as voxels, painted from their runs wherever they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..tables import read_rows
from .label_volume import paint
from .objects import ObjectsMetadata, Runs, filled_row_groups, read_runs

_ALL = slice(None)


@dataclass(frozen=True)
class Domains:
    """The domains of a class as voxels.

    Parameters
    ----------
    objects : Path
        Objects file.
    metadata : ObjectsMetadata
        What it says about the class.
    numbered : bool
        Whether a voxel of a domain holds the ``domain_id`` of the table, or 1.
    """

    objects: Path
    metadata: ObjectsMetadata
    numbered: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        return self.metadata.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integers that hold all numbers, from 16 bits on; 8 bits for a mask."""
        return np.dtype(np.min_scalar_type(max(self.metadata.n_domains, 256)) if self.numbered else np.uint8)

    @cached_property
    def _groups(self) -> list[tuple[int, int, int]]:
        """Number, first slice and last slice of each row group."""
        found = []
        for group in filled_row_groups(self.objects, self.metadata.name):
            ends = pc.min_max(read_rows(self.objects, ["z"], group=group)["z"]).as_py()
            found.append((group, ends["min"], ends["max"]))
        return found

    def runs(self, start: int = 0, stop: int | None = None) -> Iterator[Runs]:
        """Yield the runs of row groups with anything in slices ``[start, stop)``, one group in memory at a time."""
        stop = self.shape[0] if stop is None else stop
        for group, first, last in self._groups:
            if first < stop and last >= start:
                yield read_runs(self.objects, group, self.metadata)

    def read(self, start: int, stop: int, rows: slice = _ALL) -> NDArray[Any]:
        """Return some rows of slices ``[start, stop)``, as an array (z, y, x)."""
        top, bottom, _ = rows.indices(self.shape[1])
        image = np.zeros((stop - start, bottom - top, self.shape[2]), self.dtype)
        for runs in self.runs(start, stop):
            inside = runs.at((runs.z >= start) & (runs.z < stop) & (runs.y >= top) & (runs.y < bottom))
            value = inside.domain_id if self.numbered else np.ones(len(inside), np.int64)
            paint(image, inside.z - start, inside.y - top, inside.x_start, inside.x_stop, value)
        return image
