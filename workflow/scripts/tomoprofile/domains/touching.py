"""Which runs touch: components, and all that only touching tells of them.

A run meets earlier runs in four rows: beside it in its slice (y - 1), and above it (y - 1, y, y + 1 of slice z - 1).
One visit unites what touches, counts the pairs of neighbouring voxels in the 13 directions of
:data:`~.surface.DIRECTIONS`, and adds to the Euler number:

- under 26 an object is a union of closed voxels. Its runs are closed boxes, and by the nerve theorem its Euler number
  is that of the complex of which boxes meet: runs - pairs + triples - quadruples of runs with a common point.
- under 6 an object is the complex of voxels joined by faces: voxels - faces + squares - cubes. Along runs it
  shortens to runs - overlapping pairs in face-adjacent rows + overlapping quadruples in 2 x 2 rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .forest import number_roots, renumber, root, unite
from .runs import Int32, Int64, RowRuns, reach_of

# Columns of a tally: pairs of voxels in 13 directions, and then
EULER, CAVITIES, PROBABILITY, TALLIES = 13, 14, 15, 16
_NOWHERE = np.iinfo(np.int32).max


def components_of(runs: RowRuns, ny: int, connectivity: int, counted: bool = True) -> tuple[Int32, Int64]:
    """Find the components of a stack of slices.

    Parameters
    ----------
    runs : RowRuns
    ny : int
        Rows in a slice.
    connectivity : int
        6: voxels touch by faces; 26: also by edges and corners.
    counted : bool
        Whether pairs and Euler numbers are wanted.

    Returns
    -------
    component : int32 array (runs,)
        Numbered from 0 by first voxel in raster order.
    tally : int64 array (components, 16)
        Pairs of voxels in 13 directions and the Euler number; the rest is 0. Under 6, pairs of runs of one component
        that share no face are left to :func:`diagonal_pairs`.
    """
    label = np.full(len(runs.x_start), -1, np.int32)
    # As many as there could be; the system hands out only the memory that is written to.
    parent, tally = np.empty(len(label), np.int32), np.zeros((len(label), TALLIES), np.int64)
    link = _link if connectivity == 6 else _link_all if counted else _link_only
    count = link(*runs, ny, reach_of(connectivity), 0, False, label, parent, tally)
    parent = parent[:count]
    numbers = parent.copy()
    n_components = number_roots(numbers)
    renumber(label, numbers)
    merged = np.zeros((n_components, TALLIES), np.int64)
    if counted:
        _add_rows(tally[:count], numbers, merged)
    return label, merged


def tally_instances(runs: RowRuns, ny: int, component: Int32, n_components: int) -> Int64:
    """Return the tally (components, 16) of runs whose components are given; those of others may touch them."""
    tally = np.zeros((n_components, TALLIES), np.int64)
    _link(*runs, ny, 1, 0, True, component, np.empty(0, np.int32), tally)
    return tally


def link_seam(
    both: RowRuns, ny: int, connectivity: int, component: Int64, parent: Int64, tally: Int64, given: bool
) -> None:
    """Unite components across the seam between two slices, and count what the seam adds.

    Parameters
    ----------
    both : RowRuns
        The last slice of a part and the slice that follows it.
    ny : int
        Rows in a slice.
    connectivity : int
    component : int64 array (runs,)
        Component of each run, numbered over both parts.
    parent : int64 array (components,)
        Forest, changed in place.
    tally : int64 array (components, 16)
        Added to, at any component of those that became one.
    given : bool
        Whether components are given by labels: then nothing is united, and only equal ones count.
    """
    _link(*both, ny, 1 if given else reach_of(connectivity), ny, given, component, parent, tally)


def diagonal_pairs(runs: RowRuns, ny: int, component: Any, first_row: int, pairs: Int64, keep: Any) -> Int64:
    """Add the pairs that 6-connected components form over edges and corners alone.

    Parameters
    ----------
    runs : RowRuns
    ny : int
    component : int array (runs,)
    first_row : int
        Rows before it are looked at from later ones only.
    pairs : int64 array (components, 16)
        Tally to add to when both runs belong to one component.
    keep : bool array (components,)
        Components that may become one elsewhere.

    Returns
    -------
    int64 array (contacts, 4)
        For pairs between two different components of ``keep``: both components, direction, pairs.
    """
    nothing = np.empty((0, 4), np.int64)
    count = _diagonals(*runs, ny, first_row, component, pairs, keep, nothing, False)
    contacts = np.empty((count, 4), np.int64)
    _diagonals(*runs, ny, first_row, component, pairs, keep, contacts, True)
    return contacts


@njit(cache=True, nogil=True)
def _add_rows(rows: Any, target: Any, out: Any) -> None:
    for row in range(len(rows)):
        for column in range(rows.shape[1]):
            out[target[row], column] += rows[row, column]


@njit(cache=True, nogil=True, inline="always")
def _add_pairs(tally: Any, k: Any, a0: Any, a1: Any, b0: Any, b1: Any) -> None:
    """Add the pairs of an earlier run a and a later run b; steps along x by -1, 0, 1 are directions k, k + 1, k + 2."""
    tally[k] += max(0, min(a1, b1 + 1) - max(a0, b0 + 1))
    tally[k + 1] += max(0, min(a1, b1) - max(a0, b0))
    tally[k + 2] += max(0, min(a1, b1 - 1) - max(a0, b0 - 1))


@njit(cache=True, nogil=True)
def _unite_touched(
    parent: Any, label: Any, own: Any, other: Any, stop: Any, x_start: Any, x_stop: Any, low: Any, high: Any, reach: Any
) -> Any:
    """Unite a run's label, -1 while it has none, with those of the runs ``[other, stop)`` that it touches."""
    for touched in range(other, stop):
        if reach or (x_start[touched] < high and low < x_stop[touched]):
            if own < 0:
                own = np.int64(root(parent, label[touched]))
            elif label[touched] != own:
                own = np.int64(unite(parent, own, label[touched]))
    return own


@njit(cache=True, nogil=True)
def _common(
    x_start: Any, x_stop: Any, low: Any, high: Any, other: Any, stop: Any, given: Any, label: Any, own: Any
) -> Any:
    """Return the common part of ``[low, high]`` and the run ``other``; an empty one when there is none."""
    if other == stop or (given and label[other] != own):
        return np.int32(_NOWHERE), np.int32(-1)
    return max(low, x_start[other]), min(high, x_stop[other])


@njit(cache=True, nogil=True)
def _triples(
    x_start: Any, x_stop: Any, low: Any, high: Any, b: Any, b_end: Any, c: Any, c_end: Any,
    given: Any, label: Any, own: Any,
) -> Any:  # fmt: skip
    """Count the triples of closed runs with a common point: ``[low, high]``, one of b and one of c."""
    count = 0
    for one in range(b, b_end):
        if given and label[one] != own:
            continue
        start, stop = max(low, x_start[one]), min(high, x_stop[one])
        for other in range(c, c_end):
            if max(start, x_start[other]) <= min(stop, x_stop[other]) and not (given and label[other] != own):
                count += 1
    return count


@njit(cache=True, nogil=True)
def _quadruples(
    x_start: Any, x_stop: Any, low: Any, high: Any, b: Any, b_end: Any, c: Any, c_end: Any, d: Any, d_end: Any,
    reach: Any, given: Any, label: Any, own: Any,
) -> Any:  # fmt: skip
    """Count quadruples of runs with a common point (reach 1) or voxel (reach 0)."""
    count = 0
    for one in range(b, b_end):
        if given and label[one] != own:
            continue
        start1, stop1 = max(low, x_start[one]), min(high, x_stop[one])
        for two in range(c, c_end):
            if given and label[two] != own:
                continue
            start2, stop2 = max(start1, x_start[two]), min(stop1, x_stop[two])
            if start2 >= stop2 + reach:
                continue
            for three in range(d, d_end):
                start, stop = max(start2, x_start[three]), min(stop2, x_stop[three])
                if start < stop + reach and not (given and label[three] != own):
                    count += 1
    return count


@njit(cache=True, nogil=True, inline="always")
def _visit(
    row_ptr: Any, x_start: Any, x_stop: Any, ny: Any, reach: Any, first_row: Any, given: Any, counted: Any,
    label: Any, parent: Any, tally: Any,
) -> Any:  # fmt: skip
    """Visit every run of ``first_row`` and later rows; return how many labels were made.

    With ``first_row`` 0 runs get labels, new ones where they touch nothing before. Otherwise runs have theirs, and only
    what crosses the seam above ``first_row`` counts.
    """
    n_labels = 0
    across = first_row > 0
    for row in range(first_row, len(row_ptr) - 1):
        a_end = row_ptr[row + 1]
        y = row % ny
        # The first run of each earlier row that can still touch: w beside; nw, n, ne above.
        w = w_end = nw = nw_end = n = n_end = ne = ne_end = row_ptr[row]
        if y > 0:
            w = row_ptr[row - 1]
        if row >= ny:
            n, n_end = row_ptr[row - ny], row_ptr[row - ny + 1]
            nw = nw_end = n
            ne = ne_end = n_end
            if y > 0:
                nw = row_ptr[row - ny - 1]
            if y + 1 < ny:
                ne_end = row_ptr[row - ny + 2]
        for run in range(row_ptr[row], a_end):
            low, high = x_start[run], x_stop[run]
            while w < w_end and x_stop[w] < low:
                w += 1
            while nw < nw_end and x_stop[nw] < low:
                nw += 1
            while n < n_end and x_stop[n] < low:
                n += 1
            while ne < ne_end and x_stop[ne] < low:
                ne += 1
            w_stop, nw_stop, n_stop, ne_stop = w, nw, n, ne
            while w_stop < w_end and x_start[w_stop] <= high:
                w_stop += 1
            while nw_stop < nw_end and x_start[nw_stop] <= high:
                nw_stop += 1
            while n_stop < n_end and x_start[n_stop] <= high:
                n_stop += 1
            while ne_stop < ne_end and x_start[ne_stop] <= high:
                ne_stop += 1
            own = np.int64(label[run])
            if not given:
                own = np.int64(root(parent, own)) if across else np.int64(-1)
                if not across:
                    own = _unite_touched(parent, label, own, w, w_stop, x_start, x_stop, low, high, reach)
                own = _unite_touched(parent, label, own, n, n_stop, x_start, x_stop, low, high, reach)
                if reach:
                    own = _unite_touched(parent, label, own, nw, nw_stop, x_start, x_stop, low, high, reach)
                    own = _unite_touched(parent, label, own, ne, ne_stop, x_start, x_stop, low, high, reach)
                if own < 0:
                    own = np.int64(n_labels)
                    parent[own] = own
                    n_labels += 1
                if not across:
                    label[run] = own
            if not counted:
                continue
            mine = tally[own]
            euler = 0
            if not across:
                mine[0] += high - low - 1
                euler += 1
                for other in range(w, w_stop):
                    if given and label[other] != own:
                        continue
                    if reach or (x_start[other] < high and low < x_stop[other]):
                        _add_pairs(mine, 1, x_start[other], x_stop[other], low, high)
                        euler -= 1
            for other in range(n, n_stop):
                if given and label[other] != own:
                    continue
                if reach or (x_start[other] < high and low < x_stop[other]):
                    _add_pairs(mine, 7, x_start[other], x_stop[other], low, high)
                    euler -= 1
            if reach:
                for other in range(nw, nw_stop):
                    if not given or label[other] == own:
                        _add_pairs(mine, 10, x_start[other], x_stop[other], low, high)
                        euler -= 1
                for other in range(ne, ne_stop):
                    if not given or label[other] == own:
                        _add_pairs(mine, 4, x_start[other], x_stop[other], low, high)
                        euler -= 1
            if max(w_stop - w, nw_stop - nw, n_stop - n, ne_stop - ne) <= 1:
                # The usual case: at most one run in each row, so that its common part with this one tells all.
                w0, w1 = _common(x_start, x_stop, low, high, w, w_stop, given, label, own)
                nw0, nw1 = _common(x_start, x_stop, low, high, nw, nw_stop, given, label, own)
                n0, n1 = _common(x_start, x_stop, low, high, n, n_stop, given, label, own)
                if reach:
                    ne0, ne1 = _common(x_start, x_stop, low, high, ne, ne_stop, given, label, own)
                    euler += (max(n0, nw0) <= min(n1, nw1)) + (max(n0, ne0) <= min(n1, ne1))
                    euler += (max(w0, nw0) <= min(w1, nw1)) + (max(w0, n0) <= min(w1, n1))
                    euler -= max(w0, nw0, n0) <= min(w1, nw1, n1)
                else:
                    euler += max(w0, nw0, n0) < min(w1, nw1, n1)
            else:
                if reach:
                    euler += _triples(x_start, x_stop, low, high, nw, nw_stop, n, n_stop, given, label, own)
                    euler += _triples(x_start, x_stop, low, high, ne, ne_stop, n, n_stop, given, label, own)
                    euler += _triples(x_start, x_stop, low, high, w, w_stop, nw, nw_stop, given, label, own)
                    euler += _triples(x_start, x_stop, low, high, w, w_stop, n, n_stop, given, label, own)
                found = _quadruples(
                    x_start, x_stop, low, high, w, w_stop, nw, nw_stop, n, n_stop, reach, given, label, own
                )
                euler += -found if reach else found
            mine[EULER] += euler
    return n_labels


@njit(cache=True, nogil=True)
def _link(
    row_ptr: Any, x_start: Any, x_stop: Any, ny: Any, reach: Any, first_row: Any, given: Any,
    label: Any, parent: Any, tally: Any,
) -> Any:  # fmt: skip
    return _visit(row_ptr, x_start, x_stop, ny, reach, first_row, given, True, label, parent, tally)


@njit(cache=True, nogil=True)
def _link_all(
    row_ptr: Any, x_start: Any, x_stop: Any, ny: Any, _reach: Any, _first_row: Any, _given: Any,
    label: Any, parent: Any, tally: Any,
) -> Any:  # fmt: skip
    """Do so for most of the runs there are, under 26; a third faster, as the compiler knows what is asked."""
    return _visit(row_ptr, x_start, x_stop, ny, 1, 0, False, True, label, parent, tally)


@njit(cache=True, nogil=True)
def _link_only(
    row_ptr: Any, x_start: Any, x_stop: Any, ny: Any, _reach: Any, _first_row: Any, _given: Any,
    label: Any, parent: Any, tally: Any,
) -> Any:  # fmt: skip
    """Do so, and count nothing: for the levels of the band."""
    return _visit(row_ptr, x_start, x_stop, ny, 1, 0, False, False, label, parent, tally)


@njit(cache=True, nogil=True)
def _diagonals(
    row_ptr: Any, x_start: Any, x_stop: Any, ny: Any, first_row: Any, component: Any, pairs: Any, keep: Any,
    contacts: Any, final: Any,
) -> Any:  # fmt: skip
    """Add pairs of one component in the ``final`` call; write or only count the contacts of different ones."""
    found = 0
    across = first_row > 0
    pair = np.zeros(3, np.int64)
    for row in range(first_row, len(row_ptr) - 1):
        y = row % ny
        for side in range(4):  # beside; above y - 1, y, y + 1
            if side == 0:
                if across or y == 0:
                    continue
                other_row, k = row - 1, 1
            else:
                if row < ny or y + side - 2 < 0 or y + side - 2 >= ny:
                    continue
                other_row, k = row - ny + side - 2, 7 - 3 * (side - 2)
            q, q_end = row_ptr[other_row], row_ptr[other_row + 1]
            for run in range(row_ptr[row], row_ptr[row + 1]):
                low, high, own = x_start[run], x_stop[run], component[run]
                while q < q_end and x_stop[q] < low:
                    q += 1
                other = q
                while other < q_end and x_start[other] <= high:
                    by_faces = side % 2 == 0 and x_start[other] < high and low < x_stop[other]
                    same = component[other] == own
                    if not by_faces and (same or (keep[own] and keep[component[other]])):
                        pair[:] = 0
                        _add_pairs(pair, 0, x_start[other], x_stop[other], low, high)
                        for step in range(3):
                            if pair[step] and same and final:
                                pairs[own, k + step] += pair[step]
                            elif pair[step] and not same:
                                if final:
                                    contacts[found, 0], contacts[found, 1] = own, component[other]
                                    contacts[found, 2], contacts[found, 3] = k + step, pair[step]
                                found += 1
                    other += 1
    return found
