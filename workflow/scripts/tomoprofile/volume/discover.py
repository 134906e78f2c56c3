"""Find the scans below a folder and write their sample sheet from headers, so that nobody has to type a shape."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..samples import Scan
from .formats import OF_SCANS, format_of, listed
from .grey import GreyScale
from .readers import DTYPES, ScanReader, open_raw


def find_scans(folder: str | Path, slice_axis: int = 0, voxel_size_um: float | None = None) -> list[Scan]:
    """Return one row of the sample sheet for each scan below ``folder``.

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
        When there is no scan, or a voxel size is neither in the header nor given.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(Fault(str(folder), "", "the folder does not exist", "Name the folder that holds the scans."))
    found = _candidates(folder)
    scans: list[Scan] = []
    faults: list[Fault] = []
    taken: set[str] = set()
    for path, form, dataset in progress(found, len(found), "scans read"):
        try:
            scan = _row(path, form, dataset, slice_axis, voxel_size_um, _unused_name(path, folder, taken))
        except InputError as error:
            faults += error.faults
            continue
        taken.add(scan.sample)
        scans.append(scan)
    if faults:
        raise InputError(*faults)
    if not scans:
        remedy = f"Formats: {listed(OF_SCANS.values())}."
        raise InputError(Fault(str(folder), "", "no scan was found in or below this folder", remedy))
    return scans


def _candidates(folder: Path) -> list[tuple[Path, str, str]]:
    """Return (path, format, dataset) of everything that looks like a scan, sorted by path."""
    found: list[tuple[Path, str, str]] = []
    parts: set[Path] = set()  # of scans that consist of many files
    for path in [folder, *sorted(path for path in folder.rglob("*") if _is_visible(path, folder))]:
        form = None if path in parts else format_of(path, OF_SCANS.values())
        datasets = form.datasets(path) if form else []
        if form and datasets:
            found.append((path, form.name, datasets[0]))
            parts.update(form.files(path))
        elif form and path.is_file():
            LOG.info("%s: skipped, not a 3-D image", path)
    return sorted(found)


def _is_visible(path: Path, folder: Path) -> bool:
    return not any(part.startswith(".") or part.endswith(".zarr") for part in path.relative_to(folder).parts)


def _row(path: Path, form: str, dataset: str, slice_axis: int, voxel_size_um: float | None, name: str) -> Scan:
    raw = open_raw(path, form, dataset)
    reader = ScanReader(raw, slice_axis)
    size = reader.voxel_size_um or ((voxel_size_um,) * 3 if voxel_size_um else None)
    if size is None:
        problem = "the header does not give the voxel size"
        raise InputError(Fault(str(path), "", problem, "Give it: `tomoprofile scan FOLDER --voxel-size-um 0.5`."))
    grey = raw.grey or GreyScale()
    slices, rows, columns = reader.shape
    assert raw.dtype.name in DTYPES
    return Scan(
        sample=name,
        path=str(path),
        format=form,  # type: ignore[arg-type]
        dataset=dataset,
        slice_axis=slice_axis,
        slices=slices,
        rows=rows,
        columns=columns,
        dtype=raw.dtype.name,  # type: ignore[arg-type]
        voxel_size_um=tuple(float(f"{edge:.9g}") for edge in size),  # type: ignore[arg-type]
        grey_slope=grey.slope,
        grey_offset=grey.offset,
        grey_unit=grey.unit,
    )


def _unused_name(path: Path, folder: Path, taken: set[str]) -> str:
    """Name a scan after its path below ``folder``, readable and unique."""
    inside = path.relative_to(folder).with_suffix("") if path != folder else Path(path.stem)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", "_".join(inside.parts)).strip("._-") or "scan"
    unused, number = name, 2
    while unused in taken:
        unused, number = f"{name}_{number}", number + 1
    return unused
