"""A segmentation of the user's own, entered where a model's would stand.

A mask becomes a probability of 0 or 1, so that every later stage runs unchanged. Nothing is known of how sure its
boundary is, and ``mask.json`` lets tables and pages say so. Objects that came labelled keep their numbers in a store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Fault, InputError
from ..files import whole_file
from ..logs import LOG, progress
from ..samples import Scan
from ..volume.masks import foreground, instance_ids, read_own_mask, several_values
from ..volume.probability import CERTAIN
from ..volume.store import Store, create_store, open_store

LEVEL = 0.5  # between 0 and 1: any level says the same of a mask


def create_instances(scan: Scan, shard_slices: int, instances: Path) -> None:
    """Create the empty store of a scan's own objects: uint32, 0 is background.

    Parameters
    ----------
    scan : Scan
    shard_slices : int
        Whole slices in one shard file.
    instances : Path
        Folder of the store.
    """
    source = {"sample": scan.sample, "path": scan.mask, "slice_axis": scan.slice_axis}
    create_store(instances, scan.shape, "uint32", scan.voxel_size_um, shard_slices, attributes={"source": source})


def enter_mask(scan: Scan, probability: Path, instances: Path | None, start: int, stop: int) -> dict[str, Any]:
    """Write slices ``[start, stop)`` of a scan's own mask as probability; one shard is in memory at a time.

    Parameters
    ----------
    scan : Scan
        Names the mask in its column ``mask``.
    probability : Path
        Store that receives 255 inside the mask, else 0.
    instances : Path or None
        Store that receives the numbers of the objects; None for a binary mask.
    start, stop : int
        Whole shards.

    Returns
    -------
    dict
        ``value`` (of the foreground; None where there is none, or for objects), ``voxels`` of the foreground, and
        ``sha256`` of what was entered, slices in order, C order: the mask as 0 and 255, or numbers as uint32.

    Raises
    ------
    InputError
        When the mask cannot be read, has another shape than its scan, or values that a mask cannot have.
    """
    reader, where = read_own_mask(scan), scan.own_mask.place
    out = open_store(probability)
    ids: Store | None = open_store(instances) if instances else None
    seen, value, voxels = hashlib.sha256(), None, 0
    shards = out.shards(start, stop)
    for first, end in progress(shards, len(shards), "shards entered"):
        part = reader.read(first, end)
        mask = np.empty(part.shape, np.uint8)
        numbers = np.empty(part.shape, np.uint32) if ids else None
        for i, plane in enumerate(part):
            if numbers is None:
                inside, value = foreground(plane, where, first + i, value)
            else:
                numbers[i] = instance_ids(plane, where, first + i)
                inside = numbers[i] > 0
            voxels += int(inside.sum())
            mask[i] = inside * np.uint8(CERTAIN)
        if ids is not None and numbers is not None:
            ids.write(first, numbers)
        out.write(first, mask)
        seen.update(mask if numbers is None else numbers)
    LOG.info("%s: slices %d..%d entered, %d voxels", where, start, stop - 1, voxels)
    return {"value": value, "voxels": voxels, "sha256": seen.hexdigest()}


def accept_mask(scan: Scan, records: Sequence[Path], out: Path) -> None:
    """Write ``mask.json``, which stands for the segmentation of a scan, once all its slabs were entered.

    Parameters
    ----------
    scan : Scan
    records : sequence of Path
        Records of the slabs, with what :func:`enter_mask` returned.
    out : Path

    Raises
    ------
    InputError
        When slabs have different foreground values, or the mask leaves no background.
    """
    mask = scan.own_mask
    assert mask is not None
    slabs = {path.stem: json.loads(path.read_text()) for path in records}
    values = {slab["value"] for slab in slabs.values()} - {None}
    if len(values) > 1:
        raise InputError(several_values(mask.place, {0, *values}, "different slabs"))
    voxels = sum(slab["voxels"] for slab in slabs.values())
    if voxels == scan.slices * scan.rows * scan.columns:
        problem, remedy = (
            "the mask has no background: every voxel is inside",
            "Export it with 0 outside of the domains.",
        )
        raise InputError(Fault(mask.place, f"value {next(iter(values), 'not 0')} everywhere", problem, remedy))
    if not voxels:
        LOG.warning("%s: the mask is empty, so no domain will be found", mask.place)
    record = {
        "method": "instances" if mask.instances else "mask",
        "decision_level": LEVEL,
        "path": mask.place,
        "foreground_value": next(iter(values), None),
        "voxels": voxels,
        "sha256_of_slabs": {name: slab["sha256"] for name, slab in slabs.items()},
    }
    with whole_file(out) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n")
