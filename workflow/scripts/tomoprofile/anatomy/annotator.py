"""What a person may do wrong when labelling: a boundary that leaks into the neighbours, a tip that is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from .settings import LABELS

_LEAK_MM = (2.0, 4.0)
_LEAK_REACH = 0.45  # radius of the place that leaks, over the cube root of the organ's volume
_TIP = (0.04, 0.10)  # of the voxels of an organ


def with_errors(
    labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float], ratio: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Return labels as a person might have drawn them, and what is wrong with them.

    Parameters
    ----------
    labels : array (z, y, x) of uint8
        The true ones.
    spacing_mm : tuple of float
    ratio : float
        Probability of an error for each organ, from 0 to 1.
    rng : numpy.random.Generator

    Returns
    -------
    array (z, y, x) of uint8
    list of dict
        ``organ``; ``kind``, ``leak`` or ``missing tip``; ``voxels``, how many are wrong; and of a leak ``mm``, how far
        it reaches, at least one voxel.
    """
    drawn, errors = labels.copy(), []
    for organ, value in LABELS.items():
        # Two numbers for each organ, whether it is there or not: one organ's error does not depend on another's.
        wrong, leaks = rng.random(2)
        inside = labels == value
        if wrong >= ratio or not inside.any():
            continue
        error: dict[str, Any]
        if leaks < 0.5:
            reach = max(rng.uniform(*_LEAK_MM), *spacing_mm)
            changed = _leak(inside, spacing_mm, reach, rng)
            drawn[changed] = value
            error = {"organ": organ, "kind": "leak", "mm": round(reach, 2)}
        else:
            changed = _tip(inside, spacing_mm, rng)
            drawn[changed] = 0
            error = {"organ": organ, "kind": "missing tip"}
        errors.append({**error, "voxels": int(changed.sum())})
    return drawn, errors


def _leak(
    inside: NDArray[np.bool_], spacing_mm: tuple[float, float, float], reach_mm: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return the voxels around a random place of the surface that are no farther away than the leak reaches."""
    surface = np.argwhere(inside & ~binary_erosion(inside))
    place = surface[rng.integers(len(surface))]
    away = np.sqrt(_square_mm(inside.shape, place, spacing_mm))
    size = _LEAK_REACH * float(inside.sum() * np.prod(spacing_mm)) ** (1 / 3)
    outside = distance_transform_edt(~inside, spacing_mm)
    return ~inside & (outside <= reach_mm) & (away <= max(size, 2 * reach_mm))


def _tip(
    inside: NDArray[np.bool_], spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return the voxels of one end of an organ, along its longest direction."""
    voxels = np.argwhere(inside)
    positions = voxels * spacing_mm - (voxels * spacing_mm).mean(axis=0)
    along = positions @ np.linalg.svd(positions, full_matrices=False)[2][0] * rng.choice((-1, 1))
    tip = voxels[along >= np.quantile(along, 1 - rng.uniform(*_TIP))]
    missing = np.zeros(inside.shape, bool)
    missing[tuple(tip.T)] = True
    return missing


def _square_mm(
    shape: tuple[int, ...], place: NDArray[np.int_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    z, y, x = (((np.arange(n) - p) * s) ** 2 for n, p, s in zip(shape, place, spacing_mm, strict=True))
    return z[:, None, None] + y[:, None] + x
