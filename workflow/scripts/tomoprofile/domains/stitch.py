"""From probabilities to objects: the topology, exact for any partition into shards and slabs.

One shard of probabilities is in memory at a time. Its runs wait in a temporary folder for their final numbers, which
are known when the last shard has been seen.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import ConfigError, Fault
from ..logs import LOG, progress
from ..volume.store import open_store
from .objects import ObjectsMetadata, Runs, write_objects
from .runs import Int64, RowRuns, extract_runs, label_runs
from .seams import Components


def stitch_objects(probability: Path, level: float, connectivity: int, min_voxels: int, out: Path) -> int:
    """Find the objects of a scan and write them as runs with their domain.

    Parameters
    ----------
    probability : Path
        Store of probabilities (uint8, 255 = 1).
    level : float
        Voxels with this probability or more are foreground; between 0 and 1.
    connectivity : int
        6: voxels touch by faces; 26: also by edges and corners.
    min_voxels : int
        Objects with fewer voxels are dropped, after the merge over all shards.
    out : Path
        Objects file to write (docs/outputs.md). Domains are numbered 1..n by their first voxel in raster order.

    Returns
    -------
    int
        Number of domains.

    Raises
    ------
    ConfigError
        When level, connectivity or size make no sense.
    StoreError
        When the store cannot be read.
    """
    threshold = threshold_of(level)
    if connectivity not in (6, 26) or min_voxels < 1:
        got, remedy = f"connectivity {connectivity}, min_voxels {min_voxels}", "See config/README.md."
        raise ConfigError(Fault("objects", got, "connectivity must be 6 or 26 and min_voxels at least 1", remedy))
    store = open_store(probability)
    shards = store.shards()
    ny = store.shape[1]
    components = Components(ny, connectivity)
    with _temporary_folder(out) as folder:
        firsts: list[int] = []
        above: tuple[RowRuns, Int64] | None = None
        for start, stop in progress(shards, len(shards), "shards searched for objects"):
            runs = extract_runs(store.read(start, stop), threshold)
            component, voxels = label_runs(runs, ny, connectivity)
            first = components.add(voxels)
            if above is not None:
                runs_below, part = runs.slices(0, 1, ny)
                components.unite_seam(*above, runs_below, component[part].astype(np.int64) + first)
            runs_above, part = runs.slices(stop - start - 1, stop - start, ny)
            above = runs_above, component[part].astype(np.int64) + first
            firsts.append(first)
            _save(folder, start, runs, component)
        domain_id, n_domains = components.domains(min_voxels)
        metadata = ObjectsMetadata(float(level), connectivity, min_voxels, store.shape, store.voxel_size_um, n_domains)
        parts = zip(shards, firsts, strict=True)
        write_objects(out, metadata, (_load(folder, start, ny, domain_id[first:]) for (start, _), first in parts))
    LOG.info("%s: %d domains at probability %.3f", probability.parent.name, n_domains, level)
    return n_domains


def threshold_of(level: float) -> int:
    """Return the smallest stored value that is foreground at a level of probability.

    Raises
    ------
    ConfigError
        When the level is not above 0 and at most 1.
    """
    if not 0 < level <= 1:
        remedy = "Give a probability above 0 and at most 1."
        raise ConfigError(Fault("level", repr(level), "this is no level of probability", remedy))
    # Rounded first: 0.2 * 255 must be 51 on every machine, not a hair more.
    return math.ceil(round(level * 255, 9))


def _save(folder: Path, start: int, runs: RowRuns, component: np.ndarray) -> None:
    for name, array in (*runs._asdict().items(), ("component", component)):
        np.save(folder / f"{start}_{name}.npy", array, allow_pickle=False)


def _load(folder: Path, start: int, ny: int, domain_id: Int64) -> Runs:
    """Return the runs of the shard that begins at slice ``start``, without those of dropped objects."""
    names = (*RowRuns._fields, "component")
    row_ptr, x_start, x_stop, component = (np.load(folder / f"{start}_{name}.npy") for name in names)
    row = np.repeat(np.arange(len(row_ptr) - 1, dtype=np.int32), np.diff(row_ptr))
    runs = Runs(start + row // ny, row % ny, x_start, x_stop, domain_id[component])
    return runs.at(runs.domain_id > 0)


@contextmanager
def _temporary_folder(out: Path) -> Iterator[Path]:
    """Make an empty folder beside ``out`` and remove it in the end; a killed run may have left an earlier one."""
    folder = out.with_name(out.name + ".runs")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
