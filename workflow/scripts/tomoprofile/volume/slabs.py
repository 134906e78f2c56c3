"""Names and borders of slabs and shards along z. Standard library only: the Snakefile imports this.

A *shard* is one file of a Zarr array and holds ``shard_slices`` whole slices. A *slab* is a run of consecutive
shards: what one job processes. Both are named by their first slice, so changing the size of one does not rename the
other.
"""

from __future__ import annotations


def slab_name(start: int) -> str:
    """Return the name of the slab that begins at slice ``start`` (``z00512``)."""
    return f"z{start:05d}"


def slab_start(name: str) -> int:
    """Return the first slice of the slab called ``name``."""
    return int(name.removeprefix("z"))


def slab_bounds(name: str, n_slices: int, slab_slices: int) -> tuple[int, int]:
    """Return the first slice of a slab and one past its last; the last slab may be shorter."""
    start = slab_start(name)
    return start, min(start + slab_slices, n_slices)


def slab_names(n_slices: int, slab_slices: int) -> list[str]:
    """Return the names of all slabs of a scan, in order."""
    return [slab_name(start) for start in range(0, n_slices, slab_slices)]


def neighbour_slabs(name: str, n_slices: int, slab_slices: int) -> list[str]:
    """Return a slab with the ones before and after it, where they exist."""
    start = slab_start(name)
    return [slab_name(z) for z in (start - slab_slices, start, start + slab_slices) if 0 <= z < n_slices]


def shard_bounds(start: int, stop: int, shard_slices: int) -> list[tuple[int, int]]:
    """Return the first slice and one past the last of every shard in ``[start, stop)``."""
    return [(z, min(z + shard_slices, stop)) for z in range(start, stop, shard_slices)]
