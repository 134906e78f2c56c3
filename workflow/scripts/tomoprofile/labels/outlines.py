"""Fill outlines drawn in ImageJ or Fiji: ``.roi`` files and ``.zip`` sets of the ROI Manager.

ImageJ puts corners of voxels at whole numbers; a voxel belongs to an outline that contains its centre. Files are read
by ``roifile``, which decodes bytes and never unpickles.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi
from skimage.draw import polygon2mask

from ..errors import Fault, InputError
from ..volume.formats.base import decoding
from .classes import Classes

_AREAS = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT, ROI_TYPE.OVAL)
_NO_AREAS = (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE)
_MOST_BYTES = 64 * 2**20  # of a file of outlines, and of the outlines in an archive
_MOST_OUTLINES = 100_000
_FARTHEST = 1e6  # pixels; farther corners are damage


@dataclass(frozen=True)
class Outline:
    """An outline and its position.

    Attributes
    ----------
    name : str
        As shown in the ROI Manager.
    group : int
        ImageJ's group; 0 is none.
    z : int or None
        Slice index from 0; None when the ROI carries no position.
    roi : ImagejRoi
    """

    name: str
    group: int
    z: int | None
    roi: ImagejRoi


def read_outlines(path: Path) -> list[Outline]:
    """Return the outlines of a ``.roi`` file or a ``.zip`` set, in its order.

    Raises
    ------
    InputError
        When it cannot be read or contains no ROI.
    """
    remedy = "Save the ROIs again: ROI Manager > More > Save."
    outlines = []
    with decoding(path, "ImageJ ROIs", remedy=remedy):
        for name, data in _entries(path):
            outlines.append(_outline(name, ImagejRoi.frombytes(data)))
    if not outlines:
        remedy = "Add outlines to the ROI Manager (key T), then More > Save."
        raise InputError(Fault(str(path), "", "the file contains no ROI", remedy))
    return outlines


def fill(outline: Outline, shape: tuple[int, int], path: Path) -> NDArray[np.bool_]:
    """Return the voxels whose centres lie inside an outline.

    Parameters
    ----------
    outline : Outline
    shape : tuple of int
        Rows and columns of the slice.
    path : Path
        Its file, for messages.

    Raises
    ------
    InputError
        When it is a line or a point, or covers no voxel of the slice.
    """
    roi, where = outline.roi, f"{path} ROI {outline.name!r}"
    if roi.roitype not in _AREAS or roi.subtype in _NO_AREAS:
        got = roi.subtype.name if roi.subtype in _NO_AREAS else roi.roitype.name
        remedy = "Delete it, or draw the domain with the polygon, freehand, oval or wand tool."
        raise InputError(Fault(where, got.lower(), "a line, point or text encloses no area", remedy))
    with decoding(where, "outline", "this composite", "Split it into simple outlines (ROI Manager > More > Split)."):
        paths = [np.asarray(corners, float) for corners in roi.coordinates(multi=True)]
    area = _area(roi, paths, shape)
    if not area.any():
        got = f"x {roi.left}..{roi.right}, y {roi.top}..{roi.bottom}"
        problem = f"the outline covers no voxel of the slice ({shape[0]} rows, {shape[1]} columns)"
        raise InputError(Fault(where, got, problem, "Delete it, or draw it on the slice as it was exported."))
    return area


def class_of(outline: Outline, classes: Classes, path: Path) -> int | None:
    """Return the class index of an outline, or None for one called ``ignore``.

    The start of its name decides (``void-3``), then its group (the index of the class); else it is measured.

    Parameters
    ----------
    outline : Outline
    classes : Classes
        Of several measured classes, the first is the default.
    path : Path
        Its file, for messages.

    Raises
    ------
    InputError
        With more than two classes, when a name or a group matches none of them.
    """
    if outline.name.lower().startswith("ignore"):
        return None
    names, measured = classes.names, classes.indices[0]
    for name in sorted(names, key=len, reverse=True):
        if re.match(rf"{re.escape(name)}(?![A-Za-z])", outline.name, re.IGNORECASE):
            return names.index(name)
    if len(names) == 2:
        return measured
    if outline.group:
        if outline.group < len(names):
            return outline.group
        got, problem = f"group {outline.group}", "there is no class with this index"
    elif re.match("[A-Za-z]", outline.name):
        got, problem = "", "the name does not begin with a class"
    else:
        return measured
    known = ", ".join([*names, "ignore"])
    remedy = f"Rename it to begin with one of {known}, or set its group to the index of a class."
    raise InputError(Fault(f"{path} ROI {outline.name!r}", got, problem, remedy))


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each outline; what an archive promises is compared with what can be, then read."""
    _require(path.stat().st_size <= _MOST_BYTES, f"it has more than {_MOST_BYTES >> 20} MB")
    if path.suffix.lower() == ".roi":
        yield path.stem, path.read_bytes()
        return
    # Each entry of the list of an archive becomes an object, so they are counted before.
    _require(path.read_bytes().count(b"PK\x01\x02") <= _MOST_OUTLINES, f"it holds more than {_MOST_OUTLINES} files")
    with zipfile.ZipFile(path) as archive:
        drawn = [
            info
            for info in archive.infolist()  # there are folders too, and what macOS adds to archives
            if info.filename.lower().endswith(".roi") and not Path(info.filename).name.startswith(".")
        ]
        total = sum(info.file_size for info in drawn)
        _require(total <= _MOST_BYTES, f"its outlines have {total} bytes, more than {_MOST_BYTES >> 20} MB")
        for info in drawn:
            with archive.open(info) as file:  # never more than promised, whatever the compressed bytes hold
                yield Path(info.filename).stem, file.read(info.file_size)


def _require(possible: bool, problem: str) -> None:
    if not possible:
        raise ValueError(problem)


def _outline(stem: str, roi: ImagejRoi) -> Outline:
    position = roi.z_position or roi.position  # of a hyperstack, or of a plain stack; 0 is none
    return Outline(roi.name or stem, roi.group, position - 1 if position > 0 else None, roi)


def _area(roi: ImagejRoi, paths: list[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    if roi.roitype in (ROI_TYPE.RECT, ROI_TYPE.OVAL) and not roi.composite:
        top, left, bottom, right = roi.top, roi.left, roi.bottom, roi.right
        if roi.subpixelrect:
            top, left, bottom, right = roi.yd, roi.xd, roi.yd + roi.heightd, roi.xd + roi.widthd
        y, x = np.arange(shape[0])[:, None] + 0.5, np.arange(shape[1])[None, :] + 0.5
        if roi.roitype == ROI_TYPE.RECT:
            return (y >= top) & (y < bottom) & (x >= left) & (x < right)
        height, width = max(bottom - top, 1e-9) / 2, max(right - left, 1e-9) / 2
        return ((y - top - height) / height) ** 2 + ((x - left - width) / width) ** 2 <= 1
    area = np.zeros(shape, bool)
    for corners in paths:
        if len(corners) > 2 and (np.abs(corners) < _FARTHEST).all():  # not so for NaN
            area ^= polygon2mask(shape, corners[:, ::-1] - 0.5)  # paths inside others are holes
    return area
