"""NIfTI masks, as 3D Slicer, ITK-SNAP and most medical programs save them.

NIfTI has its axes in the order x, y, z and tomoprofile in the order z, y, x, so the axes are reversed. Position and
orientation in the header are ignored: a mask lies on the voxels of its scan.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ..grey import GreyScale
from .base import Format, LazyImage, window

_SUFFIXES = (".nii", ".nii.gz")


class NIfTIImage(LazyImage):
    """A 3-D NIfTI image, read lazily; see :class:`~.base.RawScan`."""

    voxel_size_um: tuple[float, float, float] | None = None
    grey: GreyScale | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # While it stays open, a compressed file is decompressed once from start to end, not once for each part.
            self._image: Any = nibabel.load(path, keep_file_open=True)
            self.dtype: np.dtype[Any] = self._image.get_data_dtype()
        except Exception as error:  # whatever a damaged file makes the decoder raise
            raise InputError(_damaged(path, error)) from None
        x, y, z, *more = (*self._image.shape, 1, 1, 1)[: max(3, len(self._image.shape))]
        if any(n != 1 for n in more) or len(self._image.shape) < 3:
            got = "x".join(map(str, self._image.shape))
            raise InputError(
                Fault(str(path), got, "the file does not hold a 3-D image", "Save one channel and one time point.")
            )
        self._more = (0,) * len(more)
        self.shape: tuple[int, int, int] = (z, y, x)

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` of (z, y, x), with the scaling of the header applied."""
        try:
            return np.asanyarray(self._image.dataobj[(*window(2 - axis, start, stop), *self._more)]).T
        except (OSError, ValueError, EOFError) as error:
            raise InputError(_damaged(self.path, error)) from None


def _damaged(path: Path, error: Exception) -> Fault:
    return Fault(str(path), "", f"the file cannot be read as NIfTI: {error}", "Copy it again from its source.")


FORMAT = Format(
    name="nifti",
    what="NIfTI",
    remarks="`.nii`, `.nii.gz`; its axes x, y, z are reversed to z, y, x. Position and orientation in the header are "
    "ignored",
    matches=lambda path: path.name.lower().endswith(_SUFFIXES) and path.is_file(),
    open=lambda path, _: NIfTIImage(path),
    of_scans=False,
)
