"""Fill outlines drawn in ImageJ or Fiji: ``.roi`` files and ``.zip`` sets of the ROI Manager.

ImageJ puts corners of voxels at whole numbers; a voxel belongs to an outline that contains its centre. Files are read
by ``roifile``, which decodes bytes and never unpickles.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi
from skimage.draw import polygon2mask

from ..errors import Fault, InputError
from .classes import Classes

_AREAS = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT, ROI_TYPE.OVAL)
_NO_AREAS = (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE)
_LARGEST = 256 * 2**20  # bytes; no outline is larger


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
    try:
        outlines = [_outline(name, ImagejRoi.frombytes(data)) for name, data in _entries(path)]
    except Exception as error:  # whatever a damaged file makes the decoder raise
        remedy = "Save the ROIs again: ROI Manager > More > Save."
        raise InputError(Fault(str(path), "", f"the file cannot be read as ImageJ ROIs: {error}", remedy)) from None
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
    try:
        area = _area(roi, shape)
    except (NotImplementedError, RuntimeError, IndexError) as error:
        remedy = "Split it into simple outlines (ROI Manager > More > Split)."
        raise InputError(Fault(where, "", f"this composite cannot be read: {error}", remedy)) from None
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


def _entries(path: Path) -> list[tuple[str, bytes]]:
    if path.suffix.lower() == ".roi":
        return [(path.stem, path.read_bytes())]
    with zipfile.ZipFile(path) as archive:
        entries = []
        for info in archive.infolist():
            if not info.filename.lower().endswith(".roi") or Path(info.filename).name.startswith("."):
                continue  # folders, and what macOS adds to archives
            if info.file_size > _LARGEST:
                raise ValueError(f"{info.filename} is larger than any outline")
            entries.append((Path(info.filename).stem, archive.read(info)))
        return entries


def _outline(stem: str, roi: ImagejRoi) -> Outline:
    position = roi.z_position or roi.position  # of a hyperstack, or of a plain stack; 0 is none
    return Outline(roi.name or stem, roi.group, position - 1 if position > 0 else None, roi)


def _area(roi: ImagejRoi, shape: tuple[int, int]) -> NDArray[np.bool_]:
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
    for corners in roi.coordinates(multi=True):
        if len(corners) > 2:
            area ^= polygon2mask(shape, np.asarray(corners, float)[:, ::-1] - 0.5)  # paths inside others are holes
    return area
