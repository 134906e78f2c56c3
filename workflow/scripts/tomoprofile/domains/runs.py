"""Runs: stretches of foreground on one row. A scan is a few per cent foreground, so runs are small beside voxels.

Rows are numbered ``(z - first) * n_rows + y`` inside a part, and runs are in raster order, so two rows that may touch
are walked through side by side, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Runs of a part of a scan, in raster order.

    Attributes
    ----------
    z, y : array (n,) of int32
        The row of each run.
    x_start, x_stop : array (n,) of int32
        First voxel, and one past the last.
    domain_id : array (n,) of int64
        What each run belongs to.
    """

    z: NDArray[np.int32]
    y: NDArray[np.int32]
    x_start: NDArray[np.int32]
    x_stop: NDArray[np.int32]
    domain_id: Ints

    def __len__(self) -> int:
        return len(self.z)

    def part(self, chosen: Any) -> Runs:
        """Return the chosen runs (slice or mask)."""
        columns = (self.z, self.y, self.x_start, self.x_stop, self.domain_id)
        return Runs(*(column[chosen] for column in columns))

    def followed_by(self, other: Runs) -> Runs:
        """Return these runs and then the other's."""
        mine = (self.z, self.y, self.x_start, self.x_stop, self.domain_id)
        others = (other.z, other.y, other.x_start, other.x_stop, other.domain_id)
        return Runs(*(np.concatenate(pair) for pair in zip(mine, others, strict=True)))


def extract_runs(probability: NDArray[np.uint8], first: int, level: int) -> Runs:
    """Return the runs of voxels at or above ``level``.

    Parameters
    ----------
    probability : array (z, y, x) of uint8
        Whole slices.
    first : int
        Index of the first of them.
    level : int
        Least foreground value, 1 to 255.
    """
    slices, rows, columns = probability.shape
    flat = probability.reshape(slices * rows, columns)
    offsets = np.zeros(slices * rows + 1, np.int64)
    _count_runs(flat, level, offsets)
    np.cumsum(offsets, out=offsets)
    start = np.empty(offsets[-1], np.int32)
    stop = np.empty(offsets[-1], np.int32)
    _fill_runs(flat, level, offsets, start, stop)
    row = np.repeat(np.arange(slices * rows), np.diff(offsets))
    z = (row // rows + first).astype(np.int32)
    return Runs(z, (row % rows).astype(np.int32), start, stop, np.zeros(len(start), np.int64))


def row_offsets(runs: Runs, first: int, slices: int, rows: int) -> Ints:
    """Return where the runs of each row of ``slices`` slices begin: array (slices * rows + 1,)."""
    row = (runs.z.astype(np.int64) - first) * rows + runs.y
    return np.searchsorted(row, np.arange(slices * rows + 1))


def unite_runs(runs: Runs, first: int, slices: int, rows: int, connectivity: int) -> Ints:
    """Return for each run the number of its component, 0, 1, ... in the order of first voxels.

    Parameters
    ----------
    runs : Runs
        Of ``slices`` whole slices that begin with ``first``.
    connectivity : {6, 26}
        Faces only, or faces, edges and corners.
    """
    offsets = row_offsets(runs, first, slices, rows)
    parent = np.arange(len(runs))
    _unite(runs.x_start, runs.x_stop, offsets, slices, rows, connectivity, parent)
    return _number(parent)


def touching_pairs(above: Runs, below: Runs, rows: int, connectivity: int) -> NDArray[np.int64]:
    """Return the pairs (id above, id below) of runs that touch across two neighbouring slices: array (n, 2)."""
    upper, lower = (row_offsets(part, int(part.z[0]) if len(part) else 0, 1, rows) for part in (above, below))
    pairs = _touching(above.x_start, above.x_stop, upper, below.x_start, below.x_stop, lower, rows, connectivity)
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return np.column_stack([above.domain_id[found[:, 0]], below.domain_id[found[:, 1]]])


@njit(cache=True, nogil=True)
def _count_runs(flat, level, offsets):
    for row in range(flat.shape[0]):
        inside = False
        count = 0
        for x in range(flat.shape[1]):
            foreground = flat[row, x] >= level
            count += foreground and not inside
            inside = foreground
        offsets[row + 1] = count


@njit(cache=True, nogil=True)
def _fill_runs(flat, level, offsets, start, stop):
    columns = flat.shape[1]
    for row in range(flat.shape[0]):
        index = offsets[row]
        if index == offsets[row + 1]:
            continue
        inside = False
        for x in range(columns):
            foreground = flat[row, x] >= level
            if foreground != inside:
                if foreground:
                    start[index] = x
                else:
                    stop[index] = x
                    index += 1
                inside = foreground
        if inside:
            stop[index] = columns


@njit(cache=True, nogil=True)
def _root(parent, index):
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


@njit(cache=True, nogil=True)
def _join_rows(start, stop, i, i_end, j, j_end, reach, parent):
    """Unite touching runs of two rows; ``reach`` 1 lets runs touch that meet only at a corner."""
    while i < i_end and j < j_end:
        if start[i] < stop[j] + reach and start[j] < stop[i] + reach:
            a, b = _root(parent, i), _root(parent, j)
            if a < b:
                parent[b] = a
            else:
                parent[a] = b
        if stop[i] < stop[j]:
            i += 1
        else:
            j += 1


@njit(cache=True, nogil=True)
def _unite(start, stop, offsets, slices, rows, connectivity, parent):
    reach = 1 if connectivity == 26 else 0
    for z in range(slices):
        for y in range(rows):
            here = z * rows + y
            i, i_end = offsets[here], offsets[here + 1]
            if i == i_end:
                continue
            if y > 0:
                _join_rows(start, stop, i, i_end, offsets[here - 1], offsets[here], reach, parent)
            if z > 0:
                for other in range(max(y - reach, 0), min(y + reach, rows - 1) + 1):
                    there = (z - 1) * rows + other
                    _join_rows(start, stop, i, i_end, offsets[there], offsets[there + 1], reach, parent)


@njit(cache=True, nogil=True)
def _number(parent):
    # A parent never comes after its child, so its number is known when the child is reached.
    number = np.empty(len(parent), np.int64)
    count = 0
    for index in range(len(parent)):
        root = _root(parent, index)
        if root == index:
            number[index] = count
            count += 1
        else:
            number[index] = number[root]
    return number


@njit(cache=True, nogil=True)
def _touching(start_a, stop_a, upper, start_b, stop_b, lower, rows, connectivity):
    reach = 1 if connectivity == 26 else 0
    pairs = [(np.int64(0), np.int64(0)) for _ in range(0)]
    for y in range(rows):
        for other in range(max(y - reach, 0), min(y + reach, rows - 1) + 1):
            i, i_end = upper[y], upper[y + 1]
            j, j_end = lower[other], lower[other + 1]
            while i < i_end and j < j_end:
                if start_a[i] < stop_b[j] + reach and start_b[j] < stop_a[i] + reach:
                    pairs.append((np.int64(i), np.int64(j)))
                if stop_a[i] < stop_b[j]:
                    i += 1
                else:
                    j += 1
    return pairs
