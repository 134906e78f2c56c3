"""TIFF scans: a folder with one file a slice, or one file with many pages.

Headers understood: ImageJ (resolution, spacing, unit) and the two layouts written at SPring-8: 8/16-bit files with
Artist ``SP-uCT`` and a tab-separated description ``nProj pixelWidth pixDiv pixBase center filter``, where the linear
attenuation is ``pixel / pixDiv + pixBase`` in 1/cm, and 32-bit ``rec?????.tif`` whose description begins with the
pixel width in micrometres.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..units import MICROMETRES
from .grey import GreyScale

SUFFIXES = (".tif", ".tiff")
_FAULTS_SHOWN = 5


def slice_files(folder: Path) -> list[Path]:
    """Return the TIFF files of a folder in the order of the number in their names.

    Raises
    ------
    InputError
        When there are none, or numbers are missing or doubled: the order of slices would be a guess.
    """
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES] if folder.is_dir() else []
    if not files:
        remedy = "Name the folder that holds the slices."
        raise InputError(Fault(str(folder), "", "there are no TIFF slices in this folder", remedy))
    numbered: dict[int, Path] = {}
    faults = []
    for path in sorted(files):
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            remedy = "Remove it from the folder, or number it."
            faults.append(Fault(str(path), path.name, "the name has no slice number", remedy))
        elif int(digits[-1]) in numbered:
            other = numbered[int(digits[-1])].name
            remedy = "Keep one scan in a folder."
            faults.append(Fault(str(path), path.name, f"the slice number is the same as that of {other}", remedy))
        else:
            numbered[int(digits[-1])] = path
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


class TIFFFolder:
    """One TIFF file a slice; see :class:`~tomoprofile.volume.readers.RawScan`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.files = slice_files(folder)
        with _open(self.files[0]) as first:
            if len(first.pages) != 1:
                remedy = "Name the file itself; as a scan it has the format `tiff_stack`."
                problem = "a slice file must hold one page"
                raise InputError(Fault(str(self.files[0]), f"{len(first.pages)} pages", problem, remedy))
            page = _page(first, self.files[0])
            self.dtype: np.dtype[Any] = page.dtype
            self.shape: tuple[int, int, int] = (len(self.files), *page.shape)
            self.voxel_size_um, self.grey = _meaning(first)

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
        try:
            image = tifffile.imread(file)
        except Exception as error:
            raise InputError(_damaged(file, error)) from None
        if image.shape != self.shape[1:] or image.dtype != self.dtype:
            raise InputError(self._other_kind(file, image.shape, image.dtype))
        return image

    def faults(self) -> list[Fault]:
        """Look at every header: same size and type, and all strips inside the file."""
        found: list[Fault] = []
        for file in self.files:
            try:
                with _open(file) as tif:
                    page = _page(tif, file)
                    if page.shape != self.shape[1:] or page.dtype != self.dtype:
                        found.append(self._other_kind(file, page.shape, page.dtype))
                    found += _truncation(file, [page])
            except InputError as error:
                found += error.faults
        return _shortened(found, self.path)

    def _other_kind(self, file: Path, shape: tuple[int, ...], dtype: Any) -> Fault:
        expected = f"{self.dtype} {'x'.join(map(str, self.shape[1:]))}"
        got = f"{dtype} {'x'.join(map(str, shape))}"
        remedy = "All slices of a scan must have one size and type: remove or redo this one."
        return Fault(str(file), got, f"this slice differs from the first one ({expected})", remedy)


class TIFFStack:
    """One multi-page TIFF or BigTIFF; see :class:`~tomoprofile.volume.readers.RawScan`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _open(path) as tif:
            series = tif.series[0]
            if len(series.shape) != 3:
                remedy = "Save one channel and one time point as z, y, x."
                raise InputError(Fault(str(path), f"axes {series.axes}", "the file holds no 3-D grey image", remedy))
            self.shape: tuple[int, int, int] = series.shape
            self.dtype: np.dtype[Any] = series.dtype
            self.voxel_size_um, self.grey = _meaning(tif)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``."""
        try:
            with _open(self.path) as tif:
                series = tif.series[0]
                if series.dataoffset is not None:
                    volume = tifffile.memmap(self.path, series=0, mode="r")
                    window = [slice(None)] * 3
                    window[axis] = slice(start, stop)
                    return np.array(volume[tuple(window)])
                if axis == 0:
                    return np.stack([series.pages[index].asarray() for index in range(start, stop)])
                return np.take(series.asarray(), range(start, stop), axis=axis)
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise InputError(_damaged(self.path, error)) from None

    def faults(self) -> list[Fault]:
        """Check that all strips lie inside the file."""
        with _open(self.path) as tif:
            try:
                return _truncation(self.path, tif.pages)
            except tifffile.TiffFileError as error:  # the directory of a page lies beyond the end
                return [_damaged(self.path, error)]


def _open(path: Path) -> tifffile.TiffFile:
    try:
        return tifffile.TiffFile(path)
    except Exception as error:
        raise InputError(_damaged(path, error)) from None


def _page(tif: tifffile.TiffFile, path: Path) -> Any:
    page = tif.pages[0]
    if len(page.shape) != 2 or page.dtype is None:
        remedy = "Save it as a grey image."
        raise InputError(Fault(str(path), f"shape {page.shape}", "a slice must be a 2-D grey image", remedy))
    return page


def _damaged(path: Path, error: Exception) -> Fault:
    return Fault(str(path), "", f"the file cannot be read as TIFF: {error}", "Copy it again from its source.")


def _truncation(path: Path, pages: Any) -> list[Fault]:
    size = path.stat().st_size
    needed = 0
    for page in pages:
        ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False))
        needed = max(needed, *ends) if page.dataoffsets else needed
    if needed <= size:
        return []
    remedy = "Copy it again from its source."
    return [Fault(str(path), f"{size} bytes", f"the file is truncated: its header promises {needed} bytes", remedy)]


def _shortened(faults: list[Fault], path: Path) -> list[Fault]:
    if len(faults) <= _FAULTS_SHOWN:
        return faults
    more = Fault(str(path), "", f"{len(faults) - _FAULTS_SHOWN} more files are at fault", "See the first ones.")
    return [*faults[:_FAULTS_SHOWN], more]


def _meaning(tif: tifffile.TiffFile) -> tuple[tuple[float, float, float] | None, GreyScale | None]:
    """Return voxel size and grey calibration of a TIFF header, each None when it does not tell."""
    page = tif.pages[0]
    tags = page.tags
    text = str(tags["ImageDescription"].value) if "ImageDescription" in tags else ""
    artist = str(tags["Artist"].value) if "Artist" in tags else ""
    numbers = _numbers(text)
    if artist.startswith("SP-uCT") and len(numbers) >= 4:
        _, width, divisor, base = numbers[:4]
        return (width, width, width), GreyScale(1 / divisor, base, "1/cm")
    if page.dtype == np.float32 and len(numbers) >= 6 and numbers[0] > 0:
        return (numbers[0],) * 3, GreyScale(1.0, 0.0, "1/cm")
    if tif.imagej_metadata:
        factor = MICROMETRES.get(str(tif.imagej_metadata.get("unit", "")))
        x, y = _edge(tags, "XResolution"), _edge(tags, "YResolution")
        if factor and x and y:
            z = float(tif.imagej_metadata.get("spacing", x))
            return (z * factor, y * factor, x * factor), None
    return None, None


def _numbers(text: str) -> list[float]:
    numbers = []
    for part in text.split():
        try:
            numbers.append(float(part))
        except ValueError:
            break
    return numbers


def _edge(tags: Any, name: str) -> float | None:
    if name not in tags:
        return None
    pixels, length = tags[name].value
    return length / pixels if pixels else None


def page_count(path: Path) -> int:
    """Return how many images a TIFF file holds."""
    with _open(path) as tif:
        return len(tif.series[0]) if tif.series else 0
