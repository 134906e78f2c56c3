"""Which runs touch: components, and all that only touching reveals about them.

A run meets earlier runs in four rows: beside it in its slice (y - 1), and above it (y - 1, y, y + 1 of slice z - 1).
One visit unites what touches, counts the pairs of neighbouring voxels in the 13 directions of
:data:`~.surface.DIRECTIONS`, and adds to the Euler number:

- under 26 an object is a union of closed voxels. Its runs are closed boxes, and by the nerve theorem its Euler number
  is that of the complex of which boxes meet: runs - pairs + triples - quadruples of runs with a common point.
- under 6 an object is the complex of voxels joined by faces: voxels - faces + squares - cubes. Along runs it
  shortens to runs - overlapping pairs in face-adjacent rows + overlapping quadruples in 2 x 2 rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from .forest import number_roots, renumber, root, unite
from .runs import Int32, Int64, RowRuns, reach_of

# Columns of a tally: pairs of voxels in 13 directions, and then
EULER, CAVITIES, PROBABILITY, TALLIES = 13, 14, 15, 16
_NOWHERE = np.iinfo(np.int32).max


def components_of(runs: RowRuns, connectivity: int, counted: bool = True) -> tuple[Int32, Int64]:
    """Find the components of a stack of slices.

    Parameters
    ----------
    runs : RowRuns
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
    if connectivity == 6:
        count = _link(runs, _Rule(reach_of(connectivity), 0, False), label, parent, tally)
    else:
        count = (_link_all if counted else _link_only)(runs, label, parent, tally)
    parent = parent[:count]
    numbers = parent.copy()
    n_components = number_roots(numbers)
    renumber(label, numbers)
    merged = np.zeros((n_components, TALLIES), np.int64)
    if counted:
        _add_rows(tally[:count], numbers, merged)
    return label, merged


def tally_instances(runs: RowRuns, connectivity: int, component: Int32, n_components: int) -> Int64:
    """Return the tally (components, 16) of runs whose components are given; those of others may touch them.

    Under 6, pairs of runs that share no face are left to :func:`diagonal_pairs`, as in :func:`components_of`.
    """
    tally = np.zeros((n_components, TALLIES), np.int64)
    _link(runs, _Rule(reach_of(connectivity), 0, True), component, np.empty(0, np.int32), tally)
    return tally


def link_seam(both: RowRuns, connectivity: int, component: Int64, parent: Int64, tally: Int64, given: bool) -> None:
    """Unite components across the seam between two slices, and count what the seam adds.

    Parameters
    ----------
    both : RowRuns
        The last slice of a part and the slice that follows it.
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
    _link(both, _Rule(reach_of(connectivity), both.ny, given), component, parent, tally)


def diagonal_pairs(runs: RowRuns, component: Any, first_row: int, pairs: Int64, keep: Any) -> Int64:
    """Add the pairs that 6-connected components form over edges and corners alone.

    Parameters
    ----------
    runs : RowRuns
    component : int array (runs,)
    first_row : int
        Earlier rows only count as neighbours of later ones.
    pairs : int64 array (components, 16)
        Tally to add to when both runs belong to one component.
    keep : bool array (components,)
        Components that may become one elsewhere; none where labels are given.

    Returns
    -------
    int64 array (contacts, 4)
        For pairs between two different components of ``keep``: both components, direction, pairs.
    """
    return _diagonals(runs, first_row, component, pairs, keep)


class _Rule(NamedTuple):
    """Which runs are visited, and what touching means for them.

    Attributes
    ----------
    reach : int
        1 when runs that share only an edge or corner touch, else 0.
    first_row : int
        With 0 every run is visited and gets a label, a new one where it touches nothing before. Otherwise runs have
        their labels, those from this row on are visited, and only what crosses the seam above the row counts.
    given : bool
        Labels are given: nothing is united, and only runs of equal label belong together.
    """

    reach: int
    first_row: int
    given: bool


class _Labels(NamedTuple):
    """The label of each run, and whether only runs of equal label belong together."""

    of: Any
    given: Any


class _Run(NamedTuple):
    """The run that is visited: its first voxel, one past its last, and its label."""

    low: Any
    high: Any
    label: Any


class _Near(NamedTuple):
    """The runs ``[first, stop)`` of each earlier row whose closed boxes touch that of a run.

    ``w`` is the row beside it in its slice; ``nw``, ``n`` and ``ne`` lie above it, at y - 1, y and y + 1.
    """

    w: Any
    nw: Any
    n: Any
    ne: Any


@njit(cache=True, nogil=True)
def _add_rows(rows: Any, target: Any, out: Any) -> None:
    for row in range(len(rows)):
        for column in range(rows.shape[1]):
            out[target[row], column] += rows[row, column]


@njit(cache=True, nogil=True)
def _link(runs: Any, rule: Any, label: Any, parent: Any, tally: Any) -> Any:
    return _visit(runs, rule, True, label, parent, tally)


@njit(cache=True, nogil=True)
def _link_all(runs: Any, label: Any, parent: Any, tally: Any) -> Any:
    """Link all runs under 26, the usual case: a third faster, as the compiler knows the rule."""
    return _visit(runs, _Rule(1, 0, False), True, label, parent, tally)


@njit(cache=True, nogil=True)
def _link_only(runs: Any, label: Any, parent: Any, tally: Any) -> Any:
    """Do so without counting anything: for the levels of the band."""
    return _visit(runs, _Rule(1, 0, False), False, label, parent, tally)


@njit(cache=True, nogil=True, inline="always")
def _visit(runs: Any, rule: Any, counted: Any, label: Any, parent: Any, tally: Any) -> Any:
    """Visit the runs that the rule names: find what each touches, unite, count; return how many labels were made.

    In one function, as steps of their own cost a tenth more.
    """
    n_labels = 0
    row_ptr, labels = runs.row_ptr, _Labels(label, rule.given)
    across = rule.first_row > 0
    for row in range(rule.first_row, len(row_ptr) - 1):
        w, nw, n, ne = _rows_before(row_ptr, runs.ny, row)
        for run in range(row_ptr[row], row_ptr[row + 1]):
            low, high = runs.x_start[run], runs.x_stop[run]
            w, nw = _skip(runs, w, low), _skip(runs, nw, low)
            n, ne = _skip(runs, n, low), _skip(runs, ne, low)
            near = _Near(_up_to(runs, w, high), _up_to(runs, nw, high), _up_to(runs, n, high), _up_to(runs, ne, high))
            own = np.int64(label[run])
            if not rule.given:
                own = np.int64(root(parent, own)) if across else np.int64(-1)
                if not across:
                    own = _unite_touched(runs, _Run(low, high, own), near.w, rule.reach, label, parent)
                own = _unite_touched(runs, _Run(low, high, own), near.n, rule.reach, label, parent)
                if rule.reach:
                    own = _unite_touched(runs, _Run(low, high, own), near.nw, 1, label, parent)
                    own = _unite_touched(runs, _Run(low, high, own), near.ne, 1, label, parent)
                if own < 0:
                    own = np.int64(n_labels)
                    parent[own] = own
                    n_labels += 1
                if not across:
                    label[run] = own
            if counted:
                this = _Run(low, high, own)
                mine = tally[own]
                euler = np.int64(0)
                if not across:
                    mine[0] += high - low - 1
                    euler += 1 - _tally_pairs(runs, labels, this, near.w, rule.reach, 1, mine)
                euler -= _tally_pairs(runs, labels, this, near.n, rule.reach, 7, mine)
                if rule.reach:
                    euler -= _tally_pairs(runs, labels, this, near.nw, 1, 10, mine)
                    euler -= _tally_pairs(runs, labels, this, near.ne, 1, 4, mine)
                if _at_most_one_each(near):
                    # The usual case: what each row has in common with this run tells all.
                    beside, west = _common(runs, labels, this, near.w), _common(runs, labels, this, near.nw)
                    above, east = _common(runs, labels, this, near.n), _common(runs, labels, this, near.ne)
                    euler += _common_points(_Near(beside, west, above, east), rule.reach)
                else:
                    if rule.reach:
                        euler += _triples(runs, labels, this, near)
                    found = _quadruples(runs, labels, this, near, rule.reach)
                    euler += -found if rule.reach else found
                mine[EULER] += euler
    return n_labels


@njit(cache=True, nogil=True)
def _rows_before(row_ptr: Any, ny: Any, row: Any) -> Any:
    """Return the runs ``[first, stop)`` of the rows w, nw, n and ne of a row; none where there is no such row."""
    y = row % ny
    here = row_ptr[row]
    w = nw = n = ne = (here, here)
    if y > 0:
        w = (row_ptr[row - 1], here)
    above = row - ny
    if above >= 0:
        n = (row_ptr[above], row_ptr[above + 1])
        if y > 0:
            nw = (row_ptr[above - 1], n[0])
        if y + 1 < ny:
            ne = (n[1], row_ptr[above + 2])
    return w, nw, n, ne


@njit(cache=True, nogil=True)
def _skip(runs: Any, some: Any, low: Any) -> Any:
    """Return runs without those that end before ``low``."""
    first, stop = some
    while first < stop and runs.x_stop[first] < low:
        first += 1
    return first, stop


@njit(cache=True, nogil=True)
def _up_to(runs: Any, some: Any, high: Any) -> Any:
    """Return runs without those that begin behind ``high``."""
    first, end = some
    stop = first
    while stop < end and runs.x_start[stop] <= high:
        stop += 1
    return first, stop


@njit(cache=True, nogil=True)
def _belongs(labels: Any, run: Any, this: Any) -> Any:
    return (labels.of[run] == this.label) | (not labels.given)


@njit(cache=True, nogil=True)
def _unite_touched(runs: Any, this: Any, some: Any, reach: Any, label: Any, parent: Any) -> Any:
    """Unite a run's label, -1 while it has none, with those of the runs that it touches; return the label."""
    own = this.label
    for touched in range(some[0], some[1]):
        if reach or (runs.x_start[touched] < this.high and this.low < runs.x_stop[touched]):
            if own < 0:
                own = np.int64(root(parent, label[touched]))
            elif label[touched] != own:
                own = np.int64(unite(parent, own, label[touched]))
    return own


@njit(cache=True, nogil=True, inline="always")
def _tally_pairs(runs: Any, labels: Any, this: Any, some: Any, reach: Any, k: Any, mine: Any) -> Any:
    """Count pairs of voxels with the runs of an earlier row that touch; return how many runs do."""
    touching = 0
    for other in range(some[0], some[1]):
        x_start, x_stop = runs.x_start[other], runs.x_stop[other]
        if _belongs(labels, other, this) and (reach or (x_start < this.high and this.low < x_stop)):
            _add_pairs(mine, k, (x_start, x_stop), (this.low, this.high))
            touching += 1
    return touching


@njit(cache=True, nogil=True)
def _add_pairs(tally: Any, k: Any, a: Any, b: Any) -> None:
    """Add the pairs of an earlier run a and a later run b; steps along x by -1, 0, 1 are directions k, k + 1, k + 2."""
    tally[k] += max(0, min(a[1], b[1] + 1) - max(a[0], b[0] + 1))
    tally[k + 1] += max(0, min(a[1], b[1]) - max(a[0], b[0]))
    tally[k + 2] += max(0, min(a[1], b[1] - 1) - max(a[0], b[0] - 1))


@njit(cache=True, nogil=True)
def _at_most_one_each(near: Any) -> Any:
    w, nw, n, ne = near
    return max(w[1] - w[0], nw[1] - nw[0], n[1] - n[0], ne[1] - ne[0]) <= 1


@njit(cache=True, nogil=True)
def _common_points(parts: Any, reach: Any) -> Any:
    """Return what triples and quadruples of a run and one of each row add, given what they have in common with it."""
    (w0, w1), (nw0, nw1), (n0, n1), (ne0, ne1) = parts
    if not reach:
        return np.int64(max(w0, nw0, n0) < min(w1, nw1, n1))
    triples = np.int64(max(n0, nw0) <= min(n1, nw1)) + (max(n0, ne0) <= min(n1, ne1))
    triples += np.int64(max(w0, nw0) <= min(w1, nw1)) + (max(w0, n0) <= min(w1, n1))
    return triples - np.int64(max(w0, nw0, n0) <= min(w1, nw1, n1))


@njit(cache=True, nogil=True)
def _common(runs: Any, labels: Any, this: Any, some: Any) -> Any:
    """Return the common part of this run and the first of some; an empty one when there is none."""
    first, stop = some
    if first == stop:
        return np.int32(_NOWHERE), np.int32(-1)
    start, end = max(this.low, runs.x_start[first]), min(this.high, runs.x_stop[first])
    return (start, end) if _belongs(labels, first, this) else (np.int32(_NOWHERE), np.int32(-1))


@njit(cache=True, nogil=True)
def _triples(runs: Any, labels: Any, this: Any, near: Any) -> Any:
    """Count the triples of closed runs with a common point: this one and those of two rows that touch each other."""
    count = 0
    for b, c in ((near.nw, near.n), (near.ne, near.n), (near.w, near.nw), (near.w, near.n)):
        for one in range(b[0], b[1]):
            if not _belongs(labels, one, this):
                continue
            start, stop = max(this.low, runs.x_start[one]), min(this.high, runs.x_stop[one])
            for other in range(c[0], c[1]):
                meet = max(start, runs.x_start[other]) <= min(stop, runs.x_stop[other])
                count += meet and _belongs(labels, other, this)
    return count


@njit(cache=True, nogil=True)
def _quadruples(runs: Any, labels: Any, this: Any, near: Any, reach: Any) -> Any:
    """Count the quadruples of this run and one each of w, nw and n with a common point (reach 1) or voxel (reach 0)."""
    count = 0
    for one in range(near.w[0], near.w[1]):
        if not _belongs(labels, one, this):
            continue
        start1, stop1 = max(this.low, runs.x_start[one]), min(this.high, runs.x_stop[one])
        for two in range(near.nw[0], near.nw[1]):
            start2, stop2 = max(start1, runs.x_start[two]), min(stop1, runs.x_stop[two])
            if start2 >= stop2 + reach or not _belongs(labels, two, this):
                continue
            for three in range(near.n[0], near.n[1]):
                start, stop = max(start2, runs.x_start[three]), min(stop2, runs.x_stop[three])
                count += start < stop + reach and _belongs(labels, three, this)
    return count


@njit(cache=True, nogil=True)
def _diagonals(runs: Any, first_row: Any, component: Any, pairs: Any, keep: Any) -> Any:
    """Add the pairs of one component, and return the contacts of different ones."""
    row_ptr, x_start, x_stop, ny = runs
    contacts, found = np.empty((64, 4), np.int64), 0
    pair = np.zeros(3, np.int64)
    for row in range(first_row, len(row_ptr) - 1):
        for side in range(4):
            other_row, k = _row_beside(row, side, ny, first_row)
            if other_row < 0:
                continue
            q, q_end = row_ptr[other_row], runs.row_ptr[other_row + 1]
            for run in range(row_ptr[row], row_ptr[row + 1]):
                low, high, own = x_start[run], x_stop[run], component[run]
                q, _ = _skip(runs, (q, q_end), low)
                _, stop = _up_to(runs, (q, q_end), high)
                for other in range(q, stop):
                    its = component[other]
                    by_faces = side % 2 == 0 and x_start[other] < high and low < x_stop[other]
                    if by_faces or (its != own and not (keep[own] and keep[its])):
                        continue
                    pair[:] = 0
                    _add_pairs(pair, 0, (x_start[other], x_stop[other]), (low, high))
                    if its == own:
                        pairs[own, k : k + 3] += pair
                        continue
                    if found + 3 > len(contacts):
                        longer = np.empty((2 * len(contacts), 4), np.int64)
                        longer[:found] = contacts[:found]
                        contacts = longer
                    for step in range(3):
                        if pair[step]:
                            contacts[found, 0], contacts[found, 1] = own, its
                            contacts[found, 2], contacts[found, 3] = k + step, pair[step]
                            found += 1
    return contacts[:found].copy()


@njit(cache=True, nogil=True)
def _row_beside(row: Any, side: Any, ny: Any, first_row: Any) -> Any:
    """Return an earlier row and the first of its three directions; -1 where there is none.

    Side 0 lies beside in the slice, sides 1 to 3 above at y - 1, y and y + 1. With a first row, only what lies across
    the seam counts.
    """
    y = row % ny
    if side == 0:
        return (row - 1 if first_row == 0 and y > 0 else -1), 1
    above = y + side - 2
    return (row - ny + side - 2 if row >= ny and 0 <= above < ny else -1), 7 - 3 * (side - 2)
