"""TIFF scans in a folder with one file per slice."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ...logs import LOG
from ..sources import is_hidden, slice_numbers, slices_among
from .base import Format, LazyImage, decoding, refuse_impossible_shape, unlike_first
from .ome_companion import described_slices, ome_xml
from .tiff import is_named_tiff, open_tiff, truncation
from .tiff_header import header_of
from .tiff_layout import full_pages
from .tiff_pixels import Pixels, losses_of, pixels_of

_FAULTS_SHOWN = 5


def slice_files(folder: Path) -> list[Path]:
    """Return the slices of a folder in the order of the number in their names; companions of slices are left out.

    Raises
    ------
    InputError
        When there are none, or numbers are missing or duplicated: the order of slices would be a guess.
    """
    return by_number(folder, slices_among(_files(folder)))


def by_number(folder: Path, files: list[Path]) -> list[Path]:
    """Return files of slices in the order of the number in their names.

    Raises
    ------
    InputError
        When there are none, or numbers are missing or duplicated.
    """
    if not files:
        remedy = "Name the folder that holds the slices."
        raise InputError(Fault(str(folder), "", "there are no slices in this folder", remedy))
    numbered: dict[int, Path] = {}
    faults = []
    for path, number in zip(files, slice_numbers([path.stem for path in files]), strict=True):
        if number is None:
            remedy = "Remove it from the folder, or name it as the others are, with a number for each slice."
            faults.append(Fault(str(path), path.name, "the name does not tell the number of the slice", remedy))
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
            problem = f"{len(missing)} slices are missing from the series" if len(missing) > 1 else "a slice is missing"
            faults.append(Fault(str(folder), f"no slice {shown}", problem, remedy))
    if faults:
        raise InputError(*_shortened(faults, folder))
    return [numbered[number] for number in sorted(numbered)]


class TIFFFolder(LazyImage):
    """One TIFF file per slice; see :class:`~.base.RawScan`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.files = slice_files(folder)
        with open_tiff(self.files[0]) as first:
            self._pixels = _pixels(first, self.files[0])
            self.dtype: np.dtype[Any] = self._pixels.dtype
            self.indexed = self._pixels.indexed
            self.shape: tuple[int, int, int] = (len(self.files), *self._pixels.size)
            refuse_impossible_shape(self.files[0], self.shape)
            page = _page(first, self.files[0])
            self._doubts = losses_of(page)
            self.voxel_size_um, self.grey = header_of(first, self.files[0], page, len(self.files))
            self.files = _as_described(first, self.files)
        self.stored_bytes = self.files[0].stat().st_size * len(self.files)
        if self._pixels.grey is not None:
            self.read(0, 0, 1)  # whether colours are greys
        if left_out := len(_files(folder)) - len(self.files):
            LOG.info("%s: %d TIFF files beside the slices are left out", folder, left_out)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``."""
        files = self.files[start:stop] if axis == 0 else self.files
        window = (..., slice(start, stop), slice(None)) if axis == 1 else (..., slice(start, stop))
        parts = []
        for file in files:
            image = self._read_slice(file)
            parts.append(image if axis == 0 else image[window])
        return np.stack(parts)

    def doubts(self) -> list[str]:
        """Return that values were changed by compression, where they were."""
        return self._doubts

    def place(self, index: int) -> str:
        """Return the file of a slice."""
        return str(self.files[index])

    def _read_slice(self, file: Path) -> NDArray[Any]:
        with open_tiff(file) as tif:
            pixels = _pixels(tif, file)
            if pixels.kind != self._pixels.kind:
                raise InputError(self._other_kind(file, pixels))
            page = _page(tif, file)
            if faults := truncation(file, [page]):
                raise InputError(*faults)
            with decoding(file, "TIFF"):
                image = page.asarray()
                return (pixels.grey(image) if pixels.grey else image).reshape(pixels.size)

    def faults(self) -> list[Fault]:
        """Check every header: same size and type, and all strips inside the file."""
        found: list[Fault] = []
        for file in self.files:
            try:
                with open_tiff(file) as tif:
                    pixels = _pixels(tif, file)
                    if pixels.kind != self._pixels.kind:
                        found.append(self._other_kind(file, pixels))
                    found += truncation(file, [_page(tif, file)])
            except InputError as error:
                found += error.faults
        return _shortened(found, self.path)

    def _other_kind(self, file: Path, pixels: Pixels) -> Fault:
        expected = f"{self.dtype} {'x'.join(map(str, self.shape[1:]))}"
        got = f"{pixels.dtype} {'x'.join(map(str, pixels.size))}"
        return unlike_first(file, got, expected)


def _page(tif: tifffile.TiffFile, path: Path) -> Any:
    """Return the only page of a slice that is no thumbnail.

    Raises
    ------
    InputError
        When there are more of them, or none.
    """
    with decoding(path, "TIFF"):
        pages = full_pages(tif)
    if len(pages) != 1:
        remedy = "Name the file itself; the format of such a scan is `tiff_stack`."
        raise InputError(Fault(str(path), f"{len(pages)} pages", "a slice file must hold one page", remedy))
    return pages[0]


def _pixels(tif: tifffile.TiffFile, path: Path) -> Pixels:
    page = _page(tif, path)
    if page.dtype is not None and len(page.shape) > 2 and page.shaped[-1] == 1:
        problem = "a slice must be a 2-D grey image"
        remedy = "Name the file itself; the format of such a scan is `tiff_stack`."
        raise InputError(Fault(str(path), f"shape {page.shape}", problem, remedy))
    return pixels_of(page, path)


def _as_described(tif: tifffile.TiffFile, files: list[Path]) -> list[Path]:
    """Return the slices in the order of the OME-XML of the first one, if it describes all of them.

    Raises
    ------
    InputError
        When it names slices that are not there.
    """
    text = ome_xml(tif, files[0])
    if not text:
        return files
    with decoding(files[0], "TIFF"):
        if text == tif.pages[0].description:
            pages = list(tif.series[0].pages) if tif.series else []
            named = [Path(page.parent.filehandle.path).name if page else "" for page in pages]
        else:  # in another file, which tifffile does not read
            named = described_slices(text, _page(tif, files[0]).shaped[2:4], files[0]) or []
    if len(named) < 2:
        return files
    by_name = {file.name: file for file in files}
    if "" in named:
        problem = f"its OME-XML describes {len(named)} slices, of which {named.count('')} are in no file"
        raise InputError(Fault(str(files[0]), f"{len(files)} files", problem, "Copy all files of the image again."))
    if len(set(named)) != len(named) or set(named) != set(by_name):
        problem = f"its OME-XML describes {len(named)} slices in {len(set(named))} files; the folder holds {len(files)}"
        raise InputError(Fault(str(files[0]), "", problem, "Keep one scan per folder, with all its files."))
    return [by_name[name] for name in named]


def _shortened(faults: list[Fault], path: Path) -> list[Fault]:
    if len(faults) <= _FAULTS_SHOWN:
        return faults
    more = Fault(
        str(path), "", f"{len(faults) - _FAULTS_SHOWN} more files have the same kind of problem", "See the first ones."
    )
    return [*faults[:_FAULTS_SHOWN], more]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_named_tiff(path) and not is_hidden(path) and path.is_file())


def _has_series(folder: Path) -> bool:
    """Return whether at least two files are slices; a folder of stacks or with a single image is not a scan."""
    singles = (path for path in slices_among(_files(folder)) if _is_slice(path))
    return len(list(itertools.islice(singles, 2))) == 2


def _is_slice(path: Path) -> bool:
    try:
        with open_tiff(path) as tif, decoding(path, "TIFF"):
            pages = full_pages(tif)
            return len(pages) == 1 and pages[0].shaped[:2] == (1, 1)
    except InputError:  # reported with the slices around it, or by itself where there are none
        return False


FORMAT = Format(
    name="tiff_folder",
    what="folder of TIFF slices",
    remarks="one file per slice, ordered by the number in the file names that varies; no number may be missing. Hidden "
    "files and thumbnails, overviews, projections, dark and flat fields among them are left out",
    matches=lambda path: bool(_files(path)),
    open=lambda path, _: TIFFFolder(path),
    datasets=lambda path: [""] if _has_series(path) else [],
    files=_files,
)
