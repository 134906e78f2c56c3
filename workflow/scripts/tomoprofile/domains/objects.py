"""The objects file: runs of foreground with their class and domain, one Parquet row group per class and shard.

Classes follow each other, each from its first slice to its last. Readers rely on that order, and on row groups that
belong to one class and end with a slice, but not on the shards of any store: another program may write the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit
from numpy.typing import NDArray

from ..errors import Fault, InputError, StageError
from ..files import intact, sealed_file
from ..tables import OBJECTS, encoded, read_rows, units_of

CLASS = "class"
COLUMNS = {field.name: field.type.to_pandas_dtype() for field in OBJECTS.schema if field.name != CLASS}
_MOST_RUNS = 2**26  # the writer would split a larger row group in the middle of a slice
_REMEDY = "docs/outputs.md describes the file; remove it and run the workflow again."


@dataclass(frozen=True)
class Runs:
    """The runs of one row group, in raster order.

    Attributes
    ----------
    z, y : int32 array (runs,)
        Row of each run, in voxels.
    x_start, x_stop : int32 array (runs,)
        First voxel, and one past the last.
    domain_id : int64 array (runs,)
        Domain, from 1.
    """

    z: NDArray[np.int32]
    y: NDArray[np.int32]
    x_start: NDArray[np.int32]
    x_stop: NDArray[np.int32]
    domain_id: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.z)

    def at(self, part: Any) -> Runs:
        """Return some of the runs, chosen by a numpy index."""
        return Runs(*(getattr(self, name)[part] for name in COLUMNS))


@dataclass(frozen=True)
class ObjectsMetadata:
    """How voxels became the domains of a class.

    Attributes
    ----------
    name : str
        The class.
    level : float
        Probability from which a voxel belongs to a domain.
    connectivity : int
        6 or 26.
    min_voxels : int
        Smaller objects were dropped.
    shape : tuple of int
        Voxels of the scan along (z, y, x).
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x) in micrometres.
    n_domains : int
        Domains are numbered 1..n_domains.
    left_out : tuple of int or None
        Number and voxels of the domains left out where only the largest is kept; None where all are.
    min_slices : int
        Objects in fewer slices were dropped.
    """

    name: str
    level: float
    connectivity: int
    min_voxels: int
    shape: tuple[int, int, int]
    voxel_size_um: tuple[float, float, float]
    n_domains: int
    left_out: tuple[int, int] | None = None
    min_slices: int = 1


_OF_SCAN = ("connectivity", "min_voxels", "min_slices", "shape", "voxel_size_um")  # the same for all classes
_OF_CLASS = ("level", "n_domains", "left_out")


def facts_of(classes: Iterable[ObjectsMetadata]) -> dict[str, Any]:
    """Return what the metadata of a table say about how voxels became the domains of each class."""
    every = list(classes)
    facts: dict[str, Any] = {name: getattr(every[0], name) for name in _OF_SCAN}
    return facts | {"classes": {one.name: {name: getattr(one, name) for name in _OF_CLASS} for one in every}}


def read_objects_metadata(objects: Path) -> dict[str, ObjectsMetadata]:
    """Return how voxels became domains, by class, in the order of the file.

    Raises
    ------
    InputError
        When the file is not an objects file.
    """
    try:
        schema = pq.read_schema(intact(objects))
        stored = schema.metadata or {}
        values = {name: json.loads(stored[name.encode()]) for name in (*_OF_SCAN, "classes")}
        for name in (CLASS, *COLUMNS):
            schema.field(name)
        if not values["classes"]:
            raise ValueError("it names no class")
        nz, ny, nx = values["shape"]
        ez, ey, ex = values["voxel_size_um"]
        return {
            name: ObjectsMetadata(
                name,
                float(own["level"]),
                int(values["connectivity"]),
                int(values["min_voxels"]),
                (int(nz), int(ny), int(nx)),
                (float(ez), float(ey), float(ex)),
                int(own["n_domains"]),
                _pair(own.get("left_out")),
                int(values["min_slices"]),
            )
            for name, own in values["classes"].items()
        }
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        problem = f"not an objects file of this version: {error!r}"
        raise InputError(Fault(str(objects), "", problem, _REMEDY)) from None


def _pair(value: Any) -> tuple[int, int] | None:
    return None if value is None else (int(value[0]), int(value[1]))


def filled_row_groups(objects: Path, name: str) -> list[int]:
    """Return the numbers of the row groups that hold runs of a class."""
    metadata = pq.read_metadata(intact(objects))
    filled = [group for group in range(metadata.num_row_groups) if metadata.row_group(group).num_rows]
    return [group for group in filled if _classes_in(objects, group) == [name]]


def _classes_in(objects: Path, group: int) -> list[str]:
    column = read_rows(objects, [CLASS], group=group)[CLASS]
    try:
        return column.unique().to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise InputError(Fault(str(objects), f"row group {group}", f"it cannot be read: {error}", _REMEDY)) from None


def read_runs(objects: Path, group: int, metadata: ObjectsMetadata) -> Runs:
    """Return the runs of one row group.

    Parameters
    ----------
    objects : Path
        Objects file.
    group : int
        Row group.
    metadata : ObjectsMetadata
        What the file says about the class.

    Raises
    ------
    InputError
        When runs lie outside the scan, overlap, are not in raster order, or name unknown domains.
    """
    table = read_rows(objects, list(COLUMNS), group=group)
    try:
        runs = Runs(*(table[name].to_numpy().astype(dtype, copy=False) for name, dtype in COLUMNS.items()))
    except ValueError as error:
        raise InputError(Fault(str(objects), f"row group {group}", f"it cannot be read: {error}", _REMEDY)) from None
    bad = _first_fault(runs.z, runs.y, runs.x_start, runs.x_stop, runs.domain_id, metadata.shape, metadata.n_domains)
    if bad >= 0:
        got = ", ".join(f"{name}={getattr(runs, name)[bad]}" for name in COLUMNS)
        problem = (
            f"run {bad} of row group {group} is outside the scan, out of order, not maximal, or not of a known domain"
        )
        raise InputError(Fault(str(objects), got, problem, _REMEDY))
    return runs


def iter_runs(objects: Path, metadata: ObjectsMetadata) -> Iterator[Runs]:
    """Yield the runs of a class, one row group after the other, with one in memory at a time.

    Raises
    ------
    InputError
        When the runs cannot be trusted.
    """
    last_z = -1
    for group in filled_row_groups(objects, metadata.name):
        runs = read_runs(objects, group, metadata)
        refuse_split_slice(objects, last_z, int(runs.z[0]))
        last_z = int(runs.z[-1])
        yield runs


def refuse_split_slice(objects: Path, last_z: int, first_z: int) -> None:
    """Raise an :class:`InputError` unless a row group begins after the last slice of the one before."""
    if first_z <= last_z:
        problem = "row groups must end with a slice and follow each other along z"
        raise InputError(Fault(str(objects), f"slice {first_z} after {last_z}", problem, _REMEDY))


def write_objects(out: Path, classes: Sequence[tuple[ObjectsMetadata, Iterable[Runs]]]) -> None:
    """Write an objects file, one row group per class and shard, which may be empty.

    Parameters
    ----------
    out : Path
        The file; it appears once it is complete.
    classes : sequence of tuple
        For each class, how voxels became domains, and its runs shard by shard in the order of z; one shard is in
        memory at a time.

    Raises
    ------
    StageError
        When there are too many runs for one row group: that is noise, not a segmentation.
    """
    facts = facts_of(one for one, _ in classes) | {"units": units_of(OBJECTS.schema)}
    schema = OBJECTS.schema.with_metadata(encoded(facts))
    # Neighbouring rows differ little: differences take a byte where plain integers take four.
    delta = dict.fromkeys(COLUMNS, "DELTA_BINARY_PACKED")
    with (
        sealed_file(out) as partial,
        pq.ParquetWriter(
            partial,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[CLASS],
            column_encoding=delta,
            write_page_checksum=True,
        ) as file,
    ):
        names = pa.array([one.name for one, _ in classes], pa.string())
        for number, (_, shards) in enumerate(classes):
            for runs in shards:
                if len(runs) > _MOST_RUNS:
                    problem = f"a shard holds more than {_MOST_RUNS} runs of foreground, as only noise does"
                    remedy = "Check the segmentation of this scan."
                    raise StageError(Fault(str(out), str(len(runs)), problem, remedy))
                of_class = pa.DictionaryArray.from_arrays(pa.array(np.full(len(runs), number, np.int32)), names)
                arrays = [of_class, *(pa.array(getattr(runs, name)) for name in COLUMNS)]
                file.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=max(1, len(runs)))


@njit(cache=True, nogil=True)
def _first_fault(z: Any, y: Any, x_start: Any, x_stop: Any, domain_id: Any, shape: Any, n_domains: Any) -> Any:
    """Return the first run that must not be used as an index, -1 when there is none."""
    nz, ny, nx = shape
    for run in range(len(z)):
        inside = 0 <= z[run] < nz and 0 <= y[run] < ny and 0 <= x_start[run] < x_stop[run] <= nx
        if not inside or not 1 <= domain_id[run] <= n_domains:
            return run
        if run:
            row, before = z[run] * ny + y[run], z[run - 1] * ny + y[run - 1]
            same_row = row == before
            # Two domains may lie side by side on a row; a domain that does so with itself has a run too many.
            gap = np.int64(domain_id[run] == domain_id[run - 1])
            if row < before or (same_row and x_start[run] < x_stop[run - 1] + gap):
                return run
    return -1
