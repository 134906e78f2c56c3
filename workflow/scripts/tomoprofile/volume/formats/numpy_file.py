"""NumPy arrays (.npy), as scripts save scans and masks. Arrays of objects are pickled and never opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ..grey import GreyScale
from .base import Format, LazyImage, decoding
from .flat import FlatImage, Piece

_MOST_HEADER = 10_000  # bytes
_READ = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0, (3, 0): npy.read_array_header_2_0}


class NumPyFile(LazyImage):
    """A 3-D array in a file of NumPy; see :class:`~.base.RawScan`."""

    voxel_size_um: tuple[float, float, float] | None = None
    grey: GreyScale | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with decoding(path, "NumPy"), path.open("rb") as file:
            version = npy.read_magic(file)
            shape, fortran, dtype = _READ[version](file, max_header_size=_MOST_HEADER)
            offset = file.tell()
        if dtype.hasobject:
            problem = "the array holds objects, which could run code; it is not opened"
            raise InputError(Fault(str(path), str(dtype), problem, "Save it as an array of numbers."))
        axes = [axis for axis, n in enumerate(shape) if n != 1 or len(shape) <= 3]
        if len(axes) != 3:
            got = "x".join(map(str, shape))
            raise InputError(Fault(str(path), got, "the array is not a 3-D image", "Save it as z, y, x."))
        stored = [shape[axis] for axis in axes]
        # In Fortran order the first axis is that whose voxels are neighbours.
        self._reversed = bool(fortran)
        stored = stored[::-1] if fortran else stored
        self._voxels = FlatImage(path, "NumPy", stored, dtype, [Piece(path, stored[0], offset)])
        self.dtype: np.dtype[Any] = self._voxels.dtype
        z, y, x = self._voxels.shape[::-1] if fortran else self._voxels.shape
        self.shape: tuple[int, int, int] = (z, y, x)
        self.stored_bytes = self._voxels.stored_bytes

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` of (z, y, x)."""
        return self._voxels.read(2 - axis, start, stop).T if self._reversed else self._voxels.read(axis, start, stop)

    def damage(self) -> list[Fault]:
        """Return what is found without reading voxels."""
        return self._voxels.damage()


FORMAT = Format(
    name="numpy",
    what="NumPy array",
    remarks="`.npy` with axes z, y, x",
    matches=lambda path: path.name.lower().endswith(".npy") and path.is_file(),
    signature=lambda head: head.startswith(b"\x93NUMPY"),
    open=lambda path, _: NumPyFile(path),
)
