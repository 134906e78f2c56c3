"""Random fields: smooth ones, layers, and cells with walls between them."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

Shape = tuple[int, int, int]

_JITTER = 0.1  # of an edge: no middle lies nearer to the border of its cell


def random_field(shape: Shape, length: float, rng: np.random.Generator, band: bool = False) -> NDArray[np.float32]:
    """Return a Gaussian random field of mean 0 and standard deviation 1 that repeats periodically.

    Parameters
    ----------
    shape : tuple of int
    length : float
        Distance in voxels at which its autocorrelation has fallen to 1/e.
    rng : numpy.random.Generator
    band : bool
        Without its slow part, so that what lies above a level has one size.
    """
    spectrum = fft.rfftn(rng.standard_normal(shape, dtype=np.float32))
    # The kernel separates, so three small arrays do.
    axes = [fft.fftfreq(n).astype(np.float32) for n in shape[:2]] + [fft.rfftfreq(shape[2]).astype(np.float32)]
    spectrum *= _gaussian(axes, length / 2) - (_gaussian(axes, length) if band else np.float32(0))
    field = fft.irfftn(spectrum, s=shape, overwrite_x=True)
    field -= field.mean(dtype=np.float64)
    field /= field.std(dtype=np.float64) + 1e-12
    return field.astype(np.float32, copy=False)


def _gaussian(axes: list[NDArray[np.float32]], sigma: float) -> NDArray[np.float32]:
    z, y, x = (np.exp(-2 * math.pi**2 * np.float32(sigma) ** 2 * axis**2) for axis in axes)
    return z[:, None, None] * y[None, :, None] * x[None, None, :]


def slow_plane(shape: tuple[int, int], waves: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a slowly changing plane (y, x), largest magnitude 1: at most so many waves across its longer side."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    plane = np.zeros(shape, np.float32)
    for _ in range(4):
        ky, kx = rng.uniform(-waves, waves, 2) / max(shape)
        plane += (rng.standard_normal() * np.cos(2 * math.pi * (ky * y + kx * x + rng.random()))).astype(np.float32)
    plane -= plane.mean()
    return plane / max(float(np.abs(plane).max()), 1e-6)


def layers(shape: Shape, period: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return wavy layers, mean about 0 and standard deviation about 1."""
    normal = rng.standard_normal(3)
    normal /= np.linalg.norm(normal)
    z, y, x = (np.arange(n, dtype=np.float32) for n in shape)
    waves = (2 * slow_plane(shape[1:], 2, rng) + 1).astype(np.float32)
    phase = (normal[1] * y[:, None] + normal[2] * x[None, :]) / period + waves
    both = phase[None] + (normal[0] / period * z)[:, None, None]
    return (math.sqrt(2) * np.sin(2 * math.pi * both)).astype(np.float32)


def cells(shape: Shape, size: float, stretch: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Return polyhedral cells: the number of the cell of each voxel, and the distance to its nearest wall.

    Parameters
    ----------
    shape : tuple of int
    size : float
        Distance of their middles in voxels.
    stretch : array (3,)
        Size along (z, y, x) over it.
    rng : numpy.random.Generator

    Returns
    -------
    array (z, y, x) of int32
    array (z, y, x) of float32
    """
    edges = size * np.asarray(stretch, float)
    counts = tuple(math.ceil(n / edge) + 4 for n, edge in zip(shape, edges, strict=True))
    middles = (np.indices(counts).transpose(1, 2, 3, 0) - 2 + rng.uniform(_JITTER, 1 - _JITTER, (*counts, 3))) * edges
    numbers = np.empty(shape, np.int32)
    distances = np.empty(shape, np.float32)
    _cells(numbers, distances, np.ascontiguousarray(middles), edges)
    return numbers, distances


@njit(cache=True, nogil=True)
def _cells(numbers, distances, middles, edges):  # type: ignore[no-untyped-def]
    nz, ny, nx = numbers.shape
    _, my, mx, _ = middles.shape
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                cz, cy, cx = int(z / edges[0]) + 2, int(y / edges[1]) + 2, int(x / edges[2]) + 2
                best, second = 1e18, 1e18
                first_cell, second_cell = 0, 0
                # From the own cell outwards; whole cells that lie too far away are left out.
                for di in (0, -1, 1):
                    away_z = _away(z / edges[0] + 2 - cz, di, edges[0])
                    for dj in (0, -1, 1):
                        away_y = away_z + _away(y / edges[1] + 2 - cy, dj, edges[1])
                        for dk in (0, -1, 1):
                            if away_y + _away(x / edges[2] + 2 - cx, dk, edges[2]) >= second:
                                continue
                            i, j, k = cz + di, cy + dj, cx + dk
                            dz = middles[i, j, k, 0] - z
                            dy = middles[i, j, k, 1] - y
                            dx = middles[i, j, k, 2] - x
                            square = dz * dz + dy * dy + dx * dx
                            number = (i * my + j) * mx + k
                            if square < best:
                                second, second_cell = best, first_cell
                                best, first_cell = square, number
                            elif square < second:
                                second, second_cell = square, number
                numbers[z, y, x] = first_cell
                a, b = first_cell // (my * mx), (first_cell // mx) % my
                c = first_cell % mx
                d, e = second_cell // (my * mx), (second_cell // mx) % my
                f = second_cell % mx
                apart = 0.0
                for axis in range(3):
                    apart += (middles[a, b, c, axis] - middles[d, e, f, axis]) ** 2
                distances[z, y, x] = (second - best) / (2 * np.sqrt(apart) + 1e-6)


@njit(cache=True, nogil=True)
def _away(place, offset, edge):  # type: ignore[no-untyped-def]
    """Return the least squared distance along one axis to the middle of a cell so many cells further."""
    if offset == 0:
        return 0.0
    apart = (place if offset < 0 else 1 - place) + _JITTER
    return (apart * edge) ** 2
