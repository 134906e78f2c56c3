"""Raw scans and masks, read lazily by slices, whatever format they came in (P10).

A reader never rescales: grey values leave as they lie in the file, and what they mean travels as :class:`GreyScale`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..samples import OwnMask
from . import hdf5, nifti, tiff
from .grey import GreyScale
from .hdf5 import HDF5Dataset
from .tiff import TIFFFolder, TIFFStack
from .zarr_image import ZarrImage, is_zarr

DTYPES = ("uint8", "uint16", "float32")
_MASK_KINDS = "buif"
_CHOICES_SHOWN = 5


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


def open_mask(mask: OwnMask) -> RawScan:
    """Open a mask or a label volume; what it is, its name tells.

    Formats: folder of TIFF slices, TIFF stack, HDF5, NIfTI, Zarr. Whole numbers, booleans and floats are taken; whether
    their values make sense is for the caller to see.

    Raises
    ------
    InputError
        When it is missing, unreadable, not 3-D or of a type without numbers, or an HDF5 file leaves a choice.
    """
    path = Path(mask.path)
    name = path.name.lower()
    raw: RawScan
    if not path.exists():
        remedy = "Correct the column `mask` or `interface` of the sample sheet."
        raise InputError(Fault(str(path), "", "the mask does not exist", remedy))
    if path.is_dir():
        raw = ZarrImage(path) if is_zarr(path) else TIFFFolder(path)
    elif name.endswith(tiff.SUFFIXES):
        raw = TIFFStack(path)
    elif name.endswith(hdf5.SUFFIXES):
        raw = HDF5Dataset(path, mask.dataset or _only_dataset(path))
    elif name.endswith(nifti.SUFFIXES):
        raw = nifti.NIfTIImage(path)
    else:
        known = ", ".join((*tiff.SUFFIXES, *hdf5.SUFFIXES, *nifti.SUFFIXES))
        remedy = f"Export it as one of {known}, as a folder of TIFF slices or as a Zarr folder."
        raise InputError(Fault(str(path), path.suffix, "this is no format of masks", remedy))
    if raw.dtype.kind not in _MASK_KINDS:
        remedy = "Export it with whole numbers, such as 8-bit."
        raise InputError(Fault(str(path), raw.dtype.name, "a mask must hold numbers", remedy))
    return raw


def _only_dataset(path: Path) -> str:
    found = hdf5.image_datasets(path, _MASK_KINDS)
    if len(found) == 1:
        return found[0]
    choices = ", ".join(f"`{path}:{dataset}`" for dataset in found[:_CHOICES_SHOWN])
    remedy = f"Write which one in the sample sheet: {choices}." if found else "Save the mask as a 3-D dataset."
    raise InputError(Fault(str(path), f"{len(found)} 3-D datasets", "it must be clear which one is the mask", remedy))


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
