"""Images whose voxels lie one after another in a file, as they are or in one compressed stream.

Many formats are a header in front of, or beside, such voxels. Slices are read where they lie. A stream can only be read
from its start, so it is read forwards and what was passed is forgotten: memory does not grow with the image, and slices
in their order cost one pass.
"""

from __future__ import annotations

import bz2
import gzip
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import Fault, InputError
from .base import COPY_AGAIN, LazyImage, decoding, refuse_impossible_shape, window

COMPRESSIONS = {"gzip": 1032, "zlib": 1032, "deflate": 1032, "bzip2": 2_000_000}  # with the most that one byte can hold
_BLOCK = 2**22  # bytes


class _Source(Protocol):
    def read(self, count: int, /) -> bytes: ...


class _Inflated:
    """The content of a stream of zlib, which the standard library does not read as a file; bare, as zip has it."""

    def __init__(self, file: BinaryIO, bare: bool = False) -> None:
        self._file, self._inflate = file, zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS)

    def read(self, count: int) -> bytes:
        """Return up to ``count`` bytes; fewer only at the end."""
        found = bytearray()
        while len(found) < count and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(_BLOCK // 64)
            if not packed:
                raise EOFError("the compressed data end early")
            found += self._inflate.decompress(packed, count - len(found))
        return bytes(found)


class Stream:
    """The decompressed bytes of a file, read forwards.

    Parameters
    ----------
    path : Path
    offset : int
        Bytes of the file before the compressed data.
    compression : {"gzip", "zlib", "deflate", "bzip2"}
    length : int
        Decompressed bytes that there must be.
    """

    def __init__(self, path: Path, offset: int, compression: str, length: int) -> None:
        self._path, self._offset, self._compression, self._length = path, offset, compression, length
        self._file: BinaryIO | None = None
        self._source: _Source | None = None
        self._at = 0

    def read(self, start: int, count: int) -> bytearray:
        """Return ``count`` bytes from ``start``.

        The checksum, which is at the end, and the length are compared when the last byte is read.
        """
        if self._source is None or start < self._at:
            self._rewind()
        while self._at < start:
            self._next(min(_BLOCK, start - self._at))
        found = bytearray()
        while len(found) < count:
            found += self._next(min(_BLOCK, count - len(found)))
        if self._at == self._length and self._source is not None and self._source.read(1):
            raise ValueError(f"the header promises {self._length} bytes, but more are there")
        return found

    def _next(self, count: int) -> bytes:
        assert self._source is not None
        try:
            block = self._source.read(count)
        except Exception:
            self._source = None  # where it stands is not known any more
            raise
        if not block:
            raise ValueError(f"the header promises {self._length} bytes, but {self._at} are there")
        self._at += len(block)
        return block

    def _rewind(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._path.open("rb")
        self._file.seek(self._offset)
        opened: dict[str, Any] = {
            "gzip": lambda file: gzip.GzipFile(fileobj=file),
            "bzip2": bz2.BZ2File,
            "deflate": lambda file: _Inflated(file, bare=True),
        }
        self._source, self._at = opened.get(self._compression, _Inflated)(self._file), 0

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()


@dataclass(frozen=True)
class Piece:
    """A file that holds whole slices.

    Attributes
    ----------
    path : Path
    slices : int
    offset : int
        Bytes before the first slice; before the compressed data where they are compressed.
    skipped : int
        Decompressed bytes before the first slice.
    length : int or None
        Bytes from ``offset`` on that belong to the image; all of them when None.
    """

    path: Path
    slices: int
    offset: int = 0
    skipped: int = 0
    length: int | None = None


class FlatImage(LazyImage):
    """A 3-D image whose voxels lie one after another, x fastest; see :class:`~.base.RawScan`.

    Parameters
    ----------
    path : Path
        What the user named, for messages.
    form : str
        The format, for messages.
    shape : tuple of int
        Voxels along (z, y, x).
    dtype : dtype
        As stored, with its byte order.
    pieces : sequence of Piece
        The files with the voxels, in the order of slices.
    compression : str
        One of :data:`COMPRESSIONS`, or empty.

    Raises
    ------
    InputError
        When the files are too small, or larger than the header says.
    """

    def __init__(
        self,
        path: Path,
        form: str,
        shape: Sequence[int],
        dtype: DTypeLike,
        pieces: Sequence[Piece],
        compression: str = "",
    ) -> None:
        refuse_impossible_shape(path, shape)
        self.path, self._form, self._compression = path, form, compression
        z, y, x = (int(n) for n in shape)
        self.shape: tuple[int, int, int] = (z, y, x)
        self._stored = np.dtype(dtype)
        self.dtype: np.dtype[Any] = self._stored.newbyteorder("=")
        self._slice_bytes = y * x * self._stored.itemsize
        self.pieces = tuple(pieces)
        self.stored_bytes = sum({piece.path: self._size(piece) for piece in self.pieces}.values())
        self._streams = [
            Stream(piece.path, piece.offset, compression, piece.skipped + piece.slices * self._slice_bytes)
            for piece in self.pieces
        ]

    def _size(self, piece: Piece) -> int:
        """Return the bytes of a file after comparing them with what the header promises."""
        with decoding(self.path, self._form, f"its file {piece.path.name}"):
            size = piece.path.stat().st_size
        promised = piece.skipped + piece.slices * self._slice_bytes
        there = size - piece.offset
        if piece.length is not None:
            there = min(there, piece.length)
        if self._compression:
            if promised > max(there, 0) * COMPRESSIONS[self._compression]:
                raise InputError(self._disagreement(piece, promised, f"only {max(there, 0)} compressed ones are there"))
        elif there != promised:
            few = "only " if there < promised else ""
            raise InputError(self._disagreement(piece, promised, f"{few}{max(there, 0)} are there"))
        return size

    def _disagreement(self, piece: Piece, promised: int, told: str) -> Fault:
        where = str(self.path) if piece.path == self.path else f"{self.path}: {piece.path.name}"
        got = f"{'x'.join(map(str, self.shape))} {self._stored.name}"
        problem = f"the header promises {promised} bytes of voxels, but {told}"
        return Fault(where, got, problem, f"{COPY_AGAIN[:-1]}, or correct the header.")

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` of (z, y, x)."""
        first, parts = 0, []
        for number, piece in enumerate(self.pieces):
            low, high = (max(0, start - first), min(piece.slices, stop - first)) if axis == 0 else (0, piece.slices)
            if low < high:
                with decoding(piece.path, self._form):
                    parts += self._parts(number, low, high, window(axis, start, stop)[1:])
            first += piece.slices
        return np.concatenate(parts).astype(self.dtype, copy=False)

    def _parts(self, number: int, low: int, high: int, part: tuple[slice, ...]) -> list[NDArray[Any]]:
        """Return a window of slices of one piece, read in blocks that fit into memory."""
        piece, plane = self.pieces[number], self.shape[1:]
        if not self._compression:
            shape = (piece.slices, *plane)
            voxels = np.memmap(piece.path, self._stored, "r", piece.offset + piece.skipped, shape)
            return [np.array(voxels[(slice(low, high), *part)])]
        step = max(1, _BLOCK // max(1, self._slice_bytes))
        found = []
        for z in range(low, high, step):
            count = min(step, high - z)
            start = piece.skipped + z * self._slice_bytes
            block = self._streams[number].read(start, count * self._slice_bytes)
            found.append(np.frombuffer(block, self._stored).reshape(count, *plane)[(slice(None), *part)].copy())
        return found

    def damage(self) -> list[Fault]:
        """Return what is found without reading voxels: files of another size since they were opened."""
        try:
            for piece in self.pieces:
                self._size(piece)
        except InputError as error:
            return list(error.faults)
        return []


def promised_bytes(shape: Sequence[int], dtype: DTypeLike) -> int:
    """Return the bytes of the voxels of an image."""
    return math.prod(shape) * np.dtype(dtype).itemsize
