"""Voxels and pairs of voxels of a scan, counted slab by slab by any number of workers.

Every part consists of integers by layer and block, and parts are added up: the result is the same for any slabs and
any number of workers. Most layers and blocks of a slab are empty, so parts travel as sparse arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..domains.objects import Runs, filled_row_groups, read_objects_metadata, read_runs, refuse_split_slice
from ..domains.workers import Workers
from ..tables import CALIBRATED, read_rows
from .correlation import count_pairs
from .masks import Grid, Ints

_SLAB_VOXELS = 2**26  # of slices without domains, which no row group divides


@dataclass(frozen=True)
class Counts:
    """The counts in some slices.

    Attributes
    ----------
    resin : sparse array (layers, blocks) of int64
        Voxels of resin, which includes domains.
    domain : dict of sparse array (layers, blocks) of int64
        Voxels of domains at each level.
    voxels : dict of int
        Voxels of domains at each level, at any depth.
    domain_pairs, resin_pairs : sparse array (zones * blocks, lags + 2) of int64
        From :func:`~tomoprofile.profile.correlation.count_pairs`, at the calibrated level.
    """

    resin: csr_array
    domain: dict[str, csr_array]
    voxels: dict[str, int]
    domain_pairs: csr_array
    resin_pairs: csr_array


@dataclass(frozen=True)
class _Slab:
    """Slices ``[start, stop)``, and the row groups of each level that hold some of them."""

    start: int
    stop: int
    groups: dict[str, list[int]]


def count_scan(objects: dict[str, Path], name: str, grid: Grid, zones: NDArray[np.bool_], workers: Workers) -> Counts:
    """Count domains of a class at all levels, resin, and pairs.

    Parameters
    ----------
    objects : dict
        Objects files of the levels; ``calibrated`` is one of them.
    name : str
        The class. Domains of other classes count as resin.
    grid : Grid
        Layers and blocks.
    zones : array (zones, layers) of bool
        Which layers belong to each zone.
    workers : Workers
        Count the slabs.

    Raises
    ------
    InputError
        When runs cannot be trusted.
    """
    slabs = _slabs(objects, name, grid)
    return workers.reduce(partial(_count_slab, objects, name, grid, zones), slabs, _join)


def _slabs(objects: dict[str, Path], name: str, grid: Grid) -> Sequence[_Slab]:
    """Cut the scan where row groups begin: each is read once, or twice where the levels were cut differently."""
    ends = {level: _slices_of_groups(path, name) for level, path in objects.items()}
    cuts = {0, grid.shape[0], *(first for groups in ends.values() for _, first, _ in groups)}
    step = max(1, _SLAB_VOXELS // (grid.shape[1] * grid.shape[2]))
    starts = sorted(cuts)
    slabs = []
    for low, high in pairwise(starts):
        groups = {
            level: [group for group, first, last in found if first < high and last >= low]
            for level, found in ends.items()
        }
        length = high - low if any(groups.values()) else step
        slabs += [_Slab(z, min(z + length, high), groups) for z in range(low, high, length)]
    return slabs


def _slices_of_groups(objects: Path, name: str) -> list[tuple[int, int, int]]:
    """Return number, first and last slice of each row group of a class."""
    found: list[tuple[int, int, int]] = []
    for group in filled_row_groups(objects, name):
        z = read_rows(objects, ["z"], group=group)["z"]
        refuse_split_slice(objects, found[-1][2] if found else -1, z[0].as_py())
        found.append((group, z[0].as_py(), z[-1].as_py()))
    return found


def _count_slab(objects: dict[str, Path], name: str, grid: Grid, zones: NDArray[np.bool_], slab: _Slab) -> Counts:
    resin = grid.count_resin(slab.start, slab.stop)
    domain, voxels = {}, {}
    for level, path in objects.items():
        runs = _runs(path, name, slab, level)
        tallies = np.zeros_like(resin)
        grid.count(runs.z, runs.y, runs.x_start, runs.x_stop, tallies)
        domain[level] = csr_array(tallies)
        voxels[level] = int((runs.x_stop - runs.x_start).sum(dtype=np.int64))
        if level == CALIBRATED:
            pairs = count_pairs(grid, runs, slab.start, slab.stop, zones, resin)
    domain_pairs, resin_pairs = (csr_array(part.reshape(-1, part.shape[-1])) for part in pairs)
    return Counts(csr_array(resin), domain, voxels, domain_pairs, resin_pairs)


def _runs(objects: Path, name: str, slab: _Slab, level: str) -> Runs:
    metadata = read_objects_metadata(objects)[name]
    parts = [read_runs(objects, group, metadata) for group in slab.groups[level]]
    if not parts:
        return Runs(*(np.empty(0, np.int32) for _ in range(4)), np.empty(0, np.int64))
    parts = [runs.at(slice(*np.searchsorted(runs.z, [slab.start, slab.stop]))) for runs in parts]
    return Runs(*(np.concatenate([getattr(runs, name) for runs in parts]) for name in Runs.__dataclass_fields__))


def _join(upper: Counts, lower: Counts) -> Counts:
    return Counts(
        upper.resin + lower.resin,
        {level: upper.domain[level] + lower.domain[level] for level in upper.domain},
        {level: upper.voxels[level] + lower.voxels[level] for level in upper.voxels},
        upper.domain_pairs + lower.domain_pairs,
        upper.resin_pairs + lower.resin_pairs,
    )


def dense(counted: csr_array) -> Ints:
    """Return a sparse array of integers as a dense one."""
    return np.asarray(counted.toarray(), np.int64)
