"""Raw scans, read lazily by slices, whatever format they came in (P10).

A reader never rescales: grey values leave as they lie in the file, and what they mean travels as :class:`GreyScale`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from .hdf5 import HDF5Dataset
from .store import GreyScale
from .tiff import TIFFFolder, TIFFStack

DTYPES = ("uint8", "uint16", "float32")


class RawScan(Protocol):
    """What each format offers: a 3-D array in file order, its header, and its faults.

    Attributes
    ----------
    shape : tuple of int
        In file order.
    dtype : numpy.dtype
    voxel_size_um : tuple of float or None
        Edges along the axes of ``shape``; None when the file does not say.
    grey : GreyScale or None
        None when the file does not say what grey values mean.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    voxel_size_um: tuple[float, float, float] | None
    grey: GreyScale | None

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``, axes in file order."""
        ...

    def faults(self) -> list[Fault]:
        """Return what is wrong with the data behind the header (truncated files, ...)."""
        ...


def open_raw(path: str | Path, form: str, dataset: str = "") -> RawScan:
    """Open a raw scan by its format and check that it can be used at all.

    Raises
    ------
    InputError
        When it is missing, unreadable, not 3-D, of an unsupported type, or has gaps or mixed slices.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            Fault(str(path), "", "the raw scan does not exist", "Correct the column `path` of the sample sheet.")
        )
    raw: RawScan
    if form == "tiff_folder":
        raw = TIFFFolder(path)
    elif form == "tiff_stack":
        raw = TIFFStack(path)
    else:
        raw = HDF5Dataset(path, dataset)
    if raw.dtype.name not in DTYPES:
        remedy = f"Save the scan as one of {', '.join(DTYPES)}; tomoprofile never rescales silently."
        raise InputError(Fault(str(path), raw.dtype.name, "this type of grey value is not supported", remedy))
    return raw


@dataclass(frozen=True)
class ScanReader:
    """A raw scan with its slice axis moved to z.

    Parameters
    ----------
    raw : RawScan
    slice_axis : int
        Axis of the raw array that becomes z; the order of the other two is kept.
    """

    raw: RawScan
    slice_axis: int = 0

    def _reorder(self, values: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        others = [value for axis, value in enumerate(values) if axis != self.slice_axis]
        return values[self.slice_axis], others[0], others[1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        return self._reorder(self.raw.shape)

    @property
    def voxel_size_um(self) -> tuple[float, float, float] | None:
        """Voxel edges along (z, y, x) in micrometres, when the file tells."""
        return self._reorder(self.raw.voxel_size_um) if self.raw.voxel_size_um else None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return slices ``[start, stop)`` as a contiguous array (z, y, x) with unchanged grey values."""
        part = self.raw.read(self.slice_axis, start, stop)
        return np.ascontiguousarray(np.moveaxis(part, self.slice_axis, 0))
