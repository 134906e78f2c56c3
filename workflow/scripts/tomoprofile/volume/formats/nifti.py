"""NIfTI masks, as 3D Slicer, ITK-SNAP and most medical programs save them.

NIfTI has its axes in the order x, y, z and tomoprofile in the order z, y, x, so the axes are reversed. Position and
orientation in the header are ignored: a mask lies on the voxels of its scan.
"""

from __future__ import annotations

import gzip
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ..grey import GreyScale
from .base import COPY_AGAIN, Format, LazyImage, decoding, refuse_impossible_shape, window

_SUFFIXES = (".nii", ".nii.gz")
_KINDS: tuple[Any, ...] = (nibabel.Nifti1Image, nibabel.Nifti2Image)
_BLOCK = 2**22  # bytes decompressed at a time
_MOST_RATIO = 1032  # of DEFLATE


class NIfTIImage(LazyImage):
    """A 3-D NIfTI image, read lazily; see :class:`~.base.RawScan`."""

    voxel_size_um: tuple[float, float, float] | None = None
    grey: GreyScale | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with decoding(path, "NIfTI"):
            kind = next((kind for kind in _KINDS if kind.path_maybe_image(path)[0]), None)
            if kind is None:
                raise InputError(Fault(str(path), "", "the file has no header of NIfTI", COPY_AGAIN))
            # While it stays open, a compressed file is decompressed once from start to end, not once for each part.
            self._image: Any = kind.from_filename(path, keep_file_open=True)
            self.dtype: np.dtype[Any] = np.dtype(self._image.get_data_dtype())
            shape = tuple(int(n) for n in self._image.shape)
            offset = int(self._image.dataobj.offset)
        x, y, z, *more = (*shape, 1, 1, 1)[: max(3, len(shape))]
        if any(n != 1 for n in more) or len(shape) < 3:
            got = "x".join(map(str, shape))
            raise InputError(
                Fault(str(path), got, "the file does not hold a 3-D image", "Save one channel and one time point.")
            )
        refuse_impossible_shape(path, (z, y, x))
        self._promised = offset + math.prod((z, y, x)) * self.dtype.itemsize
        size = path.stat().st_size
        self._compressed = path.name.lower().endswith(".gz")
        if self._promised > size * (_MOST_RATIO if self._compressed else 1):
            raise InputError(self._disagreement(f"only {size} bytes are there"))
        if not self._compressed and self._promised < size:
            raise InputError(self._disagreement(f"{size} bytes are there"))
        self._more = (0,) * len(more)
        self.shape: tuple[int, int, int] = (z, y, x)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` of (z, y, x), with the scaling of the header applied."""
        if self._damage:
            raise InputError(*self._damage)
        with decoding(self.path, "NIfTI"):
            return np.asanyarray(self._image.dataobj[(*window(2 - axis, start, stop), *self._more)]).T

    @cached_property
    def _damage(self) -> list[Fault]:
        """Read a compressed file once to its end, where its checksum is: a flipped bit gives another mask before."""
        if not self._compressed:
            return []
        count = 0
        try:
            with decoding(self.path, "NIfTI"), gzip.open(self.path) as file:
                while count <= self._promised and (block := file.read(_BLOCK)):
                    count += len(block)
        except InputError as error:
            return list(error.faults)
        if count == self._promised:
            return []
        return [self._disagreement("more are there" if count > self._promised else f"{count} are there")]

    def _disagreement(self, told: str) -> Fault:
        problem = f"the header promises {self._promised} bytes, but {told}"
        return Fault(str(self.path), "", problem, COPY_AGAIN)


FORMAT = Format(
    name="nifti",
    what="NIfTI",
    remarks="`.nii`, `.nii.gz`; its axes x, y, z are reversed to z, y, x. Position and orientation in the header are "
    "ignored",
    matches=lambda path: path.name.lower().endswith(_SUFFIXES) and path.is_file(),
    open=lambda path, _: NIfTIImage(path),
    of_scans=False,
)
