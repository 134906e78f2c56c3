"""What the sheet, the configuration and the names of label files show already, before a file is opened or a job runs.

Light on purpose, as the Snakefile imports it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from ..config import Config, UNetConfig
from ..errors import Fault, InputError
from ..labels.files import LabelFile, find_label_files
from ..samples import Scan
from ..segment.kinds import segmenter_of
from .findings import Finding, errors_of

_SAME_SIZE = 1.02  # of voxels of scans whose labels train one model
_ALIKE = 2.0  # of voxels of scans that a model can segment
_SHOWN = 3


def check_sheet(config: Config, scans: Sequence[Scan]) -> list[Finding]:
    """Check folders of labels, voxel sizes, numbers of labels, and zones.

    Returns
    -------
    list of Finding
        ``-`` stands for the whole run.
    """
    learning: dict[str, list[Scan]] = {}
    for scan in scans:
        segmenter = segmenter_of(scan, config)
        if segmenter.needs.labels:
            learning.setdefault(segmenter.name, []).append(scan)
    findings = _folders([scan for served in learning.values() for scan in served if scan.labels])
    for name, served in learning.items():
        labels = {scan.sample: _label_files(scan) for scan in served}
        findings += _voxel_sizes(name, served, labels)
        findings += _enough_labels(name, config.models[name], labels)
    return findings + _zones(config, scans)


def _label_files(scan: Scan) -> list[LabelFile]:
    try:
        return find_label_files(scan.labels) if scan.labels else []
    except InputError:
        return []  # told with the folder


def _folders(scans: Sequence[Scan]) -> list[Finding]:
    """Look for folders that are files, and for labels that would count for two scans."""
    findings = []
    for scan in scans:
        try:
            find_label_files(scan.labels)
        except InputError as error:
            findings += errors_of(scan.sample, "labels", error.faults)
    remedy = "Give each scan its own folder, none inside another's, in the column `labels`."
    for one, other in combinations(scans, 2):
        if (one.path, one.dataset, one.slice_axis) == (other.path, other.dataset, other.slice_axis):
            continue
        first, second = Path(os.path.realpath(one.labels)), Path(os.path.realpath(other.labels))
        if first == second:
            problem = f"the labels of {one.sample} and {other.sample} lie in one folder, so each counts for both scans"
            findings += errors_of(other.sample, "labels", [Fault(other.labels, "", problem, remedy)])
        for outer, inner, scan, guest in ((first, second, one, other), (second, first, other, one)):
            if inner.parent == outer:
                problem = (
                    f"the labels of {guest.sample} lie inside those of {scan.sample}, and count as a person's there"
                )
                findings += errors_of(guest.sample, "labels", [Fault(guest.labels, "", problem, remedy)])
    return findings


def _voxel_sizes(name: str, scans: Sequence[Scan], labels: dict[str, list[LabelFile]]) -> list[Finding]:
    """Compare voxels of the scans of a model: nearly equal where labels train it, alike where it segments."""
    remedy = "Give scans of different voxel size different models in the column `model` of the sheet."
    named = [scan for scan in scans if scan.labels]
    labelled = [scan for scan in named if labels[scan.sample]]
    trains = labelled or named
    if not trains:
        return []  # told as a model without labels
    first = trains[0]
    size = f"{first.sample} has {_edges(first)}"
    others = [scan for scan in trains if _ratio(scan, first) > _SAME_SIZE]
    if others and labelled:
        problem = f"scans whose labels train one model have voxels of different size: {size}, {_sizes(others)}"
        return errors_of("-", "model", [Fault(f"models.{name}", "", problem, remedy)])
    far = [scan for scan in scans if _ratio(scan, first) > _ALIKE]
    if far and labelled:
        problem = f"a model cannot segment voxels that differ more than twofold: {size}, {_sizes(far)}"
        return errors_of("-", "model", [Fault(f"models.{name}", "", problem, remedy)])
    if others or far:
        text = f"the scans of {name} have voxels of different size: {size}, {_sizes(others or far)}. "
        return [Finding("-", "model", "warning", f"{text}Label scans of one size only, or: {remedy}")]
    return []


def _enough_labels(name: str, model: object, labels: dict[str, list[LabelFile]]) -> list[Finding]:
    """Count labelled slices by the names of their files; where a file holds several, the count is not known."""
    files = [file for found in labels.values() for file in found]
    if not files or any(file.z is None and file.number is None for file in files) or not isinstance(model, UNetConfig):
        return []
    slices = {(sample, _slice(file)) for sample, found in labels.items() for file in found}
    if len(slices) > 1:
        return []
    text = (
        f"only one slice is labelled for {name}: parts of it judge each other, and how accurate the model is in other "
        "slices cannot be told. Label two or three"
    )
    return [Finding("-", "labels", "warning", text)]


def _slice(file: LabelFile) -> int:
    return file.number or 0 if file.z is None else file.z


def _zones(config: Config, scans: Sequence[Scan]) -> list[Finding]:
    """Compare zones that somebody set with the size of each scan."""
    empty: dict[tuple[str, float], list[Scan]] = {}
    for scan in scans:
        zones = config.profile_of(scan.model).zones
        for zone in zones if isinstance(zones, tuple) else ():
            if _longest_um(scan) <= zone.from_um:
                empty.setdefault((zone.name, zone.from_um), []).append(scan)
    findings = []
    for (name, from_um), short in empty.items():
        told = _some(f"{scan.sample} is {_longest_um(scan):g} um long" for scan in short)
        text = (
            f"the zone {name} begins at {from_um:g} um and will be empty ({told}). Set `profile.zones` to what the "
            "scan shows"
        )
        findings.append(Finding("-", "profile", "warning", text))
    return findings


def _longest_um(scan: Scan) -> float:
    return max(n * edge for n, edge in zip(scan.shape, scan.voxel_size_um, strict=True))


def _ratio(scan: Scan, other: Scan) -> float:
    pairs = zip(scan.voxel_size_um, other.voxel_size_um, strict=True)
    return max(max(one / two, two / one) for one, two in pairs)


def _edges(scan: Scan) -> str:
    edges = [f"{edge:g}" for edge in scan.voxel_size_um]
    return f"{edges[0] if len(set(edges)) == 1 else ' x '.join(edges)} um"


def _sizes(scans: Sequence[Scan]) -> str:
    return _some(f"{scan.sample} has {_edges(scan)}" for scan in scans)


def _some(texts: Iterable[str]) -> str:
    every = list(texts)
    return ", ".join(every[:_SHOWN]) + (f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else "")
