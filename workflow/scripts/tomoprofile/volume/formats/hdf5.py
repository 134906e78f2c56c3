"""HDF5 and NeXus scans: one 3-D dataset, addressed by its path."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the filters of plugins
import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ...units import text_of_header
from ..grey import GreyScale
from .axes import axes_of
from .base import COPY_AGAIN, Format, decoding, refuse_impossible_shape, voxel_size_of_header
from .chunks import ChunkedImage, Chunks, missing_chunks
from .hdf5_axes import axis_names, edges_of
from .hdf5_choice import PROJECTIONS, Candidate, candidates, refusal, scans_among
from .hdf5_probe import require_openable
from .hdf5_sources import lost_link, lost_links, refuse_foreign_sources, source_files

_SUFFIXES = (".h5", ".hdf5", ".hdf", ".nx", ".nxs")
_MARK = b"\x89HDF\r\n\x1a\n"
_STARTS = (0, 512, 1024, 2048)  # programs such as MATLAB put text of their own before
_CHOICES_SHOWN = 5


class HDF5Dataset(ChunkedImage):
    """A 3-D dataset of an HDF5 file; see :class:`~.base.RawScan`."""

    def __init__(self, path: Path, dataset: str) -> None:
        self.path = path
        self.dataset = dataset = dataset or _only_dataset(path)
        require_openable(path, dataset)
        with _open(path) as file:
            with decoding(path, "HDF5"):
                item = file.get(dataset)
            if not isinstance(item, h5py.Dataset) or len(item.shape or ()) < 3:
                if fault := lost_link(path, file, dataset):
                    raise InputError(fault)
                offers = ", ".join(one.name for one in _found(path)) or "none"
                remedy = f"The file holds these 3-D datasets: {offers}."
                raise InputError(Fault(f"{path}", repr(dataset), "there is no 3-D dataset at this path", remedy))
            with decoding(path, "HDF5"):
                group = file.get(dataset.rstrip("/").rpartition("/")[0] or "/")
                self._axes = axes_of(f"{path}:{dataset}", item.shape, axis_names(item, group))
            self.shape: tuple[int, int, int] = self._axes.pick(item.shape)
            refuse_impossible_shape(path, self.shape)
            refuse_foreign_sources(path, item)
            _refuse_unknown_filters(path, item)
            with decoding(path, "HDF5"):
                self._chunk = self._axes.pick(item.chunks) if item.chunks else None
                edges = edges_of(path, item, group, self._axes)
                unit = text_of_header(item.attrs.get("units", ""))
                self.dtype: np.dtype[Any] = item.dtype.newbyteorder("=")
                self.stored_bytes = None if item.is_virtual else item.id.get_storage_size()
        if self.stored_bytes == 0:
            problem = "the dataset was created, but nothing was written into it"
            raise InputError(Fault(str(path), repr(dataset), problem, COPY_AGAIN))
        self.voxel_size_um = voxel_size_of_header(path, edges) if edges else None
        self.grey = GreyScale(1.0, 0.0, unit) if unit else None

    def step(self, axis: int) -> int:
        """Return how many layers along ``axis`` are in a chunk."""
        return self._chunk[axis] if self._chunk else super().step(axis)

    @cached_property
    def _missing(self) -> tuple[list[Fault], list[str]]:
        stored: dict[tuple[int, int, int], int] = {}
        with _open(self.path) as file, decoding(self.path, "HDF5", "the list of chunks"):
            item = file[self.dataset]
            edges, fill = self._chunk, item.fillvalue
            refuse_impossible_shape(f"{self.path}: chunks", edges or ())
            given = (
                sum(int(part.vspace.get_select_npoints()) for part in item.virtual_sources()) if item.is_virtual else 0
            )
            if edges is not None:
                pick = self._axes.pick
                item.id.chunk_iter(lambda info: stored.update({_index(pick(info.chunk_offset), edges): info.size}))
        total = math.prod(self.shape)
        if edges is not None:
            place = f"{self.path}:{self.dataset}"
            return missing_chunks(Chunks(place, self.shape, edges, stored, fill, self._part))
        if 0 < given < total:
            return [], [f"{total - given} of {total} voxels of the image are in no file and are read as {fill}"]
        return [], []

    def _part(self, index: tuple[slice, ...]) -> NDArray[Any]:
        with _open(self.path) as file, decoding(self.path, "HDF5", f"the dataset {self.dataset} of the file"):
            part = file[self.dataset][self._axes.index(index)]
        return self._axes.turned(part).astype(self.dtype, copy=False)


def _found(path: Path) -> list[Candidate]:
    require_openable(path)
    with _open(path) as file, decoding(path, "HDF5"):
        return candidates(path, file)


def _parts(path: Path) -> list[Path]:
    """Return the other files that images of a file lie in, as named from its folder."""
    found = _found(path)
    with _open(path) as file, decoding(path, "HDF5"):
        files = {part for one in found for part in source_files(path, file[one.name])}
    near = {part.resolve(): path.parent / part.name for part in files if part.resolve().parent == path.resolve().parent}
    return sorted(files | set(near.values()))


def _datasets(path: Path) -> list[str]:
    """Return the datasets that may be the scan.

    Raises
    ------
    InputError
        When there are projections alone, or links to files that are not there and nothing else.
    """
    found = _found(path)
    images = scans_among(path, found)
    if not found:
        with _open(path) as file, decoding(path, "HDF5"):
            lost = lost_links(path, file)
        if lost:
            raise InputError(*lost[:_CHOICES_SHOWN])
    return images


def _only_dataset(path: Path) -> str:
    found = _found(path)
    if len(found) == 1 and found[0].what != PROJECTIONS:
        return found[0].name
    if found and all(one.what == PROJECTIONS for one in found):
        raise InputError(refusal(path, found))
    choices = ", ".join(f"`{path}:{one.name}`" for one in found[:_CHOICES_SHOWN])
    remedy = (
        f"Name one in the sample sheet: {choices}; for a scan, write the part after the colon in the column `dataset`."
        if found
        else "Save the image as a 3-D dataset."
    )
    raise InputError(Fault(str(path), f"{len(found)} 3-D datasets", "it is not clear which dataset is meant", remedy))


def _refuse_unknown_filters(path: Path, item: h5py.Dataset) -> None:
    """Raise an :class:`InputError` when voxels are compressed by a plugin that is not there."""
    with decoding(path, "HDF5"):
        made = item.id.get_create_plist()
        filters = [made.get_filter(number) for number in range(made.get_nfilters())]
        lacking = [(code, name) for code, _, _, name in filters if not h5py.h5z.filter_avail(code)]
    for code, name in lacking:
        got = f"{text_of_header(name)} ({code})"
        problem = "the voxels are compressed by a plugin of HDF5 that is not installed"
        remedy = "Where it is installed, `h5repack -f GZIP=1 IN OUT` writes a file that can be read everywhere."
        raise InputError(Fault(f"{path}:{item.name}", got, problem, remedy))


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    with decoding(path, "HDF5"):
        file = h5py.File(path, "r")
    with file:
        yield file


def _index(offset: tuple[int, ...], edges: tuple[int, ...]) -> tuple[int, int, int]:
    z, y, x = (start // edge for start, edge in zip(offset, edges, strict=True))
    return z, y, x


FORMAT = Format(
    name="hdf5",
    what="HDF5",
    remarks="`.h5`, `.hdf5`, `.hdf`, `.nx`, `.nxs`; name the path of the dataset inside the file, unless there is only "
    "one 3-D dataset. Raw projections, their references and labels are not taken for scans",
    matches=lambda path: path.name.lower().endswith(_SUFFIXES) and path.is_file(),
    signature=lambda head: any(head.startswith(_MARK, start) for start in _STARTS),
    open=HDF5Dataset,
    named_datasets=True,
    datasets=_datasets,
    files=_parts,
)
