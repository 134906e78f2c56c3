"""HDF5 and NeXus scans: one 3-D dataset, addressed by its path."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ...units import micrometres
from ..grey import GreyScale
from .base import COPY_AGAIN, Format, decoding, refuse_impossible_shape, voxel_size_of_header
from .chunks import ChunkedImage, Chunks, missing_chunks
from .hdf5_probe import require_openable
from .hdf5_sources import lost_link, refuse_foreign_sources

_SUFFIXES = (".h5", ".hdf5", ".hdf", ".nx", ".nxs")
_MARK = b"\x89HDF\r\n\x1a\n"
_STARTS = (0, 512, 1024, 2048)  # programs such as MATLAB put text of their own before
_NUMBERS = "uif"  # kinds of NumPy
_MASKS = "buif"
_CHOICES_SHOWN = 5


def image_datasets(path: Path, kinds: str) -> list[str]:
    """Return the paths of all 3-D datasets in a file whose type is one of these kinds, largest first."""
    found: list[tuple[int, str]] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 3 and _kind(item) in kinds and min(item.shape) > 1:
            found.append((math.prod(item.shape), f"/{name}"))

    require_openable(path)
    with _open(path) as file, decoding(path, "HDF5"):
        file.visititems(visit)
    return [name for _, name in sorted(found, reverse=True)]


class HDF5Dataset(ChunkedImage):
    """A 3-D dataset of an HDF5 file; see :class:`~.base.RawScan`."""

    def __init__(self, path: Path, dataset: str) -> None:
        self.path = path
        self.dataset = dataset = dataset or _only_dataset(path)
        require_openable(path, dataset)
        with _open(path) as file:
            with decoding(path, "HDF5"):
                item = file.get(dataset)
            if not isinstance(item, h5py.Dataset) or len(item.shape or ()) != 3:
                if fault := lost_link(path, file, dataset):
                    raise InputError(fault)
                offers = ", ".join(image_datasets(path, _NUMBERS)) or "none"
                remedy = f"The file holds these 3-D datasets: {offers}."
                raise InputError(Fault(f"{path}", repr(dataset), "there is no 3-D dataset at this path", remedy))
            refuse_impossible_shape(path, item.shape)
            refuse_foreign_sources(path, item)
            with decoding(path, "HDF5"):
                edges = _edges(item)
                unit = str(item.attrs.get("units", ""))
                self.shape: tuple[int, int, int] = item.shape
                self.dtype: np.dtype[Any] = item.dtype
                self.stored_bytes = None if item.is_virtual else item.id.get_storage_size()
        if self.stored_bytes == 0:
            problem = "the dataset was created, but nothing was written into it"
            raise InputError(Fault(str(path), repr(dataset), problem, COPY_AGAIN))
        self.voxel_size_um = voxel_size_of_header(path, edges) if edges else None
        self.grey = GreyScale(1.0, 0.0, unit) if unit else None

    @cached_property
    def _missing(self) -> tuple[list[Fault], list[str]]:
        stored: dict[tuple[int, int, int], int] = {}
        with _open(self.path) as file, decoding(self.path, "HDF5", "the list of chunks"):
            item = file[self.dataset]
            edges, fill = item.chunks, item.fillvalue
            refuse_impossible_shape(f"{self.path}: chunks", edges or ())
            given = (
                sum(int(part.vspace.get_select_npoints()) for part in item.virtual_sources()) if item.is_virtual else 0
            )
            if edges is not None:
                item.id.chunk_iter(lambda info: stored.update({_index(info.chunk_offset, edges): info.size}))
        total = math.prod(self.shape)
        if edges is not None:
            place = f"{self.path}:{self.dataset}"
            return missing_chunks(Chunks(place, self.shape, edges, stored, fill, self._part))
        if 0 < given < total:
            return [], [f"{total - given} of {total} voxels of the image are in no file and are read as {fill}"]
        return [], []

    def _part(self, index: tuple[slice, ...]) -> NDArray[Any]:
        with _open(self.path) as file, decoding(self.path, "HDF5", f"the dataset {self.dataset} of the file"):
            return file[self.dataset][index]


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


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    with decoding(path, "HDF5"):
        file = h5py.File(path, "r")
    with file:
        yield file


def _kind(item: h5py.Dataset) -> str:
    try:
        return item.dtype.kind
    except TypeError:  # a type that NumPy does not have, so not an image
        return "-"


def _index(offset: tuple[int, ...], edges: tuple[int, ...]) -> tuple[int, int, int]:
    z, y, x = (start // edge for start, edge in zip(offset, edges, strict=True))
    return z, y, x


def _edges(item: h5py.Dataset) -> tuple[float, float, float] | None:
    """Return the edges of a voxel in µm, given by the axes of the NXdata group around the dataset."""
    edges = []
    for name in ("z", "y", "x"):
        axis = item.parent.get(name)
        if not isinstance(axis, h5py.Dataset) or axis.ndim != 1 or len(axis) < 2:
            return None
        factor = micrometres(axis.attrs.get("units", ""))
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
    signature=lambda head: any(head.startswith(_MARK, start) for start in _STARTS),
    open=HDF5Dataset,
    named_datasets=True,
    datasets=lambda path: image_datasets(path, _NUMBERS),
)
