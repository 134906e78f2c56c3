"""A picture of a mask on its slice, to see at a glance how good it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import whole_file

_OUTLINE = (255, 140, 0)  # seen on dark and on bright grey
_SHORTEST, _LONGEST = 480, 1600  # pixels of the picture for a slice that is enlarged
_GAP = 8


def write_preview(grey: NDArray, mask: NDArray, out: Path) -> None:
    """Write a PNG: the slice, and beside it the same with the outline of everything that is not background.

    Parameters
    ----------
    grey : array (y, x)
        In any unit.
    mask : array (y, x)
        Values of classes; a line is drawn where they change, on the voxels of the larger value.
    out : Path
        Its ending is ``.png``.
    """
    low, high = np.percentile(grey, (0.5, 99.5))
    shade = np.clip((grey.astype(np.float32) - low) / max(float(high - low), 1e-9), 0, 1)
    times = max(1, min(-(-_SHORTEST // min(grey.shape)), _LONGEST // max(grey.shape)))
    plain = np.repeat((255 * shade).astype(np.uint8)[..., None], 3, axis=2).repeat(times, 0).repeat(times, 1)
    outlined = plain.copy()
    outlined[outline(mask.repeat(times, 0).repeat(times, 1))] = _OUTLINE
    gap = np.full((plain.shape[0], _GAP, 3), 255, np.uint8)
    with whole_file(out) as partial:
        Image.fromarray(np.concatenate([plain, gap, outlined], axis=1)).save(partial, format="PNG")


def outline(mask: NDArray) -> NDArray[np.bool_]:
    """Return the pixels that have a neighbour, above, below, left or right, of a smaller value."""
    padded = np.pad(mask, 1, mode="edge")
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.logical_or.reduce([mask > other for other in around])
