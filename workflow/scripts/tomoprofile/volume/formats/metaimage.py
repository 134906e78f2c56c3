"""MetaImage scans and masks of ITK, 3D Slicer or elastix: .mha, or .mhd with its voxels beside it (.raw, .zraw).

MetaImage has its axes in the order x, y, z and tomoprofile in the order z, y, x, so the axes are reversed. The header
is a few lines of text; SimpleITK, which would read them, cannot read single slices of a compressed image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Fault, InputError
from ...units import micrometres
from ..geometry import Geometry
from ..grey import GreyScale
from .base import COPY_AGAIN, Format, decoding, geometry_of_header, refuse_impossible_shape
from .flat import FlatImage, Piece, promised_bytes
from .headers import MILLIMETRE, edges_of_header, file_beside, slices_in_each

_SUFFIXES = (".mha", ".mhd")
_MOST_HEADER = 2**20  # bytes
_LINE = re.compile(rb"[ \t]*([A-Za-z][A-Za-z0-9_]*)[ \t]*=[ \t]*([^\r\n]*)(\r?\n|$)")
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_MOST_FILES = 100_000
_YES = ("true", "1", "t", "yes")


class MetaImage(FlatImage):
    """A 3-D MetaImage; see :class:`~.base.RawScan`."""

    voxel_size_um: tuple[float, float, float] | None = None
    grey: GreyScale | None = None

    def __init__(self, path: Path) -> None:
        header, end, listed = _header(path)
        with decoding(path, "MetaImage"):
            sizes = [int(n) for n in header["DimSize"].split()]
            if len(sizes) != int(header.get("NDims", len(sizes))):
                raise ValueError("its header gives another number of sizes than of dimensions")
            channels = int(header.get("ElementNumberOfChannels", "1"))
            kind = header["ElementType"].upper()
        x, y, z, *more = (*sizes, 0, 0, 0)[: max(3, len(sizes))]
        if len(sizes) < 3 or channels != 1 or any(n != 1 for n in more):
            got = "x".join(map(str, sizes)) + (f", {channels} channels" if channels != 1 else "")
            remedy = "Save one channel and one time point."
            raise InputError(Fault(str(path), got, "the file does not hold a 3-D grey image", remedy))
        refuse_impossible_shape(path, (z, y, x))
        if kind not in _TYPES or not _is_yes(header.get("BinaryData", "True")):
            got = kind if kind not in _TYPES else "BinaryData = False"
            raise InputError(Fault(str(path), got, "voxels stored this way are not read", "Save it as binary numbers."))
        swapped = header.get("BinaryDataByteOrderMSB", header.get("ElementByteOrderMSB", "False"))
        dtype = np.dtype(_TYPES[kind]).newbyteorder(">" if _is_yes(swapped) else "<")
        packed = _is_yes(header.get("CompressedData", "False"))
        pieces = _pieces(path, header, end, listed, (z, y, x), dtype, packed)
        super().__init__(path, "MetaImage", (z, y, x), dtype, pieces, "zlib" if packed else "")
        self._describe(header, len(sizes))

    def _describe(self, header: Mapping[str, str], dimensions: int) -> None:
        """Take voxel size and geometry from the header."""
        with decoding(self.path, "MetaImage"):
            given = _numbers(header, ("ElementSpacing", "ElementSize"))
            origin = _numbers(header, ("Offset", "Origin", "Position"))
            matrix = _numbers(header, ("TransformMatrix", "Rotation", "Orientation"))
        unit = micrometres(header.get("DistanceUnits", ""))
        if len(given) < 3:
            return
        self.voxel_size_um = edges_of_header(self.path, given[2::-1], unit)
        if len(origin) < 3 and not matrix:
            return

        def make() -> Geometry:
            # Each row is the direction of an axis.
            rows = np.array(matrix or np.eye(dimensions)).reshape(dimensions, dimensions)[:3, :3]
            scale = (unit or MILLIMETRE) / MILLIMETRE
            return Geometry.from_lps(np.array(origin or [0.0] * 3)[:3] * scale, rows.T, np.array(given[:3]) * scale)

        self.geometry = geometry_of_header(self.path, make)


def _is_yes(text: str) -> bool:
    return text.strip().lower() in _YES


def _numbers(header: Mapping[str, str], names: tuple[str, ...]) -> list[float]:
    text = next((header[name] for name in names if name in header), "")
    return [float(part) for part in text.split()]


def _header(path: Path) -> tuple[dict[str, str], int, list[str]]:
    """Return the fields of the header, where it ends, and the data files that it lists."""
    with decoding(path, "MetaImage"), path.open("rb") as file:
        head = file.read(_MOST_HEADER)
    found: dict[str, str] = {}
    at = 0
    while (line := _LINE.match(head, at)) and line.end() > at:
        at = line.end()
        found[line[1].decode()] = line[2].decode("utf-8", "replace").strip()
        if line[1] == b"ElementDataFile":
            break
    lacking = [name for name in ("DimSize", "ElementType", "ElementDataFile") if name not in found]
    if lacking:
        problem = f"the header of the MetaImage lacks {', '.join(lacking)}"
        raise InputError(Fault(str(path), "", problem, COPY_AGAIN))
    listed = []
    if found["ElementDataFile"].upper().startswith("LIST"):
        listed = [line.strip() for line in head[at:].decode("utf-8", "replace").splitlines() if line.strip()]
    return found, at, listed


def _pieces(
    path: Path,
    header: Mapping[str, str],
    end: int,
    listed: list[str],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    packed: bool,
) -> list[Piece]:
    """Return where the voxels lie."""
    named = header["ElementDataFile"]
    pattern, *numbers = named.rsplit(maxsplit=3)
    if named.upper() == "LOCAL":
        files = [path]
    elif listed or named.upper().startswith("LIST"):
        files = [file_beside(path, name) for name in listed]
    elif "%" in pattern and len(numbers) == 3:
        with decoding(path, "MetaImage"):
            first, last, step = map(int, numbers)
            counted = range(first, last + 1, step)
            if len(counted) > _MOST_FILES:
                raise ValueError("its header counts files that cannot be")
            names = [pattern % number for number in counted]
        files = [file_beside(path, name) for name in names]
    else:
        files = [file_beside(path, named)]
    slices = slices_in_each(path, shape[0], files)
    with decoding(path, "MetaImage"):
        skip = int(header.get("HeaderSize", "0"))
        if skip < -1:
            raise ValueError(f"its header skips {skip} bytes")
    length = promised_bytes((slices, *shape[1:]), dtype)
    found = []
    for file in files:
        offset = end if file == path else max(0, skip)
        if skip == -1 and not packed and file != path:
            offset = max(0, file.stat().st_size - length)
        found.append(Piece(file, slices, offset))
    return found


def _data_files(path: Path) -> list[Path]:
    try:
        return [piece.path for piece in MetaImage(path).pieces]
    except InputError:  # told when it is opened
        return []


FORMAT = Format(
    name="metaimage",
    what="MetaImage",
    remarks="`.mha`, or `.mhd` with its `.raw` or `.zraw` beside it; its axes x, y, z are reversed to z, y, x. Lengths "
    "are millimetres unless it has `DistanceUnits`",
    matches=lambda path: path.name.lower().endswith(_SUFFIXES) and path.is_file(),
    signature=lambda head: head.startswith(b"ObjectType") and b"NDims" in head,
    open=lambda path, _: MetaImage(path),
    files=_data_files,
)
