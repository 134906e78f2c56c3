"""Cavities: background that a domain encloses. They reveal that only the rim of a domain was segmented.

The background is 6-connected where objects are 26-connected, and the other way round. Only gaps between two runs of one
row can belong to a cavity; all other background is outside, and so is whatever touches it. A cavity belongs to the
domain left of its first voxel in raster order. That domain encloses it: before anything that lies inside the cavity
comes background of the cavity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .forest import number_roots, renumber, unite
from .runs import Int32, Int64, RowRuns, reach_of

OUTSIDE = 0  # the number of the background that no domain encloses


def pores_of(runs: RowRuns, connectivity: int) -> tuple[Int32, Int64]:
    """Find the background that the runs of a stack of slices enclose; the two ends of the stack count as closed.

    Parameters
    ----------
    runs : RowRuns
    connectivity : int
        Of the objects.

    Returns
    -------
    pore : int32 array (runs,)
        Pore of the gap behind each run, numbered from 1 by first voxel; 0 where there is no gap or it is open.
    owner : int64 array (pores + 1,)
        The run left of the first voxel of each pore; -1 for the outside.
    """
    node = np.arange(1, len(runs.x_start) + 1, dtype=np.int32)
    parent = np.arange(len(node) + 1, dtype=np.int32)
    _open_ends(runs, node, parent)
    _unite_gaps(runs, 1 - reach_of(connectivity), 0, node, parent)
    count = number_roots(parent)
    renumber(node, parent)
    owner = np.full(count, -1, np.int64)
    _first_runs(node, owner)
    return node, owner


def unite_pores(both: RowRuns, connectivity: int, node: NDArray[Any], parent: NDArray[Any]) -> None:
    """Unite pores across the seam between two slices; parameters as in :func:`~.touching.link_seam`."""
    _unite_gaps(both, 1 - reach_of(connectivity), both.ny, node, parent)


@njit(cache=True, nogil=True)
def _open_ends(runs: Any, node: Any, parent: Any) -> None:
    """Open the gaps of the first and last row of each slice, and what is behind the last run of any row."""
    row_ptr, x_start, x_stop, ny = runs
    for row in range(len(row_ptr) - 1):
        edge = row % ny in (0, ny - 1)
        for run in range(row_ptr[row], row_ptr[row + 1]):
            if edge or run + 1 == row_ptr[row + 1] or x_stop[run] == x_start[run + 1]:
                node[run] = parent[run + 1] = OUTSIDE


@njit(cache=True, nogil=True)
def _first_runs(pore: Any, owner: Any) -> None:
    for run in range(len(pore) - 1, -1, -1):
        if pore[run]:
            owner[pore[run]] = run


@njit(cache=True, nogil=True)
def _unite_row_gaps(runs: Any, earlier: Any, later: Any, reach: Any, node: Any, parent: Any) -> None:
    """Unite the background of two rows where it touches.

    The background of a row with m runs has m + 1 parts: before the first, the gaps, and behind the last run.
    """
    row_ptr, x_start, x_stop, _ = runs
    a, b = row_ptr[earlier], row_ptr[later]
    n_a, n_b = row_ptr[earlier + 1] - a, row_ptr[later + 1] - b
    if max(n_a, n_b) <= 1:  # no gaps
        return
    i = j = 0
    while i <= n_a and j <= n_b:
        # Both ends of a row are endless: beyond the scan is outside as well.
        a0 = x_stop[a + i - 1] if i > 0 else np.int32(-(2**30))
        a1 = x_start[a + i] if i < n_a else np.int32(2**30)
        b0 = x_stop[b + j - 1] if j > 0 else np.int32(-(2**30))
        b1 = x_start[b + j] if j < n_b else np.int32(2**30)
        if a0 < b1 + reach and b0 < a1 + reach and a0 < a1 and b0 < b1:
            one = node[a + i - 1] if 0 < i < n_a else OUTSIDE
            other = node[b + j - 1] if 0 < j < n_b else OUTSIDE
            if parent[one] or parent[other]:  # else both are known to be outside, as most are
                unite(parent, one, other)
        if a1 < b1:
            i += 1
        else:
            j += 1


@njit(cache=True, nogil=True)
def _unite_gaps(runs: Any, reach: Any, first_row: Any, node: Any, parent: Any) -> None:
    """Unite the gaps of ``first_row`` and later rows with those of earlier rows that they touch."""
    ny = runs.ny
    for row in range(first_row, len(runs.row_ptr) - 1):
        y = row % ny
        if y > 0 and first_row == 0:
            _unite_row_gaps(runs, row - 1, row, reach, node, parent)
        if row < ny:
            continue
        for other in range(row - ny - min(reach, y), row - ny + min(reach, ny - 1 - y) + 1):
            _unite_row_gaps(runs, other, row, reach, node, parent)
