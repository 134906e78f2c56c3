"""Find the scans below a folder and write their sample sheet from headers, so that nobody has to type a shape."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..names import unused_name
from ..samples import Scan
from ..texts import has_control
from .formats import OF_SCANS, format_of, listed
from .grey import GreyScale
from .readers import ScanReader, open_raw


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


def survey(folder: str | Path, slice_axis: int = 0, voxel_size_um: float | None = None) -> Found:
    """Look for scans below ``folder``; one that cannot be read does not hide the others.

    Each of :data:`.formats.FORMATS` decides what is a scan; of a file with several datasets the largest is taken.
    Files in a known format without a 3-D image are named in the log.

    Parameters
    ----------
    folder : str or Path
        Where to look, at any depth; may itself be a scan.
    slice_axis : int
        Axis of the raw arrays that becomes the slice axis.
    voxel_size_um : float, optional
        For scans whose header does not give a voxel size.

    Raises
    ------
    InputError
        When there is nothing that looks like a scan.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(Fault(str(folder), "", "the folder does not exist", "Name the folder that holds the scans."))
    candidates, found = _candidates(folder)
    taken: set[str] = set()
    for path, form, dataset in progress(candidates, len(candidates), "scans read"):
        try:
            scan = _row(path, form, dataset, slice_axis, voxel_size_um, _unused_name(path, folder, taken))
        except InputError as error:
            found.faults.extend(error.faults)
            found.unread.append(str(path))
            continue
        taken.add(scan.sample.lower())
        found.scans.append(scan)
    if not found.scans and not found.faults:
        remedy = f"Formats: {listed(OF_SCANS.values())}."
        raise InputError(Fault(str(folder), "", "no scan was found in or below this folder", remedy))
    return found


def _candidates(folder: Path) -> tuple[list[tuple[Path, str, str]], Found]:
    """Return (path, format, dataset) of everything that looks like a scan, sorted by path, and what is damaged."""
    candidates: list[tuple[Path, str, str]] = []
    found = Found([], [], [])
    parts: set[Path] = set()  # of scans that consist of many files
    for path in [folder, *sorted(path for path in folder.rglob("*") if _is_visible(path, folder))]:
        form = None if path in parts else format_of(path, OF_SCANS.values())
        try:
            datasets = form.datasets(path) if form else []
        except InputError as error:
            found.faults.extend(error.faults)
            found.unread.append(str(path))
            continue
        if form and datasets:
            taken = datasets if form.each_dataset else datasets[:1]
            candidates += [(path, form.name, dataset) for dataset in taken]
            parts.update(form.files(path))
        elif form and path.is_file():
            LOG.info("%s: skipped, not a 3-D image", path)
    return sorted(candidate for candidate in candidates if candidate[0] not in parts), found


def _is_visible(path: Path, folder: Path) -> bool:
    return not any(part.startswith(".") or part.endswith(".zarr") for part in path.relative_to(folder).parts)


def _row(path: Path, form: str, dataset: str, slice_axis: int, voxel_size_um: float | None, name: str) -> Scan:
    if has_control(str(path)):
        problem = "the name holds a character that a sheet cannot, such as a tab or one in another encoding"
        raise InputError(Fault(repr(str(path)), "", problem, "Rename it."))
    raw = open_raw(path, form, dataset)
    reader = ScanReader(raw, slice_axis)
    size = reader.voxel_size_um or ((voxel_size_um,) * 3 if voxel_size_um else None)
    if size is None:
        problem = "the header does not give the voxel size"
        raise InputError(Fault(str(path), "", problem, "Give it: `tomoprofile scan FOLDER --voxel-size-um 0.5`."))
    grey = raw.grey or GreyScale()
    slices, rows, columns = reader.shape
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
                Fault(f"{path} {'.'.join(map(str, item['loc'][:1]))}", repr(item["input"]), item["msg"], remedy)
                for item in error.errors()
            )
        ) from None


def _unused_name(path: Path, folder: Path, taken: Collection[str]) -> str:
    """Name a scan after its path below ``folder``, readable and unique."""
    inside = path.relative_to(folder).with_suffix("") if path != folder else Path(path.stem)
    return unused_name(re.sub(r"[^A-Za-z0-9._-]+", "_", "_".join(inside.parts)), taken)
