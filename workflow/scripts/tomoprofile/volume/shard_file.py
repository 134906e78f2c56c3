"""One shard, written as the file that zarr-python reads: its chunks one after the other, then their index.

zarr-python writes sharded arrays through copies and an event loop, which cost more than compressing. The format is
short (Zarr 3, codec ``sharding_indexed``): compressed chunks, each with its CRC-32C, and an index of offset and length
of each, with a CRC-32C of its own. Chunks of zeros have no bytes, and a shard of zeros has no file.

As the index comes last, slices are written as they arrive: no more than one layer of chunks is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numcodecs
import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray

from ..files import whole_file

_NOWHERE = 2**64 - 1  # offset and length of a chunk of zeros
_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


def encoder_of(codec: zarr.codecs.BloscCodec) -> numcodecs.Blosc:
    """Return what compresses a chunk as zarr-python's codec would."""
    settings: Any = codec.to_dict()["configuration"]
    shuffle = _SHUFFLES[settings["shuffle"]]
    return numcodecs.Blosc(settings["cname"], settings["clevel"], shuffle, settings["blocksize"])


@contextmanager
def new_shard(
    path: Path,
    shape: tuple[int, int, int],
    chunk: tuple[int, int, int],
    dtype: DTypeLike,
    encoder: numcodecs.Blosc,
) -> Iterator[ShardWriter]:
    """Write one shard in the place of an earlier one; it is there when the block ends without an error.

    Parameters
    ----------
    path : Path
        The file. There is none when all slices are zeros.
    shape : tuple of int
        Slices of a shard, rows and columns of the scan.
    chunk : tuple of int
        Voxels of a chunk.
    dtype : dtype
        Type of the voxels.
    encoder : numcodecs.Blosc
        See :func:`encoder_of`.
    """
    with ExitStack() as stack:

        def open_file() -> BinaryIO:
            partial = stack.enter_context(whole_file(path))
            return stack.enter_context(partial.open("wb", buffering=2**20))

        shard = ShardWriter(open_file, shape, chunk, dtype, encoder)
        yield shard
        if not shard.finish():
            path.unlink(missing_ok=True)


class ShardWriter:
    """Packs slices into chunks; see :func:`new_shard`."""

    def __init__(
        self,
        open_file: Callable[[], BinaryIO],
        shape: tuple[int, int, int],
        chunk: tuple[int, int, int],
        dtype: DTypeLike,
        encoder: numcodecs.Blosc,
    ) -> None:
        self.slices = 0  # so far
        self._open_file, self._encoder = open_file, encoder
        self._file: BinaryIO | None = None
        self._shape, self._chunk = shape, chunk
        self._index = np.full((*(-(-n // edge) for n, edge in zip(shape, chunk, strict=True)), 2), _NOWHERE, "<u8")
        self._box = np.zeros(chunk, dtype)
        self._layer: NDArray[Any] | None = None  # of chunks, not yet full

    def add(self, slices: NDArray[Any]) -> None:
        """Write the next slices (z, y, x), any number of them."""
        depth = self._chunk[0]
        while len(slices):
            held = self.slices % depth
            part, slices = slices[: depth - held], slices[depth - held :]
            if len(part) == depth:
                self._write_layer(self.slices // depth, part)
            else:
                if self._layer is None:
                    self._layer = np.empty((depth, *self._shape[1:]), self._box.dtype)
                self._layer[held : held + len(part)] = part
                if held + len(part) == depth:
                    self._write_layer(self.slices // depth, self._layer)
            self.slices += len(part)

    def finish(self) -> bool:
        """Write what is left, and the index; return whether there is a file."""
        if held := self.slices % self._chunk[0]:
            assert self._layer is not None
            self._write_layer(self.slices // self._chunk[0], self._layer[:held])
        if self._file is not None:
            listed = self._index.tobytes()
            self._file.write(listed + _checksum(listed))
        return self._file is not None

    def _write_layer(self, number: int, layer: NDArray[Any]) -> None:
        """Write the chunks of up to as many slices as a chunk has."""
        _, rows, columns = self._chunk
        for y, x in np.ndindex(self._index.shape[1:3]):
            part = layer[:, y * rows : (y + 1) * rows, x * columns : (x + 1) * columns]
            if _is_zero(part):
                continue
            if part.shape != self._chunk:
                self._box.fill(0)
            self._box[tuple(map(slice, part.shape))] = part
            packed = self._encoder.encode(self._box)
            if self._file is None:
                self._file = self._open_file()
            self._index[number, y, x] = self._file.tell(), len(packed) + 4
            self._file.write(packed)
            self._file.write(_checksum(packed))


def _is_zero(part: NDArray[Any]) -> bool:
    """Return whether all bits are 0: a negative zero is not what Zarr gives where there is no chunk."""
    bits = part.view(f"u{part.dtype.itemsize}")
    return not (bits[0, 0, 0] or bits.any())


def _checksum(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(4, "little")
