"""Chunks of an image that are not there, and would be read as its fill value.

Zarr and HDF5 give the fill value for a chunk that was never written or is lost. Some writers leave out chunks that hold
nothing else, so one that is missing need not be damage; but it is where other chunks of nothing else were written, and
where structures end flat at its border.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ...logs import LOG
from .base import LazyImage, window

Index = tuple[int, int, int]
_SMALLEST = 3  # stored chunks that are searched for one without content: those with the fewest bytes
_MOST_FACES = 256  # borders between a stored and a missing chunk that are read
# A round body whose last layer touches a border has at most half the area there that it has one layer before; one that
# was cut has about the same. Of a few voxels nothing can be said.
_CUT, _LEAST_VOXELS = 0.8, 40


@dataclass(frozen=True)
class Chunks:
    """The chunks of a 3-D image.

    Attributes
    ----------
    where : str
        The image, for messages.
    shape, edges : tuple of int
        Voxels of the image, and of a chunk.
    stored : mapping
        Bytes of each chunk that is there, by index.
    fill : number
        What is read where none is.
    read : callable
        Returns a part of the image, from an index of three slices.
    name : callable
        Returns how a chunk is called, for messages.
    """

    where: str
    shape: Index
    edges: Index
    stored: Mapping[Index, int]
    fill: Any
    read: Callable[[tuple[slice, ...]], NDArray[Any]]
    name: Callable[[Index], str] = str

    @property
    def grid(self) -> Index:
        """Number of chunks along each axis."""
        z, y, x = (-(-n // edge) for n, edge in zip(self.shape, self.edges, strict=True))
        return z, y, x

    def box(self, index: Index) -> list[tuple[int, int]]:
        """Return the first voxel of a chunk and one past its last along each axis."""
        return [(i * e, min((i + 1) * e, n)) for i, e, n in zip(index, self.edges, self.shape, strict=True)]

    def has_content(self, index: tuple[slice, ...]) -> NDArray[np.bool_]:
        """Return which voxels of a part differ from the fill value."""
        part = self.read(index)
        return part != self.fill if self.fill == self.fill else ~np.isnan(part)


def missing_chunks(chunks: Chunks) -> tuple[list[Fault], list[str]]:
    """Return faults where chunks are lost, or doubts where chunks may be lost or empty.

    Parameters
    ----------
    chunks : Chunks

    Returns
    -------
    faults : list of Fault
        When another chunk proves that chunks without content were written, or when structures are cut at the border of
        a chunk that is missing.
    doubts : list of str
        When chunks are missing and nothing tells why.
    """
    inside = {index: size for index, size in chunks.stored.items() if all(map(operator.lt, index, chunks.grid))}
    chunks = replace(chunks, stored=inside)
    absent = math.prod(chunks.grid) - len(inside)
    if absent <= 0:
        return [], []
    first = next(i for i in itertools.product(*map(range, chunks.grid)) if i not in chunks.stored)
    got = f"{absent} of {math.prod(chunks.grid)} chunks"
    remedy = (
        "Copy it again from its source; if it is whole there, write it with all chunks (`write_empty_chunks=True`)."
    )
    if not chunks.stored:
        return [Fault(chunks.where, got, "the image was created, but none of its chunks is there", remedy)], []
    full = _one_without_content(chunks)
    if full is not None:
        problem = f"the chunk {chunks.name(first)} is missing and would be read as {chunks.fill}; others that hold"
        problem += f" nothing else were written, such as {chunks.name(full)}"
        return [Fault(chunks.where, got, problem, remedy)], []
    cut = _cut_at(chunks)
    if cut is not None:
        problem = f"the chunk {chunks.name(cut)} is missing and would be read as {chunks.fill}, but what lies around it"
        return [Fault(chunks.where, got, f"{problem} is cut at its border", remedy)], []
    text = (
        f"{got} are not there, the first is {chunks.name(first)}, and are read as {chunks.fill}: many programs leave "
        "out chunks without content, but lost ones look the same. Written with all chunks (`write_empty_chunks=True`), "
        "none can be lost unnoticed"
    )
    return [], [text]


def _one_without_content(chunks: Chunks) -> Index | None:
    """Return a stored chunk that holds nothing but the fill value, if one is found among the smallest."""
    for index in sorted(chunks.stored, key=lambda index: (chunks.stored[index], index))[:_SMALLEST]:
        if not chunks.has_content(tuple(slice(*ends) for ends in chunks.box(index))).any():
            return index
    return None


def _cut_at(chunks: Chunks) -> Index | None:
    """Return a missing chunk at whose borders structures end flat, if there is one."""
    faces = _faces(chunks)
    faces = faces[:: -(-len(faces) // _MOST_FACES)] if faces else []
    areas: dict[Index, list[int]] = {}
    for index, axis, side in faces:
        box = chunks.box(index)
        last = box[axis][1] - 1 if side > 0 else box[axis][0]
        before = last - side
        if not 0 <= before < chunks.shape[axis]:
            continue
        part = [slice(*ends) for ends in box]
        part[axis] = slice(min(last, before), max(last, before) + 1)
        layers = np.moveaxis(chunks.has_content(tuple(part)), axis, 0)
        found = areas.setdefault(_beside(index, axis, side), [0, 0])
        found[0] += int(layers[1 if side > 0 else 0].sum())
        found[1] += int(layers[0 if side > 0 else 1].sum())
    return next((i for i, (at, inner) in sorted(areas.items()) if at >= max(_LEAST_VOXELS, _CUT * inner)), None)


def _faces(chunks: Chunks) -> list[tuple[Index, int, int]]:
    """Return (stored chunk, axis, side) of every border with a missing chunk."""
    return [
        (index, axis, side)
        for index in sorted(chunks.stored)
        for axis, side in itertools.product(range(3), (-1, 1))
        if 0 <= index[axis] + side < chunks.grid[axis] and _beside(index, axis, side) not in chunks.stored
    ]


def _beside(index: Index, axis: int, side: int) -> Index:
    z, y, x = (i + side if which == axis else i for which, i in enumerate(index))
    return z, y, x


class ChunkedImage(LazyImage):
    """An image whose chunks are looked for before the first part is read."""

    path: Path
    _told = False

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``."""
        if not self._told:
            for doubt in self.doubts():
                LOG.warning("%s: %s", self.path, doubt)
        return self._part(window(axis, start, stop))

    def doubts(self) -> list[str]:
        """Return what is said of chunks that are not there, and of voxels that come from nowhere.

        Raises
        ------
        InputError
            When chunks are lost.
        """
        faults, doubts = self._missing
        if faults:
            raise InputError(*faults)
        self._told = True
        return doubts

    @cached_property
    def _missing(self) -> tuple[list[Fault], list[str]]:
        """Faults and doubts about chunks that are not there."""
        raise NotImplementedError

    def _part(self, index: tuple[slice, ...]) -> NDArray[Any]:
        raise NotImplementedError
