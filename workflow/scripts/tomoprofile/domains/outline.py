"""Outlines: few voxels that hold all corners of the hull of a component.

The hull is that of the ends of its runs, and of those only the corners of the convex outline of each slice matter. They
are found as runs go by, and those of two parts together are those of the whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from .runs import Int32, Int64, RowRuns

_FEW_RUNS = 48  # all ends of so few are cheaper than their outline


class Members(NamedTuple):
    """The runs of each component.

    Attributes
    ----------
    runs : RowRuns
        Of all components.
    row : int32 array (runs,)
        Row of each run.
    order : int32 array (runs,)
        Runs sorted by component, those of one in raster order.
    first : int64 array (components + 1,)
        Where those of each component begin.
    """

    runs: RowRuns
    row: Int32
    order: Int32
    first: Int64


def members_of(runs: RowRuns, component: Int32, n_components: int) -> Members:
    """Return the runs of each component, given the component of each run."""
    return Members(runs, _rows_of(runs.row_ptr), *_sort_by_component(component, n_components))


def outline_points(members: Members, start: int, components: Int64) -> tuple[Int32, Int64]:
    """Return the corners of the outlines, slice by slice, of some components.

    Parameters
    ----------
    members : Members
    start : int
        The first slice.
    components : int64 array
        Whose points are wanted.

    Returns
    -------
    points : int32 array (points, 3)
        z, y, x of voxels, one component after the other.
    owner : int64 array (points,)
        The component of each.
    """
    n_runs = int((members.first[components + 1] - members.first[components]).sum())
    points = np.empty((2 * n_runs, 3), np.int32)
    counts = np.empty(len(components), np.int64)
    _outline_all(members, start, components, points, counts)
    return points[: counts.sum()].copy(), np.repeat(components, counts)


@njit(cache=True, nogil=True)
def _rows_of(row_ptr: Any) -> Any:
    row = np.empty(row_ptr[-1], np.int32)
    for r in range(len(row_ptr) - 1):
        row[row_ptr[r] : row_ptr[r + 1]] = r
    return row


@njit(cache=True, nogil=True)
def _sort_by_component(component: Any, n_components: Any) -> Any:
    """Return runs sorted by component, in raster order within, and where each component begins."""
    first = np.zeros(n_components + 1, np.int64)
    for run in range(len(component)):
        first[component[run] + 1] += 1
    for c in range(n_components):
        first[c + 1] += first[c]
    at = first[:-1].copy()
    order = np.empty(len(component), np.int32)
    for run in range(len(component)):
        order[at[component[run]]] = run
        at[component[run]] += 1
    return order, first


@njit(cache=True, nogil=True)
def _outline_all(members: Any, start: Any, components: Any, points: Any, counts: Any) -> None:
    """Write the points of one component after the other, and how many each has."""
    runs, row, order, first = members
    total = 0
    for i, component in enumerate(components):
        mine = order[first[component] : first[component + 1]]
        counts[i] = outline(runs, row, mine, start, points[total:])
        total += counts[i]


@njit(cache=True, nogil=True)
def outline(runs: Any, row: Any, mine: Any, start: Any, points: Any) -> Any:
    """Write the corners of the convex outline of each slice, or all ends of few runs; return how many there are."""
    if len(mine) <= _FEW_RUNS:
        return _ends(runs, row, mine, start, points)
    count = i = 0
    while i < len(mine):
        z = row[mine[i]] // runs.ny
        base_row = z * runs.ny
        end = i
        while end < len(mine) and row[mine[end]] < base_row + runs.ny:
            end += 1
        for sign in (-1, 1):  # the chain of least x, then that of largest x
            base = count
            j = i
            while j < end:
                begin, r = j, row[mine[j]]
                while j < end and row[mine[j]] == r:
                    j += 1
                x = runs.x_start[mine[begin]] if sign < 0 else runs.x_stop[mine[j - 1]] - 1
                count = _add_to_chain(points, base, count, (z + start, r - base_row, x), sign)
        i = end
    return count


@njit(cache=True, nogil=True)
def _ends(runs: Any, row: Any, mine: Any, start: Any, points: Any) -> Any:
    """Write the first and last voxel of each run; return how many there are."""
    count, z, base_row = 0, 0, 0
    for run in mine:
        if row[run] >= base_row + runs.ny or run == mine[0]:
            z = row[run] // runs.ny
            base_row = z * runs.ny
        x_start, x_stop = runs.x_start[run], runs.x_stop[run]
        for x in range(x_start, x_stop, max(1, x_stop - 1 - x_start)):
            points[count, 0], points[count, 1], points[count, 2] = z + start, row[run] - base_row, x
            count += 1
    return count


@njit(cache=True, nogil=True)
def _add_to_chain(points: Any, base: Any, count: Any, point: Any, sign: Any) -> Any:
    """Add a point to the chain that begins at ``base``, without points that it makes inner ones; return the count."""
    z, y, x = point
    while count - base >= 2:
        y1, x1 = np.int64(points[count - 2, 1]), np.int64(points[count - 2, 2])
        y2, x2 = np.int64(points[count - 1, 1]), np.int64(points[count - 1, 2])
        if sign * ((y2 - y1) * (x - x1) - (x2 - x1) * (y - y1)) < 0:
            break
        count -= 1
    points[count, 0], points[count, 1], points[count, 2] = z, y, x
    return count + 1
