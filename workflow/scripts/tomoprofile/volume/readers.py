"""Raw scans and masks, read lazily by slices, whatever their format."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..samples import STORED_AS, MaskImage
from .formats import FORMATS, OF_SCANS, format_of, listed
from .formats.base import COPY_AGAIN, TO_GREY, LazyImage, RawScan, decoding
from .geometry import Geometry
from .grey import GreyScale

_MASK_KINDS = "buif"
_PEEK = 8
_MOST_RATIO = 2000  # more than any measured grey values can be compressed


def peeked(depth: int) -> list[int]:
    """Return the few slices, both ends among them, that a check looks at before the run reads them all."""
    return np.unique(np.linspace(0, depth - 1, _PEEK).astype(int)).tolist()


def open_raw(path: str | Path, form: str, dataset: str = "") -> RawScan:
    """Open a raw scan in the given format and check that it can be used at all.

    Raises
    ------
    InputError
        When the format is unknown, or the scan is missing, unreadable, not 3-D, of an unsupported type, or has gaps or
        mixed slices.
    """
    path = Path(path)
    if form not in OF_SCANS:
        remedy = f"Correct the column `format` of the sample sheet: {', '.join(sorted(OF_SCANS))}."
        raise InputError(Fault(f"{path} format", repr(form), "not a known format of raw scans", remedy))
    if not _exists(path):
        raise InputError(
            Fault(str(path), "", "the raw scan does not exist", "Correct the column `path` of the sample sheet.")
        )
    raw = OF_SCANS[form].open(path, dataset)
    if raw.dtype.name not in STORED_AS:
        remedy = (
            f"Save the scan as one of {', '.join(STORED_AS)}, in Python for instance with "
            "`tifffile.imwrite('scan32.tif', abs(image).astype('float32'))`."
        )
        raise InputError(Fault(str(path), raw.dtype.name, "this type of grey value is not supported", remedy))
    if raw.indexed:
        problem = "its pixels are places in a table of colours, which need not follow the grey values"
        raise InputError(Fault(str(path), "palette", problem, TO_GREY))
    promised = math.prod(raw.shape) * raw.dtype.itemsize
    if raw.stored_bytes is not None and promised > _MOST_RATIO * raw.stored_bytes:
        problem = f"the header promises {promised} bytes of grey values, which cannot be in {raw.stored_bytes}"
        raise InputError(Fault(str(path), "x".join(map(str, raw.shape)), problem, COPY_AGAIN))
    return raw


def open_mask(mask: MaskImage) -> RawScan:
    """Open a mask or a label volume in any of the formats.

    Integers, booleans and floats are accepted; whether their values make sense is for the caller to check.

    Raises
    ------
    InputError
        When it is missing, unreadable, not 3-D or not numeric, or when it is unclear which HDF5 dataset is meant.
    """
    path = Path(mask.path)
    if not _exists(path):
        remedy = "Correct the column `mask` or `interface` of the sample sheet."
        raise InputError(Fault(str(path), "", "the mask does not exist", remedy))
    form = format_of(path)
    if form is None:
        remedy = f"Export it in one of these formats: {listed(FORMATS)}."
        raise InputError(Fault(str(path), path.suffix, "not a known mask format", remedy))
    if mask.dataset and not form.named_datasets:
        remedy = f"Leave out `:{mask.dataset}`."
        raise InputError(Fault(mask.place, form.what, "files in this format have no named datasets", remedy))
    raw = form.open(path, mask.dataset)
    if raw.dtype.kind not in _MASK_KINDS:
        remedy = "Export it with whole numbers, such as 8-bit."
        raise InputError(Fault(str(path), raw.dtype.name, "a mask must hold numbers", remedy))
    grey = raw.grey
    return _Scaled(raw, grey) if grey and (grey.slope, grey.offset) != (1, 0) else raw


class _Scaled(LazyImage):
    """A mask whose header scales its values: what they mean counts, not how they are stored."""

    def __init__(self, raw: RawScan, grey: GreyScale) -> None:
        self._raw, self.grey = raw, grey
        self.shape, self.voxel_size_um, self.geometry = raw.shape, raw.voxel_size_um, raw.geometry
        self.dtype = np.dtype(np.float64)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` with the scaling of the header applied."""
        return self.grey.physical(self._raw.read(axis, start, stop), np.float64)

    def step(self, axis: int) -> int:
        """Return that of the stored image."""
        return self._raw.step(axis)

    def doubts(self) -> list[str]:
        """Return those of the stored image."""
        return self._raw.doubts()

    def faults(self) -> list[Fault]:
        """Return those of the stored image."""
        return self._raw.faults()


def _exists(path: Path) -> bool:
    with decoding(path, "a file", "the path", "May you read this folder? Is the name right?"):
        return path.exists()


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
        """Voxel edges along (z, y, x) in micrometres, or None when the file does not say."""
        return self._reorder(self.raw.voxel_size_um) if self.raw.voxel_size_um else None

    @property
    def geometry(self) -> Geometry | None:
        """Where the voxels lie in space, or None when the file does not say."""
        return self.raw.geometry.reordered(self.slice_axis) if self.raw.geometry else None

    def parts(self, start: int, stop: int, least: int) -> list[tuple[int, int]]:
        """Return first and one past last of parts of slices ``[start, stop)`` that are read one after the other.

        They have ``least`` slices, or as many more as are decoded together, so that nothing is decoded twice.
        """
        step = max(1, self.raw.step(self.slice_axis))
        size = step * -(-least // step)
        borders = [start, *range(start - start % size + size, stop, size), stop]
        return list(itertools.pairwise(borders))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return slices ``[start, stop)`` as a contiguous array (z, y, x) in native byte order, values unchanged."""
        part = self.raw.read(self.slice_axis, start, stop)
        return np.ascontiguousarray(np.moveaxis(part, self.slice_axis, 0), part.dtype.newbyteorder("="))
