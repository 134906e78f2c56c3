"""A given mask: the user's own segmentation, entered in place of a model's.

A mask becomes a probability of 0 or 1 of each class it shows, so that every later stage runs unchanged. The uncertainty
of its boundary is unknown, and ``mask.json`` lets tables and pages say so. Objects that came labelled keep their
numbers in a store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..files import read_record, write_record
from ..labels.classes import Classes
from ..layout import ScanLayout
from ..logs import LOG, progress
from ..samples import OwnMask, Scan
from ..volume.convert import source_of
from ..volume.geometry import Geometry
from ..volume.masks import (
    classes_in,
    foreground,
    instance_ids,
    read_mask,
    refuse_objects_of_two_classes,
    several_values,
)
from ..volume.probability import CERTAIN
from ..volume.store import create_store, open_store

LEVEL = 0.5  # a mask holds only 0 and 1, so any level in between gives the same


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
    source = source_of(scan, scan.mask)
    create_store(instances, scan.shape, "uint32", scan.voxel_size_um, shard_slices, attributes=source)


class MaskReader:
    """Read what a given mask shows, slice by slice.

    Parameters
    ----------
    scan : Scan
        Names the mask in its column ``mask``.
    classes : Classes
        Of the mask, see :meth:`~tomoprofile.labels.classes.Classes.of_mask`.
    geometry : Geometry, optional
        Of the stored scan, see :func:`~tomoprofile.volume.masks.read_mask`.

    Raises
    ------
    InputError
        When an image cannot be read, or differs in shape from the scan.
    """

    def __init__(self, scan: Scan, classes: Classes, geometry: Geometry | None = None) -> None:
        assert scan.own_mask is not None
        self.mask: OwnMask = scan.own_mask
        self.measured = classes.measured
        self.others_are_background = classes.others == "background"
        self._values = dict(zip(classes.names, classes.values, strict=True))
        self.readers = {
            kind: read_mask(scan, image, geometry) for kind, image in self.mask._asdict().items() if image is not None
        }

    def slices(self, start: int, stop: int) -> Iterator[MaskSlice]:
        """Yield slices ``[start, stop)``, all of them in memory.

        Raises
        ------
        InputError
            When they contain values that a mask cannot have.
        """
        parts = {kind: reader.read(start, stop) for kind, reader in self.readers.items()}
        for i, z in enumerate(range(start, stop)):
            yield self._slice({kind: part[i] for kind, part in parts.items()}, z)

    def _slice(self, planes: dict[str, NDArray[Any]], z: int) -> MaskSlice:
        if self.mask.binary:
            inside, value = foreground(planes["binary"], self.mask.binary.place, z)
            return MaskSlice(dict.fromkeys(self.measured, inside), value=value)
        ids = instance_ids(planes["instances"], self.mask.instances.place, z) if self.mask.instances else None
        if self.mask.classes is None:
            assert ids is not None
            return MaskSlice(dict.fromkeys(self.measured, ids > 0), ids)
        plane, where = planes["classes"], self.mask.classes.place
        found = classes_in(plane, where, z, self._values, self.measured, self.others_are_background)
        if ids is None:
            return MaskSlice(found)
        refuse_objects_of_two_classes(ids, plane, self.mask.place, z, self._values)
        found = {name: inside & (ids > 0) for name, inside in found.items()}
        # Objects of classes that are not measured are left out.
        return MaskSlice(found, np.where(np.any([*found.values()], axis=0), ids, np.uint32(0)))


@dataclass(frozen=True)
class MaskSlice:
    """One slice of a given mask.

    Attributes
    ----------
    inside : dict of str to bool array (y, x)
        By measured class.
    ids : uint32 array (y, x) or None
        Numbers of the measured objects, where the mask has any.
    value : number or None
        The one value of a binary mask other than 0; None if there is none.
    """

    inside: dict[str, NDArray[np.bool_]]
    ids: NDArray[np.uint32] | None = None
    value: float | None = None


def enter_mask(
    scan: Scan, classes: Classes, probability: Path, instances: Path | None, start: int, stop: int
) -> dict[str, Any]:
    """Write slices ``[start, stop)`` of a scan's own mask as probability; one shard is in memory at a time.

    Parameters
    ----------
    scan : Scan
        Names the mask in its column ``mask``.
    classes : Classes
        Of the mask, see :meth:`~tomoprofile.labels.classes.Classes.of_mask`.
    probability : Path
        Store that receives 255 inside the mask of each class, else 0.
    instances : Path or None
        Store that receives the numbers of the objects; None for a mask without any.
    start, stop : int
        Whole shards.

    Returns
    -------
    dict
        ``value`` (of the foreground of a binary mask; None where there is none), ``voxels`` of each class, and
        ``sha256`` of the entered data, slices in order, C order: numbers as uint32, or the mask of each class as 0 and
        255.

    Raises
    ------
    InputError
        When the mask cannot be read, differs in shape from its scan, or contains values that a mask cannot have.
    """
    reader = MaskReader(scan, classes, _geometry_beside(probability))
    stores = {name: open_store(probability, name) for name in reader.measured}
    ids = open_store(instances) if instances else None
    seen, entered = hashlib.sha256(), _Entered(reader.mask.place)
    shards = stores[reader.measured[0]].shards(start, stop)
    for first, end in progress(shards, len(shards), "shards entered"):
        masks = {name: np.empty((end - first, *scan.shape[1:]), np.uint8) for name in stores}
        numbers = np.empty((end - first, *scan.shape[1:]), np.uint32) if ids else None
        for i, shown in enumerate(reader.slices(first, end)):
            entered.add(shown, first + i)
            for name, mask in masks.items():
                mask[i] = shown.inside[name] * np.uint8(CERTAIN)
            if numbers is not None:
                numbers[i] = shown.ids
        if ids is not None and numbers is not None:
            ids.write(first, numbers)
            seen.update(numbers)
        for name, store in stores.items():
            store.write(first, masks[name])
            if numbers is None:
                seen.update(masks[name])
    told = ", ".join(f"{voxels} voxels of {name}" for name, voxels in entered.voxels.items())
    LOG.info("%s: slices %d..%d entered, %s", reader.mask.place, start, stop - 1, told)
    return {"value": entered.value, "voxels": entered.voxels, "sha256": seen.hexdigest()}


def _geometry_beside(probability: Path) -> Geometry | None:
    """Return where the voxels of the scan lie, as its store says, also when the raw scan went to an archive."""
    volume = ScanLayout(probability.parent).volume
    return open_store(volume.path).geometry if volume.metadata.exists() else None


@dataclass
class _Entered:
    """Sums over the slices entered so far."""

    place: str
    value: float | None = None
    voxels: dict[str, int] = field(default_factory=dict)

    def add(self, shown: MaskSlice, z: int) -> None:
        """Add a slice, whose foreground must have the same value as those before."""
        for name, inside in shown.inside.items():
            self.voxels[name] = self.voxels.get(name, 0) + int(inside.sum())
        if shown.value is not None:
            if self.value not in (None, shown.value):
                raise InputError(several_values(self.place, {0, self.value, shown.value}, f"slice {z}"))
            self.value = shown.value


def accept_mask(scan: Scan, records: Sequence[Path], out: Path) -> None:
    """Write ``mask.json``, which stands for the segmentation of a scan, once all its slabs have been entered.

    Parameters
    ----------
    scan : Scan
    records : sequence of Path
        Records of the slabs, with the values returned by :func:`enter_mask`.
    out : Path

    Raises
    ------
    InputError
        When slabs have different foreground values, or the mask leaves no background.
    """
    mask = scan.own_mask
    assert mask is not None
    slabs = {path.stem: read_record(path) for path in records}
    values = {slab["value"] for slab in slabs.values()} - {None}
    if len(values) > 1:
        raise InputError(several_values(mask.place, {0, *values}, "different slabs"))
    names = next(iter(slabs.values()))["voxels"]
    voxels = {name: sum(slab["voxels"][name] for slab in slabs.values()) for name in names}
    if sum(voxels.values()) == scan.slices * scan.rows * scan.columns:
        problem = "the mask has no background: every voxel is inside"
        remedy = "Export it with background around the domains: 0, or its value in `classes`."
        raise InputError(Fault(mask.place, f"value {next(iter(values), 'not 0')} everywhere", problem, remedy))
    for name, found in voxels.items():
        if not found:
            LOG.warning("%s: the mask is empty, so no %s will be found", mask.place, name)
    record = {
        "method": "instances" if mask.instances else "mask",
        "decision_level": LEVEL,
        "path": mask.place,
        "foreground_value": next(iter(values), None),
        "voxels": voxels,
        "sha256_of_slabs": {name: slab["sha256"] for name, slab in slabs.items()},
    }
    write_record(out, record)
