"""NRRD scans and masks (.nrrd, .nhdr with its data beside it, .seg.nrrd of 3D Slicer).

NRRD has its axes in the order x, y, z and tomoprofile in the order z, y, x, so the axes are reversed. pynrrd reads the
header; it would load all voxels, so those are read where they lie.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

from ...errors import Fault, InputError
from ...logs import LOG
from ...units import micrometres
from ..geometry import Geometry
from ..grey import GreyScale
from .base import COPY_AGAIN, Format, decoding, geometry_of_header, refuse_impossible_shape
from .flat import FlatImage, Piece, promised_bytes
from .headers import MILLIMETRE, edges_of_header, file_beside, slices_in_each

_SUFFIXES = (".nrrd", ".nhdr")
_MOST_HEADER = 2**22  # bytes
_ENCODINGS = {"raw": "", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_END = re.compile(rb"\r?\n\r?\n")
_LIST = re.compile(r"data ?file:\s*list", re.IGNORECASE)
_PATTERN = re.compile(r"(\S*%\d*d\S*)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)(?:\s+\d+)?")
# Axes of a space that point to the right, anterior and superior; spaces without a name are taken as ITK does.
_TO_LPS = {"RAS": (-1, -1, 1), "LAS": (1, -1, 1), "LPS": (1, 1, 1)}
_SHORT = {"right-anterior-superior": "RAS", "left-anterior-superior": "LAS", "left-posterior-superior": "LPS"}
_MOST_FILES = 100_000


class NRRDImage(FlatImage):
    """A 3-D NRRD image; see :class:`~.base.RawScan`."""

    voxel_size_um: tuple[float, float, float] | None = None
    grey: GreyScale | None = None

    def __init__(self, path: Path) -> None:
        header, offset, listed = _header(path)
        with decoding(path, "NRRD"):
            sizes = [int(n) for n in header["sizes"]]
            dtype = np.dtype(nrrd.reader._determine_datatype(header))
            encoding = str(header["encoding"]).lower()
        axes = _image_axes(path, sizes, header)
        x, y, z = (sizes[axis] for axis in axes)
        refuse_impossible_shape(path, (z, y, x))
        if encoding not in _ENCODINGS:
            remedy = "Save it with the encoding raw or gzip."
            raise InputError(Fault(str(path), encoding, "voxels in this encoding are not read", remedy))
        pieces = _pieces(path, header, offset, listed, (z, y, x), dtype)
        super().__init__(path, "NRRD", (z, y, x), dtype, pieces, _ENCODINGS[encoding])
        with decoding(path, "NRRD"):
            self._describe(header, axes)

    def _describe(self, header: dict[str, Any], axes: list[int]) -> None:
        """Take voxel size and geometry from the header."""
        space, directions = str(header.get("space", "")), header.get("space directions")
        unit = _unit(header)
        if directions is not None:
            vectors = np.array([directions[axis] for axis in axes], np.float64)
            spacing = np.linalg.norm(vectors, axis=1)
        else:
            given = header.get("spacings", [math.nan] * len(header["sizes"]))
            spacing = np.array([given[axis] for axis in axes], np.float64)
        if not np.isfinite(spacing).all():
            return
        if unit is None and not space:
            # Without a space nothing says that lengths are millimetres, as they are in medicine.
            if (spacing != 1).any():
                told = ", ".join(f"{edge:g}" for edge in spacing[::-1])
                LOG.warning("%s: the spacing of the header (%s) has no unit and is not used", self.path, told)
            return
        self.voxel_size_um = edges_of_header(self.path, spacing[::-1], unit)
        if directions is not None and vectors.shape == (3, 3):
            signs = np.diag(_TO_LPS.get(_SHORT.get(space.lower(), space[:3].upper()), (1, 1, 1)))
            origin = np.nan_to_num(np.array(header.get("space origin", (0, 0, 0)), np.float64))
            scale = (unit or MILLIMETRE) / MILLIMETRE
            self.geometry = geometry_of_header(
                self.path, lambda: Geometry.from_lps(signs @ origin * scale, signs @ vectors.T * scale, (1, 1, 1))
            )


def _unit(header: dict[str, Any]) -> float | None:
    """Return the micrometres of the one unit of length that a header names, or None."""
    named = [*header.get("space units", ()), *header.get("units", ())]
    known = {micrometres(unit) for unit in named} - {None}
    return known.pop() if len(known) == 1 else None


def _header(path: Path) -> tuple[dict[str, Any], int, list[str]]:
    """Return the header, where it ends, and the data files that it lists."""
    with decoding(path, "NRRD"):
        with path.open("rb") as file:
            head = file.read(_MOST_HEADER)
        end = _END.search(head)
        text = head[: end.start()] if end else head
        if not head.startswith(b"NRRD") or (not end and len(head) == _MOST_HEADER):
            raise InputError(Fault(str(path), "", "the file has no header of NRRD", COPY_AGAIN))
        lines = text.decode("utf-8", "replace").splitlines()
        start = next((i for i, line in enumerate(lines) if _LIST.match(line)), None)
        listed = [] if start is None else [line.strip() for line in lines[start + 1 :] if line.strip()]
        header = dict(nrrd.read_header(lines if start is None else lines[: start + 1]))
        for field in ("dimension", "type", "encoding", "sizes"):
            if field not in header:
                raise ValueError(f"its header lacks the field {field}")
        if header["dimension"] != len(header["sizes"]):
            raise ValueError("its header gives another number of sizes than of dimensions")
    return header, end.end() if end else len(head), listed


def _image_axes(path: Path, sizes: list[int], header: dict[str, Any]) -> list[int]:
    """Return the three axes of the image, x first; others must have length 1."""
    axes = list(range(len(sizes)))
    kinds = [str(kind).lower() for kind in header.get("kinds", ())]
    # Of axes of length 1, those that are not of space are left out first.
    single = [axis for axis in axes if sizes[axis] == 1]
    spatial = {axis for axis in single if axis < len(kinds) and kinds[axis] in ("domain", "space")}
    for axis in sorted(single, key=lambda axis: (axis in spatial, axis)):
        if len(axes) > 3:
            axes.remove(axis)
    if len(axes) != 3:
        layers = " Layers of a segmentation that overlap are exported as a label map." if "list" in kinds else ""
        remedy = f"Save one channel and one time point.{layers}"
        got = "x".join(map(str, sizes))
        raise InputError(Fault(str(path), got, "the file does not hold a 3-D image", remedy))
    return axes


def _pieces(
    path: Path,
    header: dict[str, Any],
    offset: int,
    listed: list[str],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
) -> list[Piece]:
    """Return where the voxels lie."""
    named = str(header.get("data file", header.get("datafile", "")))
    with decoding(path, "NRRD"):
        lines = int(header.get("line skip", header.get("lineskip", 0)))
        skip = int(header.get("byte skip", header.get("byteskip", 0)))
    if not named:
        files = [path]
    elif listed:
        files = [file_beside(path, name) for name in listed]
    elif found := _PATTERN.fullmatch(named):
        first, last, step = (int(number) for number in found.groups()[1:4])
        numbers = range(first, last + (1 if step > 0 else -1), step) if step else range(0)
        if not 0 < len(numbers) <= _MOST_FILES:
            raise InputError(Fault(str(path), named, "the header counts files that cannot be", COPY_AGAIN))
        with decoding(path, "NRRD"):
            names = [found[1] % number for number in numbers]
        files = [file_beside(path, name) for name in names]
    else:
        files = [file_beside(path, named)]
    slices = slices_in_each(path, shape[0], files)
    packed = _ENCODINGS[str(header["encoding"]).lower()]
    length = promised_bytes((slices, *shape[1:]), dtype)
    return [_piece(file, offset if file == path else 0, lines, skip, slices, length, bool(packed)) for file in files]


def _piece(file: Path, offset: int, lines: int, skip: int, slices: int, length: int, packed: bool) -> Piece:
    with decoding(file, "NRRD"):
        with file.open("rb") as opened:
            opened.seek(offset)
            for _ in range(min(lines, 10_000)):
                opened.readline(_MOST_HEADER)
            offset = opened.tell()
        if skip < -1 or (skip == -1 and packed):
            raise ValueError(f"its header skips {skip} bytes")
        if skip == -1:
            return Piece(file, slices, max(0, file.stat().st_size - length))
    return Piece(file, slices, offset, skip)


def _data_files(path: Path) -> list[Path]:
    try:
        return [piece.path for piece in NRRDImage(path).pieces]
    except InputError:  # told when it is opened
        return []


FORMAT = Format(
    name="nrrd",
    what="NRRD",
    remarks="`.nrrd`, `.nhdr` with its data beside it, `.seg.nrrd` of one layer; its axes x, y, z are reversed to "
    "z, y, x. Lengths without a unit are millimetres where the header names a space",
    matches=lambda path: path.name.lower().endswith(_SUFFIXES) and path.is_file(),
    signature=lambda head: head.startswith(b"NRRD000"),
    open=lambda path, _: NRRDImage(path),
    files=_data_files,
)
