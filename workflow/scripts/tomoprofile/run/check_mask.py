"""Check masks that come with a scan: file, shape, values, and whether one of domains lies on what the scan shows."""

from __future__ import annotations

import numpy as np

from ..errors import Fault, InputError
from ..labels.classes import DOMAIN
from ..samples import Scan
from ..volume.masks import foreground, instance_ids, not_zero, read_mask, read_own_mask, several_values
from ..volume.readers import ScanReader
from .check_labels import against_grey
from .feasibility import Finding, errors_of

_PEEK = 8  # slices looked at; the run looks at all of them
_MUCH = 0.5  # of the voxels: domains in a matrix are less


def check_mask(scan: Scan, reader: ScanReader | None) -> list[Finding]:
    """Check the mask of a scan as far as a few slices tell; the run refuses what only others show.

    Parameters
    ----------
    scan : Scan
        With a mask.
    reader : ScanReader or None
        The raw scan; None when it cannot be read, then the mask is not compared with grey values.

    Returns
    -------
    list of Finding
    """
    mask = scan.own_mask
    assert mask is not None
    try:
        own = read_own_mask(scan)
        if faults := own.raw.faults():
            return errors_of(scan.sample, "mask", faults)
        inside, values = _peek(scan, own)
        doubts = _doubts(scan, inside, values)
        if reader is not None and not doubts:
            shown = {z: part * np.uint8(DOMAIN) for z, part in inside.items() if part.any()}
            # A slice without contrast is a fault of labels, which train; a mask may lie on padding.
            _, doubts = against_grey(scan, reader, shown, DOMAIN, "the mask fits")
    except InputError as error:
        return errors_of(scan.sample, "mask", error.faults)
    if scan.labels:
        doubts.append(f"the scan has a mask, so its labels in {scan.labels} are not used and train no model")
    kind = "objects as they are" if mask.instances else f"binary, {own.raw.dtype.name}"
    told = Finding(scan.sample, "mask", "ok", f"{mask.place}: {kind}; no model segments this scan")
    return [*(Finding(scan.sample, "mask", "warning", doubt) for doubt in doubts), told]


def check_substrate(scan: Scan) -> list[Finding]:
    """Check the mask of a scan's substrate as far as a few slices tell.

    Parameters
    ----------
    scan : Scan
        With ``mask:PATH`` in its column ``interface``.

    Returns
    -------
    list of Finding
    """
    mask = scan.substrate_mask
    assert mask is not None
    try:
        reader = read_mask(scan, mask)
        if faults := reader.raw.faults():
            return errors_of(scan.sample, "interface", faults)
        slices = np.unique(np.linspace(0, scan.slices - 1, _PEEK).astype(int)).tolist()
        share = float(np.mean([not_zero(reader.read(z, z + 1)[0], mask.place, z).mean() for z in slices]))
    except InputError as error:
        return errors_of(scan.sample, "interface", error.faults)
    if share in (0, 1):
        problem = f"the mask holds {'no' if share == 0 else 'nothing but'} substrate in {len(slices)} slices looked at"
        fault = Fault(mask.place, "", problem, "Export a mask in which the substrate, and nothing else, is not 0.")
        return errors_of(scan.sample, "interface", [fault])
    text = f"{mask.place}: mask of the substrate, {100 * share:.0f} % of the slices looked at"
    return [Finding(scan.sample, "interface", "ok", text)]


def _peek(scan: Scan, own: ScanReader) -> tuple[dict[int, np.ndarray], set[float]]:
    """Return which voxels are inside in a few slices, and the values there beside 0."""
    mask = scan.own_mask
    assert mask is not None
    inside, values = {}, set()
    for z in np.unique(np.linspace(0, scan.slices - 1, _PEEK).astype(int)).tolist():
        plane = own.read(z, z + 1)[0]
        if mask.instances:
            ids = instance_ids(plane, mask.place, z)
            inside[z] = ids > 0
            values |= set(np.unique(ids).tolist()) - {0}
        else:
            inside[z], value = foreground(plane, mask.place, z)
            values |= set() if value is None else {value}
    if not mask.instances and len(values) > 1:
        raise InputError(several_values(mask.place, {0, *values}, "different slices"))
    return inside, values


def _doubts(scan: Scan, inside: dict[int, np.ndarray], values: set[float]) -> list[str]:
    share = float(np.mean([part.mean() for part in inside.values()]))
    shown = [z for z, part in inside.items() if part.any()]
    if not shown:
        return [f"the mask is empty in all {len(inside)} slices looked at: was the right thing exported?"]
    if share > _MUCH:
        return [f"the mask covers {100 * share:.0f} % of the slices looked at: are inside and outside swapped?"]
    if scan.own_mask is not None and scan.own_mask.instances and len(values) == 1 and len(shown) > 1:
        text = f"all slices looked at show one object, number {values.pop():g}: when this is a binary mask, leave out"
        return [f"{text} `instances:`, and what touches becomes an object"]
    return []
