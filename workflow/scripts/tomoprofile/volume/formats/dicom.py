"""DICOM series: a folder of files with a slice each, or one file with many frames.

pydicom reads the headers. Voxels that are not compressed are read where they lie; those in JPEG, JPEG-LS and JPEG 2000
are decoded by imagecodecs, which knows all of their lossless kinds.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array

from ...errors import Fault, InputError
from ...logs import LOG
from ..geometry import Geometry
from .base import (
    COPY_AGAIN,
    Format,
    LazyImage,
    decoding,
    geometry_of_header,
    grey_of_header,
    refuse_impossible_shape,
    voxel_size_of_header,
    window,
)
from .dicom_headers import CONVERT, DEFLATED, PREAMBLE, Kind, Slice, has_mark, in_order, inflated, slices_of

# Endings, and beginnings of the first element, of files without a mark, as before 1995.
_UNMARKED = ("", ".dcm", ".dicom", ".ima")
_FIRST = re.compile(rb"\x08\x00[\x00\x01\x05\x08\x12\x16\x18]\x00(?:[A-Z]{2}|[\x00-\x7f]\x00\x00\x00)")
# Names by which files of a folder need not be opened to know that they are something else.
_OTHERS = (".tif", ".tiff", ".png", ".jpg", ".bmp", ".h5", ".hdf5", ".nxs", ".raw", ".txt", ".csv", ".yaml", ".json")
_ALLOCATED = (8, 16, 32)
_SYNTAX = "1.2.840.10008.1.2.4."
_DECODERS: dict[str, Callable[[bytes], NDArray[Any]]] = {
    **dict.fromkeys(("50", "51"), imagecodecs.jpeg8_decode),
    **dict.fromkeys(("57", "70"), imagecodecs.ljpeg_decode),
    **dict.fromkeys(("80", "81"), imagecodecs.jpegls_decode),
    **dict.fromkeys(("90", "91", "201", "202", "203"), imagecodecs.jpeg2k_decode),
}
_LOSSY = ("50", "51", "81", "91", "203")
_SERIES_SHOWN = 5


class DICOMSeries(LazyImage):
    """The slices of one series; see :class:`~.base.RawScan`."""

    def __init__(self, path: Path, series: str) -> None:
        self.path = path
        found = _series(path)
        if not series:
            found = {uid: slices for uid, slices in found.items() if not slices[0].localizer} or found
        if series and series not in found:
            remedy = f"The folder holds these series: {_told(found)}."
            raise InputError(Fault(str(path), repr(series), "there is no series of this name", remedy))
        if not series and len(found) != 1:
            remedy = f"Name one in the column `dataset`: {_told(found)}." if found else "Name the folder of a series."
            problem = "it is not clear which DICOM series is meant"
            raise InputError(Fault(str(path), f"{len(found)} series", problem, remedy))
        slices = found[series] if series else next(iter(found.values()))
        self._kind = kind = slices[0].kind
        if kind.samples != 1 or kind.allocated not in _ALLOCATED:
            got = f"{kind.samples} channels of {kind.allocated} bits"
            raise InputError(Fault(str(slices[0].path), got, "the file does not hold grey images", CONVERT))
        order = in_order(path, slices)
        self._slices, self._doubts = order.slices, list(order.doubts)
        self.shape: tuple[int, int, int] = (len(slices), kind.rows, kind.columns)
        refuse_impossible_shape(path, self.shape)
        self.dtype: np.dtype[Any] = kind.dtype.newbyteorder("=")
        self.stored_bytes = sum(file.stat().st_size for file in {part.path for part in slices})
        if kind.syntax.removeprefix(_SYNTAX) in _LOSSY:
            self._doubts.append("its slices are compressed with losses: grey values are not those of the scanner")
        if kind.inverted:
            self._doubts.append("its header shows small values as white; grey values are as stored, not inverted")
        plain = (kind.slope, kind.intercept, kind.unit) == (1, 0, "")
        self.grey = None if plain else grey_of_header(path, kind.slope, kind.intercept, kind.unit)
        self.voxel_size_um: tuple[float, float, float] | None = None
        if len(kind.spacing) == 2 and np.isfinite(order.distance):
            edges = (order.distance, kind.spacing[0], kind.spacing[1])
            self.voxel_size_um = voxel_size_of_header(path, [1e3 * edge for edge in edges])
        if order.step is not None and len(kind.spacing) == 2:
            step = order.step
            x, y = np.array(kind.orientation).reshape(2, 3)
            # Spacing of rows comes first, and is that along y.
            axes = np.stack([x * kind.spacing[1], y * kind.spacing[0], step], axis=1)
            origin = order.slices[0].position
            self.geometry = geometry_of_header(path, lambda: Geometry.from_lps(origin, axes, (1, 1, 1)), told=True)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` of (z, y, x)."""
        slices = self._slices[start:stop] if axis == 0 else self._slices
        part = window(axis, start, stop)[1:]
        return np.stack([self._read_slice(each)[part] for each in slices]).astype(self.dtype, copy=False)

    def _read_slice(self, part: Slice) -> NDArray[Any]:
        kind, plane = self._kind, self.shape[1:]
        with (
            decoding(part.path, "DICOM", remedy=COPY_AGAIN if part.length >= 0 else CONVERT),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            if part.length >= 0:
                count = plane[0] * plane[1]
                return _stored(self._plain(part, count).reshape(plane), kind)
            decode = _DECODERS.get(kind.syntax.removeprefix(_SYNTAX))
            if decode is None:
                found = pixel_array(part.path, index=part.frame, raw=True)
            else:
                data = pydicom.dcmread(part.path, specific_tags=["PixelData"]).PixelData
                found = decode(get_frame(data, part.frame, number_of_frames=part.frames))
            if found.shape != plane or found.dtype.itemsize > kind.dtype.itemsize:
                raise ValueError(f"a slice is {found.dtype} {found.shape}, not as its header says")
            return _stored(found.astype(kind.dtype, copy=False), kind)

    def _plain(self, part: Slice, count: int) -> NDArray[Any]:
        if faults := self._truncation(part):
            raise InputError(*faults)
        stored = self._kind.dtype
        offset = part.offset + part.frame * count * stored.itemsize
        if self._kind.syntax == DEFLATED:
            return np.frombuffer(inflated(part.path), stored, count, offset)
        return np.fromfile(part.path, stored, count, offset=offset)

    def _truncation(self, part: Slice) -> list[Fault]:
        promised = part.frames * self.shape[1] * self.shape[2] * self._kind.dtype.itemsize
        if part.length < 0 or part.length >= promised:
            return []
        problem = f"the file is truncated: its header promises {promised} bytes of voxels"
        return [Fault(str(part.path), f"{part.length} bytes", problem, COPY_AGAIN)]

    def damage(self) -> list[Fault]:
        """Look for files that end before their voxels do."""
        return [fault for part in self._slices if part.frame == 0 for fault in self._truncation(part)]

    def doubts(self) -> list[str]:
        """Return what headers leave open."""
        return self._doubts


def _stored(found: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """Return the numbers that are in the stored bits; others may hold drawings, and decoders may leave out the sign."""
    above = kind.allocated - kind.stored - kind.shift
    if not above and not kind.shift:
        return found
    found = found.astype(found.dtype.newbyteorder("="))
    return ((found << above).astype(found.dtype) >> (above + kind.shift)).astype(found.dtype)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return [folder]
    return sorted(path for path in folder.iterdir() if _is_dicom(path))


def _is_dicom(path: Path) -> bool:
    if path.name.startswith(".") or path.name.lower().endswith(_OTHERS) or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(PREAMBLE)
    except OSError:  # told when it is opened
        return False
    return has_mark(head) or (path.suffix.lower() in _UNMARKED and bool(_FIRST.match(head)))


def _series(path: Path) -> dict[str, list[Slice]]:
    """Return the slices of each series in a folder or file; of one instance that is there twice the first."""
    found: dict[str, list[Slice]] = {}
    for file in _files(path):
        for part in slices_of(file):
            found.setdefault(part.series, []).append(part)
    # Localizers may have the number of the series that they belong to.
    for uid, slices in found.items():
        images = [part for part in slices if not part.localizer]
        found[uid] = images or slices
    return found


def _told(found: dict[str, list[Slice]]) -> str:
    shown = [f"{uid} ({slices[0].title or 'no title'}, {len(slices)} slices)" for uid, slices in found.items()]
    return ", ".join(shown[:_SERIES_SHOWN]) + (", ..." if len(shown) > _SERIES_SHOWN else "")


def _datasets(path: Path) -> list[str]:
    """Return the series that are scans, largest first."""
    found = _series(path)
    largest = max(map(len, found.values()), default=0)
    if path.is_file() and largest == 1:
        return []  # a slice of the series in its folder
    kept = {}
    for uid, slices in sorted(found.items(), key=lambda item: -len(item[1])):
        if slices[0].localizer or (len(slices) == 1 and largest > 1):
            what = "localizer" if slices[0].localizer else "single image"
            LOG.info("%s: the series %s (%s) is a %s and not taken for a scan", path, uid, slices[0].title, what)
        else:
            kept[uid] = slices
    others = [slices for uid, slices in found.items() if uid not in kept and not slices[0].localizer]
    return [""] if len(kept) == 1 and not others else list(kept)


FORMAT = Format(
    name="dicom",
    what="DICOM series",
    remarks="a folder with a file per slice, or one file with many frames; each series is a scan, its slices in the "
    "order of their positions. The rescale slope becomes the grey scale; localizers are left out",
    matches=lambda path: path.is_dir() and any(map(_is_dicom, sorted(path.iterdir()))),
    signature=has_mark,
    open=DICOMSeries,
    datasets=_datasets,
    files=lambda path: _files(path) if path.is_dir() else [],
    each_dataset=True,
)
