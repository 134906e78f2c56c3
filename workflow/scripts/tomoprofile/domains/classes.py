"""One row for each class: all of its domains together, where they lie in space, and how they agree with a reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..logs import LOG
from ..samples import MaskImage, Scan
from ..tables import DOMAINS, OF_CLASSES, of_class
from ..volume.masks import read_mask
from ..volume.readers import ScanReader
from ..volume.slabs import shard_bounds
from ..volume.store import Store, open_store
from .agreement import Agreement, Overlap, agreement
from .objects import ObjectsMetadata, read_objects_metadata
from .voxels import Domains

_CENTROID = ("centroid_z_um", "centroid_y_um", "centroid_x_um")
_NEEDED = ("class", "voxels", "volume_um3", "surface_um2", "feret_max_um", *_CENTROID, "on_border")
_MILLILITRE_UM3 = 1e12
_NOT_COMPARED = Agreement(0, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Reference:
    """A segmentation by other means.

    Attributes
    ----------
    scan : Scan
        Names it in its column ``reference``.
    values : dict of str to int
        Value of each measured class in it. Where one class is measured, whatever is not 0 is that class.
    """

    scan: Scan
    values: Mapping[str, int]

    @classmethod
    def of(cls, row: Mapping[str, Any], values: Mapping[str, int]) -> Reference | None:
        """Return the reference of a row of the sheet, if it names one."""
        return cls(Scan.model_validate(row), values) if row["reference"] else None

    def reader(self, volume: Store) -> ScanReader:
        """Open the image, its axes those of the scan."""
        return read_mask(self.scan, MaskImage(self.scan.reference), volume.geometry)

    def shows(self, values: NDArray[Any], name: str) -> NDArray[np.bool_]:
        """Return where values of the image are a class."""
        return values != 0 if len(self.values) == 1 else values == self.values[name]


def summarise_classes(
    domains: Path, objects: Path, volume: Path, out: Path, reference: Reference | None = None
) -> None:
    """Write ``classes.parquet``.

    Parameters
    ----------
    domains, objects : Path
        Table of domains, and objects file, both at the calibrated level.
    volume : Path
        Store of grey values, which says where the voxels lie in space.
    out : Path
    reference : Reference, optional
        What the classes are compared with.

    Raises
    ------
    InputError
        When a file cannot be read, or the reference does not belong to the scan.
    """
    table, store = DOMAINS.read(domains, _NEEDED), open_store(volume)
    classes = read_objects_metadata(objects)
    compared = _compared(reference, objects, classes, store) if reference else {}
    rows = [_row(of_class(table, name), metadata, store, compared.get(name)) for name, metadata in classes.items()]
    facts: dict[str, Any] = {"reference": reference.scan.reference if reference else None}
    facts["steps"] = {name: one.step for name, one in compared.items()}
    OF_CLASSES.write(out, pd.DataFrame(rows), facts)


def _row(domains: pd.DataFrame, metadata: ObjectsMetadata, volume: Store, compared: Agreement | None) -> dict[str, Any]:
    edge_um3 = math.prod(metadata.voxel_size_um)
    voxels = domains["voxels"].to_numpy(np.float64)
    at = np.full(3, math.nan)
    if len(domains):
        at = (domains[list(_CENTROID)].to_numpy() * voxels[:, None]).sum(axis=0) / voxels.sum()
    place = position_mm(at, volume)
    volume_um3 = float(domains["volume_um3"].sum())
    left_out = metadata.left_out
    agrees = compared or _NOT_COMPARED
    return {
        "class": metadata.name,
        "n_domains": metadata.n_domains,
        "n_left_out": None if left_out is None else left_out[0],
        "left_out_um3": math.nan if left_out is None else left_out[1] * edge_um3,
        "volume_um3": volume_um3,
        "volume_ml": volume_um3 / _MILLILITRE_UM3,
        "surface_um2": float(domains["surface_um2"].sum()) if len(domains) else 0.0,
        "feret_max_um": float(domains["feret_max_um"].iloc[int(voxels.argmax())]) if len(domains) else math.nan,
        **dict(zip(_CENTROID, at.tolist(), strict=True)),
        **dict(zip(("right_mm", "anterior_mm", "superior_mm"), place, strict=True)),
        "on_border": bool(domains["on_border"].any()),
        "reference_um3": math.nan if compared is None else compared.voxels * edge_um3,
        "dice": agrees.dice,
        "surface_mean_um": agrees.mean_um,
        "surface_p95_um": agrees.p95_um,
    }


def position_mm(at_um: Any, volume: Store) -> tuple[float, float, float]:
    """Return where a position of the tables lies in the space of the file.

    Parameters
    ----------
    at_um : array (3,)
        Along (z, y, x), from the outer corner of the volume.
    volume : Store

    Returns
    -------
    tuple of float
        To the right, anterior and superior in millimetres; NaN where the file says nothing of it.
    """
    if volume.geometry is None:
        return math.nan, math.nan, math.nan
    index = np.asarray(at_um, np.float64) / volume.voxel_size_um - 0.5  # of voxel centres
    right, anterior, superior = (np.asarray(volume.geometry.affine)[:3] @ [*index, 1.0]).tolist()
    return right, anterior, superior


def _compared(
    reference: Reference, objects: Path, classes: Mapping[str, ObjectsMetadata], volume: Store
) -> dict[str, Agreement]:
    reader, slab = reference.reader(volume), volume.shard_slices
    painted = {name: Domains(objects, metadata) for name, metadata in classes.items()}
    overlaps = {name: Overlap(volume.shape) for name in classes}
    # Decoding the image is the cost of this, so all classes share one reading of the whole of it.
    for start, stop in shard_bounds(0, volume.shape[0], slab):
        values = reader.read(start, stop)
        for name, overlap in overlaps.items():
            overlap.add(start, painted[name].read(start, stop) > 0, reference.shows(values, name))
    found = {}
    for name, overlap in overlaps.items():

        def mine(start: int, stop: int, of: Domains = painted[name]) -> NDArray[np.bool_]:
            return of.read(start, stop) > 0

        def its(start: int, stop: int, name: str = name) -> NDArray[np.bool_]:
            return reference.shows(reader.read(start, stop), name)

        found[name] = agreement(overlap, mine, its, classes[name].voxel_size_um, slab)
        if not found[name].voxels:
            LOG.warning("%s: the reference shows no %s", reference.scan.reference, name)
    if not any(one.voxels for one in found.values()):
        wanted = ", ".join(f"{name} {value}" for name, value in reference.values.items())
        problem = f"the reference holds none of the values of the classes ({wanted})"
        raise InputError(Fault(reference.scan.reference, "", problem, "Export it with the values of `classes`."))
    return found
