"""Masks in Zarr: an OME-Zarr image of any version, or a bare array."""

from __future__ import annotations

import itertools
import math
import re
import struct
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ..grey import GreyScale
from .base import COPY_AGAIN, Format, decoding, refuse_impossible_shape
from .chunks import ChunkedImage, Chunks, missing_chunks

_MARKS = ("zarr.json", ".zarray", ".zgroup")
_KEY = re.compile(r"(?:c[/.])?(\d+(?:[/.]\d+)*)")


class ZarrImage(ChunkedImage):
    """A 3-D Zarr array, read lazily; see :class:`~.base.RawScan`.

    Of an OME-Zarr image the full resolution is taken; axes before z (time, channel) must have length 1.
    """

    voxel_size_um: tuple[float, float, float] | None = None
    grey: GreyScale | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with decoding(path, "Zarr", "the folder"):
            self._array = _array_of(path)
            shape = tuple(int(n) for n in self._array.shape)
            described = self._array.metadata.to_dict()
            self.dtype: np.dtype[Any] = np.dtype(self._array.dtype)
        *more, z, y, x = (0, 0, 0, *shape)[-max(3, len(shape)) :]
        if any(n != 1 for n in more) or len(shape) < 3:
            got = "x".join(map(str, shape))
            remedy = "Save one channel and one time point as z, y, x."
            raise InputError(Fault(str(path), got, "the array is not a 3-D image", remedy))
        refuse_impossible_shape(path, (z, y, x))
        if _uses(described, "pickle"):
            problem = "the chunks are pickled, which could run code; they are not opened"
            raise InputError(Fault(str(path), "codec pickle", problem, "Save the array with another codec."))
        self._is_blosc = _uses(described, "blosc") and self._array.shards is None
        self._more = (0,) * len(more)
        self.shape: tuple[int, int, int] = (z, y, x)

    @cached_property
    def _missing(self) -> tuple[list[Fault], list[str]]:
        with decoding(self.path, "Zarr", "the list of chunks"):
            edges = tuple(self._array.shards or self._array.chunks)[-3:]
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
            if len(index) == len(self._more) + 3 and not any(index[:-3]) and file.is_file():
                found[index[-3], index[-2], index[-1]] = file.stat().st_size
        return found

    def _name(self, index: tuple[int, int, int]) -> str:
        return self._array.metadata.encode_chunk_key((*self._more, *index))

    def _part(self, index: tuple[slice, ...]) -> NDArray[Any]:
        if self._is_blosc:
            self._refuse_other_lengths(index)
        ends = (part.indices(n)[:2] for part, n in zip(index, self.shape, strict=True))
        what = "voxels " + ", ".join(f"{start}..{stop - 1}" for start, stop in ends)
        with decoding(self.path, "Zarr", what):
            return np.asarray(self._array[(*self._more, *index)])

    def _refuse_other_lengths(self, index: tuple[slice, ...]) -> None:
        """Compare the bytes that each chunk promises with those there are: Blosc crashes where there are fewer."""
        edges = tuple(self._array.chunks)[-3:]
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


def _array_of(path: Path) -> zarr.Array:
    found = zarr.open(str(path), mode="r")
    if isinstance(found, zarr.Array):
        return found
    ome: Any = found.attrs.get("ome", found.attrs)  # version 0.5 and those before
    if ome.get("multiscales"):
        image = found[ome["multiscales"][0]["datasets"][0]["path"]]
        if isinstance(image, zarr.Array):
            return image
        raise InputError(Fault(str(path), "", "the full resolution of the OME-Zarr image is no array", COPY_AGAIN))
    arrays = dict(found.arrays())
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    inside = ", ".join(f"{path}/{name}" for name in sorted(arrays)) or "none of its own"
    problem = "this Zarr group is not an OME-Zarr image and does not hold exactly one array"
    raise InputError(Fault(str(path), f"{len(arrays)} arrays", problem, f"Name the array itself ({inside})."))


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
    what="Zarr folder",
    remarks="version 2 or 3: an OME-Zarr image, of which the full resolution is used, or a bare array; axes before z "
    "must have length 1",
    matches=lambda path: any((path / name).is_file() for name in _MARKS),
    open=lambda path, _: ZarrImage(path),
    of_scans=False,
)
