"""HDF5 and NeXus scans: one 3-D dataset, addressed by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ...units import MICROMETRES
from ..grey import GreyScale
from .base import Format, LazyImage, window

_SUFFIXES = (".h5", ".hdf5", ".hdf", ".nx", ".nxs")
_NUMBERS = "uif"  # kinds of NumPy
_MASKS = "buif"
_CHOICES_SHOWN = 5


def image_datasets(path: Path, kinds: str) -> list[str]:
    """Return the paths of all 3-D datasets in a file whose type is one of these kinds, largest first."""
    found: list[tuple[int, str]] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 3 and item.dtype.kind in kinds and min(item.shape) > 1:
            found.append((item.size, f"/{name}"))

    with _open(path) as file:
        file.visititems(visit)
    return [name for _, name in sorted(found, reverse=True)]


class HDF5Dataset(LazyImage):
    """A 3-D dataset of an HDF5 file; see :class:`~.base.RawScan`."""

    def __init__(self, path: Path, dataset: str) -> None:
        self.path = path
        self.dataset = dataset = dataset or _only_dataset(path)
        with _open(path) as file:
            item = file.get(dataset)
            if not isinstance(item, h5py.Dataset) or item.ndim != 3:
                offers = ", ".join(image_datasets(path, _NUMBERS)) or "none"
                remedy = f"The file holds these 3-D datasets: {offers}."
                raise InputError(Fault(f"{path}", repr(dataset), "there is no 3-D dataset at this path", remedy))
            self.shape: tuple[int, int, int] = item.shape
            self.dtype: np.dtype[Any] = item.dtype
            self.voxel_size_um = _voxel_size(item)
            unit = item.attrs.get("units", "")
            self.grey = GreyScale(1.0, 0.0, str(unit)) if unit else None

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``."""
        with _open(self.path) as file:
            try:
                return file[self.dataset][window(axis, start, stop)]
            except OSError as error:
                raise InputError(_damaged(self.path, error)) from None


def _only_dataset(path: Path) -> str:
    found = image_datasets(path, _MASKS)
    if len(found) == 1:
        return found[0]
    choices = ", ".join(f"`{path}:{dataset}`" for dataset in found[:_CHOICES_SHOWN])
    remedy = (
        f"Name one in the sample sheet: {choices}; for a scan, write the part after the colon in the column `dataset`."
        if found
        else "Save the image as a 3-D dataset."
    )
    raise InputError(Fault(str(path), f"{len(found)} 3-D datasets", "it is not clear which dataset is meant", remedy))


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(_damaged(path, error)) from None


def _damaged(path: Path, error: Exception) -> Fault:
    return Fault(str(path), "", f"the file cannot be read as HDF5: {error}", "Copy it again from its source.")


def _voxel_size(item: h5py.Dataset) -> tuple[float, float, float] | None:
    """Return the voxel size given by the axes of the NXdata group around the dataset."""
    edges = []
    for name in ("z", "y", "x"):
        axis = item.parent.get(name)
        if not isinstance(axis, h5py.Dataset) or axis.ndim != 1 or len(axis) < 2:
            return None
        unit = axis.attrs.get("units", "")
        factor = MICROMETRES.get(unit.decode() if isinstance(unit, bytes) else str(unit))
        if factor is None:
            return None
        edges.append(float(axis[1] - axis[0]) * factor)
    return edges[0], edges[1], edges[2]


FORMAT = Format(
    name="hdf5",
    what="HDF5",
    remarks="`.h5`, `.hdf5`, `.hdf`, `.nx`, `.nxs`; name the path of the dataset inside the file, unless there is only "
    "one 3-D dataset",
    matches=lambda path: path.name.lower().endswith(_SUFFIXES) and path.is_file(),
    open=HDF5Dataset,
    named_datasets=True,
    datasets=lambda path: image_datasets(path, _NUMBERS),
)
