"""The two-point probability S2(r) of a zone, exact from runs: the size and spacing of what fills it.

Two runs on a line contain as many pairs of points at distance r as one of them, shifted by r, overlaps the other:
a trapezoid over r, whose second differences are four numbers. So all distances cost as much as one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray

from ..domains.objects import Runs
from ..domains.runs import extract_runs
from .estimators import ratio
from .masks import Floats, Grid, Ints

MOST_LAG_UM = 50.0
LEAST_LAGS = 20  # where voxels are so coarse that 50 um are few of them
_STEP = 16  # columns; the resin of a line is sampled at every sixteenth voxel, its ends then found to the voxel


class Stretches(NamedTuple):
    """Stretches ``[start, stop)`` of the lines of a slice, by line and then by start; arrays (n,) of int64."""

    line: Ints
    start: Ints
    stop: Ints


class _Blocks(NamedTuple):
    """The lateral blocks on the lines of a slice.

    ``base`` (lines,) and ``along`` (voxels on a line,) add up to the number of the block; ``piece_end`` is one past the
    last voxel of the block that holds a voxel.
    """

    base: Ints
    along: Ints
    piece_end: Ints


def n_lags(grid: Grid) -> int:
    """Return the number of distances, 0 included, in steps of a voxel along the lines."""
    axis = line_axis(grid)
    return min(grid.shape[axis], max(int(MOST_LAG_UM / grid.voxel_size_um[axis] + 1e-9), LEAST_LAGS) + 1)


def line_axis(grid: Grid) -> int:
    """Return the axis of the lines, in the slice and along the substrate: x, or y where depth runs along x."""
    return 1 if grid.plane.axis == 2 else 2


def count_pairs(
    grid: Grid, runs: Runs, start: int, stop: int, zones: NDArray[np.bool_], resin: Ints
) -> tuple[Ints, Ints]:
    """Count pairs of points on lines of the slices ``[start, stop)``, by zone, block of the first point and distance.

    Parameters
    ----------
    grid : Grid
    runs : Runs
        Domains in these slices.
    start, stop : int
        Slices.
    zones : array (zones, layers) of bool
        Which layers belong to each zone.
    resin : array (layers, blocks) of int64
        Resin in these slices.

    Returns
    -------
    domain, resin : array (zones, blocks, lags + 2) of int64
        Second differences of the pairs in domains, and of all pairs of resin: :func:`pairs_at` sums them up. Both
        points of a pair lie in the same stretch of a zone's resin on their line.
    """
    tallies = np.zeros((2, len(zones), grid.n_blocks, n_lags(grid) + 2), np.int64)
    expected = (zones.astype(np.int64) @ resin).sum(axis=1)
    windows = [[_windows(grid, z, zone, _STEP) for z in range(start, stop)] for zone in zones]
    for index, zone in enumerate(zones):
        if sum(int((w.stop - w.start).sum()) for w in windows[index]) != expected[index]:
            # Holes may be narrower than the step, unlike those of a plane and its circle: look at every voxel.
            windows[index] = [_windows(grid, z, zone, 1) for z in range(start, stop)]
    axis = line_axis(grid)
    along = grid.blocks[axis]
    ends = np.append(np.flatnonzero(np.diff(along)) + 1, len(along))
    piece_end = ends[np.searchsorted(ends, np.arange(len(along)), side="right")]
    borders = np.searchsorted(runs.z, np.arange(start, stop + 1))
    for z in range(start, stop):
        found = _lines(grid, runs, slice(borders[z - start], borders[z - start + 1]), axis)
        blocks = _Blocks(grid.blocks[0][z] + grid.blocks[3 - axis], along, piece_end)
        for index in range(len(zones)):
            _count_pairs(windows[index][z - start], found, blocks, tallies[0, index], tallies[1, index])
    return tallies[0], tallies[1]


def pairs_at(differences: Ints) -> Ints:
    """Return the pairs at every distance, array (..., lags), from their second differences (..., lags + 2)."""
    slope = np.cumsum(differences[..., 1:-1], axis=-1)
    return np.cumsum(np.concatenate([differences[..., :1], slope[..., :-1]], axis=-1), axis=-1)


def correlation_table(names: list[str], grid: Grid, domain: Ints, resin: Ints, draws: Floats) -> pd.DataFrame:
    """Return S2 and the normalised autocovariance of each zone by distance.

    S2(r) = pairs in domains / pairs in resin: unbiased, as both count the same places (Torquato, Random Heterogeneous
    Materials (2002), section 2.1). Autocovariance = (S2 - phi^2) / (phi - phi^2), phi = S2(0).

    Parameters
    ----------
    names : list of str
        Zones.
    grid : Grid
    domain, resin : array (zones, blocks, lags + 2)
        From :func:`count_pairs`, all slices together.
    draws : array (resamples, blocks)
    """
    tops, bottoms = (pairs_at(part).transpose(0, 2, 1).astype(np.float64) for part in (domain, resin))
    lag_um = np.arange(tops.shape[1]) * grid.voxel_size_um[line_axis(grid)]
    tables = []
    for name, top, bottom in zip(names, tops, bottoms, strict=True):
        s2 = ratio(top, bottom, 1.0, draws)
        phi = s2.value[0]
        spread = phi - phi**2
        columns = {"zone": name, "lag_um": lag_um, **s2.columns("s2")}
        columns["autocovariance"] = (s2.value - phi**2) / spread if spread > 0 else np.full(len(top), np.nan)
        columns["pairs"] = bottom.sum(axis=1).astype(np.int64)
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables)


def _windows(grid: Grid, z: int, zone: NDArray[np.bool_], step: int) -> Stretches:
    """Return the stretches of a zone's resin on the lines of a slice."""
    axis = line_axis(grid)
    lines, length = grid.shape[3 - axis], grid.shape[axis]
    held = np.append(zone, False)  # at -1: voxels that do not count

    def inside(line: Ints, along: Ints) -> NDArray[np.bool_]:
        y, x = (line, along) if axis == 2 else (along, line)
        position = ((np.asarray(index) + 0.5) * edge for index, edge in zip((z, y, x), grid.voxel_size_um, strict=True))
        z_um, y_um, x_um = np.broadcast_arrays(*position)
        return held[grid.place(z_um.ravel(), y_um.ravel(), x_um.ravel())[0]].reshape(x_um.shape)

    columns = np.append(np.arange(0, length, step), length - 1)
    if grid.resin.air.any():  # air comes in blocks: both ends of each are checked
        first = np.arange(0, length, grid.resin.side)
        columns = np.concatenate([columns, first, first[1:] - 1])
    columns = np.unique(columns)
    seen = inside(np.arange(lines)[:, None], columns[None, :])
    line, change = np.nonzero(np.diff(np.pad(seen, ((0, 0), (1, 1))).astype(np.int8), axis=1))
    before = np.concatenate([[-1], columns])[change]
    after = np.concatenate([columns, [length]])[change]
    while (wide := np.flatnonzero(after - before > 1)).size:
        middle = (before[wide] + after[wide]) // 2
        as_after = inside(line[wide], middle) == (np.arange(len(line))[wide] % 2 == 0)  # the even ones begin
        after[wide], before[wide] = np.where(as_after, middle, after[wide]), np.where(as_after, before[wide], middle)
    return Stretches(line[::2], after[::2], after[1::2])


def _lines(grid: Grid, runs: Runs, part: slice, axis: int) -> Stretches:
    """Return the domains of a slice as stretches of its lines; different domains that touch form one stretch."""
    line, start, stop = (column[part].astype(np.int64) for column in (runs.y, runs.x_start, runs.x_stop))
    if axis == 2:
        return Stretches(line, start, stop)
    painted = np.zeros((1, grid.shape[2], grid.shape[1]), np.uint8)
    _paint(painted[0], line, start, stop)
    found = extract_runs(painted, 1)
    line = np.repeat(np.arange(grid.shape[2]), np.diff(found.row_ptr))
    return Stretches(line, found.x_start.astype(np.int64), found.x_stop.astype(np.int64))


@njit(cache=True, nogil=True)
def _paint(columns, y, x_start, x_stop):  # type: ignore[no-untyped-def]
    for run in range(y.size):
        columns[x_start[run] : x_stop[run], y[run]] = 1


@njit(cache=True, nogil=True)
def _count_pairs(windows, found, blocks, domain, resin):  # type: ignore[no-untyped-def]
    most = domain.shape[1] - 2  # distances
    line, start, stop = found.line, found.start, found.stop
    first = 0
    for window in range(windows.line.size):
        j, low, high = windows.line[window], windows.start[window], windows.stop[window]
        _add_pairs(low, high, low, high, j, blocks, resin)
        while first < line.size and (line[first] < j or (line[first] == j and stop[first] <= low)):
            first += 1
        one = first
        while one < line.size and line[one] == j and start[one] < high:
            a0, a1 = max(start[one], low), min(stop[one], high)
            other = one
            while other < line.size and line[other] == j and start[other] < high and start[other] - a1 + 1 < most:
                b0, b1 = max(start[other], low), min(stop[other], high)
                _add_pairs(a0, a1, b0, b1, j, blocks, domain)
                other += 1
            one += 1


@njit(cache=True, nogil=True)
def _add_pairs(a0, a1, b0, b1, line, blocks, tallies):  # type: ignore[no-untyped-def]
    """Add the pairs of a point of ``[a0, a1)`` with one not before it in ``[b0, b1)``, block by block of the first."""
    most = tallies.shape[1] - 2
    while a0 < a1:
        end = min(a1, blocks.piece_end[a0])
        row = tallies[blocks.base[line] + blocks.along[a0]]
        for corner, sign in ((b0 - end, 1), (b0 - a0, -1), (b1 - end, -1), (b1 - a0, 1)):
            if corner <= 0:
                row[0] -= sign * corner
                row[1] += sign
            elif corner < most:
                row[1 + corner] += sign
        a0 = end
