"""Masks in Zarr: an OME-Zarr image of any version, or a bare array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ..grey import GreyScale
from .base import Format, LazyImage, window

_MARKS = ("zarr.json", ".zarray", ".zgroup")


class ZarrImage(LazyImage):
    """A 3-D Zarr array, read lazily; see :class:`~.base.RawScan`.

    Of an OME-Zarr image the full resolution is taken; axes before z (time, channel) must have length 1.
    """

    voxel_size_um: tuple[float, float, float] | None = None
    grey: GreyScale | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._array = _array_of(path)
        except InputError:
            raise
        except Exception as error:  # zarr raises a different type for each problem
            problem = f"the folder cannot be read as Zarr: {error}"
            raise InputError(Fault(str(path), "", problem, "Copy it again from its source.")) from None
        *more, z, y, x = (0, 0, 0, *self._array.shape)[-max(3, len(self._array.shape)) :]
        if any(n != 1 for n in more) or len(self._array.shape) < 3:
            got = "x".join(map(str, self._array.shape))
            remedy = "Save one channel and one time point as z, y, x."
            raise InputError(Fault(str(path), got, "the array is not a 3-D image", remedy))
        self._more = (0,) * len(more)
        self.shape: tuple[int, int, int] = (z, y, x)
        self.dtype: np.dtype[Any] = np.dtype(self._array.dtype)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``."""
        try:
            return np.asarray(self._array[(*self._more, *window(axis, start, stop))])
        except Exception as error:  # what a damaged chunk raises depends on its codec
            problem = f"slices {start}..{stop - 1} along axis {axis} cannot be read: {error}"
            raise InputError(Fault(str(self.path), "", problem, "Copy it again from its source.")) from None


def _array_of(path: Path) -> zarr.Array:
    found = zarr.open(str(path), mode="r")
    if isinstance(found, zarr.Array):
        return found
    ome: Any = found.attrs.get("ome", found.attrs)  # version 0.5 and those before
    if ome.get("multiscales"):
        return found[ome["multiscales"][0]["datasets"][0]["path"]]
    arrays = dict(found.arrays())
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    inside = ", ".join(f"{path}/{name}" for name in sorted(arrays)) or "none of its own"
    problem = "this Zarr group is not an OME-Zarr image and does not hold exactly one array"
    raise InputError(Fault(str(path), f"{len(arrays)} arrays", problem, f"Name the array itself ({inside})."))


FORMAT = Format(
    name="zarr",
    what="Zarr folder",
    remarks="version 2 or 3: an OME-Zarr image, of which the full resolution is used, or a bare array; axes before z "
    "must have length 1",
    matches=lambda path: any((path / name).is_file() for name in _MARKS),
    open=lambda path, _: ZarrImage(path),
    of_scans=False,
)
