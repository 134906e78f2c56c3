"""From probabilities to objects and the table of domains: shards in parallel, joined as a tree, measured once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import ObjectsConfig
from ..errors import Fault, InputError
from ..files import temporary_folder
from ..logs import LOG
from ..shift.alarm import Familiarity
from ..tables import BAND, CALIBRATED, DOMAINS
from ..volume.grey import GreyScale
from ..volume.plane import Plane
from ..volume.probability import threshold_of
from ..volume.store import Store, open_store
from . import measures
from .axes import covariance, principal_axes
from .objects import ObjectsMetadata, Runs, facts_of, write_objects
from .parts import Grid, Part, finish, join, part_of
from .runs import Int64, RowRuns, extract_runs, instance_runs
from .sums import Sums, grey_reference
from .workers import Here, Workers


@dataclass(frozen=True)
class Segmented:
    """A scan and what is inside its domains.

    Attributes
    ----------
    probability : Path
        Store of stored probabilities (uint8, 255 = 1), one channel a class.
    volume : Path
        Store of grey values.
    instances : Path or None
        Store of given labels (uint32, 0 none): each label is a domain, whatever touches it and however many pieces it
        has. Its number is in the column ``label``.
    is_mask : bool
        Whether a mask was given: its 0 and 1 are no probabilities, so the confidence is unknown, NaN.
    """

    probability: Path
    volume: Path
    instances: Path | None = None
    is_mask: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the measured classes."""
        return open_store(self.probability).channels


@dataclass(frozen=True)
class Level:
    """A level of probability, and the files that its objects go to.

    Attributes
    ----------
    probability : dict of str to float
        By class: voxels with this probability or more are foreground; above 0 and at most 1.
    objects : Path
        Objects file: runs with their domain.
    table : Path
        One row a domain (docs/outputs.md).
    """

    probability: Mapping[str, float]
    objects: Path
    table: Path


Key = tuple[str, str]  # class and level


@dataclass(frozen=True)
class Inputs:
    """What the parts of a scan are measured from; light, as it goes to every worker.

    Attributes
    ----------
    scan : Segmented
    thresholds : dict of dict
        By class and level, the smallest value of the foreground.
    grid : Grid
    folder : Path
        Where runs wait for the numbers of their domains.
    """

    scan: Segmented
    thresholds: dict[str, dict[str, int]]
    grid: Grid
    folder: Path


def measure_domains(
    scan: Segmented,
    interface: Path,
    levels: Mapping[str, Level],
    objects: ObjectsConfig,
    *,
    workers: Workers | None = None,
    familiarity: Path | None = None,
) -> dict[str, int]:
    """Find the objects of a scan, class by class at several levels of probability, and measure them.

    Both stores are read once. Integer columns, and those derived from integers, do not depend on how the scan is cut
    into shards, nor on who measures them. Grey values of float scans may differ in their last digits.

    Parameters
    ----------
    scan : Segmented
    interface : Path
        The substrate plane (``interface.json``).
    levels : dict of Level
        The one called ``calibrated`` gets all columns, the others those of size and place, which a boundary band needs.
    objects : ObjectsConfig
        Connectivity, and how small an object may be.
    workers : Workers, optional
        Who measures the shards; without any, this process.
    familiarity : Path, optional
        ``familiarity.json``; every domain of a scan unlike those its model has seen is flagged.

    Returns
    -------
    dict
        Domains of each class at the calibrated level.

    Raises
    ------
    ConfigError
        When a level makes no sense.
    InputError
        When the interface cannot be trusted, the stores have different shapes, or an object of a label volume lies in
        two classes.
    StoreError
        When a store cannot be read, or lacks a class.
    StageError
        When a domain is too large for 64-bit sums.
    """
    plane = Plane.load(interface)
    classes = tuple(levels[CALIBRATED].probability)
    thresholds = {name: {level: threshold_of(of.probability[name]) for level, of in levels.items()} for name in classes}
    grey = open_store(scan.volume)
    grid = _grid(scan, grey, classes, objects)
    shards = open_store(scan.probability, classes[0]).shards()
    of_model = Familiarity.load(familiarity).flag if familiarity else ""
    with temporary_folder(levels[CALIBRATED].objects) as folder:
        inputs = Inputs(scan, thresholds, grid, folder)
        parts = (workers or Here()).reduce(partial(_measure_shard, inputs), shards, partial(_join_all, grid))
        for level, of in levels.items():
            found = [_numbered(inputs, (name, level), of, parts[name, level], grey.shape) for name in classes]
            write_objects(of.objects, [(one.metadata, one.runs(folder, shards)) for one in found])
            _write_table(level, of.table, found, scan, plane, grey.grey, grid, of_model)
            for one in found:
                told = (scan.probability.parent.name, one.metadata.n_domains, one.metadata.name, of.probability)
                LOG.info("%s: %d objects of class %s at probability %.3f", *told[:3], told[3][told[2]])
            if level == CALIBRATED:
                counts = {one.metadata.name: one.metadata.n_domains for one in found}
    return counts


def _grid(scan: Segmented, grey: Store, classes: Sequence[str], objects: ObjectsConfig) -> Grid:
    """Return what all parts of a scan share, after a look at whether its stores belong together."""
    others = [open_store(scan.probability, name) for name in classes]
    others += [open_store(scan.instances)] if scan.instances else []
    for store in others:
        if store.shape != grey.shape:
            problem = f"the grey values have {grey.shape} voxels"
            raise InputError(Fault(str(store.path), str(store.shape), problem, "Run the workflow again."))
    middle = grey.shape[0] // 2
    reference = _reference(grey.dtype, grey.read(middle, middle + 1))
    edges = grey.voxel_size_um
    return Grid(grey.shape[1], edges, objects.connectivity, objects.min_voxels, grey.dtype, reference)


@dataclass(frozen=True)
class _Class:
    """The domains of one class at one level, numbered."""

    key: Key
    metadata: ObjectsMetadata
    sums: Sums
    numbers: list[Int64]  # the domain of each component of each shard
    label: Int64 | None  # of objects that came with a number

    def runs(self, folder: Path, shards: Sequence[tuple[int, int]]) -> Iterator[Runs]:
        """Yield the runs of each shard."""
        for (start, _), number in zip(shards, self.numbers, strict=True):
            yield _load(folder, self.key, start, self.metadata.shape[1], number)


def _numbered(inputs: Inputs, key: Key, level: Level, part: Part, shape: tuple[int, int, int]) -> _Class:
    name, grid = key[0], inputs.grid
    part = finish(part, grid)
    domain_id = number_domains(part.sums, grid.min_voxels)
    sums = part.sums.rows(domain_id > 0)
    sums.refuse_overflow(shape, str(inputs.scan.probability))
    metadata = ObjectsMetadata(
        name, float(level.probability[name]), grid.connectivity, grid.min_voxels, shape, grid.voxel_size_um, len(sums)
    )
    label = None if part.instances is None else part.instances[domain_id > 0].astype(np.int64)
    return _Class(key, metadata, sums, [domain_id[components] for components in part.labels], label)


def measure_array(
    probability: NDArray[np.uint8],
    grey: NDArray[Any],
    voxel_size_um: tuple[float, float, float],
    *,
    level: float = 0.5,
    connectivity: int = 26,
    min_voxels: int = 1,
    plane: Plane | None = None,
    slices: int | None = None,
) -> measures.Columns:
    """Return the columns of the table of domains of an array in memory.

    Parameters
    ----------
    probability : uint8 array (z, y, x)
        Probability of being a domain, 255 = 1; a mask of 0 and 255 for example.
    grey : array (z, y, x)
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x).
    level, connectivity, min_voxels
        As in the configuration.
    plane : Plane, optional
        Where depth is measured from; by default the face z = 0.
    slices : int, optional
        Cut into parts of so many slices, which makes no difference.
    """
    grid = Grid(
        probability.shape[1],
        voxel_size_um,
        connectivity,
        min_voxels,
        grey.dtype,
        _reference(grey.dtype, grey[len(grey) // 2]),
    )
    step = slices or len(probability)
    bounds = [(start, min(start + step, len(probability))) for start in range(0, len(probability), step)]

    def measure(bound: tuple[int, int]) -> Part:
        values = grey[slice(*bound)], probability[slice(*bound)]
        return part_of(extract_runs(values[1], threshold_of(level)), grid, bound[0], values=values)[0]

    part = finish(Here().reduce(measure, bounds, partial(join, grid=grid)), grid)
    sums = part.sums.rows(number_domains(part.sums, min_voxels) > 0)
    shape = probability.shape
    metadata = ObjectsMetadata("domain", level, connectivity, min_voxels, shape, voxel_size_um, len(sums))
    return _columns(sums, metadata, plane or Plane((1.0, 0.0, 0.0), 0.0), GreyScale(), grid)


def number_domains(sums: Sums, min_voxels: int) -> Int64:
    """Return the domain of each component: 1..n by first voxel in raster order, 0 for smaller ones."""
    large = sums.voxels >= min_voxels
    return np.where(large, np.cumsum(large), 0)


def _reference(dtype: Any, typical: NDArray[Any]) -> np.int64 | np.float64:
    known = typical[np.isfinite(typical)]
    return grey_reference(dtype, float(np.median(known)) if known.size else 0.0)


def _measure_shard(inputs: Inputs, shard: tuple[int, int]) -> dict[Key, Part]:
    """Measure the slices of one shard, each class at each level, and leave its runs in the folder."""
    start, stop = shard
    scan = inputs.scan
    grey = open_store(scan.volume).read(start, stop)
    instances = open_store(scan.instances).read(start, stop) if scan.instances else None
    parts = {}
    for name, thresholds in inputs.thresholds.items():
        certain = open_store(scan.probability, name).read(start, stop)
        label = None
        if instances is not None:
            # One class needs no look at which it is: that saves a pass over the voxels.
            own = instances if len(inputs.thresholds) == 1 else np.where(certain > 0, instances, 0)
            runs, label = instance_runs(own)
        for level, threshold in thresholds.items():
            if label is None:
                runs = extract_runs(certain, threshold)
            detail = (grey, certain) if level == CALIBRATED else None
            parts[name, level], component = part_of(runs, inputs.grid, start, values=detail, label=label)
            for kind, array in (*runs._asdict().items(), ("component", component)):
                np.save(_waiting(inputs.folder, (name, level), start, kind), array, allow_pickle=False)
    return parts


def _waiting(folder: Path, key: Key, start: int, kind: str) -> Path:
    """Return the file in which runs of a shard wait for the numbers of their domains."""
    name, level = key
    return folder / f"{name}_{level}_{start}_{kind}.npy"


def _join_all(grid: Grid, upper: dict[Key, Part], lower: dict[Key, Part]) -> dict[Key, Part]:
    return {key: join(upper[key], lower[key], grid) for key in upper}


def _load(folder: Path, key: Key, start: int, ny: int, domain_id: Int64) -> Runs:
    """Return the runs of the shard that begins at slice ``start``, without those of dropped objects."""
    kinds = (*RowRuns._fields, "component")
    row_ptr, x_start, x_stop, component = (np.load(_waiting(folder, key, start, kind)) for kind in kinds)
    row = np.repeat(np.arange(len(row_ptr) - 1, dtype=np.int32), np.diff(row_ptr))
    runs = Runs(start + row // ny, row % ny, x_start, x_stop, domain_id[component])
    return runs.at(runs.domain_id > 0)


def _columns(sums: Sums, metadata: ObjectsMetadata, plane: Plane, grey: GreyScale, grid: Grid) -> measures.Columns:
    edges = metadata.voxel_size_um
    columns: measures.Columns = {
        "domain_id": np.arange(1, len(sums) + 1),
        "class": np.full(len(sums), metadata.name, object),
        **measures.size(sums, edges),
        **measures.place(sums, edges, plane),
        **measures.border(sums, metadata.shape, plane),
    }
    if sums.detailed:
        axes = principal_axes(covariance(sums, edges))
        columns |= measures.surface(sums, axes, edges)
        columns |= measures.shape(axes, plane)
        columns |= measures.extent(sums)
        columns |= measures.topology(sums)
        columns |= measures.nearest(columns)
        columns |= measures.values(sums, grey, grid.reference)
    return columns


def _rows(one: _Class, scan: Segmented, plane: Plane, grey: GreyScale, grid: Grid, of_model: str) -> measures.Columns:
    """Return the columns of a class, with those that depend on how the scan was segmented."""
    columns = _columns(one.sums, one.metadata, plane, grey, grid)
    if scan.is_mask and "confidence" in columns:
        columns["confidence"] = np.full(one.metadata.n_domains, np.nan)
    if one.label is not None:
        columns["label"] = one.label
    detailed = one.key[1] == CALIBRATED
    flags = measures.flags(one.sums, of_model) if detailed else [of_model] * one.metadata.n_domains
    return columns | {"flag": np.array(flags, object)}


def _write_table(
    level: str,
    out: Path,
    found: Sequence[_Class],
    scan: Segmented,
    plane: Plane,
    grey: GreyScale,
    grid: Grid,
    of_model: str,
) -> None:
    """Write the table of domains of all classes, one class after the other."""
    _refuse_shared_labels(found, scan)
    parts = [_rows(one, scan, plane, grey, grid, of_model) for one in found]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    facts = facts_of(one.metadata for one in found)
    facts["interface"] = {"normal": plane.normal, "offset_um": plane.offset_um}
    (DOMAINS if level == CALIBRATED else BAND).write(out, columns, facts, grey.unit)


def _refuse_shared_labels(found: Sequence[_Class], scan: Segmented) -> None:
    """Raise an :class:`InputError` when an object of a label volume lies in two classes."""
    if len(found) < 2 or any(one.label is None for one in found):
        return
    labels, counts = np.unique(np.concatenate([one.label for one in found]), return_counts=True)
    if (counts > 1).any():
        label = int(labels[counts > 1][0])
        names = " and ".join(one.metadata.name for one in found if label in one.label)
        problem = f"it lies in the classes {names}"
        remedy = "Give each object voxels of one class, in the label volume or in the map of classes."
        raise InputError(Fault(str(scan.instances), f"object {label}", problem, remedy))
