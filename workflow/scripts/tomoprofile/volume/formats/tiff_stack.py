"""TIFF scans in one file with many pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ...errors import Fault, InputError
from .base import COPY_AGAIN, Format, LazyImage, decoding, refuse_impossible_shape, window
from .tiff import broken_chain, header_of, is_named_tiff, open_tiff, page_count, truncation

_OF_ONE_FILE = ("generic", "uniform", "shaped", "imagej")  # as tifffile calls them; OME and others name more files


class TIFFStack(LazyImage):
    """One multi-page TIFF or BigTIFF; see :class:`~.base.RawScan`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_tiff(path) as tif:
            with decoding(path, "TIFF"):
                series = tif.series[0]
                shape, dtype, axes = series.shape, series.dtype, series.axes
                pages = [] if series.kind in _OF_ONE_FILE else list(series.pages)
                files = {path} | {Path(page.parent.filehandle.path) for page in pages if page}
            if len(shape) != 3:
                remedy = "Save one channel and one time point as z, y, x."
                raise InputError(Fault(str(path), f"axes {axes}", "this is not a 3-D grey image", remedy))
            refuse_impossible_shape(path, shape)
            if dtype is None:
                raise InputError(Fault(str(path), "", "the header does not say what its grey values are", COPY_AGAIN))
            _refuse_lost_files(path, pages, files)
            self.shape: tuple[int, int, int] = shape
            self.dtype: np.dtype[Any] = dtype
            self.voxel_size_um, self.grey = header_of(tif, path)
        self.stored_bytes = sum(file.stat().st_size for file in files)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``."""
        with open_tiff(self.path) as tif:
            with decoding(self.path, "TIFF"):
                series = tif.series[0]
                if series.dataoffset is not None:
                    volume = tifffile.memmap(self.path, series=0, mode="r")
                    return np.array(volume[window(axis, start, stop)], self.dtype)
            if axis == 0:
                return np.stack([self._page(series, index) for index in range(start, stop)])
            part = window(axis, start, stop)[1:]
            return np.stack([self._page(series, index)[part] for index in range(self.shape[0])])

    def _page(self, series: Any, index: int) -> NDArray[Any]:
        with decoding(self.path, "TIFF", f"page {index + 1} of the file"):
            page = series.pages[index].asarray()
        if page.shape != self.shape[1:]:
            got, expected = ("x".join(map(str, shape)) for shape in (page.shape, self.shape[1:]))
            problem = f"page {index + 1} of the file differs in size from the first one ({expected})"
            raise InputError(Fault(str(self.path), got, problem, "Save it again as one stack of equal slices."))
        return page

    def damage(self) -> list[Fault]:
        """Check that all strips lie inside the file, and that no page is missing at its end."""
        with open_tiff(self.path) as tif:
            return truncation(self.path, tif.pages) or broken_chain(self.path, tif)


def _refuse_lost_files(path: Path, pages: list[Any], files: set[Path]) -> None:
    """Raise an :class:`InputError` when slices of an image in several files are missing, or not beside this file.

    A header may name any file of the computer, and slices whose file is lost would be read as zeros.
    """
    lost = [index for index, page in enumerate(pages) if page is None]
    if lost:
        problem = f"{len(lost)} slices of the image are in no file, the first is slice {lost[0]}"
        remedy = "Copy all files of the image into one folder, or save it as one file."
        raise InputError(Fault(str(path), "", problem, remedy))
    near = {path.absolute().parent, path.resolve().parent}
    for file in sorted(files):
        if not near & {file.absolute().parent, file.resolve().parent}:
            remedy = "Copy all files of the image into one folder, or save it as one file."
            raise InputError(Fault(str(path), str(file), "its header names a file in another folder", remedy))


FORMAT = Format(
    name="tiff_stack",
    what="multi-page TIFF or BigTIFF",
    remarks="`.tif`, `.tiff`; one channel and one time point",
    matches=lambda path: is_named_tiff(path) and path.is_file(),
    signature=lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    open=lambda path, _: TIFFStack(path),
    datasets=lambda path: [""] if page_count(path) > 1 else [],
)
