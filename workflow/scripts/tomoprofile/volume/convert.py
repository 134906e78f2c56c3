"""From a raw scan to its OME-Zarr store, slab by slab (one job per slab)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import Fault, InputError
from ..layout import ScanLayout
from ..logs import LOG, progress
from ..samples import Scan
from .grey import GreyScale
from .probability import PROBABILITY, SPREAD
from .readers import ScanReader, open_raw
from .store import describe_store, lay_out_store, open_store


def lay_out_stores(
    scan: Scan,
    shard_slices: int,
    files: ScanLayout,
    classes: Sequence[str],
    with_uncertainty: bool = False,
) -> None:
    """Create the empty stores of a scan: grey values, the probability of each measured class, and its uncertainty.

    Parameters
    ----------
    scan : Scan
        Row of the sample sheet.
    shard_slices : int
        Whole slices in one shard file.
    files : ScanLayout
        Where they lie.
    classes : sequence of str
        Names of the measured classes, the channels of the probability and of its uncertainty.
    with_uncertainty : bool
        Whether there is a third store, for the spread over test-time flips.
    """
    lay_out_store(files.volume.path, scan.shape, scan.dtype, shard_slices)
    for store in (files.probability, files.uncertainty)[: 1 + with_uncertainty]:
        lay_out_store(store.path, scan.shape, "uint8", shard_slices, classes)


def describe_stores(scan: Scan, files: ScanLayout) -> None:
    """Write voxel size and meaning of the values of all stores of a scan that have a layout.

    Parameters
    ----------
    scan : Scan
        Row of the sample sheet.
    files : ScanLayout
        Where they lie.
    """
    grey = GreyScale(scan.grey_slope, scan.grey_offset, scan.grey_unit)
    # The way back from the store's axes to those of the raw file.
    facts = {"source": {"sample": scan.sample, "path": scan.path, "slice_axis": scan.slice_axis}}
    of_mask = {"source": {"sample": scan.sample, "path": scan.mask, "slice_axis": scan.slice_axis}}
    describe_store(files.volume.path, scan.voxel_size_um, grey, facts)
    describe_store(files.probability.path, scan.voxel_size_um, PROBABILITY, facts)
    for store, scale, source in ((files.uncertainty, SPREAD, facts), (files.instances, None, of_mask)):
        if store.array.exists():
            describe_store(store.path, scan.voxel_size_um, scale, source)


def convert_slab(scan: Scan, volume: str | Path, start: int, stop: int) -> str:
    """Copy slices ``[start, stop)`` of the raw scan into the store, unchanged, one shard in memory at a time.

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
        SHA-256 of the slab's grey values in C order, which later proves which raw data a result came from.

    Raises
    ------
    InputError
        When the raw scan differs from the sheet, is damaged, or holds NaN or infinite values.
    """
    reader = ScanReader(open_raw(scan.path, scan.format, scan.dataset), scan.slice_axis)
    store = open_store(volume)
    if reader.shape != store.shape:
        got = "x".join(map(str, reader.shape))
        problem = f"the shape of the scan differs from the sample sheet ({'x'.join(map(str, store.shape))})"
        raise InputError(Fault(scan.path, got, problem, "Run `tomoprofile scan` again."))
    shards = store.shards(start, stop)
    seen = hashlib.sha256()
    for first, end in progress(shards, len(shards), "shards converted"):
        slices = reader.read(first, end)
        if slices.dtype.kind == "f":
            _refuse_missing_values(scan, first, slices)
        seen.update(slices)
        store.write(first, slices)
    LOG.info("%s: slices %d..%d converted", scan.sample, start, stop - 1)
    return seen.hexdigest()


def _refuse_missing_values(scan: Scan, first: int, slices: np.ndarray) -> None:
    bad = ~np.isfinite(slices).all(axis=(1, 2))
    if bad.any():
        z = first + int(np.flatnonzero(bad)[0])
        count = int((~np.isfinite(slices)).sum())
        problem = f"grey values are NaN or infinite, first in slice {z}"
        remedy = "Replace them before conversion, for instance by the grey value of air; tomoprofile does not guess."
        raise InputError(Fault(scan.path, f"{count} voxels", problem, remedy))
