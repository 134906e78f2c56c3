"""TIFF scans in a folder with one file per slice."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ..sources import slice_number
from .base import Format, LazyImage, decoding, refuse_impossible_shape
from .tiff import header_of, is_named_tiff, open_tiff, page_count, truncation

_FAULTS_SHOWN = 5


def slice_files(folder: Path) -> list[Path]:
    """Return the TIFF files of a folder in the order of the number in their names.

    Raises
    ------
    InputError
        When there are none, or numbers are missing or duplicated: the order of slices would be a guess.
    """
    files = _files(folder)
    if not files:
        remedy = "Name the folder that holds the slices."
        raise InputError(Fault(str(folder), "", "there are no TIFF slices in this folder", remedy))
    numbered: dict[int, Path] = {}
    faults = []
    for path in files:
        number = slice_number(path.stem)
        if number is None:
            remedy = "Remove it from the folder, or number it."
            faults.append(Fault(str(path), path.name, "the name has no slice number", remedy))
        elif number in numbered:
            other = numbered[number].name
            remedy = "Keep one scan per folder."
            faults.append(Fault(str(path), path.name, f"the slice number is the same as that of {other}", remedy))
        else:
            numbered[number] = path
    if numbered:
        missing = sorted(set(range(min(numbered), max(numbered) + 1)) - set(numbered))
        if missing:
            shown = ", ".join(map(str, missing[:_FAULTS_SHOWN])) + (", ..." if len(missing) > _FAULTS_SHOWN else "")
            remedy = "Copy the missing slices, or split the scan into two rows."
            problem = f"{len(missing)} slices are missing from the series"
            faults.append(Fault(str(folder), f"no slice {shown}", problem, remedy))
    if faults:
        raise InputError(*faults)
    return [numbered[number] for number in sorted(numbered)]


class TIFFFolder(LazyImage):
    """One TIFF file per slice; see :class:`~.base.RawScan`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.files = slice_files(folder)
        with open_tiff(self.files[0]) as first:
            with decoding(self.files[0], "TIFF"):
                pages = len(first.pages)
            if pages != 1:
                remedy = "Name the file itself; the format of such a scan is `tiff_stack`."
                problem = "a slice file must hold one page"
                raise InputError(Fault(str(self.files[0]), f"{pages} pages", problem, remedy))
            page = _page(first, self.files[0])
            self.dtype: np.dtype[Any] = page.dtype
            self.shape: tuple[int, int, int] = (len(self.files), *page.shape)
            refuse_impossible_shape(self.files[0], self.shape)
            self.voxel_size_um, self.grey = header_of(first, self.files[0])
        self.stored_bytes = self.files[0].stat().st_size * len(self.files)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``."""
        files = self.files[start:stop] if axis == 0 else self.files
        window = (..., slice(start, stop), slice(None)) if axis == 1 else (..., slice(start, stop))
        parts = []
        for file in files:
            image = self._read_slice(file)
            parts.append(image if axis == 0 else image[window])
        return np.stack(parts)

    def _read_slice(self, file: Path) -> NDArray[Any]:
        with open_tiff(file) as tif:
            page = _page(tif, file)
            if page.shape != self.shape[1:] or page.dtype != self.dtype:
                raise InputError(self._other_kind(file, page.shape, page.dtype))
            if faults := truncation(file, [page]):
                raise InputError(*faults)
            with decoding(file, "TIFF"):
                return page.asarray()

    def faults(self) -> list[Fault]:
        """Check every header: same size and type, and all strips inside the file."""
        found: list[Fault] = []
        for file in self.files:
            try:
                with open_tiff(file) as tif:
                    page = _page(tif, file)
                    if page.shape != self.shape[1:] or page.dtype != self.dtype:
                        found.append(self._other_kind(file, page.shape, page.dtype))
                    found += truncation(file, [page])
            except InputError as error:
                found += error.faults
        return _shortened(found, self.path)

    def _other_kind(self, file: Path, shape: tuple[int, ...], dtype: Any) -> Fault:
        expected = f"{self.dtype} {'x'.join(map(str, self.shape[1:]))}"
        got = f"{dtype} {'x'.join(map(str, shape))}"
        remedy = "All slices of a scan must have the same size and type: remove or replace this one."
        return Fault(str(file), got, f"this slice differs from the first one ({expected})", remedy)


def _page(tif: tifffile.TiffFile, path: Path) -> Any:
    with decoding(path, "TIFF"):
        page = tif.pages[0]
    if len(page.shape) != 2 or page.dtype is None:
        remedy = "Save it as a grey image."
        raise InputError(Fault(str(path), f"shape {page.shape}", "a slice must be a 2-D grey image", remedy))
    return page


def _shortened(faults: list[Fault], path: Path) -> list[Fault]:
    if len(faults) <= _FAULTS_SHOWN:
        return faults
    more = Fault(
        str(path), "", f"{len(faults) - _FAULTS_SHOWN} more files have the same kind of problem", "See the first ones."
    )
    return [*faults[:_FAULTS_SHOWN], more]


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.glob("*") if is_named_tiff(path) and path.is_file())
    return sorted(found) if folder.is_dir() else []


def _has_series(folder: Path) -> bool:
    """Return whether at least two files are slices; a folder of stacks or with a single image is not a scan."""
    singles = (path for path in _files(folder) if _is_slice(path))
    return len(list(itertools.islice(singles, 2))) == 2


def _is_slice(path: Path) -> bool:
    try:
        return page_count(path) <= 1
    except InputError:  # reported with the slices around it, or by itself where there are none
        return False


FORMAT = Format(
    name="tiff_folder",
    what="folder of TIFF slices",
    remarks="one file per slice, ordered by the last number in the file name; no number may be missing",
    matches=lambda path: bool(_files(path)),
    open=lambda path, _: TIFFFolder(path),
    datasets=lambda path: [""] if _has_series(path) else [],
    files=_files,
)
