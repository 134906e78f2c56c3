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
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..files import whole_file
from ..logs import LOG, progress
from ..samples import OwnMask, Scan
from ..volume.readers import ScanReader, open_mask
from ..volume.store import Store, create_store, open_store

LEVEL = 0.5  # between 0 and 1: any level says the same of a mask
MOST_ID = 2**32 - 1
_CERTAIN = 255
_VALUES_SHOWN = 5


def read_own_mask(scan: Scan) -> ScanReader:
    """Open the mask of a scan; see :func:`read_mask`."""
    assert scan.own_mask is not None
    return read_mask(scan, scan.own_mask)


def read_mask(scan: Scan, mask: OwnMask) -> ScanReader:
    """Open a mask that belongs to a scan, its slice axis made z as that of the scan.

    Raises
    ------
    InputError
        When it cannot be read, or its shape is not that of the scan.
    """
    reader = ScanReader(open_mask(mask), scan.slice_axis)
    if reader.shape != scan.shape:
        got, expected = ("x".join(map(str, shape)) for shape in (reader.shape, scan.shape))
        problem = f"the mask has another shape than its scan, which has {expected} (slices x rows x columns)"
        remedy = "Export the mask of the whole scan, uncropped and not resampled"
        if sorted(reader.shape) == sorted(scan.shape):
            remedy += ", and with its axes in the order of the scan's files"
        raise InputError(Fault(mask.place, got, problem, f"{remedy}."))
    return reader


def foreground(plane: NDArray[Any], where: str, z: int, value: float | None = None) -> tuple[NDArray[np.bool_], Any]:
    """Return which voxels of a slice are in a binary mask.

    Parameters
    ----------
    plane : array (y, x)
    where : str
        The mask, for messages.
    z : int
        The slice, for messages.
    value : number, optional
        Foreground of the slices before.

    Returns
    -------
    inside : array (y, x) of bool
    value : number or None
        The one value beside 0; None when no slice so far has any.

    Raises
    ------
    InputError
        When there is another value than 0 and this one, or something that is no number.
    """
    inside = not_zero(plane, where, z)
    if not inside.any():
        return inside, value
    value = plane[inside][0].item() if value is None else value
    if (plane[inside] != value).any():
        raise InputError(several_values(where, {0, value, *np.unique(plane).tolist()}, f"slice {z}"))
    return inside, value


def not_zero(plane: NDArray[Any], where: str, z: int) -> NDArray[np.bool_]:
    """Return which voxels of a slice hold something, whatever it is.

    Raises
    ------
    InputError
        When something is no number.
    """
    _refuse_no_numbers(plane, where, z)
    return plane != 0


def several_values(where: str, values: set[float], place: str) -> Fault:
    """Return the fault of a mask that holds more than 0 and one other value."""
    more = ", ..." if len(values) > _VALUES_SHOWN else ""
    got = ", ".join(f"{value:g}" for value in sorted(values)[:_VALUES_SHOWN]) + more
    remedy = (
        f"When each value is an object, write `instances:{where}` in the column `mask`; when values are classes, "
        "export the one to measure as a mask of its own."
    )
    return Fault(where, got, f"a mask must hold 0 and one other value, this one has more, seen in {place}", remedy)


def instance_ids(plane: NDArray[Any], where: str, z: int) -> NDArray[np.uint32]:
    """Return the numbers of the objects in a slice of a label volume; 0 is background.

    Parameters
    ----------
    plane : array (y, x)
    where, z
        The label volume and the slice, for messages.

    Raises
    ------
    InputError
        When a value is no whole number from 0 to 2^32 - 1.
    """
    _refuse_no_numbers(plane, where, z)
    wrong = plane < 0
    if plane.dtype.itemsize >= 4:
        wrong = wrong | (plane > np.float64(MOST_ID))  # as float32, 2^32 - 1 would be 2^32
    if plane.dtype.kind == "f":
        wrong = wrong | (plane != np.trunc(plane))
    if wrong.any():
        got = f"{plane[wrong][0].item()!r} in slice {z}"
        problem = f"numbers of objects must be whole, from 0 (background) to {MOST_ID}"
        raise InputError(Fault(where, got, problem, "Export the label volume as 16- or 32-bit unsigned integers."))
    return plane.astype(np.uint32)


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
            mask[i] = inside * np.uint8(_CERTAIN)
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


def _refuse_no_numbers(plane: NDArray[Any], where: str, z: int) -> None:
    if plane.dtype.kind == "f" and not np.isfinite(plane).all():
        count = int((~np.isfinite(plane)).sum())
        remedy = "Export it again with 0 there."
        raise InputError(Fault(where, f"{count} voxels", f"slice {z} holds NaN or infinite values", remedy))
