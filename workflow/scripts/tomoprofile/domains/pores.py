"""Cavities: background that a domain shuts in. One tells that only the rim of a domain was segmented.

Background is connected by faces where objects are by edges and corners (26), and the other way round (6). Only gaps
between two runs of one row can belong to a cavity; everything else of the background is outside, and so is whatever
reaches it. A cavity belongs to the domain left of its first voxel in raster order: that domain encloses it, because
what lies inside the cavity has background of the cavity before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .forest import number_roots, renumber, unite
from .runs import Int32, Int64, RowRuns, reach_of

OUTSIDE = 0  # the pore that is none


def pores_of(runs: RowRuns, ny: int, connectivity: int) -> tuple[Int32, Int64]:
    """Find what background the runs of a stack of slices shut in along z, y and x; its two ends count as shut.

    Parameters
    ----------
    runs : RowRuns
    ny : int
        Rows in a slice.
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
    _open_ends(*runs, ny, node, parent)
    reach = 1 - reach_of(connectivity)
    _unite_gaps(*runs, ny, reach, 0, node, parent)
    count = number_roots(parent)
    renumber(node, parent)
    owner = np.full(count, -1, np.int64)
    _first_runs(node, owner)
    return node, owner


def unite_pores(both: RowRuns, ny: int, connectivity: int, node: NDArray[Any], parent: NDArray[Any]) -> None:
    """Unite pores across the seam between two slices; parameters as in :func:`~.touching.link_seam`."""
    _unite_gaps(*both, ny, 1 - reach_of(connectivity), ny, node, parent)


@njit(cache=True, nogil=True)
def _open_ends(row_ptr: Any, x_start: Any, x_stop: Any, ny: Any, node: Any, parent: Any) -> None:
    """Gaps of the first and last row of a slice are outside, and so is what is behind the last run of any row."""
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
def _unite_row_gaps(
    a: Any, a_end: Any, b: Any, b_end: Any, x_start: Any, x_stop: Any, reach: Any, node: Any, parent: Any
) -> None:
    """Unite the background of two rows where it touches.

    The background of a row with m runs has m + 1 parts: before the first, the gaps, and behind the last run.
    """
    n_a, n_b = a_end - a, b_end - b
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
def _unite_gaps(
    row_ptr: Any, x_start: Any, x_stop: Any, ny: Any, reach: Any, first_row: Any, node: Any, parent: Any
) -> None:
    """Unite the gaps of ``first_row`` and later rows with those of earlier rows that they touch."""
    for row in range(first_row, len(row_ptr) - 1):
        y = row % ny
        a, a_end = row_ptr[row], row_ptr[row + 1]
        if y > 0 and first_row == 0 and max(a_end - a, a - row_ptr[row - 1]) > 1:
            _unite_row_gaps(row_ptr[row - 1], a, a, a_end, x_start, x_stop, reach, node, parent)
        if row < ny:
            continue
        for other in range(row - ny - min(reach, y), row - ny + min(reach, ny - 1 - y) + 1):
            b, b_end = row_ptr[other], row_ptr[other + 1]
            if max(a_end - a, b_end - b) > 1:
                _unite_row_gaps(b, b_end, a, a_end, x_start, x_stop, reach, node, parent)
