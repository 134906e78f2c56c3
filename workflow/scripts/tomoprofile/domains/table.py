"""From probabilities to objects and the table of domains: shards in parallel, joined as a tree, measured once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import ObjectsConfig
from ..config_profile import AUTO
from ..errors import ConfigError, Fault, InputError
from ..files import temporary_folder
from ..logs import LOG
from ..shift.alarm import Familiarity
from ..tables import BAND, CALIBRATED, DOMAINS
from ..volume.grey import GreyScale
from ..volume.plane import Plane
from ..volume.probability import threshold_of
from ..volume.store import Store, open_store
from .measures import Columns, Frame
from .objects import ObjectsMetadata, Runs, facts_of, write_objects
from .parts import Filter, Grid, Part, finish, join, part_of
from .runs import Int64, extract_runs, instance_runs
from .sums import Sums, Values, grey_reference
from .waiting import Key, WaitingRuns
from .workers import Here, Workers

_THICK = 1.5  # times as thick as a voxel is wide: then one slice may hold a whole domain


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
        Store of given labels (uint32, 0 is background): each label is a domain, whatever touches it and however many
        pieces it has, and is measured as if it were alone. The column ``label`` tells its label.
    is_mask : bool
        Whether a mask was given: its 0 and 1 are not probabilities, so the confidence is unknown, NaN.
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
    """A level of probability, and the files for its objects.

    Attributes
    ----------
    probability : dict of str to float
        By class, above 0 and at most 1: voxels with this probability or more are foreground.
    objects : Path
        Objects file: runs with their domain.
    table : Path
        One row per domain (docs/outputs.md).
    """

    probability: Mapping[str, float]
    objects: Path
    table: Path


@dataclass(frozen=True)
class Inputs:
    """What the parts of a scan are measured from; light, as it goes to every worker.

    Attributes
    ----------
    scan : Segmented
    thresholds : dict of dict
        By class and level, the smallest value of the foreground.
    grid : Grid
    waiting : WaitingRuns
    one_piece : frozenset of str
        Classes of which only the largest domain is kept.
    """

    scan: Segmented
    thresholds: dict[str, dict[str, int]]
    grid: Grid
    waiting: WaitingRuns
    one_piece: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Found:
    """The domains of one class at one level, numbered.

    Attributes
    ----------
    key : (str, str)
        Class and level.
    metadata : ObjectsMetadata
    sums : Sums
        Of each domain.
    numbers : list of int64 array
        For each shard the domain of each of its components, 0 for none.
    label : int64 array or None
        Of each domain, where labels were given.
    """

    key: Key
    metadata: ObjectsMetadata
    sums: Sums
    numbers: list[Int64]
    label: Int64 | None

    def runs(self, waiting: WaitingRuns, starts: Sequence[int]) -> Iterator[Runs]:
        """Yield the runs of each shard."""
        for start, number in zip(starts, self.numbers, strict=True):
            yield waiting.take(self.key, start, number)


def measure_domains(
    scan: Segmented,
    interface: Path,
    levels: Mapping[str, Level],
    objects: ObjectsConfig,
    *,
    one_piece: Collection[str] = (),
    workers: Workers | None = None,
    familiarity: Path | None = None,
) -> dict[str, int]:
    """Find the objects of a scan, class by class at several levels of probability, and measure them.

    Both stores are read once. Integer columns, and those derived from integers, depend neither on how the scan is cut
    into shards nor on who measures them. Grey values of float scans may differ in their last digits.

    Parameters
    ----------
    scan : Segmented
    interface : Path
        The substrate plane (``interface.json``).
    levels : dict of Level
        The one called ``calibrated`` gets all columns; the others get only size and place, as the boundary band needs.
    objects : ObjectsConfig
        Connectivity, and how small an object may be.
    one_piece : collection of str
        Classes of which only the largest domain is kept at each level, after the merge; objects of given labels stay.
    workers : Workers, optional
        Who measures the shards; by default this process.
    familiarity : Path, optional
        ``familiarity.json``; all domains are flagged when the scan is unlike those its model has seen.

    Returns
    -------
    dict
        Number of domains of each class at the calibrated level.

    Raises
    ------
    ConfigError
        When a level is not above 0 and at most 1, or a class of one piece is not measured.
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
    _refuse_unmeasured(one_piece, classes)
    thresholds = {name: {level: threshold_of(of.probability[name]) for level, of in levels.items()} for name in classes}
    grey = open_store(scan.volume)
    grid = _grid(scan, grey, classes, objects)
    shards = open_store(scan.probability, classes[0]).shards()
    flag = Familiarity.load(familiarity).flag if familiarity else ""
    frame = Frame(plane, grey.grey, grid.reference, scan.is_mask, flag)
    with temporary_folder(levels[CALIBRATED].objects) as folder:
        kept = frozenset() if scan.instances else frozenset(one_piece)
        inputs = Inputs(scan, thresholds, grid, WaitingRuns(folder, grey.shape[1]), kept)
        parts = (workers or Here()).reduce(partial(_measure_shard, inputs), shards, partial(_join_all, grid))
        for level, of in levels.items():
            found = [_numbered(inputs, (name, level), of, parts[name, level], grey.shape) for name in classes]
            starts = [start for start, _ in shards]
            write_objects(of.objects, [(one.metadata, one.runs(inputs.waiting, starts)) for one in found])
            _refuse_shared_labels(found, scan)
            _write_table(of.table, found, frame)
            for of_class in (one.metadata for one in found):
                told = (scan.probability.parent.name, of_class.n_domains, of_class.name, of_class.level)
                LOG.info("%s: %d objects of class %s at probability %.3f", *told)
                if of_class.left_out and of_class.left_out[0]:
                    LOG.info("class %s: %d smaller objects with %d voxels left out", of_class.name, *of_class.left_out)
            if level == CALIBRATED:
                counts = {one.metadata.name: one.metadata.n_domains for one in found}
    return counts


def _grid(scan: Segmented, grey: Store, classes: Sequence[str], objects: ObjectsConfig) -> Grid:
    """Return what all parts of a scan share, after checking that its stores belong together."""
    others = [open_store(scan.probability, name) for name in classes]
    others += [open_store(scan.instances)] if scan.instances else []
    for store in others:
        if store.shape != grey.shape:
            problem = f"the grey values have {grey.shape} voxels"
            raise InputError(Fault(str(store.path), str(store.shape), problem, "Run the workflow again."))
    middle = grey.shape[0] // 2
    reference = _reference(grey.dtype, grey.read(middle, middle + 1))
    noise = Filter(objects.min_voxels, _least_slices(scan, grey.voxel_size_um, objects))
    return Grid(grey.voxel_size_um, objects.connectivity, noise, grey.dtype, reference)


def _least_slices(scan: Segmented, voxel_size_um: tuple[float, float, float], objects: ObjectsConfig) -> int:
    """Return in how many slices an object must be."""
    if objects.min_slices != AUTO:
        return int(objects.min_slices)
    thick = voxel_size_um[0] > _THICK * min(voxel_size_um[1:])
    return 1 if thick or scan.is_mask or scan.instances else 2


def _numbered(inputs: Inputs, key: Key, level: Level, part: Part, shape: tuple[int, int, int]) -> Found:
    name, grid = key[0], inputs.grid
    part = finish(part, grid)
    domain_id, left_out = number_domains(part.sums, grid.filter, shape[0]), None
    if name in inputs.one_piece:
        domain_id, left_out = largest_alone(part.sums, domain_id)
    sums = part.sums.rows(domain_id > 0)
    sums.refuse_overflow(shape, str(inputs.scan.probability))
    metadata = ObjectsMetadata(
        name,
        float(level.probability[name]),
        grid.connectivity,
        grid.filter.min_voxels,
        shape,
        grid.voxel_size_um,
        len(sums),
        left_out,
        grid.filter.min_slices,
    )
    label = None if part.instances is None else part.instances[domain_id > 0].astype(np.int64)
    return Found(key, metadata, sums, [domain_id[components] for components in part.labels], label)


def measure_array(
    probability: NDArray[np.uint8],
    grey: NDArray[Any],
    voxel_size_um: tuple[float, float, float],
    *,
    level: float = 0.5,
    connectivity: int = 26,
    min_voxels: int = 1,
    min_slices: int = 1,
    plane: Plane | None = None,
    slices: int | None = None,
) -> Columns:
    """Return the columns of the table of domains of an array in memory.

    Parameters
    ----------
    probability : uint8 array (z, y, x)
        Probability of being a domain, 255 = 1; for example a mask of 0 and 255.
    grey : array (z, y, x)
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x).
    level, connectivity, min_voxels, min_slices
        As in the configuration.
    plane : Plane, optional
        Where depth is measured from; by default the face z = 0.
    slices : int, optional
        Cut into parts of so many slices, which does not change the result.
    """
    reference = _reference(grey.dtype, grey[len(grey) // 2])
    noise = Filter(min_voxels, min_slices)
    grid = Grid(voxel_size_um, connectivity, noise, grey.dtype, reference)
    step = slices or len(probability)
    bounds = [(start, min(start + step, len(probability))) for start in range(0, len(probability), step)]

    def measure(bound: tuple[int, int]) -> Part:
        values = Values(grey[slice(*bound)], probability[slice(*bound)])
        return part_of(extract_runs(values.probability, threshold_of(level)), grid, bound[0], values=values)[0]

    part = finish(Here().reduce(measure, bounds, partial(join, grid=grid)), grid)
    shape = probability.shape
    sums = part.sums.rows(number_domains(part.sums, noise, shape[0]) > 0)
    metadata = ObjectsMetadata(
        "domain", level, connectivity, min_voxels, shape, voxel_size_um, len(sums), min_slices=min_slices
    )
    return Frame(plane or Plane((1.0, 0.0, 0.0), 0.0), GreyScale(), reference).columns(sums, metadata)


def number_domains(sums: Sums, noise: Filter, n_slices: int) -> Int64:
    """Return the domain of each component: 1..n by first voxel in raster order, 0 for those that are noise."""
    kept = noise.keeps(sums, n_slices)
    return np.where(kept, np.cumsum(kept), 0)


def largest_alone(sums: Sums, domain_id: Int64) -> tuple[Int64, tuple[int, int]]:
    """Return the domain of each component when only the largest is kept, the first of equal ones, and what is not.

    Parameters
    ----------
    sums : Sums
        Of each component.
    domain_id : int64 array (components,)
        As :func:`number_domains` returns it.

    Returns
    -------
    domain_id : int64 array (components,)
        1 for the largest, 0 for all others.
    left_out : tuple of int
        Number and voxels of the domains that are left out.
    """
    voxels = np.where(domain_id > 0, sums.voxels, 0)
    alone = np.zeros_like(domain_id)
    if voxels.any():
        alone[voxels.argmax()] = 1
    others = (domain_id > 0) & (alone == 0)
    return alone, (int(others.sum()), int(voxels[others].sum()))


def _refuse_unmeasured(one_piece: Collection[str], classes: Sequence[str]) -> None:
    unknown = [name for name in one_piece if name not in classes]
    if unknown:
        remedy = f"Measured classes: {', '.join(classes)}."
        problem = "`one_piece` of the model names a class that is not measured"
        raise ConfigError(Fault("one_piece", ", ".join(unknown), problem, remedy))


def _reference(dtype: Any, typical: NDArray[Any]) -> np.int64 | np.float64:
    known = typical[np.isfinite(typical)]
    return grey_reference(dtype, float(np.median(known)) if known.size else 0.0)


def _measure_shard(inputs: Inputs, shard: tuple[int, int]) -> dict[Key, Part]:
    """Measure the slices of one shard, each class at each level, and let its runs wait."""
    start, stop = shard
    scan = inputs.scan
    grey = open_store(scan.volume).read(start, stop)
    instances = open_store(scan.instances).read(start, stop) if scan.instances else None
    parts = {}
    for name, thresholds in inputs.thresholds.items():
        certain = open_store(scan.probability, name).read(start, stop)
        label = None
        if instances is not None:
            # With one class there is no need to look which it is: that saves a pass over the voxels.
            own = instances if len(inputs.thresholds) == 1 else np.where(certain > 0, instances, 0)
            runs, label = instance_runs(own)
        for level, threshold in thresholds.items():
            if label is None:
                runs = extract_runs(certain, threshold)
            values = Values(grey, certain) if level == CALIBRATED else None
            parts[name, level], component = part_of(runs, inputs.grid, start, values=values, label=label)
            inputs.waiting.put((name, level), start, runs, component)
    return parts


def _join_all(grid: Grid, upper: dict[Key, Part], lower: dict[Key, Part]) -> dict[Key, Part]:
    return {key: join(upper[key], lower[key], grid) for key in upper}


def _write_table(out: Path, found: Sequence[Found], frame: Frame) -> None:
    """Write the table of domains of all classes, one class after the other."""
    rows = [frame.columns(one.sums, one.metadata) for one in found]
    for columns, one in zip(rows, found, strict=True):
        if one.label is not None:
            columns["label"] = one.label
    together = {name: np.concatenate([columns[name] for columns in rows]) for name in rows[0]}
    facts = facts_of(one.metadata for one in found)
    if frame.plane.axis is not None:
        facts["interface"] = {"normal": frame.plane.normal, "offset_um": frame.plane.offset_um}
    (DOMAINS if found[0].sums.detailed else BAND).write(out, together, facts, frame.grey.unit)


def _refuse_shared_labels(found: Sequence[Found], scan: Segmented) -> None:
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
