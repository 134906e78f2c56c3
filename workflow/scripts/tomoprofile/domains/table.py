"""The table of domains: sums of every part in parallel, merged in order, measured once (P16)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import dask
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import Fault, InputError
from ..files import whole_file
from ..logs import LOG, progress
from ..segment.alarm import Familiarity
from ..volume.plane import Plane
from ..volume.store import Store, open_store
from . import measures
from .objects import (
    ObjectsMetadata,
    Runs,
    filled_row_groups,
    read_objects_metadata,
    read_runs,
    refuse_split_slice,
)
from .runs import Int64
from .sums import Sums, grey_reference, pairs_across, sums_of_part

_DOMAIN = 1  # class of a domain; classes of other kinds of objects would follow
_PARTS_A_THREAD = 4  # handed to dask at once: enough to keep threads busy, and few results wait to be merged


@dataclasses.dataclass(frozen=True)
class Part:
    """What one row group adds to the table.

    Attributes
    ----------
    domain_id : int64 array (domains,)
        Domains that occur in it.
    sums : Sums
        Their sums.
    first, last : Runs
        Runs of its first and its last slice, for the pairs across the seams.
    """

    domain_id: Int64
    sums: Sums
    first: Runs
    last: Runs


def measure_domains(
    objects: Path,
    volume: Path,
    probability: Path,
    interface: Path,
    out: Path,
    threads: int,
    familiarity: Path | None = None,
) -> None:
    """Measure every domain of an objects file.

    Integer columns, and those derived from integers, do not depend on how the scan is cut into shards. Grey values of
    float scans may then differ in their last digits; they never depend on ``threads``.

    Parameters
    ----------
    objects : Path
        Objects file, of any level.
    volume, probability : Path
        Stores of grey values and of probabilities (uint8, 255 = 1).
    interface : Path
        The substrate plane (``interface.json``).
    out : Path
        Table to write, one row a domain (docs/outputs.md).
    threads : int
        Parts that are read and added up at the same time; each holds one shard of both stores.
    familiarity : Path, optional
        ``familiarity.json``; every domain of a scan unlike those its model has seen is flagged.

    Raises
    ------
    InputError
        When the objects file or the interface cannot be trusted, or the stores have another shape.
    StageError
        When a domain is too large for 64-bit sums.
    """
    metadata = read_objects_metadata(objects)
    grey, certain = open_store(volume), open_store(probability)
    plane = Plane.load(interface)
    for store in (grey, certain):
        if store.shape != metadata.shape:
            problem = f"the objects were found in a scan of {metadata.shape} voxels"
            raise InputError(Fault(str(store.path), str(store.shape), problem, "Run the workflow again."))
    sums = _merged_sums(objects, metadata, grey, certain, threads)
    if not sums.voxels.all():
        lost = 1 + int(np.argmin(sums.voxels > 0))
        problem = f"the file promises {metadata.n_domains} domains, but one has no run"
        raise InputError(Fault(str(objects), f"domain {lost}", problem, "Remove it and run the workflow again."))
    sums.refuse_overflow(metadata.shape, str(objects))
    edges = metadata.voxel_size_um
    number = np.arange(1, metadata.n_domains + 1)
    columns = {
        "domain_id": number,
        "class": np.full(len(number), _DOMAIN, np.int16),
        **measures.size_and_surface(sums, edges),
        **measures.place(sums, edges, plane),
        **measures.axes(sums, edges, plane),
        **measures.values(sums, grey.grey, grey_reference(grey.dtype)),
        **measures.border(sums, metadata.shape, plane),
    }
    units = measures.UNITS | {name: grey.grey.unit for name in columns if name.startswith("grey_")}
    entries = metadata.encoded() | {
        "units": json.dumps(units),
        "interface": json.dumps({"normal": plane.normal, "offset_um": plane.offset_um}),
    }
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    flag = Familiarity.load(familiarity).flag if familiarity else ""
    table = table.append_column("flag", pa.array([flag] * len(number), pa.string()).dictionary_encode())
    with whole_file(out) as partial:
        pq.write_table(table.replace_schema_metadata(entries), partial, compression="zstd")
    LOG.info("%s: %d domains measured", out, metadata.n_domains)


def _merged_sums(objects: Path, metadata: ObjectsMetadata, volume: Store, probability: Store, threads: int) -> Sums:
    """Return the sums of all domains, row i being domain i + 1; parts are merged in their order along z."""
    total = Sums.empty(metadata.n_domains, volume.dtype)
    groups = filled_row_groups(objects)
    at_once = max(1, threads) * _PARTS_A_THREAD
    batches = [groups[i : i + at_once] for i in range(0, len(groups), at_once)]
    before: Part | None = None
    for batch in progress(batches, len(batches), "batches of shards measured"):
        tasks = [dask.delayed(_part)(objects, group, metadata, volume, probability) for group in batch]
        for part in dask.compute(*tasks, scheduler="threads", num_workers=max(1, threads)):
            total.add(part.domain_id - 1, part.sums)
            if before is not None:
                _add_seam(objects, total, before.last, part.first, metadata.shape[1])
            before = part
    return total


def _part(objects: Path, group: int, metadata: ObjectsMetadata, volume: Store, probability: Store) -> Part:
    runs = read_runs(objects, group, metadata)
    first_z, last_z = int(runs.z[0]), int(runs.z[-1])
    domain_id, sums = sums_of_part(
        runs, volume.read(first_z, last_z + 1), probability.read(first_z, last_z + 1), first_z
    )
    return Part(domain_id, sums, runs.at(runs.z == first_z), runs.at(runs.z == last_z))


def _add_seam(objects: Path, total: Sums, upper: Runs, lower: Runs, ny: int) -> None:
    refuse_split_slice(objects, int(upper.z[0]), int(lower.z[0]))
    if lower.z[0] == upper.z[0] + 1:
        domain_id, pairs = pairs_across(upper, lower, ny)
        total.pairs[domain_id - 1] += pairs
