"""Geometry: sums over the runs of each domain. Sums of parts add up, so any partition gives the same table.

Everything that comes from positions is an integer in voxels. Each pair of neighbouring voxels has one owner, the part
that holds the first of them in raster order, which therefore also looks at the slice after its last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .runs import Runs, row_offsets

# Half of the 26 neighbours, (dz, dy, dx), first in raster order; those along a row come first.
DIRECTIONS = np.array(
    [(0, 0, 1)] + [(0, 1, dx) for dx in (-1, 0, 1)] + [(1, dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
)
N_DIRECTIONS = len(DIRECTIONS)

# Columns of the integer sums.
VOXELS, SUM_Z, SUM_Y, SUM_X, SUM_ZZ, SUM_YY, SUM_XX, SUM_ZY, SUM_ZX, SUM_YX, SUM_PROBABILITY = range(11)
PAIRS = 11
N_SUMS = PAIRS + N_DIRECTIONS
# Grey values of integer scans are summed around the middle of uint16, so that squares of 2^32 voxels fit into 63 bits.
GREY_MIDDLE = 32768


@dataclass(frozen=True)
class Sums:
    """Sums of a part, one row for each domain in it.

    Attributes
    ----------
    ids : array (n,) of int64
        Ascending.
    counts : array (n, N_SUMS) of int64
        Voxels, first and second moments of voxel indices, probability, and pairs in 13 directions.
    grey : array (n, 2) of int64 or float64
        Sum and sum of squares of grey values; of integer scans around ``GREY_MIDDLE``.
    grey_range : array (n, 2)
        Least and largest grey value.
    box : array (n, 6) of int32
        z_start, y_start, x_start, z_stop, y_stop, x_stop.
    """

    ids: NDArray[np.int64]
    counts: NDArray[np.int64]
    grey: NDArray
    grey_range: NDArray
    box: NDArray[np.int32]

    def __add__(self, other: Sums) -> Sums:
        """Add the sums of two parts; exact for integers, and the order does not matter to them."""
        ids, place = np.unique(np.concatenate([self.ids, other.ids]), return_inverse=True)
        mine, others = place[: len(self.ids)], place[len(self.ids) :]

        def merged(name: str, add: np.ufunc, neutral: float) -> NDArray:
            left, right = getattr(self, name), getattr(other, name)
            total = np.full((len(ids), *left.shape[1:]), neutral, left.dtype)
            total[mine] = left
            total[others] = add(total[others], right)
            return total

        low, high = _limits(self.grey_range.dtype)
        least = merged("grey_range", np.minimum, high)[:, 0]
        largest = merged("grey_range", np.maximum, low)[:, 1]
        box = np.concatenate(
            [merged("box", np.minimum, np.iinfo(np.int32).max)[:, :3], merged("box", np.maximum, 0)[:, 3:]], axis=1
        )
        return Sums(
            ids,
            merged("counts", np.add, 0),
            merged("grey", np.add, 0),
            np.column_stack([least, largest]),
            box,
        )


def sum_part(
    runs: Runs, beyond: Runs, grey: NDArray, probability: NDArray[np.uint8], first: int, n_domains: int
) -> Sums:
    """Add up one part.

    Parameters
    ----------
    runs : Runs
        Of the part's slices.
    beyond : Runs
        Of the slice after its last; may be empty.
    grey, probability : array (z, y, x)
        Of the part's slices.
    first : int
        Index of the first of them.
    n_domains : int
        Of the whole scan.
    """
    slices, rows, _ = grey.shape
    ids = np.unique(runs.domain_id)
    local = np.full(n_domains + 1, -1, np.int64)
    local[ids] = np.arange(len(ids))
    counts = np.zeros((len(ids), N_SUMS), np.int64)
    whole = grey.dtype.kind == "u"
    sums = np.zeros((len(ids), 2), np.int64 if whole else np.float64)
    low, high = _limits(grey.dtype)
    grey_range = np.empty((len(ids), 2), grey.dtype)
    grey_range[:, 0], grey_range[:, 1] = high, low
    box = np.empty((len(ids), 6), np.int32)
    box[:, :3], box[:, 3:] = np.iinfo(np.int32).max, 0
    columns = (runs.z, runs.y, runs.x_start, runs.x_stop, local[runs.domain_id])
    _positions(*columns, counts, box)
    _values(*columns, first, grey, probability, GREY_MIDDLE if whole else 0, counts, sums, grey_range)
    both = runs.followed_by(beyond)
    offsets = row_offsets(both, first, slices + 1, rows)
    _pairs(both.x_start, both.x_stop, both.domain_id, offsets, slices, rows, local, counts)
    return Sums(ids, counts, sums, grey_range, box)


def _limits(dtype: np.dtype) -> tuple[float, float]:
    return (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


@njit(cache=True, nogil=True)
def _positions(z, y, x_start, x_stop, local, counts, box):
    for index in range(len(z)):
        a, b = np.int64(x_start[index]), np.int64(x_stop[index])
        n, zi, yi = b - a, np.int64(z[index]), np.int64(y[index])
        x1 = (a + b - 1) * n // 2
        x2 = (b - 1) * b * (2 * b - 1) // 6 - (a - 1) * a * (2 * a - 1) // 6
        row = counts[local[index]]
        row[0] += n
        row[1] += n * zi
        row[2] += n * yi
        row[3] += x1
        row[4] += n * zi * zi
        row[5] += n * yi * yi
        row[6] += x2
        row[7] += n * zi * yi
        row[8] += zi * x1
        row[9] += yi * x1
        row[11] += n - 1  # pairs along the row
        edge = box[local[index]]
        edge[0] = min(edge[0], zi)
        edge[1] = min(edge[1], yi)
        edge[2] = min(edge[2], a)
        edge[3] = max(edge[3], zi + 1)
        edge[4] = max(edge[4], yi + 1)
        edge[5] = max(edge[5], b)


@njit(cache=True, nogil=True)
def _values(z, y, x_start, x_stop, local, first, grey, probability, middle, counts, sums, grey_range):
    for index in range(len(z)):
        here = local[index]
        values = grey[z[index] - first, y[index]]
        certain = probability[z[index] - first, y[index]]
        low, high = grey_range[here, 0], grey_range[here, 1]
        for x in range(x_start[index], x_stop[index]):
            value = values[x]
            low = min(low, value)
            high = max(high, value)
            centred = value - middle
            sums[here, 0] += centred
            sums[here, 1] += centred * centred
            counts[here, 10] += certain[x]
        grey_range[here, 0] = low
        grey_range[here, 1] = high


@njit(cache=True, nogil=True)
def _pairs(x_start, x_stop, domain_id, offsets, slices, rows, local, counts):
    """Count pairs of voxels of one domain in neighbouring rows: overlaps of shifted runs."""
    for z in range(slices):
        for y in range(rows):
            i_first, i_end = offsets[z * rows + y], offsets[z * rows + y + 1]
            if i_first == i_end:
                continue
            for k in range(4):
                dz = 0 if k == 0 else 1
                dy = 1 if k == 0 else k - 2
                if not 0 <= y + dy < rows:
                    continue
                there = (z + dz) * rows + y + dy
                i, j, j_end = i_first, offsets[there], offsets[there + 1]
                column = 12 + 3 * k  # direction dx = -1 of this row pair
                while i < i_end and j < j_end:
                    if domain_id[i] == domain_id[j]:
                        here = local[domain_id[i]]
                        for dx in range(-1, 2):
                            low = max(x_start[i], x_start[j] - dx)
                            high = min(x_stop[i], x_stop[j] - dx)
                            if high > low:
                                counts[here, column + 1 + dx] += high - low
                    if x_stop[i] < x_stop[j]:
                        i += 1
                    else:
                        j += 1
