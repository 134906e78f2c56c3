"""One shard, written as the file that zarr-python reads: its chunks one after the other, then their index.

zarr-python writes sharded arrays through copies and an event loop, which cost more than compressing. The format is
short (Zarr 3, codec ``sharding_indexed``): compressed chunks, each with its CRC-32C, and an index of offset and length
of each, with a CRC-32C of its own. Chunks of zeros have no bytes, and a shard of zeros has no file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray

from ..files import whole_file

_NOWHERE = 2**64 - 1  # offset and length of a chunk of zeros
_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


def encoder_of(codec: zarr.codecs.BloscCodec) -> numcodecs.Blosc:
    """Return what compresses a chunk as zarr-python's codec would."""
    settings: Any = codec.to_dict()["configuration"]
    shuffle = _SHUFFLES[settings["shuffle"]]
    return numcodecs.Blosc(settings["cname"], settings["clevel"], shuffle, settings["blocksize"])


def write_shard(
    path: Path,
    data: NDArray[Any],
    slices: int,
    chunk: tuple[int, int, int],
    encoder: numcodecs.Blosc,
) -> None:
    """Write one shard, or remove its file when it holds nothing but zeros.

    Parameters
    ----------
    path : Path
        The file.
    data : array (z, y, x)
        Whole slices; fewer than ``slices`` at the end of a scan.
    slices : int
        Slices of a shard.
    chunk : tuple of int
        Voxels of a chunk.
    encoder : numcodecs.Blosc
        See :func:`encoder_of`.
    """
    grid = tuple(-(-n // edge) for n, edge in zip((slices, *data.shape[1:]), chunk, strict=True))
    index = np.full((*grid, 2), _NOWHERE, "<u8")
    path.unlink(missing_ok=True)
    if not data.any():
        return
    with whole_file(path) as partial, partial.open("wb", buffering=2**20) as file:
        for place in np.ndindex(grid):
            box = data[tuple(slice(i * edge, (i + 1) * edge) for i, edge in zip(place, chunk, strict=True))]
            if not box.size or not (box[0, 0, 0] or box.any()):
                continue
            if box.shape != chunk:
                box = np.pad(box, [(0, edge - n) for edge, n in zip(chunk, box.shape, strict=True)])
            packed = encoder.encode(np.ascontiguousarray(box))
            index[place] = file.tell(), len(packed) + 4
            file.write(packed)
            file.write(_checksum(packed))
        listed = index.tobytes()
        file.write(listed + _checksum(listed))


def _checksum(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(4, "little")
