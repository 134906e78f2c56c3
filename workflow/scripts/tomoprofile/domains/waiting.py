"""Runs of the shards on disk, where they wait until their domains have numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .objects import Runs
from .runs import Int32, Int64, RowRuns

Key = tuple[str, str]  # class and level
_ARRAYS = ("row_ptr", "x_start", "x_stop")


@dataclass(frozen=True)
class WaitingRuns:
    """The runs of each shard, class and level; light, as it goes to every worker.

    Attributes
    ----------
    folder : Path
        Holds a file for each array.
    ny : int
        Rows in a slice.
    """

    folder: Path
    ny: int

    def put(self, key: Key, start: int, runs: RowRuns, component: Int32) -> None:
        """Keep the runs of the shard that begins at slice ``start``, each with its component."""
        arrays = {name: getattr(runs, name) for name in _ARRAYS} | {"component": component}
        for name, array in arrays.items():
            np.save(self._file(key, start, name), array, allow_pickle=False)

    def take(self, key: Key, start: int, domain_id: Int64) -> Runs:
        """Return the runs of a shard that belong to domains, given the domain of each component, 0 for none."""
        row_ptr, x_start, x_stop, component = (
            np.load(self._file(key, start, name)) for name in (*_ARRAYS, "component")
        )
        row = np.repeat(np.arange(len(row_ptr) - 1, dtype=np.int32), np.diff(row_ptr))
        runs = Runs(start + row // self.ny, row % self.ny, x_start, x_stop, domain_id[component])
        return runs.at(runs.domain_id > 0)

    def _file(self, key: Key, start: int, name: str) -> Path:
        return self.folder / f"{'_'.join(key)}_{start}_{name}.npy"
