"""What a scanner adds: its table, arms in view, the blur of kernel and slices, and noise."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import correlate1d

from .lattice import Floats, Grid
from .settings import Site

_TABLE_MM, _TABLE_ROUND_MM, _SHELL_MM = 26.0, 900.0, 3.0  # thickness, radius across, and of its skin
_TABLE_HU, _FOAM_HU = 60.0, -900.0
_ARM_MM, _BONE_MM = 40.0, 12.0  # radii
_ARM_FAT_MM = 6.0
_RANGE_HU = (-1024, 3071)


def scan(hu: Floats, inside: NDArray[np.bool_], grid: Grid, site: Site, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return what a scanner shows of a body.

    Parameters
    ----------
    hu : array (z, y, x)
        Without noise; changed.
    inside : array (z, y, x) of bool
        The body.
    grid : Grid
    site : Site
    rng : numpy.random.Generator

    Returns
    -------
    array (z, y, x) of int16
        HU, from -1024 to 3071 as in 12 bits.
    """
    if site.arms:
        _add_arms(hu, inside, grid)
    if site.table:
        _add_table(hu, inside, grid)
    blurred = _over_slices(_over_kernel(hu, grid, site.kernel_mm), grid, site.slice_mm)
    blurred += noise(grid, site, rng)
    return np.clip(np.rint(blurred), *_RANGE_HU).astype(np.int16)


def noise(grid: Grid, site: Site, rng: np.random.Generator) -> Floats:
    """Return noise as filtered back projection makes it, with the standard deviation of the site: array (z, y, x).

    Its amplitude grows as the square root of the frequency in the slice, up to what the kernel lets pass, and slices
    that overlap share it.
    """
    qy, qx = (fft.fftfreq(n, edge) for n, edge in zip(grid.size[1:], grid.spacing_mm[1:], strict=True))
    square = qy[:, None] ** 2 + qx[None, :] ** 2
    amplitude = np.sqrt(np.sqrt(square)) * np.exp(-2 * math.pi**2 * site.kernel_mm**2 * square)
    weights = _slice_weights(grid, site.slice_mm)
    amplitude *= site.noise_hu / np.sqrt(np.mean(amplitude**2) * np.sum(weights**2))
    white = rng.standard_normal(grid.size, np.float32)
    return correlate1d(fft.ifft2(fft.fft2(white) * amplitude.astype(np.float32)).real, weights, axis=0, mode="wrap")


def _over_kernel(hu: Floats, grid: Grid, sigma_mm: float) -> Floats:
    """Return HU blurred in the slice by the kernel, beyond what the voxels blur anyway."""
    transfer = [
        np.exp(-2 * (math.pi * sigma_mm * q) ** 2).astype(np.float32)
        for q in (fft.fftfreq(2 * grid.size[1], grid.spacing_mm[1]), fft.rfftfreq(2 * grid.size[2], grid.spacing_mm[2]))
    ]
    _, ny, nx = hu.shape
    # Mirrored, so that one edge of the slice does not show at the other.
    wide = np.pad(hu, ((0, 0), (0, ny), (0, nx)), mode="symmetric")
    blurred = fft.irfft2(fft.rfft2(wide) * (transfer[0][:, None] * transfer[1][None, :]), s=wide.shape[1:])
    return np.ascontiguousarray(blurred[:, :ny, :nx])


def _over_slices(hu: Floats, grid: Grid, thick_mm: float) -> Floats:
    """Return the mean over the thickness of a slice, where that is more than the distance to the next."""
    return correlate1d(hu, _slice_weights(grid, thick_mm), axis=0, mode="nearest")


def _slice_weights(grid: Grid, thick_mm: float) -> NDArray[np.float64]:
    """Return the share of a slice that each of the voxels around its middle has."""
    edge = grid.spacing_mm[0]
    reach = math.ceil(max(thick_mm / edge - 1, 0) / 2)
    faces = np.clip(np.arange(-reach - 0.5, reach + 1) * edge, -thick_mm / 2, thick_mm / 2)
    return np.diff(faces) / np.sum(np.diff(faces))


def _add_arms(hu: Floats, inside: NDArray[np.bool_], grid: Grid) -> None:
    """Lay an arm along each side of the body; they reach beyond the field of view, as in most scans that show them."""
    _, y, x = grid.along()
    widest = np.flatnonzero(inside.any(axis=(0, 1)))
    for side, edge in ((-1, x[widest[0]]), (1, x[widest[-1]])):
        distance = np.hypot((y - 25)[:, None], x[None, :] - (edge + side * (_ARM_MM + 4)))
        for radius, value in ((_ARM_MM, -100.0), (_ARM_MM - _ARM_FAT_MM, 55.0), (_BONE_MM, 700.0), (7.0, 60.0)):
            share = np.clip(0.5 - (distance - radius) / grid.spacing_mm[1], 0, 1).astype(np.float32)
            share = np.where(inside, 0, share)
            hu += share * (np.float32(value) - hu)


def _add_table(hu: Floats, inside: NDArray[np.bool_], grid: Grid) -> None:
    """Put the table below the body, which touches it."""
    _, y, x = grid.along()
    lowest = y[np.flatnonzero(inside.any(axis=(0, 2)))[-1]] + grid.spacing_mm[1] / 2
    depth = y[:, None] - lowest + x[None, :] ** 2 / (2 * _TABLE_ROUND_MM)
    for top, bottom, value in ((0.0, _TABLE_MM, _TABLE_HU), (_SHELL_MM, _TABLE_MM - _SHELL_MM, _FOAM_HU)):
        middle, half = (top + bottom) / 2, (bottom - top) / 2
        share = np.clip(0.5 - (np.abs(depth - middle) - half) / grid.spacing_mm[1], 0, 1).astype(np.float32)
        share = np.where(inside, 0, share)
        hu += share * (np.float32(value) - hu)
