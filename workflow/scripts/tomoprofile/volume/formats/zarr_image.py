"""Scans and masks in Zarr: an OME-Zarr image of any version, or a bare array."""

from __future__ import annotations

import itertools
import math
import re
import struct
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ...logs import LOG
from ..grey import GreyScale
from .axes import axes_of
from .base import COPY_AGAIN, Format, decoding, refuse_impossible_shape, voxel_size_of_header
from .chunks import ChunkedImage, Chunks, missing_chunks
from .zarr_groups import image_in, images_in, is_own

_MARKS = ("zarr.json", ".zarray", ".zgroup")
_ARCHIVES, _N5 = (".zarr.zip", ".ozx"), ".n5"
_KEY = re.compile(r"(?:c[/.])?(\d+(?:[/.]\d+)*)")


class ZarrImage(ChunkedImage):
    """A 3-D Zarr array; see :class:`~.base.RawScan`. Of an OME-Zarr image the full resolution is taken."""

    grey: GreyScale | None = None

    def __init__(self, path: Path, dataset: str = "") -> None:
        self.path = path
        found = image_in(path, dataset)
        self._array = array = found.array
        with decoding(path, "Zarr", "the folder"):
            shape = tuple(int(n) for n in array.shape)
            described = array.metadata.to_dict()
            self.dtype: np.dtype[Any] = np.dtype(array.dtype).newbyteorder("=")
        self._axes = axes_of(str(path), shape, found.axes)
        refuse_impossible_shape(path, self._axes.pick(shape))
        if _uses(described, "pickle"):
            problem = "the chunks are pickled, which could run code; they are not opened"
            raise InputError(Fault(str(path), "codec pickle", problem, "Save the array with another codec."))
        self._is_blosc = _uses(described, "blosc") and array.shards is None
        self.shape: tuple[int, int, int] = self._axes.pick(shape)
        self.voxel_size_um = voxel_size_of_header(path, self._axes.pick(found.edges_um)) if found.edges_um else None

    def step(self, axis: int) -> int:
        """Return how many layers along ``axis`` are in a chunk."""
        return self._axes.pick(tuple(self._array.chunks))[axis]

    @cached_property
    def _missing(self) -> tuple[list[Fault], list[str]]:
        with decoding(self.path, "Zarr", "the list of chunks"):
            edges = self._axes.pick(tuple(self._array.shards or self._array.chunks))
            fill = np.asarray(self._array.fill_value if self._array.fill_value is not None else 0)[()]
            stored = self._stored()
        refuse_impossible_shape(f"{self.path}: chunks", edges)
        return missing_chunks(Chunks(str(self.path), self.shape, edges, stored, fill, self._part, self._name))

    def _stored(self) -> dict[tuple[int, int, int], int]:
        """Return the bytes of each chunk that has a file; in a sharded array a shard is one."""
        folder = self.path / self._array.path
        found = {}
        for file in folder.rglob("*"):
            key = _KEY.fullmatch(file.relative_to(folder).as_posix())
            index = tuple(map(int, re.split("[/.]", key[1]))) if key else ()
            # Of the axes that are left out only the first entry is read.
            if len(index) == self._axes.count and sum(index) == sum(self._axes.pick(index)) and file.is_file():
                found[self._axes.pick(index)] = file.stat().st_size
        return found

    def _name(self, index: tuple[int, int, int]) -> str:
        return self._array.metadata.encode_chunk_key(self._axes.index(index))

    def _part(self, index: tuple[slice, ...]) -> NDArray[Any]:
        if self._is_blosc:
            self._refuse_other_lengths(index)
        ends = (part.indices(n)[:2] for part, n in zip(index, self.shape, strict=True))
        what = "voxels " + ", ".join(f"{start}..{stop - 1}" for start, stop in ends)
        with decoding(self.path, "Zarr", what):
            part = np.asarray(self._array[self._axes.index(index)])
        return self._axes.turned(part).astype(self.dtype, copy=False)

    def _refuse_other_lengths(self, index: tuple[slice, ...]) -> None:
        """Compare the bytes that each chunk promises with those there are: Blosc crashes where there are fewer."""
        edges = self._axes.pick(tuple(self._array.chunks))
        refuse_impossible_shape(f"{self.path}: chunks", edges)
        ends = [part.indices(n)[:2] for part, n in zip(index, self.shape, strict=True)]
        ranges = [range(start // edge, -(-stop // edge)) for (start, stop), edge in zip(ends, edges, strict=True)]
        for place in itertools.product(*ranges):
            file = self.path / self._array.path / self._name((place[0], place[1], place[2]))
            if not file.is_file():
                continue
            with decoding(file, "a chunk"), file.open("rb") as opened:
                whole, _, packed = struct.unpack_from("<III", opened.read(16), 4)
            size, expected = file.stat().st_size, math.prod(edges) * self.dtype.itemsize
            if (packed, whole) != (size, expected):
                problem = f"the head of the chunk promises {packed} bytes for {whole}; there are {size} for {expected}"
                raise InputError(Fault(str(file), "", problem, COPY_AGAIN))


def _matches(path: Path) -> bool:
    return any((path / name).is_file() for name in _MARKS) or path.name.lower().endswith((*_ARCHIVES, _N5))


def _datasets(path: Path) -> list[str]:
    """Return the images of a folder, the largest first; results of ours are none."""
    if path.is_file():
        remedy = f"Unpack it: `unzip -d {path.name.split('.')[0]}.ome.zarr {path.name}`."
        raise InputError(Fault(str(path), "", "Zarr in an archive is not read", remedy))
    if path.name.lower().endswith(_N5):
        remedy = "Open it in Fiji with its plugin for N5 and save it as a TIFF stack, or convert it to OME-Zarr."
        raise InputError(Fault(str(path), "", "N5 is not read", remedy))
    if is_own(path):
        return []
    images, found = [], images_in(path)
    for image in found:
        try:
            axes_of(str(path), image.array.shape, image.axes)
        except InputError as error:
            LOG.info("%s", error)
            continue
        images.append(image.name)
    if len(images) > 1:
        others = ", ".join(images[1:])
        LOG.warning("%s: %s is taken for the scan; it also holds %s: name one in `dataset`", path, images[0], others)
    return [""] * len(images) if len(found) == 1 else images


def _uses(described: Any, codec: str) -> bool:
    """Return whether a codec of this name stands anywhere in the metadata of an array."""
    if isinstance(described, dict):
        names = (str(described.get(key, "")) for key in ("id", "name"))
        return any(name.split(".")[-1] == codec for name in names) or any(
            _uses(value, codec) for value in described.values()
        )
    if isinstance(described, list | tuple):
        return any(_uses(value, codec) for value in described)
    return codec in type(described).__name__.lower()


FORMAT = Format(
    name="zarr",
    what="OME-Zarr or Zarr folder",
    remarks="version 2 or 3: an OME-Zarr image, of which the full resolution is used, one of several in a folder "
    "(layout of bioformats2raw), or a bare array; time and channel must have length 1",
    matches=_matches,
    open=ZarrImage,
    datasets=_datasets,
    named_datasets=True,
)
