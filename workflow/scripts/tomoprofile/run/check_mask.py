"""Check masks that come with a scan: file, shape, values, and whether a mask of domains fits the grey values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..config import ModelConfig, UNetConfig
from ..errors import Fault, InputError
from ..labels.classes import DOMAIN, Classes
from ..samples import MaskImage, Scan
from ..segment.given_mask import MaskReader, MaskSlice
from ..volume.masks import not_zero, read_mask, several_values
from ..volume.readers import ScanReader, peeked
from .check_labels import against_grey
from .findings import Finding, errors_of
from .mask_place import mask_place

_MUCH = 0.5  # of the voxels: domains in a matrix take up less


def check_mask(scan: Scan, model: ModelConfig | None, reader: ScanReader | None) -> list[Finding]:
    """Check the mask of a scan on a few slices; the run refuses faults that only other slices show.

    Parameters
    ----------
    scan : Scan
        With a mask.
    model : ModelConfig or None
        Named in the scan's row; a U-Net defines the classes of the mask. None where no such model exists.
    reader : ScanReader or None
        The raw scan; None when it cannot be read: the mask is then not compared with grey values.

    Returns
    -------
    list of Finding
    """
    mask = scan.own_mask
    assert mask is not None
    if mask.classes and not isinstance(model, UNetConfig):
        problem = f"nothing says what the values of the map of classes are: `models` has no U-Net {scan.model!r}"
        remedy = "Name a model with `method: unet` and these `classes` in the column `model`; it is not trained."
        return errors_of(scan.sample, "mask", [Fault("mask", scan.mask, problem, remedy)])
    try:
        own = MaskReader(scan, Classes.of_mask(mask, model))
        missing = [doubt for image in own.readers.values() for doubt in image.raw.doubts()]
        if faults := [fault for image in own.readers.values() for fault in image.raw.faults()]:
            return errors_of(scan.sample, "mask", faults)
        shown = _peek(own)
        _refuse(own, shown)
        doubts = _doubts(own, shown)
        if reader is not None and not doubts:
            # The positions of slices are the same for all classes, so one measured class suffices.
            domains = {z: one.inside[own.measured[0]] * np.uint8(DOMAIN) for z, one in shown.items()}
            # A slice without contrast is a fault of labels, which are for training; a mask may lie on padding.
            seen = {z: part for z, part in domains.items() if part.any()}
            _, doubts = against_grey(scan, reader, seen, DOMAIN, "the mask fits")
            doubts = doubts or mask_place(reader, seen, DOMAIN, lambda z: _domains(own, z))
        doubts = missing + doubts
    except InputError as error:
        return errors_of(scan.sample, "mask", error.faults)
    if scan.labels:
        doubts.append(f"the scan has a mask, so its labels in {scan.labels} are not used and train no model")
    told = Finding(scan.sample, "mask", "ok", f"{mask.place}: {_kind(own)}; no model segments this scan")
    return [*(Finding(scan.sample, "mask", "warning", doubt) for doubt in doubts), told]


def check_substrate(scan: Scan) -> list[Finding]:
    """Check the mask of a scan's substrate on a few slices.

    Parameters
    ----------
    scan : Scan
        With ``mask:PATH`` in the column ``interface``.

    Returns
    -------
    list of Finding
    """
    mask = scan.substrate_mask
    assert mask is not None
    try:
        reader = read_mask(scan, mask)
        doubts = reader.raw.doubts()
        if faults := reader.raw.faults():
            return errors_of(scan.sample, "interface", faults)
        slices = peeked(scan.slices)
        share = float(np.mean([not_zero(reader.read(z, z + 1)[0], mask.place, z).mean() for z in slices]))
    except InputError as error:
        return errors_of(scan.sample, "interface", error.faults)
    if share in (0, 1):
        problem = f"the mask holds {'no' if share == 0 else 'nothing but'} substrate in {len(slices)} slices looked at"
        fault = Fault(mask.place, "", problem, "Export a mask in which the substrate, and nothing else, is not 0.")
        return errors_of(scan.sample, "interface", [fault])
    text = f"{mask.place}: mask of the substrate, {100 * share:.0f} % of the slices looked at"
    found = [Finding(scan.sample, "interface", "warning", doubt) for doubt in doubts]
    return [*found, Finding(scan.sample, "interface", "ok", text)]


def check_reference(scan: Scan) -> list[Finding]:
    """Check that what the result will be compared with can be read and lies on the scan.

    Parameters
    ----------
    scan : Scan
        With a reference.

    Returns
    -------
    list of Finding
    """
    try:
        raw = read_mask(scan, MaskImage(scan.reference)).raw
        if faults := raw.faults():
            return errors_of(scan.sample, "reference", faults)
    except InputError as error:
        return errors_of(scan.sample, "reference", error.faults)
    told = [Finding(scan.sample, "reference", "warning", doubt) for doubt in raw.doubts()]
    return [*told, Finding(scan.sample, "reference", "ok", f"{scan.reference}: compared with the result")]


def _kind(own: MaskReader) -> str:
    names = ", ".join(own.measured)
    if own.mask.classes:
        objects = "objects as they are, their classes as in the map" if own.mask.instances else "map of classes"
        others = "; values of no class count as background" if own.others_are_background else ""
        return f"{objects}, measured: {names}{others}"
    return "objects as they are" if own.mask.instances else f"binary, {own.readers['binary'].raw.dtype.name}"


def _domains(own: MaskReader, z: int) -> NDArray[np.uint8]:
    (shown,) = own.slices(z, z + 1)
    return shown.inside[own.measured[0]] * np.uint8(DOMAIN)


def _peek(own: MaskReader) -> dict[int, MaskSlice]:
    """Return what a few slices show."""
    depth = next(iter(own.readers.values())).shape[0]
    return {z: one for z in peeked(depth) for one in own.slices(z, z + 1)}


def _refuse(own: MaskReader, shown: dict[int, MaskSlice]) -> None:
    """Raise an :class:`InputError` with the faults that only several slices together reveal."""
    values = {one.value for one in shown.values()} - {None}
    if len(values) > 1:
        raise InputError(several_values(own.mask.place, {0, *values}, "different slices"))
    if own.mask.classes is None:
        return
    image = own.readers["classes"]
    held = np.unique(np.concatenate([np.unique(image.read(z, z + 1)) for z in shown])).tolist()
    if len(held) < len(own.measured):
        problem = f"the map has fewer values than there are classes to measure ({', '.join(own.measured)})"
        remedy = "Export a map of these classes, or measure fewer of them: `measure` of the model."
        raise InputError(Fault(own.mask.classes.place, ", ".join(f"{value:g}" for value in held), problem, remedy))
    classes_of: dict[int, str] = {}
    for z, one in shown.items():
        for name, inside in one.inside.items():
            numbers = [] if one.ids is None else np.unique(one.ids[inside]).tolist()
            for number in numbers:
                if classes_of.setdefault(number, name) != name:
                    problem = f"the object lies in the classes {classes_of[number]} and {name}"
                    remedy = "Give each object voxels of one class, in the label volume or in the map of classes."
                    raise InputError(Fault(own.mask.place, f"object {number} in slice {z}", problem, remedy))


def _doubts(own: MaskReader, shown: dict[int, MaskSlice]) -> list[str]:
    share = float(np.mean([sum(part.mean() for part in one.inside.values()) for one in shown.values()]))
    if not share:
        return [f"the mask is empty in all {len(shown)} slices looked at: was the right thing exported?"]
    if share > _MUCH:
        return [f"the mask covers {100 * share:.0f} % of the slices looked at: are inside and outside swapped?"]
    missing = [name for name in own.measured if not any(one.inside[name].any() for one in shown.values())]
    if missing:
        return [f"none of the {len(shown)} slices looked at shows a {name}: is its value right?" for name in missing]
    ids = [np.unique(one.ids[one.ids > 0]) for one in shown.values() if one.ids is not None]
    ids = [numbers for numbers in ids if numbers.size]
    if len(ids) > 1 and len(np.unique(np.concatenate(ids))) == 1:
        text = f"all slices looked at show one object, number {ids[0][0]}: when this is a binary mask, leave out"
        return [f"{text} `instances:`, and what touches becomes an object"]
    return []
