"""Cavities: background that a domain encloses. They reveal that only the rim of a domain was segmented.

The background is 6-connected where objects are 26-connected, and the other way round. Only gaps between two runs of one
row can belong to a cavity; all other background is outside, and so is whatever touches it. A cavity belongs to the
domain left of its first voxel in raster order. That domain encloses it: before anything that lies inside the cavity
comes background of the cavity.

Given labels may touch. The cavities of each are then those it would have alone: everything but its own voxels is its
background, other labels too, and a gap reaches to the next run of the same label. Runs are sorted by label for this,
so that the runs of a label on a row lie beside each other, as those of a row do otherwise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .forest import number_roots, renumber, unite
from .runs import Int32, Int64, RowRuns, reach_of

OUTSIDE = 0  # the number of the background that no domain encloses


def pores_of(runs: RowRuns, connectivity: int, component: Int32 | None = None) -> tuple[Int32, Int64]:
    """Find the background that the runs of a stack of slices enclose; the two ends of the stack count as closed.

    Parameters
    ----------
    runs : RowRuns
    connectivity : int
        Of the objects.
    component : int array (runs,), optional
        The component of each run where components are given by labels.

    Returns
    -------
    pore : int32 array (runs,)
        Pore of the gap behind each run, numbered from 1 by first voxel; 0 where there is no gap or it is open.
    owner : int64 array (pores + 1,)
        The run left of the first voxel of each pore; -1 for the outside.
    """
    node = np.arange(1, len(runs.x_start) + 1, dtype=np.int32)
    parent = np.arange(len(node) + 1, dtype=np.int32)
    reach = 1 - reach_of(connectivity)
    if component is None:
        _open_ends(runs, node, parent)
        _unite_gaps(runs, reach, 0, node, parent)
    else:
        order, rows = _by_label(runs, component)
        sorted_node = node[order]
        _open_ends_of_each(rows, sorted_node, parent)
        _unite_gaps_of_each(rows, reach, False, sorted_node, parent)
        node[order] = sorted_node
    count = number_roots(parent)
    renumber(node, parent)
    owner = np.full(count, -1, np.int64)
    _first_runs(node, owner)
    return node, owner


def unite_pores(
    both: RowRuns, connectivity: int, component: Int64 | None, node: NDArray[Any], parent: NDArray[Any]
) -> None:
    """Unite pores across the seam between two slices.

    Parameters
    ----------
    both : RowRuns
        The last slice of a part and the slice that follows it.
    connectivity : int
        Of the objects.
    component : int array (runs,) or None
        The component of each run where components are given by labels.
    node : int array (runs,)
        Pore of the gap behind each run, numbered over both parts.
    parent : int array (pores,)
        Forest, changed in place.
    """
    reach = 1 - reach_of(connectivity)
    if component is None:
        _unite_gaps(both, reach, both.ny, node, parent)
    else:
        order, rows = _by_label(both, component)
        _unite_gaps_of_each(rows, reach, True, node[order], parent)


class _LabelRows(NamedTuple):
    """Runs sorted by label; a row is what a label has on a row of the stack, and rows without any of it are left out.

    Attributes
    ----------
    runs : RowRuns
        Of these rows.
    place : int64 array (rows,)
        Label times the rows of the stack, plus the row of the stack; ascending.
    nz : int
        Slices of the stack.
    """

    runs: RowRuns
    place: Int64
    nz: int


def _by_label(runs: RowRuns, component: Int32 | Int64) -> tuple[Int64, _LabelRows]:
    """Return the order that sorts runs by label, and the sorted runs."""
    n_rows = len(runs.row_ptr) - 1
    row = np.repeat(np.arange(n_rows), np.diff(runs.row_ptr))
    order = np.argsort(component, kind="stable")
    place = (component.astype(np.int64) * n_rows + row)[order]
    first = np.flatnonzero(np.diff(place, prepend=-1))
    row_ptr = np.append(first, len(place))
    by_label = RowRuns(row_ptr, runs.x_start[order], runs.x_stop[order], runs.ny)
    return order, _LabelRows(by_label, place[first], runs.nz)


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


@njit(cache=True, nogil=True)
def _open_ends_of_each(rows: Any, node: Any, parent: Any) -> None:
    """Open the gaps of the first and last row of each slice, and what is behind the last run of a label on any row."""
    runs, place, nz = rows
    n_rows = nz * runs.ny
    for at in range(len(place)):
        edge = place[at] % n_rows % runs.ny in (0, runs.ny - 1)
        last = runs.row_ptr[at + 1] - 1
        for run in range(runs.row_ptr[at], last + 1):
            if edge or run == last:
                parent[node[run]] = OUTSIDE
                node[run] = OUTSIDE


@njit(cache=True, nogil=True)
def _unite_gaps_of_each(rows: Any, reach: Any, across: Any, node: Any, parent: Any) -> None:
    """Unite the gaps of each label with those of neighbouring rows; only with rows of another slice if ``across``.

    A neighbouring row without the label is outside as a whole, and opens what touches it. Most rows have a single run
    of their label and no gap, and are only looked at as neighbours.
    """
    runs, place, nz = rows
    ny, n_rows = runs.ny, nz * runs.ny
    for at in range(len(place)):
        if runs.row_ptr[at + 1] - runs.row_ptr[at] == 1:
            continue
        row = place[at] % n_rows
        z, y = row // ny, row % ny
        for dz in range(-1, 2):
            if (across and dz == 0) or not 0 <= z + dz < nz:
                continue
            side = reach if dz else 1
            for dy in range(-side, side + 1):
                if (dz == 0 and dy == 0) or not 0 <= y + dy < ny:
                    continue
                wanted = place[at] + dz * ny + dy
                other = np.searchsorted(place, wanted)
                if other == len(place) or place[other] != wanted:
                    for run in range(runs.row_ptr[at], runs.row_ptr[at + 1]):
                        if parent[node[run]]:
                            unite(parent, OUTSIDE, node[run])
                else:
                    _unite_row_gaps(runs, other, at, reach, node, parent)
