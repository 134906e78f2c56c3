"""NumPy arrays (.npy, .npz), as scripts save scans and masks. Arrays of objects are pickled and never opened.

Of an archive only headers are read by the library: voxels are read where they lie in it, as those of a file.
"""

from __future__ import annotations

import math
import struct
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ...logs import LOG
from ..grey import GreyScale
from .base import Format, LazyImage, decoding
from .flat import FlatImage, Piece

_MOST_HEADER = 10_000  # bytes
_READ = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0, (3, 0): npy.read_array_header_2_0}
_ARRAY, _ARCHIVE = ".npy", ".npz"
_COMPRESSION = {zipfile.ZIP_STORED: "", zipfile.ZIP_DEFLATED: "deflate"}
_LOCAL_HEADER = 30  # bytes before the name of a member, which gives the lengths of name and extra field
_SHOWN = 5


@dataclass(frozen=True)
class _Array:
    """An array as its header describes it; ``offset`` are the bytes of the header."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def axes(self) -> list[int]:
        """Axes of the image: others have length 1."""
        return [axis for axis, n in enumerate(self.shape) if n != 1 or len(self.shape) <= 3]

    @property
    def is_image(self) -> bool:
        """Whether it is 3-D and holds numbers."""
        return len(self.axes) == 3 and self.dtype.kind in "buif"


class NumPyFile(LazyImage):
    """A 3-D array in a file of NumPy, alone or in an archive; see :class:`~.base.RawScan`."""

    voxel_size_um: tuple[float, float, float] | None = None
    grey: GreyScale | None = None

    def __init__(self, path: Path, dataset: str = "") -> None:
        self.path = path
        if path.name.lower().endswith(_ARCHIVE):
            array, piece, compression = _member(path, dataset)
        else:
            with decoding(path, "NumPy"), path.open("rb") as file:
                array = _header(file)
            piece, compression = Piece(path, 0, array.offset), ""
        if array.dtype.hasobject:
            problem = "the array holds objects, which could run code; it is not opened"
            raise InputError(Fault(str(path), str(array.dtype), problem, "Save it as an array of numbers."))
        if len(array.axes) != 3:
            got = "x".join(map(str, array.shape))
            remedy = "Save it as z, y, x"
            if len(array.axes) == 2:
                remedy += "; slices in a file each are joined by `np.save('scan.npy', np.stack(slices))`"
            raise InputError(Fault(str(path), got, "the array is not a 3-D image", f"{remedy}."))
        stored = [array.shape[axis] for axis in array.axes]
        # In Fortran order the first axis is that whose voxels are neighbours.
        self._reversed = array.fortran
        stored = stored[::-1] if array.fortran else stored
        piece = replace(piece, slices=stored[0])
        self._voxels = FlatImage(path, "NumPy", stored, array.dtype, [piece], compression)
        self.dtype: np.dtype[Any] = self._voxels.dtype
        z, y, x = self._voxels.shape[::-1] if array.fortran else self._voxels.shape
        self.shape: tuple[int, int, int] = (z, y, x)
        self.stored_bytes = self._voxels.stored_bytes

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` of (z, y, x)."""
        return self._voxels.read(2 - axis, start, stop).T if self._reversed else self._voxels.read(axis, start, stop)

    def damage(self) -> list[Fault]:
        """Return what is found without reading voxels."""
        return self._voxels.damage()


def _header(file: IO[bytes]) -> _Array:
    """Return what the header of an array says; call it inside ``decoding``."""
    version = npy.read_magic(file)
    shape, fortran, dtype = _READ[version](file, max_header_size=_MOST_HEADER)
    return _Array(tuple(shape), bool(fortran), dtype, file.tell())


def _arrays(path: Path) -> dict[str, _Array]:
    """Return the arrays of an archive by name."""
    with decoding(path, "NumPy"), zipfile.ZipFile(path) as archive:
        found = {}
        for member in archive.infolist():
            if member.filename.endswith(_ARRAY):
                with archive.open(member) as file:
                    found[member.filename.removesuffix(_ARRAY)] = _header(file)
        return found


def _images(arrays: dict[str, _Array]) -> list[str]:
    """Return the names of the images among the arrays of an archive, the largest first."""
    images = {name: array for name, array in arrays.items() if array.is_image}
    return sorted(images, key=lambda name: (-math.prod(images[name].shape), name))


def _member(path: Path, name: str) -> tuple[_Array, Piece, str]:
    """Return an array of an archive, where its bytes lie, and how they are compressed."""
    arrays = _arrays(path)
    images = _images(arrays)
    chosen = [name] if name else images
    if len(chosen) != 1 or chosen[0] not in arrays:
        remedy = f"Name one in the column `dataset`: {', '.join(images[:_SHOWN])}." if images else "Save it as z, y, x."
        problem = "there is no array of this name" if name else "it does not hold exactly one 3-D array of numbers"
        raise InputError(Fault(str(path), name or f"{len(images)} of {len(arrays)} arrays", problem, remedy))
    array = arrays[chosen[0]]
    with decoding(path, "NumPy"), zipfile.ZipFile(path) as archive, path.open("rb") as file:
        member = archive.getinfo(f"{chosen[0]}{_ARRAY}")
        compression = _COMPRESSION[member.compress_type]
        file.seek(member.header_offset)
        offset = member.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", file.read(_LOCAL_HEADER)[26:30]))
    if compression:
        return array, Piece(path, 0, offset, array.offset, member.compress_size), compression
    return array, Piece(path, 0, offset + array.offset, 0, member.file_size - array.offset), ""


def _datasets(path: Path) -> list[str]:
    """Return the images of an archive, the largest first; a file with one array has a single one without a name."""
    if not path.name.lower().endswith(_ARCHIVE):
        return [""]
    images = _images(_arrays(path))
    if len(images) > 1:
        others = ", ".join(images[1 : _SHOWN + 1])
        LOG.warning("%s: %s is taken for the scan; it also holds %s: name one in `dataset`", path, images[0], others)
    return images if len(images) > 1 else [""] * len(images)


FORMAT = Format(
    name="numpy",
    what="NumPy array",
    remarks="`.npy` with axes z, y, x, or one array of a `.npz`",
    matches=lambda path: path.name.lower().endswith((_ARRAY, _ARCHIVE)) and path.is_file(),
    signature=lambda head: head.startswith(b"\x93NUMPY"),
    open=NumPyFile,
    datasets=_datasets,
    named_datasets=True,
)
