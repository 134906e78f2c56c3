"""TIFF scans in one file with many pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ...errors import Fault, InputError
from .base import Format, window
from .tiff import damaged, header_of, is_named_tiff, open_tiff, page_count, truncation


class TIFFStack:
    """One multi-page TIFF or BigTIFF; see :class:`~.base.RawScan`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_tiff(path) as tif:
            series = tif.series[0]
            if len(series.shape) != 3:
                remedy = "Save one channel and one time point as z, y, x."
                raise InputError(Fault(str(path), f"axes {series.axes}", "this is not a 3-D grey image", remedy))
            self.shape: tuple[int, int, int] = series.shape
            self.dtype: np.dtype[Any] = series.dtype
            self.voxel_size_um, self.grey = header_of(tif)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``."""
        try:
            with open_tiff(self.path) as tif:
                series = tif.series[0]
                if series.dataoffset is not None:
                    volume = tifffile.memmap(self.path, series=0, mode="r")
                    return np.array(volume[window(axis, start, stop)])
                if axis == 0:
                    return np.stack([series.pages[index].asarray() for index in range(start, stop)])
                return np.take(series.asarray(), range(start, stop), axis=axis)
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise InputError(damaged(self.path, error)) from None

    def faults(self) -> list[Fault]:
        """Check that all strips lie inside the file."""
        with open_tiff(self.path) as tif:
            try:
                return truncation(self.path, tif.pages)
            except tifffile.TiffFileError as error:  # the directory of a page lies beyond the end
                return [damaged(self.path, error)]


FORMAT = Format(
    name="tiff_stack",
    what="multi-page TIFF or BigTIFF",
    remarks="`.tif`, `.tiff`; one channel and one time point",
    matches=lambda path: is_named_tiff(path) and path.is_file(),
    open=lambda path, _: TIFFStack(path),
    datasets=lambda path: [""] if page_count(path) > 1 else [],
)
