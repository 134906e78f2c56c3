"""Check the labels of a scan: files, values, classes, several annotators, and whether they fit the grey values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..labels.alignment import SLICES, Evidence, slice_offset, spread
from ..labels.annotators import agreement, shared_slices
from ..labels.apart import copied, groups_of, measure_apart
from ..labels.classes import Classes
from ..labels.exchanged import exchanged
from ..labels.files import find_label_files, unused_in_words
from ..labels.masks import Mask, merge, read_annotators
from ..labels.thinned import slices_of_volumes, thinned
from ..labels.training_set import in_words
from ..samples import Scan
from ..texts import in_ranges
from ..volume.readers import ScanReader
from .findings import Finding, errors_of

_ACROSS = 3  # labelled slices compared when slices lie across the files


def check_labels(scan: Scan, classes: Classes, reader: ScanReader | None, are_needed: bool = True) -> list[Finding]:
    """Check everything about the labels of a scan.

    Parameters
    ----------
    scan : Scan
    classes : Classes
        Of the model that the labels train.
    reader : ScanReader or None
        The raw scan; None when it cannot be read: labels are then not compared with grey values.
    are_needed : bool
        Whether a model learns from them.

    Returns
    -------
    list of Finding
    """
    if not scan.labels:
        return []
    try:
        unused = [Finding(scan.sample, "labels", "warning", text) for text in unused_in_words(scan.labels)]
        files = find_label_files(scan.labels)
        geometry = reader.geometry if reader is not None else None
        annotators = read_annotators(scan.labels, scan.shape, classes, geometry)
    except InputError as error:
        return errors_of(scan.sample, "labels", error.faults)
    masks = merge(annotators)
    if not masks:
        there = f"the label files in {scan.labels} hold nothing but 0" if files else f"no labels in {scan.labels} yet"
        text = f"{there}: the run will propose slices, label them and run again"
        return unused + [Finding(scan.sample, "labels", "warning", text)] * are_needed
    faults, doubts = _missing(scan, classes, masks)
    if reader is not None and not faults:
        try:
            # The positions of slices are the same for all classes, so one measured class suffices.
            more_faults, more_doubts = against_grey(scan, reader, masks, classes.indices[0])
        except InputError as error:
            return errors_of(scan.sample, "scan", error.faults)
        faults, doubts = faults + more_faults, doubts + more_doubts
    if faults:
        return errors_of(scan.sample, "labels", faults)
    shared = shared_slices(annotators)
    told = [f"slice {z}: {agreement(several, classes.indices)}" for z, several in shared.items()]
    names = ", ".join(sorted(name or "(no folder)" for name in annotators))
    doubts += [text for person in annotators.values() for text in person.told]
    findings = unused + [Finding(scan.sample, "labels", "warning", text) for text in doubts + exchanged(masks, classes)]
    if len(annotators) > 1:
        text = f"{len(annotators)} annotators ({names}); " + ("; ".join(told) or "no slice in common")
        findings.append(Finding(scan.sample, "labels", "ok", text))
    findings += [Finding(scan.sample, "labels", "warning", text) for text in _same(masks, classes)]
    train = thinned(masks, slices_of_volumes(annotators), classes.indices)
    text = f"{len(masks)} labelled slices: {in_ranges(masks)}; {_judging(train, classes, reader)}"
    return [*findings, Finding(scan.sample, "labels", "ok", text)]


def _same(masks: dict[int, Mask], classes: Classes) -> list[str]:
    return [
        f"slices {one} and {other} have the same mask, voxel for voxel: was one saved for the other?"
        for one, other in copied(masks, classes.indices)
    ]


def _judging(masks: dict[int, Mask], classes: Classes, reader: ScanReader | None) -> str:
    """Return how many labels train, and in how many groups they judge each other, as the training set counts them."""
    train = f"{len(masks)} label{'s train' if len(masks) > 1 else ' trains'}"
    # Along any other axis of the files, each read goes through the whole scan.
    if reader is None or reader.slice_axis != 0:
        return train
    apart = measure_apart(reader.read, reader.shape[0])
    groups = groups_of(masks, apart.slices, classes.indices)
    if len(groups) == 1:
        several = f", all nearer than {apart.slices} slices or with like masks" if len(masks) > 1 else ""
        return f"{train}, {in_words(1)}{several}: how accurate the model is in other slices cannot be told"
    reach = (
        "no two slices are alike" if apart.slices == 1 else f"what a slice shows reaches through {apart.slices} slices"
    )
    return f"{train}, {in_words(len(groups))} ({reach})"


def _missing(scan: Scan, classes: Classes, masks: dict[int, Mask]) -> tuple[list[Fault], list[str]]:
    """Look for classes that occur nowhere: a fault if the class is measured, else a doubt."""
    present: set[int] = set().union(*(np.unique(mask).tolist() for mask in masks.values()))
    faults, doubts = [], []
    for index, (name, value) in enumerate(zip(classes.names, classes.values, strict=True)):
        if index in present:
            continue
        if name in classes.measured:
            problem = f"no label file contains a {name}"
            faults.append(Fault(scan.labels, "", problem, f"Mark every {name} with the value {value}."))
        else:
            doubts.append(f"no label file contains the class {name} (value {value}): the model cannot learn it here")
    return faults, doubts


def against_grey(
    scan: Scan, reader: ScanReader, masks: dict[int, Mask], measured: int, subject: str = "the labels fit"
) -> tuple[list[Fault], list[str]]:
    """Compare labelled slices with their grey values, some of them when there are many.

    Parameters
    ----------
    scan : Scan
    reader : ScanReader
        The raw scan.
    masks : dict of int to uint8 array (y, x)
        By slice.
    measured : int
        Their value for the class that is measured.
    subject : str
        What the masks are, with a verb, for messages.

    Returns
    -------
    faults : list of Fault
        Slices without contrast.
    doubts : list of str
        When the masks fit another slice, or turned, better.
    """
    # Along any other axis of the files, each read goes through the whole scan.
    most = SLICES if scan.slice_axis == 0 else _ACROSS
    varies: dict[int, bool] = {}

    def read(start: int, stop: int) -> NDArray[Any]:
        stack = reader.read(start, stop)
        varies.update({z: bool(np.ptp(plane)) for z, plane in enumerate(stack, start) if z in masks})
        return stack

    offset, evidence = slice_offset(read, reader.shape[0], masks, measured, most)
    for z in set(spread(masks, most)) - set(varies):
        read(z, z + 1)
    constant = [z for z in sorted(varies) if not varies[z]]
    remedy = "Is the number of the slice right, and was the scan exported whole?"
    faults = [
        Fault(scan.labels, "", f"slice {z} is labelled, but all its grey values are equal", remedy) for z in constant
    ]
    return faults, _misplaced(subject, offset, evidence)


def _misplaced(subject: str, offset: int | str, evidence: Evidence) -> list[str]:
    if offset == 0:
        return []
    told = (
        f"(they explain {100 * evidence.explained[offset]:.0f} % of the grey variance near boundaries instead of "
        f"{100 * evidence.explained[0]:.0f} %, {evidence.domains} domains)"
    )
    if isinstance(offset, str):
        return [f"{subject} the slices better when taken as {offset}: were they exported in another view? {told}"]
    by = "one" if abs(offset) == 1 else str(abs(offset))
    return [f"{subject} slice z{offset:+d} better than z: is the numbering of the slices off by {by}? {told}"]
