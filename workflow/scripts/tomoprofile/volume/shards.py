"""Whether the shards of a store are still those that were written, as the records of its slabs say.

Each chunk ends with its CRC-32C, which is checked whenever the chunk is read. The digest of a shard covers its index
and these checksums, so it says which chunks belong here, and where, without reading them: a shard that was replaced by
another one, an older one or a longer one is noticed at the cost of a few reads of four bytes.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DamageError, Fault, StoreError
from ..files import read_record, set_aside
from ..layout import StoreLayout

_CHECKSUM = 4  # bytes of a CRC-32C, at the end of each chunk and of the index
_ENTRY = 16  # bytes of the index for each chunk: offset and length
_WHAT = "the record of a slab"


def shard_state(path: Path, chunks: int) -> dict[str, Any]:
    """Return what the record of a slab says about a shard.

    Parameters
    ----------
    path : Path
        The shard. Zarr writes no file for a shard of zeros, and reads zeros where there is none.
    chunks : int
        Number of chunks in a shard.

    Returns
    -------
    dict
        Its size in ``bytes``, 0 without a file, and its ``digest``.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return {"bytes": 0, "digest": ""}
    try:
        size = os.fstat(file).st_size
        length = chunks * _ENTRY + _CHECKSUM
        index = os.pread(file, length, size - length) if size >= length else b""
        digest = hashlib.sha256(index)
        for offset, n_bytes in np.frombuffer(index[:-_CHECKSUM], "<u8").reshape(-1, 2).tolist():
            end = offset + n_bytes
            if _CHECKSUM <= end <= size:  # not so for a chunk of zeros, nor in a damaged index
                digest.update(os.pread(file, _CHECKSUM, end - _CHECKSUM))
    finally:
        os.close(file)
    return {"bytes": size, "digest": digest.hexdigest()}


class SlabRecords:
    """The records of the complete slabs of a store.

    Parameters
    ----------
    path : Path
        The store; one from elsewhere, or one that is written by hand, has no records to compare with.
    chunks : int
        Number of chunks in a shard.
    """

    def __init__(self, path: Path, chunks: int) -> None:
        self._layout = StoreLayout(path)
        self._chunks = chunks
        self._known: dict[str, tuple[dict[str, Any], Path]] = {}
        self._whole: set[str] = set()

    def require_whole(self, shards: dict[str, Path]) -> None:
        """Compare shards with their records, each once.

        Parameters
        ----------
        shards : dict
            Files by their names in the records.

        Raises
        ------
        StoreError
            When one belongs to no complete slab.
        DamageError
            When one differs from its record, which is then set aside.
        """
        unknown = {key: path for key, path in shards.items() if key not in self._whole}
        if not unknown or not self._layout.records.is_dir():
            return
        if not unknown.keys() <= self._known.keys():
            self._read()
        for key, path in unknown.items():
            if key not in self._known:
                problem = "the slab of this shard is not complete"
                raise StoreError(Fault(str(path), "", problem, "Run the same command again."))
            recorded, _ = self._known[key]
            found = shard_state(path, self._chunks)
            if found != recorded:
                sizes = f"{found['bytes']} bytes, recorded {recorded['bytes']}"
                raise self.damaged({key: path}, f"the shard is not the one that was written ({sizes})")
            self._whole.add(key)

    def damaged(self, shards: dict[str, Path], problem: str) -> DamageError:
        """Set the records of damaged shards aside, so that the workflow writes their slabs again; return the error."""
        self._read()
        records = {self._known[key][1] for key in shards if key in self._known}
        for record in records:
            set_aside(record)
        self._known, self._whole = {}, set()
        if records:
            names = " and ".join(sorted(record.name for record in records))
            remedy = f"{names} was set aside: run the same command again, which writes the slab anew."
        else:
            remedy = "Copy the store again from its source, or remove it and run the same command again."
        return DamageError(*(Fault(str(path), "", problem, remedy) for path in shards.values()))

    def _read(self) -> None:
        self._known = {}
        for path in self._layout.written_records():
            shards = read_record(path, _WHAT).get("shards")
            if not isinstance(shards, dict):
                raise set_aside(path, "it names no shards with digests, as records of earlier versions")
            self._known |= {key: (state, path) for key, state in shards.items()}
