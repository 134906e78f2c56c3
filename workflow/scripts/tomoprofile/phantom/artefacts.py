"""Reconstruction artefacts other than rings: cupping and streaks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_SLICES_A_STREAK = 5  # a new one begins every so many slices
_STREAK_SLICES = 10.0  # sigma in slices: the object that causes a streak has some height
_STREAK_VOXELS = (2.0, 8.0)  # sigma across
_STREAK_SPREAD_DEG = 20.0  # sigma about one direction, as where angles are missing


def add_cupping(grey: NDArray[np.float32], rise: float) -> None:
    """Add a trend that grows with the square of the distance to the rotation axis, along z in the middle of slices.

    Parameters
    ----------
    grey : array (z, y, x)
        Changed in place.
    rise : float
        Increase from the axis to the corners of the slices, in the units of ``grey``.
    """
    _, ny, nx = grey.shape
    square = (np.arange(ny)[:, None] - (ny - 1) / 2) ** 2 + (np.arange(nx)[None, :] - (nx - 1) / 2) ** 2
    grey += (rise / max(square.max(), 1) * square).astype(np.float32)


def add_streaks(grey: NDArray[np.float32], height: float, rng: np.random.Generator) -> None:
    """Add bright and dark straight bands within the slices, about five in each, most of them along one direction.

    Parameters
    ----------
    grey : array (z, y, x)
        Changed in place.
    height : float
        Grey value of the middle of a band in the slice where it is strongest, in the units of ``grey``.
    rng : numpy.random.Generator
        Random source.
    """
    nz, ny, nx = grey.shape
    y, x = np.arange(ny)[:, None] - (ny - 1) / 2, np.arange(nx)[None, :] - (nx - 1) / 2
    slices = np.arange(nz)
    main = rng.uniform(0, math.pi)
    for _ in range(math.ceil((nz + 2 * _STREAK_SLICES) / _SLICES_A_STREAK)):
        angle = main + math.radians(_STREAK_SPREAD_DEG) * rng.standard_normal()
        middle, sign = rng.uniform(-_STREAK_SLICES, nz + _STREAK_SLICES), rng.choice((-1, 1))
        offset, sigma = rng.uniform(-0.5, 0.5) * min(ny, nx), rng.uniform(*_STREAK_VOXELS)
        across = math.cos(angle) * y - math.sin(angle) * x - offset
        band = (sign * height * np.exp(-0.5 * (across / sigma) ** 2)).astype(np.float32)
        fade = np.exp(-0.5 * ((slices - middle) / _STREAK_SLICES) ** 2)
        for index in np.flatnonzero(fade > 0.01):
            grey[index] += np.float32(fade[index]) * band
