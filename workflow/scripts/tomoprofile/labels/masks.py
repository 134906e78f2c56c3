"""Labels as people make them: masks, ImageJ outlines and label volumes become class indices by slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..volume.geometry import Geometry
from .annotators import consensus
from .classes import BACKGROUND, IGNORE, Classes
from .files import LabelFile, find_label_files
from .images import read_pages, require_inside
from .outlines import Outline, class_of, fill, read_outlines

Mask = NDArray[np.uint8]
_SHOWN = 5
_WHOLE = range(1, 2**16)  # values that a class could have


@dataclass
class Annotator:
    """What one person labelled in one scan.

    Attributes
    ----------
    masks : dict
        Class indices and 255 for ignored, by slice index.
    files : dict
        The file of each slice.
    told : list of str
        How files were understood where that is not plain.
    """

    masks: dict[int, Mask] = field(default_factory=dict)
    files: dict[int, LabelFile] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def merge(annotators: Mapping[str, Annotator]) -> dict[int, Mask]:
    """Return one mask per slice: the only one, or the majority of several."""
    by_slice: dict[int, list[Mask]] = {}
    for person in annotators.values():
        for z, mask in person.masks.items():
            by_slice.setdefault(z, []).append(mask)
    return {z: masks[0] if len(masks) == 1 else consensus(masks) for z, masks in sorted(by_slice.items())}


def read_annotators(
    folder: str | Path, shape: tuple[int, int, int], classes: Classes, geometry: Geometry | None = None
) -> dict[str, Annotator]:
    """Return what each person labelled, by name; files of the labels folder itself have the name ``""``.

    Parameters
    ----------
    folder : str or Path
        See :func:`~tomoprofile.labels.files.find_label_files`; none are found if it is missing.
    shape : tuple of int
        Voxels of the scan along (z, y, x).
    classes : Classes
        Outlines without a class get the first measured one.
    geometry : Geometry, optional
        Where the voxels of the scan lie in space; label volumes are brought into its axes.

    Raises
    ------
    InputError
        With every fault of every file.
    """
    annotators: dict[str, Annotator] = {}
    faults: list[Fault] = []
    values: dict[str, set[int]] = {}
    for file in find_label_files(folder):
        person = annotators.setdefault(file.annotator, Annotator())
        try:
            if file.kind == "rois":
                found = _filled(file, shape, classes)
            else:
                found, seen = _translated(file, shape, classes, person, geometry)
                values.setdefault(file.annotator, set()).update(seen)
        except InputError as error:
            faults += error.faults
            continue
        for z, mask in found.items():
            where = f"z{z:05d}"
            if z in person.masks:
                one, other = person.files[z].path, file.path
                if one.stem == other.stem and one != other and (person.masks[z] == mask).all():
                    continue  # saved in two formats
                problem = f"slice {z} has two label files, this one and {file.path.name}"
                faults.append(Fault(str(person.files[z].path), where, problem, "Keep one of them in the folder."))
                continue
            person.masks[z], person.files[z] = mask, file
    faults += [
        _fiji_masks(Path(folder) / name, classes) for name, seen in values.items() if _are_fiji_masks(seen, classes)
    ]
    if faults:
        raise InputError(*faults)
    return annotators


def _translated(
    file: LabelFile,
    shape: tuple[int, int, int],
    classes: Classes,
    person: Annotator,
    geometry: Geometry | None,
) -> tuple[dict[int, Mask], set[int]]:
    """Return the masks of an image, and the values found in it."""
    found, seen, told = {}, set(), []
    strange: dict[float, int] = {}  # values of no class, and the first slice with each
    for page in read_pages(file, shape, classes, geometry):
        found[page.z], values = _classes_of(page.values, classes)
        seen |= values.keys()
        strange |= {value: page.z for value, known in values.items() if not known and value not in strange}
        told += [page.told] * bool(page.told)
    if strange:
        refused = strange if classes.index_of_others is None else [value for value in strange if value not in _WHOLE]
        got = ", ".join(f"{value:g}" for value in sorted(strange)[:_SHOWN]) + (", ..." if len(strange) > _SHOWN else "")
        if refused:
            where = str(file.path) + (f" z{min(strange.values()):05d}" if file.kind == "volume" else "")
            raise InputError(_values_of_no_class(where, got, classes))
        told.append(f"{len(strange)} of its values are in no class and taken as {classes.others} ({got})")
    person.told += [f"{file.path.name}: {text}" for text in dict.fromkeys(told)]
    return found, {int(value) for value in seen}


def _classes_of(mask: NDArray[Any], classes: Classes) -> tuple[Mask, dict[float, bool]]:
    """Return class indices, and for each value found whether it belongs to a class; what does not is ignored here."""
    index_of = classes.index_of_value
    values, places = np.unique(mask, return_inverse=True)
    others = IGNORE if classes.index_of_others is None else classes.index_of_others
    table = np.array([index_of.get(value, others) for value in values.tolist()], np.uint8)
    return table[places].reshape(mask.shape), {value: value in index_of for value in values.tolist()}


def _values_of_no_class(where: str, got: str, classes: Classes) -> Fault:
    allowed = classes.allowed
    problem = f"a label file may hold only {', '.join(allowed[:-1])} and {allowed[-1]}"
    remedy = (
        "Save the mask with these values, name the value in `classes` of the model, or set `other_values` of the model "
        "to `background` or `ignore`."
    )
    return Fault(where, got, problem, remedy)


def _filled(file: LabelFile, shape: tuple[int, int, int], classes: Classes) -> dict[int, Mask]:
    """Return the masks of a file of outlines; later outlines lie above earlier ones, and `ignore` above all."""
    outlines = read_outlines(file.path)
    by_slice: dict[int, list[Outline]] = {}
    if file.z is None:
        lost = [outline.name for outline in outlines if outline.z is None]
        if lost:
            got = ", ".join(lost[:_SHOWN]) + (", ..." if len(lost) > _SHOWN else "")
            remedy = (
                'In Fiji tick ROI Manager > More > Options > Associate "Show All" ROIs with slices, '
                "draw on the stack, or save the ROIs of one slice as NAME_z00123.zip."
            )
            raise InputError(Fault(str(file.path), got, "these ROIs do not say which slice they belong to", remedy))
        for outline in outlines:
            by_slice.setdefault(outline.z or 0, []).append(outline)
    else:
        places = sorted({outline.z for outline in outlines if outline.z is not None})
        if len(places) > 1:
            got = "positions " + ", ".join(str(z + 1) for z in places[:_SHOWN])
            remedy = "Save the ROIs of the whole scan under a name without `_z`."
            raise InputError(Fault(str(file.path), got, "the file of one slice contains ROIs of others", remedy))
        by_slice[file.z] = outlines
    found, faults = {}, []
    for z, drawn in by_slice.items():
        remedy = "Correct the number in the file name." if file.z is not None else "ImageJ counts slices from 1."
        require_inside(file.path, z, shape, remedy)
        mask = np.full(shape[1:], BACKGROUND, np.uint8)
        ignored = np.zeros(shape[1:], bool)
        for outline in drawn:
            try:
                index = class_of(outline, classes, file.path)
                area = fill(outline, shape[1:], file.path)
            except InputError as error:
                faults += error.faults
                continue
            if index is None:
                ignored |= area
            else:
                mask[area] = index
        mask[ignored] = IGNORE
        found[z] = mask
    if faults:
        raise InputError(*faults)
    return found


def _are_fiji_masks(seen: set[int], classes: Classes) -> bool:
    # If only background and 255 occur, no domain was marked: these are binary masks as Fiji writes them.
    return seen == {0, IGNORE} and IGNORE not in classes.values and classes.values[0] == 0


def _fiji_masks(folder: Path, classes: Classes) -> Fault:
    problem = "the masks hold only 0 and 255, as Fiji's binary masks do, and 255 means ignored"
    line = f"classes: {{{classes.background}: 0, {classes.names[1]}: 255}}"
    return Fault(str(folder), "0, 255", problem, f"Set `{line}` for the model in config.yaml.")
