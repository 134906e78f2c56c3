"""Read scribbles: a few strokes on one slice, each of a class, and nothing said of the rest.

In an image the voxels that nobody drew on are 0, as in a labels layer of napari, so a class whose value in label files
is 0 gets the first value that is free; or they are 255, and all values are those of label files. In a set of ImageJ
ROIs a stroke is an area, a line or points, of the class with which its name begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from roifile import ROI_TYPE, ImagejRoi
from scipy.ndimage import distance_transform_edt
from skimage.draw import line

from ..errors import Fault, InputError
from ..volume.formats.base import decoding
from .classes import IGNORE, Classes
from .files import LabelFile, label_file
from .images import read_pages, require_inside
from .outlines import Outline, class_of, fill, read_outlines

_LINES = (ROI_TYPE.LINE, ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE)
_FARTHEST = 10  # sides of the slice; farther places are damage
_SHOWN = 5


@dataclass(frozen=True)
class Scribbles:
    """Strokes on a slice.

    Attributes
    ----------
    z : int
        The slice.
    classes : array (y, x) of uint8
        Class indices, and 255 where nobody drew.
    told : str
        Which value or name was read as which class.
    """

    z: int
    classes: NDArray[np.uint8]
    told: str


def read_scribbles(path: Path, shape: tuple[int, int, int], classes: Classes) -> Scribbles:
    """Read the strokes on one slice of a scan.

    Parameters
    ----------
    path : Path
        An image or ImageJ ROIs, in any format of label files. Its name gives the slice, as that of a label file does;
        a picture of a scan with one slice may have any number.
    shape : tuple of int
        Voxels of the scan along (z, y, x).
    classes : Classes

    Raises
    ------
    InputError
        When it cannot be read, does not fit the scan, is of several slices, or lacks strokes of the background or of
        all other classes.
    """
    if not path.exists():
        raise InputError(
            Fault(str(path), "", "there are no scribbles", "Name the file in which you saved the strokes.")
        )
    file = label_file(path, "", path.parent)
    if shape[0] == 1 and file.z is not None:
        file = replace(file, z=0)
    if file.kind == "rois":
        z, drawn = _of_rois(file, shape, classes)
        told = f"strokes whose names begin with {_words(classes.names)}; others are {classes.measured[0]}"
    else:
        z, drawn, told = _of_image(file, shape, classes)
    _require_strokes(path, drawn, classes, told)
    return Scribbles(z, drawn, told)


def _of_image(file: LabelFile, shape: tuple[int, int, int], classes: Classes) -> tuple[int, NDArray[np.uint8], str]:
    found: list[tuple[int, NDArray[np.uint8], str]] = []
    for page in read_pages(file, shape, classes):
        drawn, told = _of_values(page.values, classes, file.path)
        if (drawn != IGNORE).any() or file.kind == "mask":
            found.append((page.z, drawn, "; ".join(part for part in (page.told, told) if part)))
        if len(found) > 1:
            got = ", ".join(str(z) for z, *_ in found)
            remedy = "Save the strokes of each slice as a file of its own: NAME_z00123.tif."
            raise InputError(Fault(str(file.path), got, "there are scribbles on several slices", remedy))
    if not found:
        remedy = "Draw some strokes in each class, then save again."
        raise InputError(Fault(str(file.path), "", "the scribbles are empty", remedy))
    return found[0]


def _of_values(values: NDArray[Any], classes: Classes, path: Path) -> tuple[NDArray[np.uint8], str]:
    """Return class indices, and in words which value is which class."""
    present, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    rest = present[counts.argmax()]
    if rest not in (0, IGNORE):
        problem = f"most voxels have the value {rest}, but where nobody drew it should be 0 (or {IGNORE})"
        share = f"{100 * counts.max() / counts.sum():.0f} % of the slice"
        raise InputError(Fault(str(path), share, problem, "Draw a few strokes, and leave the rest of the slice alone."))
    index_of = {value: index for index, value in enumerate(_values(classes, int(rest)))}
    told = ", ".join(f"{value} is {classes.names[index]}" for value, index in index_of.items())
    told += f", {rest} is not drawn on"
    unknown = [value for value in present.tolist() if value not in index_of and value not in (0, IGNORE)]
    if unknown:
        got = ", ".join(map(str, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
        remedy = "Save the strokes with these values, without smoothing or rescaling."
        raise InputError(Fault(str(path), got, f"the scribbles have values of no class: {told}", remedy))
    table = np.array([index_of.get(value, IGNORE) for value in present.tolist()], np.uint8)
    return table[places].reshape(values.shape), told


def _values(classes: Classes, rest: int) -> list[int]:
    """Return the value of each class where ``rest`` means that nobody drew."""
    if rest not in classes.values:
        return list(classes.values)
    free = next(value for value in range(1, IGNORE + 1) if value not in classes.values)
    return [free if value == rest else value for value in classes.values]


def _of_rois(file: LabelFile, shape: tuple[int, int, int], classes: Classes) -> tuple[int, NDArray[np.uint8]]:
    outlines = read_outlines(file.path)
    places = {file.z} if file.z is not None else {outline.z for outline in outlines}
    places = {0} if shape[0] == 1 else places
    z = places.pop() if len(places) == 1 else None
    if z is None:
        problem = "these ROIs do not say on which one slice they are"
        raise InputError(Fault(str(file.path), "", problem, f"Save them as NAME_z00123{file.path.suffix}."))
    require_inside(file.path, z, shape, "Correct the number in the file name, which counts from 0.")
    drawn = np.full(shape[1:], IGNORE, np.uint8)
    faults: list[Fault] = []
    for outline in outlines:
        try:
            index = class_of(outline, classes, file.path)
            drawn[_stroke(outline, shape[1:], file.path)] = IGNORE if index is None else index
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(*faults)
    return z, drawn


def _stroke(outline: Outline, shape: tuple[int, int], path: Path) -> NDArray[np.bool_]:
    """Return the voxels of a stroke: a line of its width, points, or an area."""
    if outline.roi.roitype not in (*_LINES, ROI_TYPE.POINT):
        return fill(outline, shape, path)
    where = f"{path} ROI {outline.name!r}"
    with decoding(where, "stroke", "this ROI", "Delete it, or draw it again."):
        places = np.asarray(outline.roi.coordinates(), float)
    if not (np.abs(places) < _FARTHEST * max(shape)).all():  # not so for NaN
        raise InputError(Fault(where, "", "its places are far from the slice", "Delete it, or draw it again."))
    drawn = _drawn_through(outline.roi, np.floor(places).astype(int), shape)
    if not drawn.any():
        problem = f"the stroke covers no voxel of the slice ({shape[0]} rows, {shape[1]} columns)"
        raise InputError(Fault(where, "", problem, "Delete it, or draw it on the slice as it was exported."))
    return drawn


def _drawn_through(roi: ImagejRoi, places: NDArray[np.int_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the voxels of points, or of a line with the width of the pen, around which the slice is as wide."""
    is_line = roi.roitype != ROI_TYPE.POINT
    radius = min(max(roi.stroke_width, 1), max(shape)) / 2 if is_line else 0.5
    around = math.ceil(radius)
    middle = np.zeros((shape[0] + 2 * around, shape[1] + 2 * around), bool)
    for (x0, y0), (x1, y1) in pairwise(places) if is_line else zip(places, places, strict=True):
        y, x = line(y0 + around, x0 + around, y1 + around, x1 + around)
        inside = (y >= 0) & (y < middle.shape[0]) & (x >= 0) & (x < middle.shape[1])
        middle[y[inside], x[inside]] = True
    if radius > 0.5 and middle.any():
        middle = distance_transform_edt(~middle) <= radius
    return middle[around : around + shape[0], around : around + shape[1]]


def _require_strokes(path: Path, drawn: NDArray[np.uint8], classes: Classes, told: str) -> None:
    present = set(np.unique(drawn).tolist()) - {IGNORE}
    missing = [] if 0 in present else [classes.background]
    missing += [] if present - {0} else [classes.names[1] if len(classes.names) == 2 else "any other class"]
    if not missing:
        return
    problem = "there are no strokes" if not present else f"there is no stroke of {' and '.join(missing)}"
    remedy = f"Draw some strokes on {classes.background} and some on {_words(classes.names[1:])} ({told})."
    raise InputError(Fault(str(path), "", problem, remedy))


def _words(names: tuple[str, ...]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
