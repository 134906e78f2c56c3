"""From probabilities to objects and the table of domains: shards in parallel, joined as a tree, measured once (P16)."""

from __future__ import annotations

from collections.abc import Mapping
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
from ..volume.store import open_store
from . import measures
from .axes import covariance, principal_axes
from .objects import ObjectsMetadata, Runs, write_objects
from .parts import Grid, Part, finish, join, part_of
from .runs import Int64, RowRuns, extract_runs, instance_runs
from .sums import Sums, grey_reference
from .workers import Here, Workers

_DOMAIN = 1  # class of a domain; classes of other kinds of objects would follow


@dataclass(frozen=True)
class Level:
    """A level of probability, and the files that its objects go to.

    Attributes
    ----------
    probability : float
        Voxels with this probability or more are foreground; above 0 and at most 1.
    objects : Path
        Objects file: runs with their domain.
    table : Path
        One row a domain (docs/outputs.md).
    """

    probability: float
    objects: Path
    table: Path


@dataclass(frozen=True)
class Inputs:
    """What the parts of a scan are measured from; light, as it goes to every worker.

    Attributes
    ----------
    probability, volume : Path
        Stores of stored probabilities (uint8, 255 = 1) and of grey values.
    instances : Path or None
        Store of given labels (uint32).
    thresholds : dict
        Smallest value of the foreground at each level.
    grid : Grid
    folder : Path
        Where runs wait for the numbers of their domains.
    """

    probability: Path
    volume: Path
    instances: Path | None
    thresholds: dict[str, int]
    grid: Grid
    folder: Path


def measure_domains(
    probability: Path,
    volume: Path,
    interface: Path,
    levels: Mapping[str, Level],
    objects: ObjectsConfig,
    *,
    workers: Workers | None = None,
    familiarity: Path | None = None,
    instances: Path | None = None,
    is_mask: bool = False,
) -> int:
    """Find the objects of a scan at several levels of probability, and measure them.

    Both stores are read once. Integer columns, and those derived from integers, do not depend on how the scan is cut
    into shards, nor on who measures them. Grey values of float scans may differ in their last digits.

    Parameters
    ----------
    probability, volume : Path
        Stores of probabilities (uint8, 255 = 1) and of grey values.
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
    instances : Path, optional
        Store of given labels (uint32, 0 none): each label is a domain, whatever touches it and however many pieces it
        has. Its number is in the column ``label``.
    is_mask : bool
        Whether a mask was given: its 0 and 1 are no probabilities, so the confidence is unknown, NaN.

    Returns
    -------
    int
        Domains at the calibrated level.

    Raises
    ------
    ConfigError
        When a level makes no sense.
    InputError
        When the interface cannot be trusted, or the stores have different shapes.
    StoreError
        When a store cannot be read.
    StageError
        When a domain is too large for 64-bit sums.
    """
    thresholds = {name: threshold_of(level.probability) for name, level in levels.items()}
    certain, grey = open_store(probability), open_store(volume)
    plane = Plane.load(interface)
    others = (grey, *([open_store(instances)] if instances else []))
    for store in others:
        if store.shape != certain.shape:
            problem = f"the probabilities are of {certain.shape} voxels"
            raise InputError(Fault(str(store.path), str(store.shape), problem, "Run the workflow again."))
    middle = certain.shape[0] // 2
    grid = Grid(
        certain.shape[1],
        certain.voxel_size_um,
        objects.connectivity,
        objects.min_voxels,
        grey.dtype,
        _reference(grey.dtype, grey.read(middle, middle + 1)),
    )
    shards = certain.shards()
    with temporary_folder(levels[CALIBRATED].objects) as folder:
        inputs = Inputs(probability, volume, instances, thresholds, grid, folder)
        found = (workers or Here()).reduce(partial(_measure_shard, inputs), shards, partial(_join_levels, grid))
        of_model = Familiarity.load(familiarity).flag if familiarity else ""
        count = 0
        for name, level in levels.items():
            part = finish(found[name], grid)
            domain_id = number_domains(part.sums, objects.min_voxels)
            n_domains = int(domain_id.max(initial=0))
            sums = part.sums.rows(domain_id > 0)
            sums.refuse_overflow(certain.shape, str(probability))
            metadata = ObjectsMetadata(
                float(level.probability),
                objects.connectivity,
                objects.min_voxels,
                certain.shape,
                certain.voxel_size_um,
                n_domains,
            )
            numbers = (domain_id[label] for label in part.labels)
            waiting = zip(shards, numbers, strict=True)
            runs = (_load(folder, name, start, certain.shape[1], number) for (start, _), number in waiting)
            write_objects(level.objects, metadata, runs)
            columns = _columns(sums, metadata, plane, grey.grey, grid)
            if is_mask and "confidence" in columns:
                columns["confidence"] = np.full(n_domains, np.nan)
            if part.instances is not None:
                columns["label"] = part.instances[domain_id > 0].astype(np.int64)
            columns["flag"] = measures.flags(sums, of_model) if name == CALIBRATED else [of_model] * n_domains
            facts = {**vars(metadata), "interface": {"normal": plane.normal, "offset_um": plane.offset_um}}
            (DOMAINS if name == CALIBRATED else BAND).write(level.table, columns, facts, grey.grey.unit)
            LOG.info("%s: %d domains at probability %.3f", probability.parent.name, n_domains, level.probability)
            if name == CALIBRATED:
                count = n_domains
    return count


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
    metadata = ObjectsMetadata(level, connectivity, min_voxels, shape, voxel_size_um, len(sums))
    return _columns(sums, metadata, plane or Plane((1.0, 0.0, 0.0), 0.0), GreyScale(), grid)


def number_domains(sums: Sums, min_voxels: int) -> Int64:
    """Return the domain of each component: 1..n by first voxel in raster order, 0 for smaller ones."""
    large = sums.voxels >= min_voxels
    return np.where(large, np.cumsum(large), 0)


def _reference(dtype: Any, typical: NDArray[Any]) -> np.int64 | np.float64:
    known = typical[np.isfinite(typical)]
    return grey_reference(dtype, float(np.median(known)) if known.size else 0.0)


def _measure_shard(inputs: Inputs, shard: tuple[int, int]) -> dict[str, Part]:
    """Measure the slices of one shard at each level, and leave its runs in the folder."""
    start, stop = shard
    certain = open_store(inputs.probability).read(start, stop)
    values = open_store(inputs.volume).read(start, stop), certain
    label = None
    if inputs.instances:
        runs, label = instance_runs(open_store(inputs.instances).read(start, stop))
    parts = {}
    for name, threshold in inputs.thresholds.items():
        if label is None:
            runs = extract_runs(certain, threshold)
        detail = values if name == CALIBRATED else None
        parts[name], component = part_of(runs, inputs.grid, start, values=detail, label=label)
        for kind, array in (*runs._asdict().items(), ("component", component)):
            np.save(inputs.folder / f"{name}_{start}_{kind}.npy", array, allow_pickle=False)
    return parts


def _join_levels(grid: Grid, upper: dict[str, Part], lower: dict[str, Part]) -> dict[str, Part]:
    return {name: join(upper[name], lower[name], grid) for name in upper}


def _load(folder: Path, name: str, start: int, ny: int, domain_id: Int64) -> Runs:
    """Return the runs of the shard that begins at slice ``start``, without those of dropped objects."""
    kinds = (*RowRuns._fields, "component")
    row_ptr, x_start, x_stop, component = (np.load(folder / f"{name}_{start}_{kind}.npy") for kind in kinds)
    row = np.repeat(np.arange(len(row_ptr) - 1, dtype=np.int32), np.diff(row_ptr))
    runs = Runs(start + row // ny, row % ny, x_start, x_stop, domain_id[component])
    return runs.at(runs.domain_id > 0)


def _columns(sums: Sums, metadata: ObjectsMetadata, plane: Plane, grey: GreyScale, grid: Grid) -> measures.Columns:
    edges = metadata.voxel_size_um
    columns: measures.Columns = {
        "domain_id": np.arange(1, len(sums) + 1),
        "class": np.full(len(sums), _DOMAIN, np.int16),
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
