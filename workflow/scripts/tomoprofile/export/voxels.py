"""The voxels that are exported, in blocks of about one shard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_ALL = slice(None)


class Voxels(Protocol):
    """A 3-D image along the stored axes (z, y, x), read by windows."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        ...

    def read(self, start: int, stop: int, rows: slice = _ALL) -> NDArray[Any]:
        """Return some rows of slices ``[start, stop)``, as an array (z, y, x)."""
        ...


def blocks_of_raw(voxels: Voxels, slice_axis: int, shard_slices: int) -> Iterator[NDArray[Any]]:
    """Yield blocks that follow each other along the first axis of the raw file, with its axes in its order.

    Where another axis than the first became z, a block goes through all slices; it has the size of a shard, too.

    Parameters
    ----------
    voxels : Voxels
    slice_axis : int
        Axis of the raw file that became z.
    shard_slices : int
        Slices in a shard.
    """
    depth, height, _ = voxels.shape
    if slice_axis == 0:
        for start in range(0, depth, shard_slices):
            yield voxels.read(start, min(start + shard_slices, depth))
        return
    thick = max(1, shard_slices * height // depth)
    for top in range(0, height, thick):
        part = voxels.read(0, depth, slice(top, min(top + thick, height)))
        yield np.ascontiguousarray(np.moveaxis(part, 0, slice_axis))
