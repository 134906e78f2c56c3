"""A picture of a case: three planes with the outlines of its organs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .settings import LABELS

_WINDOW_HU = (-160.0, 240.0)
_COLOURS = {
    "liver": (240, 160, 60),
    "spleen": (190, 110, 230),
    "kidney_left": (90, 200, 120),
    "kidney_right": (90, 200, 120),
    "gallbladder": (170, 210, 60),
    "stomach": (80, 170, 240),
    "pancreas": (250, 230, 90),
    "aorta": (240, 80, 80),
    "vena_cava": (90, 110, 250),
}
_PIXEL_MM = 1.0


def three_planes(
    hu: NDArray[np.int16], labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """Return an axial, a coronal and a sagittal plane side by side, as radiologists see them: array (rows, columns, 3).

    The planes cross in the middle of the labelled voxels; the patient's right is on the left. Soft-tissue window.

    Parameters
    ----------
    hu, labels : array (z, y, x)
        Axes to superior, posterior and left.
    spacing_mm : tuple of float
    """
    places = zip(labels.nonzero(), hu.shape, strict=True)
    z, y, x = (int(np.median(where)) if where.size else n // 2 for where, n in places)
    dz, dy, dx = spacing_mm
    planes = (
        (np.s_[z], (dy, dx)),
        (np.s_[::-1, y], (dz, dx)),
        (np.s_[::-1, :, x], (dz, dy)),
    )
    shown = [_plane(hu[cut], labels[cut], edges) for cut, edges in planes]
    height = max(len(part) for part in shown)
    padded = [np.pad(part, ((0, height - len(part)), (0, 4), (0, 0))) for part in shown]
    return np.concatenate(padded, axis=1)


def _plane(hu: NDArray[np.int16], labels: NDArray[np.uint8], edges: tuple[float, float]) -> NDArray[np.uint8]:
    """Return a plane in colour, its pixels as large as shown, with outlines one pixel wide."""
    low, high = _WINDOW_HU
    grey = np.clip((hu - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    rows, columns = (round(n * edge / _PIXEL_MM) for n, edge in zip(hu.shape, edges, strict=True))
    image = np.asarray(Image.fromarray(grey).resize((columns, rows), Image.Resampling.BICUBIC))
    colour = np.repeat(image[:, :, None], 3, axis=2)
    for name, value in LABELS.items():
        inside = Image.fromarray((labels == value).astype(np.uint8) * 255)
        large = np.asarray(inside.resize((columns, rows), Image.Resampling.BILINEAR)) > 127
        colour[large & ~_eroded(large)] = _COLOURS[name]
    return colour


def _eroded(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    within = inside.copy()
    within[1:] &= inside[:-1]
    within[:-1] &= inside[1:]
    within[:, 1:] &= inside[:, :-1]
    within[:, :-1] &= inside[:, 1:]
    return within
