"""OME-Zarr 0.5 stores, sharded by whole slices, that many jobs may fill at once.

One shard is one file with ``shard_slices`` whole slices of one channel. Two writers inside one shard would lose voxels
silently, so :meth:`Store.write` refuses anything that does not cover whole shards.

A complete slab has a record ``slabs/<slab>.json`` in the store, with size and digest of each of its shards. Zarr reads
a missing shard as zeros, so every read compares them first (:mod:`.shards`); each chunk has a checksum of its own.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray

from .. import __version__
from ..errors import Fault, StoreError, TomoprofileError
from ..files import digest_of, intact, recorded_digest, seal, write_record
from ..layout import StoreLayout
from .geometry import Geometry, geometry_of_record
from .grey import GreyScale
from .ome import ome_metadata
from .shard_file import encoder_of, new_shard
from .shards import SlabRecords, shard_state
from .slabs import shard_bounds

CHUNK = 256  # voxels along y and x: with 16 slices 1 MiB of uint8, which compresses and seeks well
CHUNK_SLICES = 16
_MAKE_AGAIN = "Remove the folder and run the same command again."
_CHECKSUM = zarr.codecs.Crc32cCodec()
GREY_COMPRESSOR = zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")


def create_store(
    path: str | Path,
    shape: tuple[int, int, int],
    dtype: DTypeLike,
    voxel_size_um: tuple[float, float, float],
    shard_slices: int,
    grey: GreyScale | None = None,
    attributes: dict[str, Any] | None = None,
    channels: Sequence[str] = (),
) -> Store:
    """Write all metadata of an image whose shards are written later: its layout and its description.

    Parameters
    ----------
    path : str or Path
        Folder of the store (``*.ome.zarr``).
    shape, dtype, shard_slices, channels
        See :func:`lay_out_store`.
    voxel_size_um, grey, attributes
        See :func:`describe_store`.
    """
    lay_out_store(path, shape, dtype, shard_slices, channels)
    describe_store(path, voxel_size_um, grey, attributes)
    return open_store(path)


def lay_out_store(
    path: str | Path, shape: tuple[int, int, int], dtype: DTypeLike, shard_slices: int, channels: Sequence[str] = ()
) -> None:
    """Write the metadata of the array of an image: all that is needed to write shards.

    Shards of a store with the same layout and channels stay: only the jobs that own them know whether to write them
    again. All others are removed.

    Parameters
    ----------
    path : str or Path
        Folder of the store (``*.ome.zarr``).
    shape : tuple of int
        Voxels along (z, y, x).
    dtype : dtype
        Type of the voxels.
    shard_slices : int
        Whole slices in a shard.
    channels : sequence of str, optional
        Names of the channels of an image that has several values in each voxel, such as one probability per class.
    """
    layout = StoreLayout(path)
    layout.array.unlink(missing_ok=True)
    create_array(layout.array.parent, shape, dtype, shard_slices, GREY_COMPRESSOR, channels)
    # The recorded digest says what the layout was, even if its file was lost or damaged.
    if recorded_digest(layout.array) != digest_of(layout.array):
        for part in (layout.array.parent / "c", layout.records):
            shutil.rmtree(part, ignore_errors=True)
    seal(layout.array)


def describe_store(
    path: str | Path,
    voxel_size_um: tuple[float, float, float],
    grey: GreyScale | None = None,
    attributes: dict[str, Any] | None = None,
    geometry: Geometry | None = None,
) -> None:
    """Write what the voxels of an image are. It may be written again at any time: no shard depends on it.

    Parameters
    ----------
    path : str or Path
        Folder of a store that has its layout.
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x) in micrometres.
    grey : GreyScale, optional
        What the values mean.
    attributes : dict, optional
        Further metadata (provenance).
    geometry : Geometry, optional
        Where the voxels lie in the space of the file they came from.
    """
    path, metadata = Path(path), StoreLayout(path).metadata
    channels = open_store(path).channels
    metadata.unlink(missing_ok=True)
    own = {"version": __version__, "grey": asdict(grey or GreyScale()), **(attributes or {})}
    if geometry:
        own["geometry"] = geometry.affine
    described = {"ome": ome_metadata(path.name, voxel_size_um, 1, channels), "tomoprofile": own}
    zarr.create_group(store=str(path), zarr_format=3, attributes=described)
    seal(metadata)


def create_array(
    path: Path,
    shape: tuple[int, int, int],
    dtype: DTypeLike,
    shard_slices: int,
    compressor: zarr.codecs.BloscCodec | zarr.codecs.ZstdCodec,
    channels: Sequence[str] = (),
) -> zarr.Array[Any]:
    """Write the metadata of an array (z, y, x) or (channel, z, y, x) whose shards are written later, each as one file.

    Parameters
    ----------
    path : Path
        Folder of the array, which must not exist yet.
    shape : tuple of int
        Voxels along (z, y, x).
    dtype : dtype
        Type of the voxels.
    shard_slices : int
        Whole slices in a shard.
    compressor : codec
        Compressor of a chunk.
    channels : sequence of str, optional
        Names of the channels, each in shards of its own; none for an array without that axis.
    """
    chunk_slices = next(n for n in range(min(CHUNK_SLICES, shard_slices), 0, -1) if shard_slices % n == 0)
    chunks = (chunk_slices, min(CHUNK, shape[1]), min(CHUNK, shape[2]))
    shards = (shard_slices, *(-(-n // c) * c for n, c in zip(shape[1:], chunks[1:], strict=True)))
    several = bool(channels)
    return zarr.create_array(
        store=str(path),
        shape=(len(channels),) * several + tuple(shape),
        dtype=np.dtype(dtype),
        chunks=(1,) * several + chunks,
        shards=(1,) * several + shards,
        compressors=[compressor, _CHECKSUM],
        dimension_names=("c",) * several + ("z", "y", "x"),
        # Part of the layout: shards of other classes must not be mistaken for these.
        attributes={"channels": list(channels)} if several else None,
    )


def discard_stores(stores: Sequence[Path], record: Path) -> None:
    """Remove stores and record how many files and bytes that freed."""
    files = [path for store in stores for path in store.rglob("*") if path.is_file()]
    freed: dict[str, Any] = {"stores": [store.name for store in stores], "files": len(files)}
    freed["bytes"] = sum(path.stat().st_size for path in files)
    for store in stores:
        shutil.rmtree(store)
    write_record(record, freed)


def open_store(path: str | Path, channel: str | None = None) -> Store:
    """Open a store, or one channel of it, for reading and for writing whole shards.

    Parameters
    ----------
    path : str or Path
        Folder of the store.
    channel : str, optional
        Which channel to read and write, in a store that has several.

    Raises
    ------
    DamageError
        When its metadata are not what was written.
    StoreError
        When there is no readable store of this kind, or it has no such channel.
    """
    path = Path(path)
    try:
        intact(StoreLayout(path).array)
        store = Store(path, channel)
    except TomoprofileError:
        raise
    except Exception as error:  # what Zarr makes of impossible metadata depends on the place
        raise StoreError(_not_a_store(path, error)) from None
    if channel is not None and channel not in store.channels:
        held = f"only {', '.join(store.channels)}" if store.channels else "a single class without a name"
        problem = f"the store was written by an earlier run and holds {held}"
        raise StoreError(Fault(str(path), f"class {channel}", problem, _MAKE_AGAIN))
    return store


def _not_a_store(path: Path, error: Exception) -> Fault:
    return Fault(str(path), "", f"not an OME-Zarr image written by tomoprofile: {error}", _MAKE_AGAIN)


@dataclass(frozen=True)
class _Description:
    """What :func:`describe_store` wrote."""

    voxel_size_um: tuple[float, float, float]
    grey: GreyScale
    geometry: Geometry | None
    attributes: dict[str, Any]


class Store:
    """A 3-D image on disk, or one channel of it, read and written by slices.

    Attributes
    ----------
    channels : tuple of str
        Names of the channels; empty for a store without that axis. One of them must be chosen to read or write.
    shape : tuple of int
        Voxels along (z, y, x).
    dtype : numpy.dtype
    shard_slices : int
        Whole slices in one shard.
    chunk : tuple of int
        Voxels of a chunk.
    """

    def __init__(self, path: Path, channel: str | None = None) -> None:
        array = zarr.open_array(str(StoreLayout(path).array.parent), mode="r+")
        if array.shards is None:
            raise ValueError("its array is not sharded")
        self.path = path
        self._array = array
        names: Any = array.attrs.get("channels", ())
        self.channels: tuple[str, ...] = tuple(names)
        self._channel = channel
        self.shape: tuple[int, int, int] = array.shape[-3:]
        self.dtype = array.dtype
        self.shard_slices: int = array.shards[-3]
        self.chunk: tuple[int, int, int] = array.chunks[-3:]
        self._chunks_of_shard = math.prod(n // chunk for n, chunk in zip(array.shards, array.chunks, strict=True))
        self._records = SlabRecords(path, self._chunks_of_shard)

    @property
    def voxel_size_um(self) -> tuple[float, float, float]:
        """Voxel edges along (z, y, x) in micrometres."""
        return self._description.voxel_size_um

    @property
    def grey(self) -> GreyScale:
        """Meaning of the values."""
        return self._description.grey

    @property
    def geometry(self) -> Geometry | None:
        """Where the voxels lie in the space of the raw scan's file; None when that does not say.

        Its spacing is the file's own, even where the sample sheet gives another voxel size.
        """
        return self._description.geometry

    @property
    def attributes(self) -> dict[str, Any]:
        """The ``tomoprofile`` part of the metadata."""
        return self._description.attributes

    @cached_property
    def _description(self) -> _Description:
        # Read when first asked for: shards are written before, or without, a description.
        metadata = StoreLayout(self.path).metadata
        try:
            found = json.loads(intact(metadata).read_text(encoding="utf-8"))["attributes"]
            scale = found["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
            dz, dy, dx = (float(edge) for edge in scale[-3:])
            own = found["tomoprofile"]
            grey, geometry = GreyScale(**own["grey"]), geometry_of_record(own.get("geometry"))
            return _Description((dz, dy, dx), grey, geometry, own)
        except (OSError, AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise StoreError(_not_a_store(self.path, error)) from None

    def shards(self, start: int = 0, stop: int | None = None) -> list[tuple[int, int]]:
        """Return first and one past last slice of each shard in ``[start, stop)``."""
        return shard_bounds(start, self.shape[0] if stop is None else stop, self.shard_slices)

    def shard_path(self, start: int) -> Path:
        """Return the file that holds the shard which begins at slice ``start``."""
        return self._shard_path(self._channel, start)

    def _shard_path(self, channel: str | None, start: int) -> Path:
        place = (*self._index(channel), start // self.shard_slices, 0, 0)
        return StoreLayout(self.path).array.parent.joinpath("c", *map(str, place))

    def _index(self, channel: str | None) -> tuple[int, ...]:
        """Return where a channel lies in the array; nothing for a store without channels."""
        if not self.channels:
            return ()
        if channel not in self.channels:
            problem = f"one of the channels {', '.join(self.channels)} must be chosen"
            raise StoreError(Fault(str(self.path), repr(channel), problem, "Open the store with a channel."))
        return (self.channels.index(channel),)

    def read(self, start: int, stop: int, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[Any]:
        """Return slices ``[start, stop)``, or a window of them, as an array (z, y, x); reads only the window's chunks.

        Raises
        ------
        DamageError
            When a shard is not what was written when its slab was completed. The record of that slab is set aside, so
            that the workflow writes it again.
        StoreError
            When a shard cannot be read.
        """
        return self._decoded((slice(start, stop), rows, columns))

    def cut(self, axis: int, index: int) -> NDArray[Any]:
        """Return the plane with ``index`` along ``axis``, the other two axes in their order; reads only its chunks."""
        where = [slice(None)] * 3
        where[axis] = slice(index, index + 1)
        rows, columns = where[1:]
        return np.take(self._decoded((where[0], rows, columns)), 0, axis=axis)

    def _decoded(self, window: tuple[slice, slice, slice]) -> NDArray[Any]:
        """Return a window of the image, whose shards are first compared with their records."""
        start, stop, _ = window[0].indices(self.shape[0])
        touched = range(start - start % self.shard_slices, stop, self.shard_slices)
        shards = {_key(self._channel, first): self.shard_path(first) for first in touched}
        self._records.require_whole(shards)
        channel = self._index(self._channel)
        try:
            return np.asarray(self._array[(*channel, *window)])
        except (MemoryError, IndexError):
            raise
        except OSError as error:
            remedy = "Check the disk, and run the same command again."
            raise StoreError(Fault(str(self.path), "", f"the store cannot be read: {error}", remedy)) from None
        except Exception as error:  # what a damaged chunk raises depends on its codec
            if len(touched) > 1:
                for first in touched:  # finds the damaged one
                    self._decoded((slice(max(first, start), min(first + self.shard_slices, stop)), *window[1:]))
            raise self._records.damaged(shards, f"a chunk of the shard is damaged: {error}") from None

    def read_padded(self, start: int, stop: int) -> NDArray[Any]:
        """Return slices ``[start, stop)``; beyond the ends of the scan its first or last slice is repeated."""
        inside = self.read(max(start, 0), min(stop, self.shape[0]))
        before, after = max(-start, 0), max(stop - self.shape[0], 0)
        return np.pad(inside, ((before, after), (0, 0), (0, 0)), mode="edge") if before or after else inside

    def write(self, start: int, data: NDArray[Any]) -> None:
        """Write whole shards, beginning with slice ``start``.

        Parameters
        ----------
        start : int
            First slice; the first of a shard.
        data : array (z, y, x)
            Whole slices; the last is that of a shard or of the scan.

        Raises
        ------
        StoreError
            When the slices do not cover whole shards, or have the wrong type or size: writing would damage a
            neighbour's data or change values silently.
        """
        stop = start + data.shape[0]
        if start % self.shard_slices or (stop % self.shard_slices and stop != self.shape[0]) or stop > self.shape[0]:
            raise self._not_whole(start, stop)
        for first, end in self.shards(start, stop):
            with self.new_shard(first) as add:
                add(data[first - start : end - start])

    @contextmanager
    def new_shard(self, start: int) -> Iterator[Callable[[NDArray[Any]], None]]:
        """Write one shard part by part, whole or not at all: it is there when the block ends without an error.

        Parameters
        ----------
        start : int
            First slice of the shard.

        Yields
        ------
        callable
            Writes the next slices (z, y, x), any number of them.

        Raises
        ------
        StoreError
            When slices have the wrong type or size, or are not those of the shard.
        """
        end = min(start + self.shard_slices, self.shape[0])
        shape = (self.shard_slices, *self.shape[1:])
        encoder = encoder_of(GREY_COMPRESSOR)
        with new_shard(self.shard_path(start), shape, self.chunk, self.dtype, encoder) as shard:

            def add(slices: NDArray[Any]) -> None:
                if slices.shape[1:] != self.shape[1:] or slices.dtype != self.dtype:
                    got = f"{slices.dtype} {slices.shape[1:]}"
                    problem = f"slices must be {self.dtype} {self.shape[1:]}"
                    remedy = "Run `tomoprofile scan` again: the raw scan changed."
                    raise StoreError(Fault(str(self.path), got, problem, remedy))
                if start + shard.slices + len(slices) > end:
                    raise self._not_whole(start, start + shard.slices + len(slices))
                shard.add(slices)

            yield add
            if start % self.shard_slices or start + shard.slices != end:
                raise self._not_whole(start, start + shard.slices)

    def _not_whole(self, start: int, stop: int) -> StoreError:
        problem = f"a write must cover whole shards of {self.shard_slices} slices (the scan has {self.shape[0]})"
        remedy = "Make `slab_slices` a multiple of `shard_slices`."
        return StoreError(Fault(str(self.path), f"slices {start}..{stop - 1}", problem, remedy))

    def complete(self, record: str | Path, start: int, stop: int, **facts: object) -> None:
        """Record that slices ``[start, stop)`` are complete, in all channels.

        Parameters
        ----------
        record : str or Path
            ``slabs/<slab>.json`` in this store.
        start, stop : int
            Whole shards.
        **facts
            Further facts about the slab.
        """
        shards = {
            _key(channel, first): shard_state(self._shard_path(channel, first), self._chunks_of_shard)
            for channel in self.channels or (None,)
            for first, _ in self.shards(start, stop)
        }
        write_record(Path(record), {"start": start, "stop": stop, "shards": shards, **facts})

    def iter_shards(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (first slice, data) of each shard in ``[start, stop)``; one shard is in memory at a time."""
        for first, end in self.shards(start, stop):
            yield first, self.read(first, end)


def _key(channel: str | None, start: int) -> str:
    """Return the name of a shard in the record of its slab."""
    return str(start) if channel is None else f"{channel}/{start}"
