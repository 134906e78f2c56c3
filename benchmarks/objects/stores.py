"""The stage as the workflow runs it: from stores on disk to the table on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from tomoprofile.config import ObjectsConfig
from tomoprofile.domains.table import Level, Segmented, measure_domains
from tomoprofile.domains.workers import workers_of
from tomoprofile.tables import CALIBRATED
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import create_store, open_store

from .methods import EDGES
from .volumes import RADII, Spheres, grey_beside

SHARD = 64  # slices
CLASS = "domain"
TITLES = {"decode": "decoding both stores once", "stage": "measure_domains, stores to table"}
PROBABILITY, GREY, INTERFACE = "probability", "volume", "interface.json"


def write_stores(folder: Path, name: str, depth: int, side: int) -> None:
    """Write the stores of a scan of spheres, slab by slab, so that a scan may be larger than memory."""
    spheres = Spheres(depth, side, *RADII[name], seed=1)
    shape = (depth, side, side)
    create_store(folder / PROBABILITY, shape, "uint8", EDGES, SHARD, channels=(CLASS,))
    probability = open_store(folder / PROBABILITY, CLASS)
    grey = create_store(folder / GREY, shape, "uint16", EDGES, SHARD)
    for start, stop in probability.shards():
        mask = spheres.slab(start, stop)
        probability.write(start, mask)
        grey.write(start, grey_beside(mask, seed=start))
    Plane((1.0, 0.0, 0.0), 0.0).save(folder / INTERFACE)


def stage(folder: Path, processes: int = 1) -> int:
    """Run the stage at one level; return the number of domains."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        level = Level({CLASS: 0.5}, Path(out) / "objects.parquet", Path(out) / "domains.parquet")
        scan, conditions = Segmented(folder / PROBABILITY, folder / GREY), ObjectsConfig(min_voxels=1, min_slices=1)
        with workers_of(0, processes, 4000, Path(out)) as workers:
            found = measure_domains(scan, folder / INTERFACE, {CALIBRATED: level}, conditions, workers=workers)
            return found[CLASS]


def decode(folder: Path) -> int:
    """Read both stores and do nothing with them."""
    for store in (open_store(folder / PROBABILITY, CLASS), open_store(folder / GREY)):
        for _ in store.iter_shards():
            pass
    return 0


def make(method: str, folder: Path, processes: int) -> Callable[[], int]:
    """Return the work on the stores of a folder, compiled in this process but not in those that it starts."""
    work: dict[str, Callable[[Path, int], int]] = {"decode": lambda place, _: decode(place), "stage": stage}
    with tempfile.TemporaryDirectory() as tiny:
        write_stores(Path(tiny), "s", 2 * SHARD, 32)
        work[method](Path(tiny), 1)
    return lambda: work[method](folder, processes)
