"""Whether finished results are still what was written: every file with a digest, every shard, every chunk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import Fault, InputError, TomoprofileError
from ..files import intact, read_record, sealed_files
from ..layout import StoreLayout
from ..logs import progress
from ..volume.store import Store, open_store
from .record import read_run


def verify(results: Path) -> tuple[int, list[Fault]]:
    """Read all results of a run and compare them with what was recorded when they were written.

    Parameters
    ----------
    results : Path
        The results folder. What is damaged there is set aside, so that the next run makes it again.

    Returns
    -------
    files : int
        Number of files and shards that were compared.
    faults : list of Fault
        One for each that is damaged.

    Raises
    ------
    InputError
        When there are no results, or a run is writing them.
    """
    if read_run(results).is_alive():
        remedy = "Wait until it has ended."
        raise InputError(Fault(str(results), "", "a run is writing these results", remedy))
    faults: list[Fault] = []
    files = sealed_files(results)
    for path in files:
        try:
            intact(path)
        except TomoprofileError as error:
            faults += error.faults
    shards = list(_shards(results))
    for store, first, end in progress(shards, len(shards), "shards compared"):
        try:
            store.read(first, end)
        except TomoprofileError as error:
            faults += error.faults
    return len(files) + len(shards), faults


def _shards(results: Path) -> Iterator[tuple[Store, int, int]]:
    """Yield store, or channel of a store, first slice and end of each shard in a complete slab."""
    for slabs in sorted(results.glob("*/*.ome.zarr/slabs")):
        layout = StoreLayout(slabs.parent)
        if not layout.metadata.exists():
            continue  # just set aside: the whole store will be made again
        whole = open_store(layout.path)
        channels = [open_store(layout.path, name) for name in whole.channels] or [whole]
        for record in layout.written_records():
            slab = read_record(record)
            for store in channels:
                yield from ((store, first, end) for first, end in store.shards(slab["start"], slab["stop"]))
