"""What is counted of a phase in all of a scan, piece by piece and by any number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..domains.workers import Workers
from ..profile.masks import Floats
from .neighbours import Neighbours
from .scan import Phase
from .thickness import Opened, levels_of, radii_um
from .window import Window

SLICES = 64  # of voxels or cells that are counted at a time


@dataclass(frozen=True)
class Counted:
    """What was counted of one class at one level, by row of the tables and block (..., rows, blocks).

    Attributes
    ----------
    window : Window
    neighbours : dict of array
        As :class:`~.neighbours.Neighbours`.
    known, inside : array (2 spaces, radii, rows, blocks)
        As :class:`~.thickness.Opened`.
    radii_um : array (radii,)
    draws : array (resamples, blocks)
    """

    window: Window
    neighbours: dict[str, Floats]
    known: Floats
    inside: Floats
    radii_um: Floats
    draws: Floats


@dataclass(frozen=True)
class Counting:
    """How phases are counted.

    Attributes
    ----------
    draws : array (resamples, blocks)
        Of the bootstrap.
    workers : Workers
    slices : int
        How many of voxels or cells are counted at a time.
    """

    draws: Floats
    workers: Workers
    slices: int

    def count(self, phase: Phase, like: Counted | None = None) -> Counted:
        """Count neighbours and openings of a phase.

        Parameters
        ----------
        phase : Phase
        like : Counted, optional
            Of the same class at another level. A level above holds part of the voxels of one below, so as many in every
            block are the same ones; then this is returned and nothing else is counted.
        """
        window = phase.window
        shape, edges = window.grid.shape, window.grid.voxel_size_um
        neighbours = self.workers.reduce(phase.neighbours, _pieces(shape[0], self.slices), Neighbours.__add__)
        counted = {name: window.by_block(getattr(neighbours, name)) for name in Neighbours.__dataclass_fields__}
        if like is not None and np.array_equal(counted["phase"], like.neighbours["phase"]):
            return like
        opened = Opened(*(np.zeros((2, 0, window.n_cells), np.int64) for _ in range(2)))
        done = []
        for level in levels_of(shape, edges):
            pieces = _pieces(-(-shape[0] // level.side), self.slices)
            opened = opened.beside(self.workers.reduce(partial(phase.openings, level), pieces, Opened.__add__))
            done.append(level)
            if not opened.inside[:, -1].any():
                break
        known, inside = (window.by_block(part) for part in (opened.known, opened.inside))
        return Counted(window, counted, known, inside, radii_um(done, edges), self.draws)


def _pieces(n: int, slices: int) -> Sequence[tuple[int, int]]:
    return [(start, min(start + slices, n)) for start in range(0, n, slices)]
