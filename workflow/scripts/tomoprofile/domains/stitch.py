"""Topology: from probability to runs that know their domain, exactly, whatever the shards and slabs.

1. shard by shard: extract runs, unite those that touch, note what touches the slice before;
2. unite across seams; add up sizes; only then drop what is too small; number the rest by first voxel;
3. shard by shard: write the runs with their final ids, one row group a shard.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .. import __version__
from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..volume.store import open_store
from .runs import Runs, extract_runs, touching_pairs, unite_runs

SCHEMA = pa.schema(
    [
        ("z", pa.int32()),
        ("y", pa.int32()),
        ("x_start", pa.int32()),
        ("x_stop", pa.int32()),
        ("domain_id", pa.int64()),
    ]
)


@dataclass(frozen=True)
class ObjectsMetadata:
    """What an objects file says about itself.

    Attributes
    ----------
    level : float
        Probability at and above which a voxel is foreground.
    connectivity : int
    min_voxels : int
        Smaller objects were dropped.
    shape : tuple of int
        Voxels of the scan along (z, y, x).
    voxel_size_um : tuple of float
    n_domains : int
    """

    level: float
    connectivity: int
    min_voxels: int
    shape: tuple[int, int, int]
    voxel_size_um: tuple[float, float, float]
    n_domains: int


def stitch_objects(probability: Path, level: float, connectivity: int, min_voxels: int, out: Path) -> int:
    """Find every domain of a scan and write its runs.

    Parameters
    ----------
    probability : Path
        Store of uint8, 255 for certain.
    level : float
        Foreground is ``probability >= level``, between 0 and 1.
    connectivity : {6, 26}
        Which voxels touch.
    min_voxels : int
        Smaller domains are dropped, after the merge.
    out : Path
        Parquet file of runs; see ``docs/outputs.md``.

    Returns
    -------
    int
        Number of domains.
    """
    store = open_store(probability)
    threshold = max(1, math.ceil(level * 255 - 1e-9))
    rows = store.shape[1]
    sizes: list[NDArray[np.int64]] = []
    seams: list[NDArray[np.int64]] = []
    total = 0
    last: Runs | None = None
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".stitch-") as scratch:
        parts: list[Path] = []
        shards = store.shards()
        for first, data in progress(store.iter_shards(), len(shards), "shards searched"):
            runs = extract_runs(data, first, threshold)
            component = unite_runs(runs, first, len(data), rows, connectivity) + total
            runs = Runs(runs.z, runs.y, runs.x_start, runs.x_stop, component)
            count = int(component.max() + 1 - total) if len(runs) else 0
            length = (runs.x_stop - runs.x_start).astype(np.float64)  # exact: a shard has fewer than 2^53 voxels
            sizes.append(np.bincount(component - total, length, count).astype(np.int64))
            if last is not None:
                seams.append(touching_pairs(last, runs.part(runs.z == first), rows, connectivity))
            last = runs.part(runs.z == first + len(data) - 1)
            total += count
            parts.append(Path(scratch) / f"{first}.npy")
            np.save(parts[-1], np.stack([runs.z, runs.y, runs.x_start, runs.x_stop, runs.domain_id]))
        ids, n_domains = _final_ids(sizes, seams, total, min_voxels)
        metadata = ObjectsMetadata(level, connectivity, min_voxels, store.shape, store.voxel_size_um, n_domains)
        _write(parts, ids, metadata, out)
    LOG.info("%d domains at level %.3f", n_domains, level)
    return n_domains


def _final_ids(
    sizes: list[NDArray[np.int64]], seams: list[NDArray[np.int64]], total: int, min_voxels: int
) -> tuple[NDArray[np.int64], int]:
    """Return the id of each component, 0 for those dropped, and the number of domains.

    Components are numbered by first voxel within a shard and shards come in order, so the least component of a domain
    holds its first voxel, and the order of these is the order of first voxels.
    """
    pairs = np.concatenate(seams) if seams else np.zeros((0, 2), np.int64)
    links = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(total, total))
    _, domain = connected_components(links, directed=False)
    voxels = np.zeros(total, np.int64)
    np.add.at(voxels, domain, np.concatenate(sizes) if sizes else np.zeros(0, np.int64))
    kept = voxels[domain] >= min_voxels
    present, first = np.unique(domain[kept], return_index=True)
    rank = np.empty(len(present), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(1, len(present) + 1)
    ids = np.zeros(total, np.int64)
    ids[kept] = rank[np.searchsorted(present, domain[kept])]
    return ids, len(present)


def _write(parts: list[Path], ids: NDArray[np.int64], metadata: ObjectsMetadata, out: Path) -> None:
    values = {name: json.dumps(getattr(metadata, name)) for name in ObjectsMetadata.__dataclass_fields__}
    schema = SCHEMA.with_metadata({"tomoprofile_version": __version__, **values})
    partial = out.with_name(out.name + ".partial")
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for part in parts:
            z, y, x_start, x_stop, component = np.load(part, allow_pickle=False)
            domain_id = ids[component]
            kept = domain_id > 0
            if kept.any():
                columns = [*(column[kept].astype(np.int32) for column in (z, y, x_start, x_stop)), domain_id[kept]]
                writer.write_table(pa.table(columns, schema=schema), row_group_size=int(kept.sum()))
    partial.replace(out)


def read_objects_metadata(objects: Path) -> ObjectsMetadata:
    """Return what an objects file says about itself.

    Raises
    ------
    InputError
        When it is no objects file.
    """
    try:
        raw: dict[bytes, Any] = pq.read_schema(objects).metadata or {}
        values = {name: json.loads(raw[name.encode()]) for name in ObjectsMetadata.__dataclass_fields__}
    except (OSError, KeyError, ValueError, pa.ArrowInvalid) as error:
        problem = f"this is no objects file: {error}"
        raise InputError(Fault(str(objects), "", problem, "Remove it and run the workflow again.")) from None
    values |= {name: tuple(values[name]) for name in ("shape", "voxel_size_um")}
    return ObjectsMetadata(**values)


def count_parts(objects: Path) -> int:
    """Return how many parts (shards with foreground) an objects file has."""
    return pq.ParquetFile(objects).metadata.num_row_groups


def read_part(objects: Path, index: int) -> Runs:
    """Return the runs of one part: those of one shard, in raster order."""
    table = pq.ParquetFile(objects).read_row_group(index)
    return Runs(*(table.column(name).to_numpy() for name in SCHEMA.names))


def iter_runs(objects: Path) -> Iterator[Runs]:
    """Yield the runs of each shard that has any, in order; one shard is in memory at a time."""
    for index in range(count_parts(objects)):
        yield read_part(objects, index)
