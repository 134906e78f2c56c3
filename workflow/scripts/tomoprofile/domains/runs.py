"""Runs of foreground in a stack of slices, and which of them touch.

A *run* is a stretch ``[x_start, x_stop)`` of foreground on one row (z, y). A segmented scan is a few per cent
foreground, so runs take a small part of the memory and of the time that voxels would.

Rows are numbered ``(z - z_first) * ny + y``; the runs of row r are those from ``row_ptr[r]`` up to ``row_ptr[r + 1]``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


class RowRuns(NamedTuple):
    """The runs of a stack of slices in raster order.

    Attributes
    ----------
    row_ptr : int64 array (rows + 1,)
        First run of each row.
    x_start, x_stop : int32 array (runs,)
        First voxel, and one past the last.
    """

    row_ptr: Int64
    x_start: Int32
    x_stop: Int32

    def slices(self, first: int, stop: int, ny: int) -> tuple[RowRuns, slice]:
        """Return the runs of the slices ``[first, stop)`` of this stack, and where they lie among all."""
        row_ptr = self.row_ptr[first * ny : stop * ny + 1]
        part = slice(int(row_ptr[0]), int(row_ptr[-1]))
        return RowRuns(row_ptr - row_ptr[0], self.x_start[part], self.x_stop[part]), part


def stack(upper: RowRuns, lower: RowRuns) -> RowRuns:
    """Return two stacks as one, ``lower`` having the larger z."""
    row_ptr = np.concatenate([upper.row_ptr, lower.row_ptr[1:] + upper.row_ptr[-1]])
    return RowRuns(
        row_ptr,
        np.concatenate([upper.x_start, lower.x_start]),
        np.concatenate([upper.x_stop, lower.x_stop]),
    )


def extract_runs(probability: NDArray[np.uint8], threshold: int) -> RowRuns:
    """Return the runs of voxels whose probability is ``threshold`` or more.

    Parameters
    ----------
    probability : uint8 array (z, y, x)
        Probability of being a domain, 255 = 1.
    threshold : int
        Smallest value of the foreground, 1..255.
    """
    nz, ny, _ = probability.shape
    row_ptr = np.zeros(nz * ny + 1, np.int64)
    _count_runs(probability, np.uint8(threshold), row_ptr)
    np.cumsum(row_ptr, out=row_ptr)
    edges = np.empty(2 * row_ptr[-1] + 1, np.int32)  # one more: the search writes before it knows
    _find_edges(probability, np.uint8(threshold), row_ptr, edges)
    return RowRuns(row_ptr, np.ascontiguousarray(edges[:-1:2]), np.ascontiguousarray(edges[1::2]))


def reach_of(connectivity: int) -> int:
    """Return how far apart along x and y runs of neighbouring rows may lie and still touch: 0 for 6, 1 for 26."""
    return 1 if connectivity == 26 else 0


def label_runs(runs: RowRuns, ny: int, connectivity: int) -> tuple[Int32, Int64]:
    """Unite the touching runs of a stack of slices into components.

    Parameters
    ----------
    runs : RowRuns
        Runs of the stack.
    ny : int
        Rows in a slice.
    connectivity : int
        6: voxels touch by faces; 26: also by edges and corners.

    Returns
    -------
    component : int32 array (runs,)
        Component of each run, numbered from 0 by first voxel in raster order.
    voxels : int64 array (components,)
        Voxels in each component.
    """
    parent = np.arange(len(runs.x_start), dtype=np.int32)
    # Every run begins as its own component, and looking up a run's parent on the way to its root does no harm:
    # one array serves as label and as forest.
    unite_in_slices(*runs, ny, reach_of(connectivity), parent, parent)
    unite_between_slices(*runs, ny, reach_of(connectivity), parent, parent)
    flatten(parent)
    n_components = _number_roots(parent)
    voxels = np.zeros(n_components, np.int64)
    _add_lengths(runs.x_start, runs.x_stop, parent, voxels)
    return parent, voxels


@njit(cache=True, nogil=True)
def _count_runs(probability: Any, threshold: Any, row_ptr: Any) -> None:
    """Write the number of runs of row r to ``row_ptr[r + 1]``; no branch, so the compiler makes vectors of it."""
    nz, ny, nx = probability.shape
    for z in range(nz):
        for y in range(ny):
            row = probability[z, y]
            count = np.int64(row[0] >= threshold)
            for x in range(1, nx):
                count += (row[x] >= threshold) & (row[x - 1] < threshold)
            row_ptr[z * ny + y + 1] = count


@njit(cache=True, nogil=True)
def _find_edges(probability: Any, threshold: Any, row_ptr: Any, edges: Any) -> None:
    """Write start, stop, start, ... of all runs.

    Changes along a row are marked first, which the compiler makes vectors of, and then looked for eight at a time.
    """
    nz, ny, nx = probability.shape
    n_words = (nx + 7) // 8
    change = np.zeros(8 * n_words, np.uint8)
    words = change.view(np.uint64)
    k = 0
    for z in range(nz):
        for y in range(ny):
            if row_ptr[z * ny + y + 1] == row_ptr[z * ny + y]:
                continue
            row = probability[z, y]
            change[0] = row[0] >= threshold
            for x in range(1, nx):
                change[x] = (row[x] >= threshold) ^ (row[x - 1] >= threshold)
            for word in range(n_words):
                if words[word]:
                    for x in range(8 * word, 8 * word + 8):
                        edges[k] = x
                        k += change[x]
            edges[k] = nx
            k += row[nx - 1] >= threshold


@njit(cache=True, nogil=True, inline="always")
def _root(parent: Any, item: Any) -> Any:
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


@njit(cache=True, nogil=True)
def _unite_rows(
    a: Any, a_end: Any, b: Any, b_end: Any, x_start: Any, x_stop: Any, reach: Any, label: Any, parent: Any
) -> None:
    """Unite the runs ``[a, a_end)`` with those of ``[b, b_end)`` that they touch; the smaller root stays."""
    while a < a_end and b < b_end:
        if x_start[a] < x_stop[b] + reach and x_start[b] < x_stop[a] + reach:
            one, other = _root(parent, label[a]), _root(parent, label[b])
            if one < other:
                parent[other] = one
            elif other < one:
                parent[one] = other
        # The run that ends first cannot touch the next one of the other row: a gap lies between.
        if x_stop[a] < x_stop[b]:
            a += 1
        else:
            b += 1


@njit(cache=True, nogil=True)
def unite_in_slices(row_ptr: Any, x_start: Any, x_stop: Any, ny: Any, reach: Any, label: Any, parent: Any) -> None:
    """Unite the labels of runs that touch within a slice.

    Parameters
    ----------
    row_ptr, x_start, x_stop : arrays
        As in :class:`RowRuns`.
    ny : int
        Rows in a slice.
    reach : int
        From :func:`reach_of`.
    label : int array (runs,)
        What is united.
    parent : int array (labels,)
        Forest of the labels, changed in place; a root is the smallest label of its tree.
    """
    for row in range(len(row_ptr) - 2):
        if (row + 1) % ny:
            _unite_rows(
                row_ptr[row], row_ptr[row + 1], row_ptr[row + 1], row_ptr[row + 2],
                x_start, x_stop, reach, label, parent,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def unite_between_slices(row_ptr: Any, x_start: Any, x_stop: Any, ny: Any, reach: Any, label: Any, parent: Any) -> None:
    """Unite the labels of runs that touch across a z plane; parameters as in :func:`unite_in_slices`."""
    for row in range(len(row_ptr) - 1 - ny):
        y = row % ny
        for other in range(row + ny - min(reach, y), row + ny + min(reach, ny - 1 - y) + 1):
            _unite_rows(
                row_ptr[row], row_ptr[row + 1], row_ptr[other], row_ptr[other + 1],
                x_start, x_stop, reach, label, parent,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def flatten(parent: Any) -> None:
    """Let every label point at its root; roots are smaller than what hangs from them, so one pass does."""
    for item in range(len(parent)):
        parent[item] = parent[parent[item]]


@njit(cache=True, nogil=True)
def _number_roots(parent: Any) -> Any:
    """Replace roots of a flattened forest by 0, 1, ... in their order; return how many there are."""
    n_roots = 0
    for item in range(len(parent)):
        if parent[item] == item:
            parent[item] = n_roots
            n_roots += 1
        else:
            parent[item] = parent[parent[item]]
    return n_roots


@njit(cache=True, nogil=True)
def _add_lengths(x_start: Any, x_stop: Any, component: Any, voxels: Any) -> None:
    for run in range(len(component)):
        voxels[component[run]] += x_stop[run] - x_start[run]
