"""TIFF scans in one file with many slices, or in the files of one OME-TIFF."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from operator import index as index_of  # a damaged tag may hold a float
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError
from .base import COPY_AGAIN, Format, LazyImage, decoding, refuse_impossible_shape, window
from .tiff import broken_chain, is_named_tiff, open_tiff, truncation
from .tiff_header import header_of
from .tiff_layout import Slices, full_pages, shaped_shape, slices_of
from .tiff_pixels import losses_of


class TIFFStack(LazyImage):
    """One TIFF or BigTIFF with many slices; see :class:`~.base.RawScan`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_tiff(path) as tif:
            self._slices = slices_of(tif, path)
            pixels = self._slices.pixels
            self.shape: tuple[int, int, int] = (self._slices.count, *pixels.size)
            refuse_impossible_shape(path, self.shape)
            self.dtype: np.dtype[Any] = pixels.dtype
            self.indexed = pixels.indexed
            self.voxel_size_um, self.grey = header_of(tif, path, self._slices.pages[0].keyframe, self._slices.count)
            with decoding(path, "TIFF"):
                self._offsets = _offsets(self._slices, path)
                self._order = tif.byteorder
        self.stored_bytes = sum(file.stat().st_size for file in self._slices.files)
        if pixels.grey is not None:
            self.read(0, 0, 1)  # whether colours are greys

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``."""
        if self._cut:
            raise InputError(*self._cut)
        if self._offsets is not None:
            return self._plain(axis, start, stop)
        first, last = (start, stop) if axis == 0 else (0, self.shape[0])
        part = window(axis, start, stop)[1:]
        out = np.empty((last - first, *self._edges(part)), self.dtype)
        planes = self._slices.pixels.planes
        with _opened(self._slices.pages[first // planes : (last - 1) // planes + 1]) as pages:
            for number, page in enumerate(pages, first // planes):
                inside = slice(max(first - number * planes, 0), min(last - number * planes, planes))
                at = number * planes + inside.start - first
                out[at : at + inside.stop - inside.start] = self._grey(page, number, inside)[:, *part]
        return out

    def step(self, axis: int) -> int:
        """Return how many layers along ``axis`` are decoded together: those of a tile in volumetric pages."""
        key = self._slices.pages[0].keyframe
        if axis or self._offsets is not None or self._slices.pixels.planes == 1 or not key.is_tiled:
            return super().step(axis)
        return max(1, int(key.tiledepth))

    def _edges(self, part: tuple[slice, ...]) -> tuple[int, ...]:
        return tuple(len(range(*one.indices(n))) for one, n in zip(part, self.shape[1:], strict=True))

    def _grey(self, page: Any, number: int, planes: slice) -> NDArray[Any]:
        """Return planes of a page as grey values."""
        with decoding(self.path, "TIFF", f"page {number + 1} of the file"):
            pixels = page.asarray() if self._slices.pixels.planes == 1 else _planes(page, planes)
            grey = self._slices.pixels.grey
            pixels = grey(pixels) if grey else pixels
            return np.asarray(pixels).reshape(planes.stop - planes.start, *self.shape[1:])

    def _plain(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return a part of slices that lie in the file as they are in memory."""
        assert self._offsets is not None
        stored = self.dtype.newbyteorder(self._order)
        each = math.prod(self.shape[1:])
        if axis:
            with decoding(self.path, "TIFF"):
                file = np.memmap(self.path, np.uint8, "r")
                part = window(axis, start, stop)[1:]
                ends = (slice(offset, offset + each * stored.itemsize) for offset in self._offsets)
                found = np.stack([file[end].view(stored).reshape(self.shape[1:])[part] for end in ends])
            return found.astype(self.dtype, copy=False)
        out = np.empty((stop - start, *self.shape[1:]), stored)
        with self.path.open("rb", buffering=0) as opened:
            for first, last in _runs(self._offsets[start:stop], each * stored.itemsize):
                opened.seek(self._offsets[start + first])
                wanted = memoryview(out[first:last].reshape(-1).view(np.uint8))
                while len(wanted) and (got := opened.readinto(wanted)):
                    wanted = wanted[got:]
                if len(wanted):
                    at = start + last - 1 - (len(wanted) - 1) // (each * stored.itemsize)
                    problem = f"the file is truncated: it ends in slice {at}"
                    raise InputError(Fault(str(self.path), "", problem, COPY_AGAIN))
        return out.byteswap(inplace=True).view(self.dtype) if stored != self.dtype else out

    def place(self, index: int) -> str:
        """Return file and page of a slice."""
        page = self._slices.pages[min(index // self._slices.pixels.planes, len(self._slices.pages) - 1)]
        return f"{self.path.parent / Path(page.parent.filehandle.path).name} slice {index} (page {page.index + 1})"

    def doubts(self) -> list[str]:
        """Return that values were changed by compression, where they were."""
        return losses_of(self._slices.pages[0].keyframe)

    def damage(self) -> list[Fault]:
        """Check that all strips lie inside their files, and that no page is missing at the end."""
        with open_tiff(self.path) as tif:
            return self._cut or broken_chain(self.path, tif)

    @cached_property
    def _cut(self) -> list[Fault]:
        """Faults of files that lack strips: tifffile reads a strip that is nowhere as zeros."""
        found: list[Fault] = []
        for file in sorted(self._slices.files):
            found += truncation(file, [p for p in self._slices.pages if Path(p.parent.filehandle.path) == file])
        return found


def _offsets(slices: Slices, path: Path) -> list[int] | None:
    """Return where each slice begins in the file, or None unless slices lie there as they are in memory."""
    pages, each = slices.pages, math.prod(slices.pixels.size) * slices.pixels.dtype.itemsize
    if slices.pixels.grey is not None or slices.files != {Path(pages[0].parent.filehandle.path)}:
        return None
    if Path(pages[0].parent.filehandle.path).resolve() != path.resolve() or not all(
        page.keyframe.is_final for page in pages
    ):
        return None
    if slices.count > slices.pixels.planes * len(pages):
        return [index_of(pages[0].dataoffsets[0]) + index * each for index in range(slices.count)]
    return [index_of(page.dataoffsets[0]) + index * each for page in pages for index in range(slices.pixels.planes)]


def _runs(offsets: Sequence[int], each: int) -> Iterator[tuple[int, int]]:
    """Yield stretches of slices that lie behind each other."""
    first = 0
    for index in range(1, len(offsets) + 1):
        if index == len(offsets) or offsets[index] != offsets[index - 1] + each:
            yield first, index
            first = index


@contextmanager
def _opened(pages: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Open the files of pages, which were closed after the headers were read."""
    with ExitStack() as stack:
        for handle in {id(page.parent.filehandle): page.parent.filehandle for page in pages}.values():
            with decoding(handle.path, "TIFF"):
                handle.open()
            stack.callback(handle.close)
        yield pages


def _planes(page: Any, wanted: slice) -> NDArray[Any]:
    """Return some planes of a page that holds many, decoding only the strips or tiles in which they lie."""
    key = page.keyframe
    separate, depth, rows, columns, _ = key.shaped
    out = np.zeros((wanted.stop - wanted.start, rows, columns), key.dtype.newbyteorder("="))
    thick = key.tiledepth if key.is_tiled else 1
    layers, per_layer = -(-depth // thick), math.prod(key.chunked) // (separate * -(-depth // thick))
    handle = page.parent.filehandle
    options = {"jpegtables": page.jpegtables} if key.compression in (6, 7, 34892, 33007) else {}
    for number, (offset, length) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        sample, layer = divmod(number // per_layer, layers)
        first = sample * depth + layer * thick
        if first >= wanted.stop or min(first + thick, (sample + 1) * depth) <= wanted.start:
            continue
        handle.seek(offset)
        found, (_, _, y, x, _), shape = key.decode(handle.read(length), number, **options)
        low, high = max(first, wanted.start), min(first + thick, (sample + 1) * depth, wanted.stop)
        height, width = min(shape[1], rows - y), min(shape[2], columns - x)
        piece = found[low - first : high - first, :height, :width, 0]
        out[low - wanted.start : high - wanted.start, y : y + height, x : x + width] = piece
    return out


def _is_scan(path: Path) -> bool:
    """Return whether a file by itself is a scan: it holds many slices, or one that is described as a volume."""
    with open_tiff(path) as tif:
        with decoding(path, "TIFF"):
            pages = full_pages(tif)
            if len(pages) != 1:
                return bool(pages)
            described = tif.is_imagej or tif.is_shaped or tif.is_ome or pages[0].is_stk
            if not described and math.prod(pages[0].shaped[:2]) == 1:
                return False  # a picture
            volume = tif.is_shaped and len(shaped_shape(pages[0])) == 3 and pages[0].shaped[-1] == 1
        slices = slices_of(tif, path)
        return slices.count > 1 or (volume and slices.pixels.planes == 1)


def _files(path: Path) -> list[Path]:
    """Return the files of an OME-TIFF that is stored in several, or the file alone."""
    with open_tiff(path) as tif:
        with decoding(path, "TIFF"):
            if not tif.is_ome:
                return [path]
        try:
            return [path.parent / file.name for file in sorted(slices_of(tif, path).files)]
        except InputError:  # told by whoever opens it
            return [path]


FORMAT = Format(
    name="tiff_stack",
    what="multi-page TIFF or BigTIFF",
    remarks="`.tif`, `.tiff`; one channel and one time point",
    matches=lambda path: is_named_tiff(path) and path.is_file(),
    signature=lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    open=lambda path, _: TIFFStack(path),
    datasets=lambda path: [""] if _is_scan(path) else [],
    files=_files,
)
