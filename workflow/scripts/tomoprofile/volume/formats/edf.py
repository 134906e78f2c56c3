"""EDF of the ESRF: blocks of ASCII text, each with an image behind it, in one file or a folder of slices.

A block is ``{ KEY = VALUE ; ... }``, padded to a multiple of 512 bytes. Its text alone says where the voxels lie, so it
is read here, and voxels where they lie.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Fault, InputError
from ..companions import without_companions
from ..grey import GreyScale
from ..sources import is_hidden
from .base import COPY_AGAIN, Format, decoding, refuse_impossible_shape, unlike_first, voxel_size_of_header
from .flat import FlatImage, Piece
from .tiff_folder import by_number

_SUFFIX = ".edf"
_MARK = re.compile(rb"\s*\{[^}]*?\b(?:HeaderID|EDF_DataBlockID|ByteOrder|DataType|Dim_1)\s*=")
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")
_FIELD = re.compile(r"([\w ]*?\w)\s*=\s*(.*?)\s*;", re.DOTALL)
_ALIGNED = 512  # bytes of which headers are multiples
_USUAL_HEADER, _MOST_HEADER = 4096, 2**18  # bytes
_MOST_BLOCKS = 200_000
_TYPES = {
    "signedbyte": "i1",
    "unsignedbyte": "u1",
    "signedshort": "i2",
    "unsignedshort": "u2",
    "signedinteger": "i4",
    "unsignedinteger": "u4",
    "signedlong": "i4",
    "unsignedlong": "u4",
    "signed64": "i8",
    "unsigned64": "u8",
    "float": "f4",
    "floatvalue": "f4",
    "real": "f4",
    "double": "f8",
    "doublevalue": "f8",
}
_METRE = 1e6  # in micrometres


@dataclass(frozen=True)
class Block:
    """An image behind its header.

    Attributes
    ----------
    shape : tuple of int
        Voxels along (z, y, x).
    dtype : numpy.dtype
        As stored.
    offset : int
        Bytes before the first voxel.
    edges_um : tuple of float or None
        Of a voxel along z, y, x; z as y where the header gives no third edge.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    edges_um: tuple[float, float, float] | None


class EDFImage(FlatImage):
    """The images of a file, or of the files of a folder, as slices of one scan; see :class:`~.base.RawScan`."""

    grey: GreyScale | None = None

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            files = by_number(path, _slices(path))
            self._files = {file: blocks_of(file, most=1) for file in files}
        else:
            self._files = {path: blocks_of(path)}
        placed = [(file, block) for file, blocks in self._files.items() for block in blocks]
        (first_file, first), *others = placed
        for file, block in others:
            if (block.shape, block.dtype) != (first.shape, first.dtype):
                got, expected = (f"{one.dtype} {'x'.join(map(str, one.shape))}" for one in (block, first))
                raise InputError(unlike_first(file, got, expected))
        depth, rows, columns = first.shape
        length = depth * rows * columns * first.dtype.itemsize
        pieces = [Piece(file, depth, block.offset, 0, length) for file, block in placed]
        super().__init__(path, "EDF", (depth * len(placed), rows, columns), first.dtype, pieces)
        self.voxel_size_um = voxel_size_of_header(first_file, first.edges_um) if first.edges_um else None

    def place(self, index: int) -> str:
        """Return the file of a slice."""
        return f"{self.pieces[index // self.pieces[0].slices].path} slice {index}"


def blocks_of(path: Path, most: int = _MOST_BLOCKS) -> list[Block]:
    """Return the images of a file.

    Raises
    ------
    InputError
        When it is damaged, holds none or more than ``most``, or is compressed.
    """
    found: list[Block] = []
    with decoding(path, "EDF"), path.open("rb") as file:
        size, at = path.stat().st_size, 0
        while at < size:
            file.seek(at)
            head = file.read(_USUAL_HEADER)
            head += b"" if b"}" in head else file.read(_MOST_HEADER)
            if found and not head.strip(b"\0 \r\n\t"):
                break  # padding
            end = head.find(b"}")
            # Without its bracket a header would end with the next one, and a slice would be lost.
            if not head.lstrip().startswith(b"{") or end < 0 or _NO_TEXT.search(head, 0, end):
                raise ValueError(f"its header {len(found) + 1} has no beginning or no end")
            start = _end_of_header(head, end)
            told = {name.lower(): value for name, value in _FIELD.findall(head[:end].decode("latin-1"))}
            block, length = _block(path, told, at + start)
            found.append(block)
            if len(found) > most:
                problem = "a slice file holds more than one image"
                raise InputError(Fault(str(path), "", problem, "Name the file itself."))
            at += start + length
    if not found:
        raise InputError(Fault(str(path), "0 bytes", "the file is empty", COPY_AGAIN))
    return found


def _end_of_header(head: bytes, end: int) -> int:
    """Return where voxels begin: behind the bracket and the end of its line, which not all programs write."""
    ways = [end + 1 + len(line) for line in (b"\n", b"\r\n", b"") if head[end + 1 :].startswith(line)]
    return next((way for way in ways if way % _ALIGNED == 0), ways[0])


def _block(path: Path, told: dict[str, str], offset: int) -> tuple[Block, int]:
    """Return an image, and the bytes behind its header."""
    edges = [int(told[f"dim_{axis}"]) for axis in (1, 2, 3) if f"dim_{axis}" in told]
    x, y, z = (*edges, 1, 1, 1)[:3]
    refuse_impossible_shape(path, (z, y, x))
    kind = told.get("datatype", "").lower().replace(" ", "").replace("_", "")
    packed = told.get("compression", "none").lower()
    if kind not in _TYPES or packed not in ("none", "no", "nocompression", ""):
        got = told.get("datatype", "") if kind not in _TYPES else told["compression"]
        raise InputError(Fault(str(path), got, "voxels stored this way are not read", "Save them uncompressed."))
    order = ">" if told.get("byteorder", "").lower().startswith("high") else "<"
    dtype = np.dtype(_TYPES[kind]).newbyteorder(order)
    sizes = [_metres(told, f"psize_{axis}") for axis in (1, 2, 3)]
    edges_um = None
    if sizes[0] and sizes[1]:
        edges_um = ((sizes[2] or sizes[1]) * _METRE, sizes[1] * _METRE, sizes[0] * _METRE)
    length = x * y * z * dtype.itemsize
    told_size = int(told.get("size", told.get("edf_binarysize", length)))
    if not length <= told_size < length + _ALIGNED:  # there may be padding
        raise ValueError(f"its header promises {told_size} bytes for {length} bytes of voxels")
    return Block((z, y, x), dtype, offset, edges_um), told_size


def _metres(told: dict[str, str], name: str) -> float | None:
    try:
        return float(told.get(name, "")) or None
    except ValueError:
        return None


def _named(path: Path) -> bool:
    return path.name.lower().endswith(_SUFFIX) and not is_hidden(path) and path.is_file()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _named(path)) if folder.is_dir() else []


def _slices(folder: Path) -> list[Path]:
    return [*without_companions(_files(folder))]


def _datasets(path: Path) -> list[str]:
    """Return that a file of several slices is a scan, and a folder of several files with one slice each."""
    if path.is_file():
        blocks = blocks_of(path)
        return [""] if len(blocks) > 1 or blocks[0].shape[0] > 1 else []
    flat = 0
    for file in _slices(path):
        try:
            blocks = blocks_of(file)
            flat += len(blocks) == 1 and blocks[0].shape[0] == 1
        except InputError:  # told when the scan is opened
            continue
        if flat == 2:
            return [""]
    return []


FORMAT = Format(
    name="edf",
    what="EDF of the ESRF",
    remarks="a folder with a file per slice, ordered as TIFF slices, or one file with all slices; uncompressed. "
    "`PSize_1`, `PSize_2`, `PSize_3` are taken as metres",
    matches=lambda path: _named(path) or bool(_files(path)),
    signature=lambda head: bool(_MARK.match(head)),
    open=lambda path, _: EDFImage(path),
    datasets=_datasets,
    files=_files,
)
