"""Turn a mask into outlines that ImageJ shows and people correct: what :mod:`.outlines` reads gives the same mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from roifile import ImagejRoi, roiwrite
from skimage.measure import find_contours

from .classes import Classes

_Corners = NDArray[np.float64]


def write_outlines(mask: NDArray[np.uint8], classes: Classes, path: Path) -> int:
    """Write the outlines of all classes but the background as a set of the ROI Manager; return how many there are.

    Each is named after its class; a hole is an outline of the background that lies above.

    Parameters
    ----------
    mask : array (y, x) of uint8
        Class indices.
    classes : Classes
    path : Path
        Its ending is ``.zip``.
    """
    found: list[tuple[float, int, str, _Corners]] = []
    for index, name in enumerate(classes.names[1:], 1):
        for corners in find_contours(np.pad(mask == index, 1).astype(np.float32), 0.5):
            area = _signed_area(corners)
            # Where a hole of one class is filled by another, both have one outline: the hole comes first.
            found.append((-abs(area), int(area > 0), name if area > 0 else classes.background, corners))
    found.sort(key=lambda one: one[:2])
    path.unlink(missing_ok=True)
    # The mask was padded by one voxel, and ImageJ puts the middle of a voxel at half a pixel.
    rois = [
        ImagejRoi.frompoints(_without_middles(corners)[:, ::-1] - 0.5, name=f"{name}-{number:05d}")
        for number, (_, _, name, corners) in enumerate(found, 1)
    ]
    if rois:
        roiwrite(path, rois)
    return len(rois)


def _signed_area(corners: _Corners) -> float:
    """Return twice the area of a closed line; below zero where it goes around a hole."""
    y, x = corners.T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())


def _without_middles(corners: _Corners) -> _Corners:
    """Return a closed line without the corners that lie on a straight line between their neighbours."""
    ring = corners[:-1]
    before, after = ring - np.roll(ring, 1, 0), np.roll(ring, -1, 0) - ring
    turns = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-6
    return ring[turns]
