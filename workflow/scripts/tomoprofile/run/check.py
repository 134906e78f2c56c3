"""Open every input and report all faults of a scan at once, before anything is computed from it.

Each check looks at one thing and returns faults or warnings; nothing here stops at the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import Fault, InputError
from ..files import whole_file
from ..labels.classes import Classes
from ..logs import LOG
from ..samples import Scan
from ..segment.segmenter import Segmenter
from ..shift.alarm import NO_LABEL, UNLIKE, differences, worst_of
from ..shift.appearance import Source, look
from ..substrate.given import face_in_words, given_plane
from ..volume.blanks import Blanks
from ..volume.exact import GreyReader
from ..volume.grey import GreyScale
from ..volume.plane import Plane
from ..volume.readers import RawScan, ScanReader, open_raw, peeked
from .check_labels import check_labels
from .check_mask import check_mask, check_reference, check_substrate
from .findings import Finding, errors_of


def check_scan(scan: Scan, segmenter: Segmenter) -> list[Finding]:
    """Check a scan, the mask of its substrate where it has one, and its labels or its own mask.

    Parameters
    ----------
    scan : Scan
    segmenter : Segmenter
        What segments it; where it needs no labels, they are checked as for a U-Net with defaults. Labels of a scan
        with a mask are not used.

    Returns
    -------
    list of Finding
    """
    findings, reader = _check_all_but_labels(scan, segmenter)
    if not scan.mask:
        findings += check_labels(scan, Classes.of(segmenter.model), reader, segmenter.needs.labels)
    return findings


def check_all_but_labels(scan: Scan, segmenter: Segmenter) -> list[Finding]:
    """Check the same without labels, which people make and change after the scan was checked."""
    return _check_all_but_labels(scan, segmenter)[0]


def check_only_labels(scan: Scan, classes: Classes) -> list[Finding]:
    """Check the labels alone; a scan that went to an archive is not compared with them, and a bad one is told apart."""
    try:
        reader = GreyReader(open_raw(scan.path, scan.format, scan.dataset), scan.slice_axis)
    except InputError:
        reader = None
    return check_labels(scan, classes, reader)


def _check_all_but_labels(scan: Scan, segmenter: Segmenter) -> tuple[list[Finding], ScanReader | None]:
    findings, reader = _check_raw(scan)
    if scan.substrate_mask:
        findings += check_substrate(scan)
    if scan.reference:
        findings += check_reference(scan)
    if scan.mask:
        findings += check_mask(scan, segmenter.model, reader)
    elif reader is not None:
        findings += _check_familiarity(scan, segmenter, reader)
    return findings, reader


def write_findings(findings: Iterable[Finding], out: str | Path) -> None:
    """Write ``check.tsv``: columns sample, item, status, message; warnings also go to the log."""
    lines = ["sample\titem\tstatus\tmessage"]
    for finding in findings:
        if finding.status == "warning":
            LOG.warning("%s: %s: %s", finding.sample, finding.item, finding.message)
        message = " ".join(finding.message.split())
        lines.append(f"{finding.sample}\t{finding.item}\t{finding.status}\t{message}")
    with whole_file(out) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _check_raw(scan: Scan) -> tuple[list[Finding], ScanReader | None]:
    """Return what was found, and the scan when it can be read."""
    try:
        raw = open_raw(scan.path, scan.format, scan.dataset)
    except InputError as error:
        return errors_of(scan.sample, "scan", error.faults), None
    reader = GreyReader(raw, scan.slice_axis)
    try:
        # Voxels are read only when there are as many as expected.
        faults = _disagreements(scan, raw, reader)
        doubts = [] if faults else raw.doubts()
        faults = faults or raw.faults()
        if not faults:
            _require_values(reader)
        doubts += [] if faults else _doubts(scan, raw, reader)
    except InputError as error:
        faults = list(error.faults)
    if faults:
        return errors_of(scan.sample, "scan", faults), None
    warnings = [Finding(scan.sample, "scan", "warning", text) for text in doubts]
    shape = "x".join(map(str, scan.shape))
    voxels = " x ".join(f"{edge:g}" for edge in scan.voxel_size_um)
    fine = Finding(scan.sample, "scan", "ok", f"{scan.format}, {shape} {scan.dtype}, voxels {voxels} um")
    return [*warnings, fine], reader


def _disagreements(scan: Scan, raw: RawScan, reader: ScanReader) -> list[Fault]:
    faults = []
    remedy = "Run `tomoprofile scan` again, or correct the row."
    if reader.shape != scan.shape:
        got = "x".join(map(str, scan.shape))
        problem = f"the file has {'x'.join(map(str, reader.shape))} voxels (slices x rows x columns)"
        faults.append(Fault(f"{scan.path} slices/rows/columns", got, problem, remedy))
    if raw.dtype.name != scan.dtype:
        faults.append(Fault(f"{scan.path} dtype", scan.dtype, f"the file holds {raw.dtype.name}", remedy))
    return faults


def _require_values(reader: GreyReader) -> None:
    """Raise an :class:`InputError` when a few slices cannot be stored exactly, hold NaN, or are lost."""
    blanks = Blanks(reader)
    for z in peeked(reader.shape[0]):
        blanks.refuse(z, reader.read(z, z + 1))
    blanks.tell()


def _doubts(scan: Scan, raw: RawScan, reader: ScanReader) -> list[str]:
    doubts = []
    size = reader.voxel_size_um
    if size and not np.allclose(size, scan.voxel_size_um, rtol=1e-3):
        told = ", ".join(f"{edge:g}" for edge in size)
        doubts.append(f"the header says voxels of {told} um, the sheet {scan.voxel_size_um}; the sheet is used")
    grey = raw.grey
    if grey and not np.allclose((grey.slope, grey.offset), (scan.grey_slope, scan.grey_offset), rtol=1e-3):
        doubts.append(
            f"the header says physical = {grey.slope:g} * grey + {grey.offset:g}, the sheet {scan.grey_slope:g} and "
            f"{scan.grey_offset:g}; the sheet is used"
        )
    if scan.interface.startswith("slice:"):
        face = face_in_words(scan.interface, scan.slices, scan.voxel_size_um[0])
        doubts.append(f"the interface is given as {scan.interface}. {face} A tilt of the substrate smears the profile")
    if raw.dtype.kind == "u" and scan.slices > 1:
        # A scan saved slice by slice with automatic contrast: grey values mean something else in every slice.
        top = np.iinfo(raw.dtype).max
        ranges = [(int(part.min()), int(part.max())) for part in (reader.read(z, z + 1) for z in peeked(scan.slices))]
        if len(ranges) > 1 and all(bounds == (0, top) for bounds in ranges):
            doubts.append(
                "every slice spans the full grey range: were slices normalised one by one? Export them with one scale"
            )
    return doubts


def _check_familiarity(scan: Scan, segmenter: Segmenter, reader: ScanReader) -> list[Finding]:
    """Compare a scan with those that an earlier model has seen, before anything is computed with it.

    Where the sheet gives the plane of the substrate, slices, voxels and figures are those of ``familiarity.json``,
    which adds the network's uncertainty. Otherwise the plane is not known yet, so what looks like most of a slice
    counts; its figures would be others than those of the resin, and are not told.
    """
    try:
        seen = segmenter.seen()
    except InputError:
        return []  # a fault of the whole run, reported there
    if seen is None:
        return []
    if seen.simulated:
        text = f"{NO_LABEL}, so its tables and its report are flagged. Label one slice and set `method: unet`"
        return [Finding(scan.sample, "familiarity", "warning", text)]
    plane = given_plane(scan.interface, scan.shape, scan.voxel_size_um)
    scale = GreyScale(scan.grey_slope, scan.grey_offset)
    source = Source(scan.shape, scan.voxel_size_um, scale, lambda z: reader.read(z, z + 1)[0], scan.path)
    try:
        looks = look(source, plane)
    except InputError as error:
        return errors_of(scan.sample, "scan", error.faults)
    compared = differences(seen, looks, None)
    if compared is None:
        text = f"too little resin to compare this scan with those that {segmenter.path} learned from"
        return [Finding(scan.sample, "familiarity", "ok", text)]
    found, _ = compared
    unlike = UNLIKE.get(worst_of(found))
    if unlike is None:
        text = f"this scan looks like those that {segmenter.path} learned from"
        return [Finding(scan.sample, "familiarity", "ok", text)]
    told = [str(one) if plane else one.what for one in found if one.grade != "inside"]
    text = (
        f"this scan looks {unlike} those that {segmenter.path} learned from: {'; '.join(told)}. Compared was "
        f"{_what_was_compared(plane, len(looks.slices))}. Label one slice of it and set `method: unet` with "
        f"`base: {segmenter.path}`; otherwise the tables and the report are flagged if the run confirms it"
    )
    return [Finding(scan.sample, "familiarity", "warning", text)]


def _what_was_compared(plane: Plane | None, n_slices: int) -> str:
    if plane and not plane.has_depth:
        return f"all of {n_slices} slices; the run leaves out what surrounds the sample"
    if plane:
        return (
            f"the resin beyond the interface of the sheet in {n_slices} slices, as in `familiarity.json`, which adds "
            "the network's uncertainty"
        )
    return (
        f"what looks like most of a slice in {n_slices} slices, before the substrate is located; the run compares the "
        "resin alone in the same slices, and its figures are in `familiarity.json` and in the report"
    )
