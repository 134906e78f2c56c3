"""Neighbouring voxels of a phase: pairs in 13 directions, and groups of 2 x 2 x 2 for the Euler number.

Only pairs and groups that lie wholly in the material count, in the numerator and in the denominator alike. The borders
of the scan, of the field of view, of air and of the substrate are then neither surface nor do they change the Euler
number, and the densities are unbiased for any window (Ohser and Mücklich, Statistical Analysis of Microstructures in
Materials Science (2000), chapter 3; Ohser, Nagel and Schladitz 2002, LNP 600, 275).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..domains.surface import DIRECTIONS, direction_weights
from ..profile.masks import Floats, Ints

EIGHTHS = 8  # Euler numbers of groups are whole multiples of an eighth
_STEPS = np.array(DIRECTIONS, np.int64)


@dataclass(frozen=True)
class Neighbours:
    """What was counted in some slices; every array (..., cells) of int64.

    Attributes
    ----------
    material, phase : array (cells,)
        Voxels of the material, which includes the phase, and of the phase.
    pairs, changes : array (13, cells)
        Pairs (p, p + k) for each of :data:`~tomoprofile.domains.surface.DIRECTIONS`, in the cell of p, and those of
        which one voxel is of the phase and the other is not.
    groups, euler : array (cells,)
        Groups of 2 x 2 x 2 voxels, in the cell of their first voxel, and eight times the sum of their Euler numbers.
    """

    material: Ints
    phase: Ints
    pairs: Ints
    changes: Ints
    groups: Ints
    euler: Ints

    def __add__(self, other: Neighbours) -> Neighbours:
        """Return the counts of both parts."""
        return Neighbours(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def count_neighbours(
    phase: NDArray[np.bool_], cells: NDArray[np.int32], n_cells: int, slices: int, connectivity: int
) -> Neighbours:
    """Count pairs and groups that begin in the first slices of an array.

    Parameters
    ----------
    phase : bool array (z, y, x)
        The phase, in these slices and, unless the scan ends, in the next one.
    cells : int32 array (z, y, x)
        The cell of each voxel; -1 outside of the material.
    n_cells : int
    slices : int
        How many slices pairs and groups may begin in.
    connectivity : int
        26: the phase is a union of closed voxels; 6: its voxels are joined by faces alone.
    """
    found = [np.zeros((rows, n_cells), np.int64) for rows in (2, 13, 13, 2)]
    _count(phase, cells, slices, _STEPS, euler_of_groups(connectivity), *found)
    (material, of_phase), pairs, changes, (groups, euler) = found
    return Neighbours(material, of_phase, pairs, changes, groups, euler)


def euler_of_groups(connectivity: int) -> NDArray[np.int64]:
    """Return eight times the Euler number that each of the 256 groups of 2 x 2 x 2 voxels contributes.

    Bit 4 dz + 2 dy + dx of the index tells whether that voxel is of the phase. Under 26 the middle of the group is a
    vertex, with six half edges, twelve quarter faces and eight eighths of voxels around it, each there when a voxel
    that it bounds is. Under 6 voxels are vertices, and edges, faces and cubes are there when all of their voxels are.
    """
    places = list(product((0, 1), repeat=3))
    table = np.zeros(256, np.int64)
    for index in range(256):
        held = {place for bit, place in enumerate(places) if index >> bit & 1}
        for fixed in product((0, 1, None), repeat=3):  # None: the cell of the complex extends along this axis
            extent = fixed.count(None)
            corners = [p for p in places if all(f is None or f == q for f, q in zip(fixed, p, strict=True))]
            # Under 26, fixed axes tell the side on which a part lies; those that extend are shared by both sides.
            there = any(p in held for p in corners) if connectivity == 26 else all(p in held for p in corners)
            dimension = 3 - extent if connectivity == 26 else extent
            share = EIGHTHS >> dimension if connectivity == 26 else 1 << extent
            table[index] += there * (-1) ** dimension * share
    return table


def surface_terms(counts: Floats, changes: Floats, voxel_size_um: tuple[float, float, float]) -> tuple[Floats, Floats]:
    """Return the two terms of each direction whose ratios add up to the surface per volume, in 1/um.

    Parameters
    ----------
    counts, changes : array (13, ...)
        Pairs, and those that cross the surface.

    Notes
    -----
    Crofton: along a direction k with the share c_k of the sphere, a line crosses the surface N_k times per length, and
    S_V = 2 sum_k c_k N_k. Its accuracy is that of :mod:`~tomoprofile.domains.surface` without the correction for short
    chords: a sphere of radius r voxels reads 0.17 / r^2 low, a plane along the voxels 7 % low.
    """
    lengths = np.linalg.norm(_STEPS * np.array(voxel_size_um), axis=1)
    factor = 2 * direction_weights(voxel_size_um) / lengths
    return changes * factor.reshape(-1, *[1] * (changes.ndim - 1)), counts


@njit(cache=True, nogil=True)
def _count(phase, cells, slices, steps, table, voxels, pairs, changes, groups):  # type: ignore[no-untyped-def]
    nz, ny, nx = phase.shape
    for z in range(slices):
        for y in range(ny):
            for x in range(nx):
                cell = cells[z, y, x]
                if cell < 0:
                    continue
                here = phase[z, y, x]
                voxels[0, cell] += 1
                voxels[1, cell] += here
                for k in range(13):
                    i, j, l = z + steps[k, 0], y + steps[k, 1], x + steps[k, 2]  # noqa: E741
                    if i < nz and 0 <= j < ny and 0 <= l < nx and cells[i, j, l] >= 0:
                        pairs[k, cell] += 1
                        changes[k, cell] += here != phase[i, j, l]
                if z + 1 == nz or y + 1 == ny or x + 1 == nx:
                    continue
                index, whole = 0, True
                for bit in range(8):
                    i, j, l = z + (bit >> 2), y + (bit >> 1 & 1), x + (bit & 1)  # noqa: E741
                    whole = whole and cells[i, j, l] >= 0
                    index |= np.int64(phase[i, j, l]) << bit
                if whole:
                    groups[0, cell] += 1
                    groups[1, cell] += table[index]
