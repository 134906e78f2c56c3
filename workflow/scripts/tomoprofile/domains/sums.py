"""Sums over the voxels of each domain, added up from runs.

Sums form a monoid: adding those of any parts of a scan gives those of the scan, bit for bit, because they are
integers. A part owns the pairs of neighbours inside it; the pairs across a seam are counted when two parts meet. Along
a run every moment has a closed form, so that only grey values and probabilities are looked up voxel by voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

from ..errors import Fault, StageError
from .objects import Runs
from .runs import Int64
from .surface import DIRECTIONS

MOMENTS = ("1", "z", "y", "x", "zz", "yy", "xx", "zy", "zx", "yx")
_NOWHERE = np.iinfo(np.int32).max


def grey_reference(dtype: DTypeLike) -> np.int64 | np.float64:
    """Return the value that grey sums are relative to: the middle of an integer type, 0 for floats.

    So the squares of 16-bit values stay below 2^30 and their unsigned sums hold 2^34 voxels. The type of the reference
    is the type of the sums: those of floats depend in their last bits on the order of the parts.
    """
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return np.float64(0)
    info = np.iinfo(kind)
    return np.int64((int(info.min) + int(info.max) + 1) // 2)


@dataclass
class Sums:
    """Sums of domains; row i belongs to one domain.

    Attributes
    ----------
    moments : int64 array (domains, 10)
        Sums of 1, z, y, x, zz, yy, xx, zy, zx, yx over voxel indices.
    pairs : int64 array (domains, 13)
        Pairs of voxels (p, p + k) of the domain for each of :data:`~.surface.DIRECTIONS`.
    box : int32 array (domains, 6)
        z, y, x of the first voxel, then of one past the last.
    probability : int64 array (domains,)
        Sum of stored probabilities (255 = 1).
    grey : int64 or float64 array (domains, 2)
        Sums of grey and of its square, relative to :func:`grey_reference`; the square is to be read as unsigned.
    grey_range : int64 or float64 array (domains, 2)
        Smallest and largest grey value, relative to the reference.
    """

    moments: Int64
    pairs: Int64
    box: NDArray[np.int32]
    probability: Int64
    grey: NDArray[Any]
    grey_range: NDArray[Any]

    @classmethod
    def empty(cls, n_domains: int, grey_dtype: DTypeLike) -> Sums:
        """Return the sums of ``n_domains`` domains without voxels."""
        kind = grey_reference(grey_dtype).dtype
        lowest, highest = (-np.inf, np.inf) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
        return cls(
            np.zeros((n_domains, len(MOMENTS)), np.int64),
            np.zeros((n_domains, len(DIRECTIONS)), np.int64),
            np.tile(np.array([_NOWHERE] * 3 + [0] * 3, np.int32), (n_domains, 1)),
            np.zeros(n_domains, np.int64),
            np.zeros((n_domains, 2), kind),
            np.tile(np.array([highest, lowest], kind), (n_domains, 1)),
        )

    def add(self, rows: Int64, part: Sums) -> None:
        """Add the sums of a part; ``rows`` says which row each of its domains has here, each at most once."""
        self.moments[rows] += part.moments
        self.pairs[rows] += part.pairs
        self.probability[rows] += part.probability
        self.grey[rows] += part.grey
        for mine, its in ((self.box, part.box), (self.grey_range, part.grey_range)):
            half = mine.shape[1] // 2
            mine[rows, :half] = np.minimum(mine[rows, :half], its[:, :half])
            mine[rows, half:] = np.maximum(mine[rows, half:], its[:, half:])

    @property
    def voxels(self) -> Int64:
        """Voxels of each domain."""
        return self.moments[:, 0]

    def refuse_overflow(self, shape: tuple[int, int, int], where: str) -> None:
        """Raise an error when a domain is so large that a sum may not have fitted in 64 bits.

        The limits are 2^63 / n^2 voxels, n being the longest side of the scan (2^39 for 4096 slices), and 2^34 voxels
        for the squares of 16-bit grey values.

        Raises
        ------
        StageError
            When a domain is beyond them.
        """
        largest = int(self.voxels.max(initial=0))
        limit = min(2**63 // max(shape) ** 2, 2**34)
        if largest >= limit:
            problem = f"a domain has {limit} voxels or more; its sums do not fit in 64 bits"
            remedy = "This is no domain: look at the segmentation, or crop the substrate."
            raise StageError(Fault(where, f"{largest} voxels", problem, remedy))


def sums_of_part(runs: Runs, volume: NDArray[Any], probability: NDArray[np.uint8], first_z: int) -> tuple[Int64, Sums]:
    """Add up what a stack of slices holds of each domain.

    Parameters
    ----------
    runs : Runs
        All runs of these slices, at least one.
    volume, probability : arrays (z, y, x)
        Grey values and stored probabilities of the slices.
    first_z : int
        The first of them in the scan.

    Returns
    -------
    domain_id : int64 array (domains,)
        Domains that occur, ascending.
    sums : Sums
        Their sums over this part, without the pairs that it forms with its neighbours.
    """
    domain_id, domain = _numbered(runs.domain_id)
    ny = volume.shape[1]
    sums = Sums.empty(len(domain_id), volume.dtype)
    _add_geometry(runs.z, runs.y, runs.x_start, runs.x_stop, domain, sums.moments, sums.box, sums.pairs)
    row_ptr = _row_pointers(runs, first_z, len(volume), ny)
    _add_pairs(row_ptr, runs.x_start, runs.x_stop, ny, domain, sums.pairs, True)
    reference = grey_reference(volume.dtype)
    _add_values(
        runs.z, runs.y, runs.x_start, runs.x_stop, domain, first_z,
        volume, reference, probability, sums.grey, sums.grey_range, sums.probability,
    )  # fmt: skip
    return domain_id, sums


def pairs_across(upper: Runs, lower: Runs, ny: int) -> tuple[Int64, Int64]:
    """Count the pairs of neighbours across the seam between two parts.

    Parameters
    ----------
    upper, lower : Runs
        Runs of the last slice of a part and of the slice that follows it.
    ny : int
        Rows in a slice.

    Returns
    -------
    domain_id : int64 array (domains,)
        Domains that occur, ascending.
    pairs : int64 array (domains, 13)
        Their pairs, to be added to those of the parts.
    """
    both = Runs(*(np.concatenate([getattr(upper, name), getattr(lower, name)]) for name in Runs.__dataclass_fields__))
    domain_id, domain = _numbered(both.domain_id)
    pairs = np.zeros((len(domain_id), len(DIRECTIONS)), np.int64)
    row_ptr = _row_pointers(both, int(upper.z[0]), 2, ny)
    _add_pairs(row_ptr, both.x_start, both.x_stop, ny, domain, pairs, False)
    return domain_id, pairs


def _row_pointers(runs: Runs, first_z: int, nz: int, ny: int) -> Int64:
    row = (runs.z.astype(np.int64) - first_z) * ny + runs.y
    return np.concatenate([[0], np.cumsum(np.bincount(row, minlength=nz * ny))])


def _numbered(domain_id: Int64) -> tuple[Int64, NDArray[np.int32]]:
    """Return the domains that occur, ascending, and the place of each run's domain among them.

    Numbers that occur are ticked off in a table, which is several times faster than sorting the runs.
    """
    low = domain_id.min(initial=np.iinfo(np.int64).max)
    table = np.zeros(max(0, int(domain_id.max(initial=low)) - int(low) + 1), np.int32)
    table[domain_id - low] = 1
    present = np.flatnonzero(table)
    table[present] = np.arange(len(present), dtype=np.int32)
    return present + low, table[domain_id - low]


@njit(cache=True, nogil=True)
def _add_geometry(z: Any, y: Any, x_start: Any, x_stop: Any, domain: Any, moments: Any, box: Any, pairs: Any) -> None:
    """Add moments, box and the pairs along x of each run."""
    for run in range(len(z)):
        zz, yy, x0, x1 = np.int64(z[run]), np.int64(y[run]), np.int64(x_start[run]), np.int64(x_stop[run])
        n = x1 - x0
        sum_x = n * (x0 + x1 - 1) // 2
        sum_xx = ((x1 - 1) * x1 * (2 * x1 - 1) - (x0 - 1) * x0 * (2 * x0 - 1)) // 6
        m = moments[domain[run]]
        m[0] += n
        m[1] += n * zz
        m[2] += n * yy
        m[3] += sum_x
        m[4] += n * zz * zz
        m[5] += n * yy * yy
        m[6] += sum_xx
        m[7] += n * zz * yy
        m[8] += zz * sum_x
        m[9] += yy * sum_x
        pairs[domain[run], 0] += n - 1
        b = box[domain[run]]
        b[0] = min(b[0], z[run])
        b[1] = min(b[1], y[run])
        b[2] = min(b[2], x_start[run])
        b[3] = max(b[3], z[run] + 1)
        b[4] = max(b[4], y[run] + 1)
        b[5] = max(b[5], x_stop[run])


@njit(cache=True, nogil=True)
def _add_row_pairs(
    a: Any, a_end: Any, b: Any, b_end: Any, x_start: Any, x_stop: Any, domain: Any, pairs: Any, k: Any
) -> None:
    """Add the pairs of two rows; their steps are ``DIRECTIONS[k : k + 3]``, along x by -1, 0 and 1."""
    for run in range(a, a_end):
        a0, a1 = x_start[run], x_stop[run]
        while b < b_end and x_stop[b] < a0:
            b += 1
        other = b
        while other < b_end and x_start[other] <= a1:
            if domain[other] == domain[run]:
                b0, b1 = x_start[other], x_stop[other]
                p = pairs[domain[run]]
                p[k] += max(0, min(a1, b1 + 1) - max(a0, b0 + 1))
                p[k + 1] += max(0, min(a1, b1) - max(a0, b0))
                p[k + 2] += max(0, min(a1, b1 - 1) - max(a0, b0 - 1))
            other += 1


@njit(cache=True, nogil=True)
def _add_pairs(row_ptr: Any, x_start: Any, x_stop: Any, ny: Any, domain: Any, pairs: Any, within_slices: Any) -> None:
    """Add the pairs of neighbouring rows: between slices, and also within them when asked."""
    n_rows = len(row_ptr) - 1
    for row in range(n_rows):
        a, a_end = row_ptr[row], row_ptr[row + 1]
        if a == a_end:
            continue
        y = row % ny
        if within_slices and y + 1 < ny:
            _add_row_pairs(a, a_end, a_end, row_ptr[row + 2], x_start, x_stop, domain, pairs, 1)
        if row + ny < n_rows:
            for dy in range(-1, 2):
                if 0 <= y + dy < ny:
                    below = row + ny + dy
                    b, b_end = row_ptr[below], row_ptr[below + 1]
                    _add_row_pairs(a, a_end, b, b_end, x_start, x_stop, domain, pairs, 7 + 3 * dy)


@njit(cache=True, nogil=True)
def _add_values(
    z: Any, y: Any, x_start: Any, x_stop: Any, domain: Any, first_z: Any,
    volume: Any, reference: Any, probability: Any, grey: Any, grey_range: Any, certainty: Any,
) -> None:  # fmt: skip
    """Add grey values and probabilities of each run's voxels."""
    for run in range(len(z)):
        row = volume[z[run] - first_z, y[run]]
        row_p = probability[z[run] - first_z, y[run]]
        owner = domain[run]
        first = row[x_start[run]] - reference
        total, squares, low, high, certain = reference - reference, reference - reference, first, first, np.int64(0)
        for x in range(x_start[run], x_stop[run]):
            value = row[x] - reference
            total += value
            squares += value * value
            low = min(low, value)
            high = max(high, value)
            certain += row_p[x]
        grey[owner, 0] += total
        grey[owner, 1] += squares
        grey_range[owner, 0] = min(grey_range[owner, 0], low)
        grey_range[owner, 1] = max(grey_range[owner, 1], high)
        certainty[owner] += certain
