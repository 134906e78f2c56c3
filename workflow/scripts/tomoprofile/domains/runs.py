"""Runs of foreground in a stack of slices.

A *run* is a stretch ``[x_start, x_stop)`` of foreground on one row (z, y). Only a few per cent of a segmented scan is
foreground, so runs take a fraction of the memory and time that voxels would.

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
    ny : int
        Rows in a slice.
    """

    row_ptr: Int64
    x_start: Int32
    x_stop: Int32
    ny: int

    @property
    def nz(self) -> int:
        """Number of slices."""
        return (len(self.row_ptr) - 1) // self.ny

    def slices(self, first: int, stop: int) -> tuple[RowRuns, slice]:
        """Return the runs of the slices ``[first, stop)`` of this stack, and where they lie among all."""
        row_ptr = self.row_ptr[first * self.ny : stop * self.ny + 1]
        part = slice(int(row_ptr[0]), int(row_ptr[-1]))
        return RowRuns(row_ptr - row_ptr[0], self.x_start[part].copy(), self.x_stop[part].copy(), self.ny), part


def stack(upper: RowRuns, lower: RowRuns) -> RowRuns:
    """Return two stacks as one; ``lower`` has the larger z."""
    row_ptr = np.concatenate([upper.row_ptr, lower.row_ptr[1:] + upper.row_ptr[-1]])
    return RowRuns(
        row_ptr,
        np.concatenate([upper.x_start, lower.x_start]),
        np.concatenate([upper.x_stop, lower.x_stop]),
        upper.ny,
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
    x_start, x_stop = _find_runs(probability, np.uint8(threshold), row_ptr)
    return RowRuns(row_ptr, x_start, x_stop, ny)


def instance_runs(instances: NDArray[np.uint32]) -> tuple[RowRuns, NDArray[np.uint32]]:
    """Return the runs of equal labels and the label of each; label 0 is background.

    Parameters
    ----------
    instances : uint32 array (z, y, x)
    """
    nz, ny, _ = instances.shape
    row_ptr = np.zeros(nz * ny + 1, np.int64)
    nothing = np.empty(0, np.int32)
    _find_instances(instances, row_ptr, nothing, nothing, np.empty(0, np.uint32))
    np.cumsum(row_ptr, out=row_ptr)
    x_start, x_stop = (np.empty(row_ptr[-1], np.int32) for _ in range(2))
    label = np.empty(row_ptr[-1], np.uint32)
    _find_instances(instances, row_ptr, x_start, x_stop, label)
    return RowRuns(row_ptr, x_start, x_stop, ny), label


def reach_of(connectivity: int) -> int:
    """Return how far apart along x and y runs of neighbouring rows may lie and still touch: 0 for 6, 1 for 26."""
    return 1 if connectivity == 26 else 0


@njit(cache=True, nogil=True)
def _find_runs(probability: Any, threshold: Any, row_ptr: Any) -> Any:
    """Write where the runs of each row begin, and return the starts and stops of all of them.

    Changes along a row are marked first, in a loop that the compiler vectorises, and then looked for eight at a time.
    """
    nz, ny, nx = probability.shape
    n_words = (nx + 7) // 8
    change = np.zeros(8 * n_words, np.uint8)
    words = change.view(np.uint64)
    edges = np.empty(nx + 2, np.int32)
    x_start, x_stop = np.empty(4096 + nx, np.int32), np.empty(4096 + nx, np.int32)
    found = 0
    for z in range(nz):
        for y in range(ny):
            row = probability[z, y]
            change[0] = row[0] >= threshold
            for x in range(1, nx):
                change[x] = (row[x] >= threshold) ^ (row[x - 1] >= threshold)
            k = 0
            for word in range(n_words):
                if words[word]:
                    for x in range(8 * word, 8 * word + 8):
                        edges[k] = x  # written before it is known to be an edge: no branch
                        k += change[x]
            edges[k] = nx
            if found + nx > len(x_start):
                x_start, x_stop = _longer(x_start, found, nx), _longer(x_stop, found, nx)
            for run in range((k + 1) // 2):
                x_start[found] = edges[2 * run]
                x_stop[found] = edges[2 * run + 1]
                found += 1
            row_ptr[z * ny + y + 1] = found
    return x_start[:found].copy(), x_stop[:found].copy()


@njit(cache=True, nogil=True)
def _longer(array: Any, used: Any, more: Any) -> Any:
    longer = np.empty(used + used // 2 + more, array.dtype)
    longer[:used] = array[:used]
    return longer


@njit(cache=True, nogil=True)
def _find_instances(instances: Any, row_ptr: Any, x_start: Any, x_stop: Any, label: Any) -> None:
    """Count the runs of each row when the arrays are empty, else write them."""
    nz, ny, nx = instances.shape
    counting = len(x_start) == 0
    k = 0
    for z in range(nz):
        for y in range(ny):
            row = instances[z, y]
            before = k
            last = np.uint32(0)
            for x in range(nx):
                value = row[x]
                if value != last:
                    if last and not counting:
                        x_stop[k - 1] = x
                    if value:
                        if not counting:
                            x_start[k] = x
                            label[k] = value
                        k += 1
                    last = value
            if last and not counting:
                x_stop[k - 1] = nx
            if counting:
                row_ptr[z * ny + y + 1] = k - before
