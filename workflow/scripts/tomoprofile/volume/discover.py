"""Find scans below a folder and write their sample sheet from headers, so that nobody types a shape."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..samples import Scan
from . import hdf5, tiff
from .grey import GreyScale
from .readers import DTYPES, ScanReader, open_raw


def find_scans(folder: str | Path, slice_axis: int = 0, voxel_size_um: float | None = None) -> list[Scan]:
    """Return one row of the sample sheet for each scan below ``folder``.

    A folder with two or more single-page TIFF files is one scan; so is each multi-page TIFF, and each HDF5 file with
    a 3-D dataset (its largest). Files that are none of these are named in the log.

    Parameters
    ----------
    folder : str or Path
        Where to look, at any depth; may itself be a scan.
    slice_axis : int
        Axis of the raw arrays to use as slice axis.
    voxel_size_um : float, optional
        For scans whose header does not tell their voxel size.

    Raises
    ------
    InputError
        When there is no scan, or the voxel size of one is neither in its header nor given.
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
        remedy = "Formats: folders of TIFF slices, multi-page TIFF, HDF5."
        raise InputError(Fault(str(folder), "", "no scan was found in this folder", remedy))
    return scans


def _candidates(folder: Path) -> list[tuple[Path, str, str]]:
    """Return (path, format, dataset) of everything that looks like a scan, sorted by path."""
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if _is_visible(path, folder))
    found: list[tuple[Path, str, str]] = []
    singles: dict[Path, int] = {}
    for path in files:
        suffix = path.suffix.lower()
        if suffix in tiff.SUFFIXES:
            if path.parent in singles:
                singles[path.parent] += 1
            elif tiff.page_count(path) > 1:
                found.append((path, "tiff_stack", ""))
            else:
                singles[path.parent] = 1
        elif suffix in hdf5.SUFFIXES:
            datasets = hdf5.image_datasets(path)
            if datasets:
                found.append((path, "hdf5", datasets[0]))
            else:
                LOG.info("%s: passed over, it holds no 3-D dataset", path)
    for parent, count in singles.items():
        if count > 1:
            found.append((parent, "tiff_folder", ""))
        else:
            LOG.info("%s: passed over, a single 2-D image is no scan", parent)
    return sorted(found)


def _is_visible(path: Path, folder: Path) -> bool:
    inside = path.relative_to(folder).parts
    return path.is_file() and not any(part.startswith(".") or part.endswith(".zarr") for part in inside)


def _row(path: Path, form: str, dataset: str, slice_axis: int, voxel_size_um: float | None, name: str) -> Scan:
    raw = open_raw(path, form, dataset)
    reader = ScanReader(raw, slice_axis)
    size = reader.voxel_size_um or ((voxel_size_um,) * 3 if voxel_size_um else None)
    if size is None:
        problem = "the header does not tell the voxel size"
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
    """Name a scan after its path below ``folder``, readable and unlike all others."""
    inside = path.relative_to(folder).with_suffix("") if path != folder else Path(path.stem)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", "_".join(inside.parts)).strip("._-") or "scan"
    unused, number = name, 2
    while unused in taken:
        unused, number = f"{name}_{number}", number + 1
    return unused
