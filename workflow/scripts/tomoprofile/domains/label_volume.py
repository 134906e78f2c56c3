"""The label volume: the domains of an objects file as voxels in an OME-Zarr pyramid, for viewers.

Slices stream through all levels at once. One shard of each level is in memory, each a quarter of the size of the one
before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numba import njit
from numpy.typing import NDArray

from .. import __version__
from ..files import whole_folder
from ..logs import LOG, progress
from ..volume.ome import ome_metadata
from ..volume.pyramid import level_shapes
from ..volume.slabs import shard_bounds
from ..volume.store import create_array
from .objects import ObjectsMetadata, Runs, iter_runs, read_objects_metadata

# Labels repeat as whole numbers: shuffling their bytes or bits would double the size.
COMPRESSOR = zarr.codecs.ZstdCodec(level=1)

Shards = Iterator[tuple[int, NDArray[Any]]]  # first slice, labels (z, y, x) of whole slices; valid until the next


def write_label_volume(objects: Path, image: str, shard_slices: int, out: Path) -> None:
    """Write the domains of a scan as labels that OME-Zarr viewers show.

    0 is background. The labels of the first class are its ``domain_id``; those of each further class follow on, and
    ``first_label`` - 1 in the metadata (``classes``) is what to subtract from them. Where domains of two classes
    overlap, those of the later class are shown.

    Parameters
    ----------
    objects : Path
        Objects file (docs/outputs.md); neither its row groups nor its shards matter.
    image : str
        Store of the grey values as seen from ``out``, for viewers (``../volume.ome.zarr``).
    shard_slices : int
        Whole slices in a shard; odd numbers are rounded up, so that no pair of slices is divided.
    out : Path
        Folder of the store (``*.ome.zarr``); it appears once it is complete, in place of an earlier one.

    Raises
    ------
    InputError
        When the file is not an objects file, or its runs cannot be trusted.
    """
    classes = list(read_objects_metadata(objects).values())
    shard_slices += shard_slices % 2
    n_domains = sum(one.n_domains for one in classes)
    dtype = np.uint32 if n_domains < 2**32 else np.uint64
    shapes = level_shapes(classes[0].shape)
    with whole_folder(out) as folder:
        arrays = [
            create_array(folder / str(level), shape, dtype, shard_slices, COMPRESSOR)
            for level, shape in enumerate(shapes)
        ]
        shards = _written(arrays[0], _painted(objects, classes, shard_slices, dtype))
        for array in arrays[1:]:
            shards = _written(array, _halved(shards, array.shape, shard_slices, dtype))
        # Drawing the shards of the coarsest level pulls all the others through.
        for _ in shards:
            pass
        # Last: without it the folder is not an image.
        zarr.create_group(str(folder), zarr_format=3, attributes=_attributes(out.name, classes, image, len(shapes)))
    LOG.info("%d domains as %s in %d levels", n_domains, np.dtype(dtype), len(shapes))


def _attributes(name: str, classes: list[ObjectsMetadata], image: str, levels: int) -> dict[str, Any]:
    ome = ome_metadata(name, classes[0].voxel_size_um, levels)
    ome["multiscales"][0]["type"] = "most frequent domain where 3 of 8 voxels are foreground"
    ome["image-label"] = {"source": {"image": image}}
    shared = {name: getattr(classes[0], name) for name in ("connectivity", "min_voxels", "min_slices")}
    own = {
        one.name: {"level": one.level, "n_domains": one.n_domains, "first_label": offset + 1}
        for one, offset in zip(classes, _offsets(classes), strict=True)
    }
    return {"ome": ome, "tomoprofile": {"version": __version__, **shared, "classes": own}}


def _offsets(classes: list[ObjectsMetadata]) -> list[int]:
    """Return what is added to ``domain_id`` in each class."""
    return [sum(one.n_domains for one in classes[:number]) for number in range(len(classes))]


def _painted(objects: Path, classes: list[ObjectsMetadata], shard_slices: int, dtype: Any) -> Shards:
    """Yield the labels of each shard at full resolution."""
    nz, ny, nx = classes[0].shape
    labels = np.empty((min(shard_slices, nz), ny, nx), dtype)
    bounds = shard_bounds(0, nz, shard_slices)
    brushes = [_cut(iter_runs(objects, one), [stop for _, stop in bounds]) for one in classes]
    for start, stop in progress(bounds, len(bounds), "shards painted"):
        labels[:] = 0
        for brush, offset in zip(brushes, _offsets(classes), strict=True):
            for runs in next(brush):
                paint(labels, runs.z - start, runs.y, runs.x_start, runs.x_stop, runs.domain_id + offset)
        yield start, labels[: stop - start]


def _cut(groups: Iterator[Runs], stops: list[int]) -> Iterator[list[Runs]]:
    """Yield the runs of a class below each of some slices, whatever its row groups; at most one is held back."""
    runs = next(groups, None)
    for stop in stops:
        below: list[Runs] = []
        while runs is not None and runs.z[0] < stop:
            n = int(np.searchsorted(runs.z, stop))
            below.append(runs.at(slice(0, n)))
            runs = runs.at(slice(n, None)) if n < len(runs) else next(groups, None)
        yield below


def _halved(finer: Shards, shape: tuple[int, ...], shard_slices: int, dtype: Any) -> Shards:
    """Yield the shards of a level from those of the level before."""
    coarse = np.empty((min(shard_slices, shape[0]), *shape[1:]), dtype)
    for start, fine in finer:
        first, stop = start // 2, (start + len(fine) + 1) // 2
        at = first % shard_slices
        _halve(fine, coarse[at : at + stop - first])
        if stop % shard_slices == 0 or stop == shape[0]:
            yield first - at, coarse[: at + stop - first]


def _written(array: zarr.Array[Any], shards: Shards) -> Shards:
    """Write shards as they pass."""
    for start, labels in shards:
        array[start : start + len(labels)] = labels
        yield start, labels


@njit(cache=True, nogil=True)
def paint(labels: Any, z: Any, y: Any, x_start: Any, x_stop: Any, domain_id: Any) -> None:
    """Write the number of its domain into the voxels of each run; indices are those of ``labels``."""
    for run in range(len(z)):
        labels[z[run], y[run], x_start[run] : x_stop[run]] = domain_id[run]


@njit(cache=True, nogil=True)
def _halve(fine: Any, coarse: Any) -> None:
    """Give each block of 2 x 2 x 2 voxels, fewer at the far faces, one of its labels (docs/decisions.md).

    A block is foreground when at least three of its eight voxels are, whatever their domains. It then gets its most
    frequent domain, the first of equally frequent ones.
    """
    nz, ny, nx = fine.shape
    found = np.zeros(8, fine.dtype)
    for z in range(coarse.shape[0]):
        for y in range(coarse.shape[1]):
            for x in range(coarse.shape[2]):
                voxels = n = 0
                for i in range(2 * z, min(2 * z + 2, nz)):
                    for j in range(2 * y, min(2 * y + 2, ny)):
                        for k in range(2 * x, min(2 * x + 2, nx)):
                            voxels += 1
                            if fine[i, j, k]:
                                found[n] = fine[i, j, k]
                                n += 1
                coarse[z, y, x] = 0
                if n and 8 * n >= 3 * voxels:
                    coarse[z, y, x] = _most_frequent(found, n)


@njit(cache=True, nogil=True)
def _most_frequent(found: Any, n: Any) -> Any:
    best, most = found[0], 0
    for i in range(n):
        count = 0
        for j in range(n):
            count += found[j] == found[i]
        if count > most or (count == most and found[i] < best):
            best, most = found[i], count
    return best
