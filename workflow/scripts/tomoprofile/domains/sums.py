"""Sums over the voxels of components and domains.

Sums form a monoid: adding those of any parts of a scan gives those of the scan, bit for bit, because they are
integers. Every moment has a closed form along a run; only grey values and probabilities are looked up voxel by voxel.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

from ..errors import Fault, StageError
from .runs import Int64, RowRuns
from .touching import PROBABILITY, TALLIES

MOMENTS = ("1", "z", "y", "x", "zz", "yy", "xx", "zy", "zx", "yx")
_NOWHERE = np.iinfo(np.int32).max


def grey_reference(dtype: DTypeLike, typical: float) -> np.int64 | np.float64:
    """Return the value that grey sums are relative to: the middle of an integer type, or a typical value of floats.

    The squares of 16-bit values then stay below 2^30, so that their unsigned sums hold 2^34 voxels, and sums of squares
    of floats lose no digits to a large mean. The sums have the type of the reference; the last bits of float sums
    depend on the order of the parts.
    """
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return np.float64(typical)
    info = np.iinfo(kind)
    return np.int64((int(info.min) + int(info.max) + 1) // 2)


@dataclass
class Sums:
    """Sums of components; row i belongs to one of them.

    Attributes
    ----------
    moments : int64 array (components, 10)
        Sums of 1, z, y, x, zz, yy, xx, zy, zx, yx over voxel indices.
    box : int32 array (components, 6)
        z, y, x of the first voxel, then of one past the last.
    tally : int64 array (components, 16)
        Pairs of voxels (p, p + k) for each of :data:`~.surface.DIRECTIONS`, the Euler number, the cavities known to be
        closed, and the sum of stored probabilities (255 = 1).
    grey : int64 or float64 array (components, 2)
        Sums of grey and of its square, relative to :func:`grey_reference`; read the square as unsigned.
    grey_range : int64 or float64 array (components, 2)
        Smallest and largest grey value, relative to the reference.
    feret : float64 array (components, 2)
        Largest and smallest Feret diameter in micrometres of components that are whole; NaN of the others.

    For the levels that bracket the calibrated one there are only moments and boxes; the other arrays have no columns.
    """

    moments: Int64
    box: NDArray[np.int32]
    tally: Int64
    grey: NDArray[Any]
    grey_range: NDArray[Any]
    feret: NDArray[np.float64]

    @classmethod
    def empty(cls, count: int, grey_dtype: DTypeLike, detailed: bool) -> Sums:
        """Return the sums of ``count`` components without voxels; only moments and boxes unless ``detailed``."""
        kind = grey_reference(grey_dtype, 0).dtype
        lowest, highest = (-np.inf, np.inf) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
        return cls(
            np.zeros((count, len(MOMENTS)), np.int64),
            np.tile(np.array([_NOWHERE] * 3 + [0] * 3, np.int32), (count, 1)),
            np.zeros((count, TALLIES * detailed), np.int64),
            np.zeros((count, 2 * detailed), kind),
            np.tile(np.array([highest, lowest] * detailed, kind), (count, 1)),
            np.full((count, 2 * detailed), np.nan),
        )

    @property
    def voxels(self) -> Int64:
        """Voxels of each component."""
        return self.moments[:, 0]

    @property
    def detailed(self) -> bool:
        """Whether there is more than moments and boxes."""
        return self.tally.shape[1] > 0

    def __len__(self) -> int:
        return len(self.moments)

    def rows(self, chosen: Any) -> Sums:
        """Return some of the components; this object itself when a mask chooses all."""
        if isinstance(chosen, np.ndarray) and chosen.dtype == bool and chosen.all():
            return self
        return Sums(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def beside(self, other: Sums) -> Sums:
        """Return the components of both, those of ``other`` last."""
        return Sums(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def gathered(self, number: Int64) -> Sums:
        """Return the sums of the components that rows belong to, row i to number ``number[i]``.

        Components are numbered in the order of their first rows, as by :func:`~.forest.number_roots`.
        """
        leads = np.diff(np.maximum.accumulate(number), prepend=-1) > 0
        merged = self.rows(leads)
        moved, target = np.flatnonzero(~leads), number[~leads]
        for name in ("moments", "tally", "grey"):
            np.add.at(getattr(merged, name), target, getattr(self, name)[moved])
        for name in ("box", "grey_range"):
            mine, its = getattr(merged, name), getattr(self, name)[moved]
            half = mine.shape[1] // 2
            np.minimum.at(mine[:, :half], target, its[:, :half])
            np.maximum.at(mine[:, half:], target, its[:, half:])
        return merged

    def refuse_overflow(self, shape: tuple[int, int, int], where: str) -> None:
        """Raise an error when a domain is so large that one of its sums may have overflowed 64 bits.

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
            problem = f"a domain has {limit} voxels or more, so its sums may not fit in 64 bits"
            remedy = "This is probably not a domain: check the segmentation, or crop the substrate."
            raise StageError(Fault(where, f"{largest} voxels", problem, remedy))


class Values(NamedTuple):
    """What is looked up voxel by voxel in a stack of slices.

    Attributes
    ----------
    grey : array (z, y, x)
        Stored grey values.
    probability : uint8 array (z, y, x)
        Stored probabilities, 255 = 1.
    """

    grey: NDArray[Any]
    probability: NDArray[np.uint8]


def add_geometry(sums: Sums, runs: RowRuns, start: int, component: Any) -> None:
    """Add moments and boxes of runs; ``start`` is the first slice of the stack."""
    _add_geometry(runs, start, component, sums.moments, sums.box)


def add_values(sums: Sums, runs: RowRuns, component: Any, values: Values, reference: Any) -> None:
    """Add grey values, relative to ``reference``, and probabilities of the runs' voxels.

    Raises
    ------
    ValueError
        When the arrays do not fit the runs.
    """
    if values.grey.shape != values.probability.shape or values.grey.shape[:2] != (runs.nz, runs.ny):
        raise ValueError("grey values, probabilities and runs are of different slices")
    _add_values(runs, component, values, reference, (sums.grey, sums.grey_range, sums.tally))


@njit(cache=True, nogil=True)
def _add_geometry(runs: Any, start: Any, component: Any, moments: Any, box: Any) -> None:
    row_ptr, x_start, x_stop, ny = runs
    for row in range(len(row_ptr) - 1):
        z, y = np.int64(start + row // ny), np.int64(row % ny)
        for run in range(row_ptr[row], row_ptr[row + 1]):
            x0, x1 = np.int64(x_start[run]), np.int64(x_stop[run])
            n = x1 - x0
            sum_x = n * (x0 + x1 - 1) // 2
            sum_xx = ((x1 - 1) * x1 * (2 * x1 - 1) - (x0 - 1) * x0 * (2 * x0 - 1)) // 6
            m = moments[component[run]]
            m[0] += n
            m[1] += n * z
            m[2] += n * y
            m[3] += sum_x
            m[4] += n * z * z
            m[5] += n * y * y
            m[6] += sum_xx
            m[7] += n * z * y
            m[8] += z * sum_x
            m[9] += y * sum_x
            b = box[component[run]]
            b[0] = min(b[0], z)
            b[1] = min(b[1], y)
            b[2] = min(b[2], x0)
            b[3] = max(b[3], z + 1)
            b[4] = max(b[4], y + 1)
            b[5] = max(b[5], x1)


@njit(cache=True, nogil=True)
def _add_values(runs: Any, component: Any, values: Any, reference: Any, sums: Any) -> None:
    """Add to the sums of grey values, their ranges and the tallies."""
    row_ptr, x_start, x_stop, ny = runs
    grey, grey_range, tally = sums
    for row in range(len(row_ptr) - 1):
        if row_ptr[row] == row_ptr[row + 1]:
            continue
        on_row, certain = values.grey[row // ny, row % ny], values.probability[row // ny, row % ny]
        for run in range(row_ptr[row], row_ptr[row + 1]):
            owner = component[run]
            first = on_row[x_start[run]] - reference
            total, squares, low, high, sure = reference - reference, reference - reference, first, first, np.int64(0)
            for x in range(x_start[run], x_stop[run]):
                value = on_row[x] - reference
                total += value
                squares += value * value
                low = min(low, value)
                high = max(high, value)
                sure += certain[x]
            grey[owner, 0] += total
            grey[owner, 1] += squares
            grey_range[owner, 0] = min(grey_range[owner, 0], low)
            grey_range[owner, 1] = max(grey_range[owner, 1], high)
            tally[owner, PROBABILITY] += sure
