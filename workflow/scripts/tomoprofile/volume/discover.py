"""Find the scans below a folder and write their sample sheet from headers, so that nobody has to type a shape."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..names import unused_name
from ..samples import Scan
from ..texts import has_control
from ..validation import sentence
from .companions import words_of
from .formats import OF_SCANS, format_of, listed, tiff_stack
from .formats.base import RawScan, decoding
from .formats.labelled import LABELLED, are_labels
from .grey import GreyScale
from .readers import ScanReader, open_raw, peeked
from .tree import Tree, is_note, kind_of, names_of, said_once

_MOST_ALIKE = 3
_MOST_CHANNELS = 4


class Found(NamedTuple):
    """What lies below a folder.

    Attributes
    ----------
    scans : list of Scan
        One row of the sample sheet for each scan.
    faults : list of Fault
        Of what looks like a scan and cannot be one.
    unread : list of str
        Paths of the latter.
    """

    scans: list[Scan]
    faults: list[Fault]
    unread: list[str]


def find_scans(folder: str | Path, slice_axis: int = 0, voxel_size_um: float | None = None) -> list[Scan]:
    """Return one row of the sample sheet for each scan below ``folder``, as :func:`survey` finds them.

    Raises
    ------
    InputError
        When there is no scan, or anything that looks like one cannot be read.
    """
    found = survey(folder, slice_axis, voxel_size_um)
    if found.faults:
        raise InputError(*found.faults)
    return found.scans


def survey(
    folder: str | Path, slice_axis: int = 0, voxel_size_um: float | None = None, aside: Collection[Path] = ()
) -> Found:
    """Look for scans below ``folder``; one that cannot be read does not hide the others.

    Each of :data:`.formats.FORMATS` decides what is a scan; of a file with several datasets the largest is taken. The
    log names what is no scan, once for each kind of file.

    Parameters
    ----------
    folder : str or Path
        Where to look, at any depth; may itself be a scan.
    slice_axis : int
        Axis of the raw arrays that becomes the slice axis.
    voxel_size_um : float, optional
        For scans whose header does not give a voxel size.
    aside : collection of Path
        Folders and files below it that are labels or masks.

    Raises
    ------
    InputError
        When there is nothing that looks like a scan.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(Fault(str(folder), "", "the folder does not exist", "Name the folder that holds the scans."))
    tree = Tree(folder, aside)
    seen = _look(tree)
    if not seen.candidates:
        _take_single_slices(seen)
    scans: list[Scan] = []
    taken: set[str] = set()
    for path, form, dataset in progress(seen.candidates, len(seen.candidates), "scans read"):
        try:
            raw = open_raw(path, form, dataset)
            if path != folder and _holds_labels(raw, path.relative_to(folder)):
                seen.labels.setdefault(kind_of(path), []).append(path)
                continue
            scan = _row(raw, path, form, dataset, slice_axis, voxel_size_um, _unused_name(path, folder, taken))
        except InputError as error:
            seen.add(path, error)
            continue
        taken.add(scan.sample.lower())
        scans.append(scan)
    _say(tree, seen)
    _say_of_parts(scans)
    faults = [*tree.faults, *_grouped(seen.faults, folder)]
    if not scans and not faults:
        told = "".join(f"; {text}" for text in said_once(seen.unknown, folder, "not recognised"))
        told += "".join(f"; {text}" for text in said_once(seen.labels, folder, "held for labels"))
        remedy = f"Formats: {listed(OF_SCANS.values())}."
        raise InputError(Fault(str(folder), "", f"no scan was found in or below this folder{told}", remedy))
    return Found(scans, faults, [*map(str, seen.unread)])


@dataclass
class _Seen:
    """What lies in a tree: (path, format, dataset) of what looks like a scan, and everything else by kind."""

    candidates: list[tuple[Path, str, str]] = field(default_factory=list)
    faults: list[tuple[Path, Fault]] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    flat: dict[str, list[Path]] = field(default_factory=dict)
    unknown: dict[str, list[Path]] = field(default_factory=dict)
    labels: dict[str, list[Path]] = field(default_factory=dict)

    def add(self, path: Path, error: InputError) -> None:
        self.unread.append(path)
        self.faults += [(path, fault) for fault in error.faults]


def _look(tree: Tree) -> _Seen:
    seen = _Seen()
    parts: set[Path] = set()  # of scans that consist of many files
    for path in tree:
        if path in parts:
            continue
        try:
            with decoding(path, "a scan", "it", "May you read it?"):
                form = format_of(path, OF_SCANS.values())
                datasets = form.datasets(path) if form else []
                files = form.files(path) if datasets and form else ()
        except InputError as error:
            seen.add(path, error)
            continue
        if form and datasets:
            chosen = datasets if form.each_dataset else datasets[:1]
            seen.candidates += [(path, form.name, dataset) for dataset in chosen]
            parts.update(file for file in files if file != path)
        elif form and path.is_file():
            seen.flat.setdefault(kind_of(path), []).append(path)
        elif path.is_file() and not is_note(path):
            seen.unknown.setdefault(kind_of(path), []).append(path)
    seen.candidates = sorted(candidate for candidate in seen.candidates if candidate[0] not in parts)
    # A sidecar may come after the file that it describes.
    for kinds in (seen.flat, seen.unknown):
        for kind, paths in list(kinds.items()):
            kinds[kind] = [path for path in paths if path not in parts]
            if not kinds[kind]:
                del kinds[kind]
    return seen


def _say_of_parts(scans: list[Scan]) -> None:
    """Tell when files of a few slices each, alike but for a number, may be the parts of one scan."""
    alike = Counter(
        (str(Path(scan.path).parent), re.sub(r"\d+", "#", Path(scan.path).name), scan.shape) for scan in scans
    )
    for (folder, name, shape), count in alike.items():
        if "#" in name and 1 < shape[0] < count:
            text = "%s: %d files %s of %d slices each are taken for as many scans; if they are one, join them"
            LOG.warning(text, folder, count, name, shape[0])


def _take_single_slices(seen: _Seen) -> None:
    """Take grey TIFF files of one page for scans of one slice where nothing else below the folder may be a scan.

    Each lies in a folder without other images, or was named itself: several in one folder are slices, or pictures.
    """
    images = [path for kinds in (seen.flat, seen.unknown) for paths in kinds.values() for path in paths]
    for kind, paths in list(seen.flat.items()):
        for path in [*paths]:
            alone = sum(other.parent == path.parent for other in images) == 1
            if not alone or format_of(path, OF_SCANS.values()) is not tiff_stack.FORMAT:
                continue
            try:
                open_raw(path, tiff_stack.FORMAT.name)
            except InputError as error:  # a picture in colour
                LOG.info("%s", error)
                continue
            LOG.warning("%s: its one page is taken for a scan of one slice, as nothing else here may be a scan", path)
            seen.candidates.append((path, tiff_stack.FORMAT.name, ""))
            paths.remove(path)
        if not paths:
            del seen.flat[kind]


def _say(tree: Tree, seen: _Seen) -> None:
    """Tell what was left out, once for each kind."""
    for text in said_once(seen.flat, tree.folder, "skipped, without a 3-D image"):
        LOG.info("%s. One that is a scan of a single slice: `tomoprofile scan FILE`", text)
    for reason, paths in sorted(tree.ignored.items()):
        told = f"{len(paths)} ignored, {reason}: {names_of(paths, tree.folder)}"
        LOG.info("%s. To read one, name it: `tomoprofile scan PATH`", told)
    for text in said_once(seen.labels, tree.folder, "not taken for scans, as they hold labels"):
        LOG.warning("%s. Name one in the column `mask`; to take it for a scan, `tomoprofile scan FILE`", text)
    for text in said_once(seen.unknown, tree.folder, "not recognised"):
        LOG.warning("%s", text)
    if seen.unknown:
        LOG.warning("Formats of scans: %s. Convert what is a scan.", listed(OF_SCANS.values()))


def _grouped(faults: list[tuple[Path, Fault]], folder: Path) -> list[Fault]:
    """Return one fault for many places with the same problem."""
    alike: dict[tuple[str, str], list[tuple[Path, Fault]]] = {}
    for path, fault in faults:
        alike.setdefault((fault.problem, fault.remedy), []).append((path, fault))
    told: list[Fault] = []
    for (problem, remedy), several in alike.items():
        if len(several) <= _MOST_ALIKE:
            told += [fault for _, fault in several]
            continue
        places = [path for path, _ in several]
        told.append(Fault(f"{len(places)} places ({names_of(places, folder)})", "", problem, remedy))
    return told


def _holds_labels(raw: RawScan, inside: Path) -> bool:
    """Return whether the slice nearest to the middle that is not blank looks like labels.

    What a damaged file makes of it is told when it is read.
    """
    named = any(words_of(part) & LABELLED for part in inside.parts)
    middle = raw.shape[0] // 2
    try:
        for z in sorted(peeked(raw.shape[0]), key=lambda z: abs(z - middle)):
            (image,) = raw.read(0, z, z + 1)
            if (image != image.flat[0]).any():
                break
        return are_labels(image, named)
    except InputError:
        return False


def _row(
    raw: RawScan, path: Path, form: str, dataset: str, slice_axis: int, voxel_size_um: float | None, name: str
) -> Scan:
    if has_control(str(path)):
        problem = "the name holds a character that a sheet cannot, such as a tab or one in another encoding"
        raise InputError(Fault(repr(str(path)), "", problem, "Rename it."))
    reader = ScanReader(raw, slice_axis)
    size = reader.voxel_size_um or ((voxel_size_um,) * 3 if voxel_size_um else None)
    if size is None:
        problem = "the header does not give the voxel size"
        raise InputError(Fault(str(path), "", problem, "Give it: `tomoprofile scan FOLDER --voxel-size-um 0.5`."))
    grey = raw.grey or GreyScale()
    slices, rows, columns = reader.shape
    if columns <= _MOST_CHANNELS < slices and rows > _MOST_CHANNELS:
        got, remedy = "x".join(map(str, reader.shape)), "Save one channel as z, y, x."
        raise InputError(Fault(str(path), got, f"the {columns} columns look like channels of colour", remedy))
    cells = {
        "sample": name,
        "path": str(path),
        "format": form,
        "dataset": dataset,
        "slice_axis": slice_axis,
        "slices": slices,
        "rows": rows,
        "columns": columns,
        "dtype": raw.dtype.name,
        "voxel_size_um": tuple(float(f"{edge:.9g}") for edge in size),
        "grey_slope": grey.slope,
        "grey_offset": grey.offset,
        "grey_unit": grey.unit,
    }
    try:
        return Scan.model_validate(cells)
    except ValidationError as error:
        remedy = "Correct the header, or export the scan again."
        raise InputError(
            *(
                Fault(f"{path} {'.'.join(map(str, item['loc'][:1]))}", repr(item["input"]), sentence(item), remedy)
                for item in error.errors()
            )
        ) from None


def _unused_name(path: Path, folder: Path, taken: Collection[str]) -> str:
    """Name a scan after its path below ``folder``, readable and unique."""
    inside = (path.relative_to(folder) if path != folder else Path(path.name)).with_suffix("")
    if inside.suffix.lower() in (".nii", ".ome"):  # of `.nii.gz` and `.ome.tif`
        inside = inside.with_suffix("")
    return unused_name(re.sub(r"[^A-Za-z0-9._-]+", "_", "_".join(inside.parts)), taken)
