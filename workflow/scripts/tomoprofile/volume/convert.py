"""From a raw scan to its OME-Zarr store, slab by slab (one job per slab)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..samples import Scan
from .ahead import read_ahead
from .blanks import Blanks
from .exact import GreyReader
from .geometry import Geometry
from .grey import GreyScale
from .probability import PROBABILITY, SPREAD
from .readers import open_raw
from .store import create_store, describe_store, open_store


def describe_volume(scan: Scan, volume: Path) -> None:
    """Write voxel size, meaning of the grey values and geometry of a scan whose store has a layout."""
    grey = GreyScale(scan.grey_slope, scan.grey_offset, scan.grey_unit)
    describe_store(volume, scan.voxel_size_um, grey, source_of(scan, scan.path), _geometry(scan))


def _geometry(scan: Scan) -> Geometry | None:
    """Return where the file of a scan says it lies; None also when the file is archived."""
    try:
        return GreyReader(open_raw(scan.path, scan.format, scan.dataset), scan.slice_axis).geometry
    except InputError as error:  # the conversion reports it, where there is one
        LOG.warning("the position of the scan in space is not known: %s", error)
        return None


def create_probability(
    scan: Scan, shard_slices: int, classes: Sequence[str], probability: Path, uncertainty: Path | None = None
) -> None:
    """Create the empty stores of the probability of each measured class and, if wanted, of its uncertainty.

    Parameters
    ----------
    scan : Scan
        Row of the sample sheet.
    shard_slices : int
        Whole slices in one shard file.
    classes : sequence of str
        Names of the measured classes, the channels of both stores.
    probability : Path
        Folder of the store.
    uncertainty : Path, optional
        Folder of a further store, for the spread over test-time flips.
    """
    for path, meaning in ((probability, PROBABILITY), (uncertainty, SPREAD)):
        if path:
            source = source_of(scan, scan.path)
            create_store(path, scan.shape, "uint8", scan.voxel_size_um, shard_slices, meaning, source, classes)


def source_of(scan: Scan, path: str) -> dict[str, Any]:
    """Return the metadata of a store that tell the way back from its axes to those of the file it came from."""
    return {"source": {"sample": scan.sample, "path": path, "slice_axis": scan.slice_axis}}


def convert_slab(scan: Scan, volume: str | Path, start: int, stop: int) -> str:
    """Copy slices ``[start, stop)`` of the raw scan into the store, exactly, with no more in memory than one shard.

    The next slices are read, looked at and digested while the last ones are compressed.

    Parameters
    ----------
    scan : Scan
    volume : str or Path
        The store.
    start, stop : int
        Whole shards.

    Returns
    -------
    str
        SHA-256 of the slab's stored grey values in C order, which later proves which raw data a result came from.

    Raises
    ------
    InputError
        When the raw scan differs from the sheet, is damaged, lacks slices, or holds values that cannot be stored.
    """
    reader = GreyReader(open_raw(scan.path, scan.format, scan.dataset), scan.slice_axis)
    store = open_store(volume)
    if reader.shape != store.shape:
        got = "x".join(map(str, reader.shape))
        problem = f"the shape of the scan differs from the sample sheet ({'x'.join(map(str, store.shape))})"
        raise InputError(Fault(scan.path, got, problem, "Run `tomoprofile scan` again."))
    shards = store.shards(start, stop)
    parts = {first: reader.parts(first, end, store.chunk[0]) for first, end in shards}
    passing = _Passing(reader)
    with ThreadPoolExecutor(1, "raw") as beside:
        slices = read_ahead(passing.read, list(chain(*parts.values())), beside, most=store.shard_slices)
        for first, _ in progress(shards, len(shards), "shards converted"):
            with store.new_shard(first) as add:
                for _ in parts[first]:
                    add(next(slices))
    passing.blanks.tell()
    LOG.info("%s: slices %d..%d converted", scan.sample, start, stop - 1)
    return passing.seen.hexdigest()


class _Passing:
    """The stored grey values of a scan as they pass by, looked at and digested on the way."""

    def __init__(self, reader: GreyReader) -> None:
        self._reader, self.blanks, self.seen = reader, Blanks(reader), hashlib.sha256()

    def read(self, start: int, stop: int) -> NDArray[Any]:
        slices = self._reader.read(start, stop)
        self.blanks.refuse(start, slices)
        self.seen.update(slices)
        return slices
