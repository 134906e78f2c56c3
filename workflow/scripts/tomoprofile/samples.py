"""The sample sheet: one tab-separated row per scan. Kept light, because the Snakefile imports it."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .cells import MASK_FORMS, MaskImage, OwnMask, parse_interface, parse_mask
from .errors import ConfigError, Fault
from .files import whole_file
from .logs import LOG
from .names import RESERVED, name_problem, possible_path
from .texts import lines_of, read_text, shown

_MOST_HOURS = 1e6
_LEAST_GREY, _MOST_GREY = 1e-30, 1e30  # float32 must hold physical values and their squares
_LEAST_EDGE_UM, _MOST_EDGE_UM = 1e-4, 1e5  # of a voxel
MOST_EDGE = 100_000  # voxels; no detector is wider, and what is sized by it must stay finite
StoredType = Literal["uint8", "uint16", "int16", "float32"]
RawType = Literal[
    "uint8", "uint16", "float32", "bool", "int8", "int16", "int32", "uint32", "int64", "uint64", "float16", "float64"
]
# Known from the header alone, so that all is planned before a voxel is read.
STORED_AS: dict[str, StoredType] = dict.fromkeys(get_args(RawType), "float32")
STORED_AS |= {"bool": "uint8", "uint8": "uint8", "uint16": "uint16", "int8": "int16", "int16": "int16"}
BY_HAND = ("interface", "labels", "model", "mask", "group", "time_h")  # columns that no header holds


class Scan(BaseModel):
    """One row of the sample sheet. Shapes are those of the volume after ``slice_axis`` has become z."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the scan and of its results folder: letters, digits, `.`, `_`, `-`; at most 200, and not "
        "that of a file or folder of the results, such as `models` or `logs`.",
    )
    path: str = Field(min_length=1, description="Raw scan: a file or a folder, in one of the formats below.")
    format: str = Field(min_length=1, description="How the raw scan is stored: the name of one of the formats below.")
    dataset: str = Field(
        "",
        description="Path of the dataset inside an HDF5 file, such as `/entry/data/data`; may be empty when the "
        "file holds only one 3-D dataset.",
    )
    slice_axis: int = Field(
        0,
        ge=0,
        le=2,
        description="Axis of the raw array (0, 1, 2) that becomes z. Choose it so that slices show the interface "
        "as a line: labelling, learning and inference work on slices.",
    )
    slices: int = Field(ge=1, le=MOST_EDGE, description="Voxels along z.")
    rows: int = Field(ge=1, le=MOST_EDGE, description="Voxels along y.")
    columns: int = Field(ge=1, le=MOST_EDGE, description="Voxels along x.")
    dtype: RawType = Field(
        description="Type of the raw grey values. They are stored exactly: `uint8`, `uint16` and `int16` as they are, "
        "`bool` as 8 and `int8` as 16 bits, `int32`, `uint32`, `int64`, `uint64`, `float16`, `float32`, `float64` as "
        "`float32`. Values that do not fit are an error, never a rounding."
    )
    voxel_size_um: tuple[float, float, float] = Field(
        description="Voxel edge in micrometres: one number, or `z,y,x` when they differ."
    )
    grey_slope: float = Field(
        1.0, allow_inf_nan=False, description="Physical value = `grey_slope` · grey + `grey_offset`."
    )
    grey_offset: float = Field(0.0, ge=-_MOST_GREY, le=_MOST_GREY, description="See `grey_slope`.")
    grey_unit: str = Field("", description="Unit of the physical value, such as `1/cm`; empty when unknown.")
    interface: str = Field(
        "auto",
        description="Where the substrate ends. `auto` fits a plane; `slice:INDEX` names the first slice of resin, and "
        "depth 0 is its face towards the substrate in slices of smaller index (`slice:INDEX:below`: of larger index); "
        "slices count from 0 along z; `plane:nz,ny,nx,offset_um` is a plane whose normal points into the resin; "
        "`mask:PATH` or `mask:FILE.h5:/DATASET` is a segmentation of a rough or curved "
        "substrate, see below.",
    )
    labels: str = Field(
        "",
        description="Folder with labelled slices of this scan. Empty: the scan is segmented by its model, but does "
        "not train it.",
    )
    model: str = Field("default", description="The configured model (a key of `models`) that segments this scan.")
    mask: str = Field("", description=f"A given mask, used instead of a model: {MASK_FORMS}; see below.")
    group: str = Field(
        "",
        description="Any text: scans of one group (and time) are replicates of each other, and `index.html` "
        "compares groups. Empty: the scan is not compared.",
    )
    time_h: float | None = Field(
        None,
        ge=-_MOST_HOURS,
        le=_MOST_HOURS,
        allow_inf_nan=False,
        description="Hours since the beginning of a series, for groups that are scanned repeatedly.",
    )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        return self.slices, self.rows, self.columns

    @property
    def stored_dtype(self) -> StoredType:
        """Type of the stored grey values."""
        return STORED_AS[self.dtype]

    @property
    def raw(self) -> dict[str, Any]:
        """The columns that a header holds."""
        return self.model_dump(mode="json", exclude={*BY_HAND})

    @property
    def voxels(self) -> dict[str, Any]:
        """The columns on which stored voxels depend: those of the header, at scale 1, which changes no stored value."""
        unscaled = {"voxel_size_um": (1.0, 1.0, 1.0), "grey_slope": 1.0, "grey_offset": 0.0, "grey_unit": ""}
        return self.model_copy(update=unscaled).raw

    @property
    def own_mask(self) -> OwnMask | None:
        """The given mask, or None when a model segments the scan."""
        return parse_mask(self.mask) if self.mask else None

    @property
    def has_instances(self) -> bool:
        """Whether the given mask has objects that are labelled already."""
        return self.own_mask is not None and self.own_mask.instances is not None

    @property
    def substrate_mask(self) -> MaskImage | None:
        """The given mask of the substrate, or None when the interface is a plane."""
        kind, _, place = self.interface.partition(":")
        return parse_mask(place).binary if kind == "mask" else None

    @field_validator("voxel_size_um", mode="before")
    @classmethod
    def _one_or_three_edges(cls, value: Any) -> Any:
        if isinstance(value, str):
            parts = value.split(",")
            return tuple(parts * 3 if len(parts) == 1 else parts)
        return value

    @field_validator("voxel_size_um")
    @classmethod
    def _edges_are_positive(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if not all(_LEAST_EDGE_UM <= edge < _MOST_EDGE_UM for edge in value):
            raise ValueError(
                f"the voxel size must be a positive number of micrometres, {_LEAST_EDGE_UM:g} to {_MOST_EDGE_UM:g}"
            )
        return value

    @field_validator("grey_slope")
    @classmethod
    def _slope_is_not_zero(cls, value: float) -> float:
        if value == 0:
            raise ValueError("a slope of 0 would erase the image")
        if not _LEAST_GREY <= abs(value) <= _MOST_GREY:
            raise ValueError("no grey scale has such a slope")
        return value

    @field_validator("sample")
    @classmethod
    def _name_can_be_a_folder(cls, value: str) -> str:
        if problem := name_problem(value, RESERVED):
            raise ValueError(problem)
        return value

    @field_validator("path", "labels", "mask", "interface", "dataset", "grey_unit", "model", "group")
    @classmethod
    def _text_can_be_stored(cls, value: str) -> str:
        return possible_path(value)

    @field_validator("interface")
    @classmethod
    def _interface_is_known(cls, value: str) -> str:
        parse_interface(value)
        return value

    @field_validator("mask")
    @classmethod
    def _mask_has_a_path(cls, value: str) -> str:
        if value:
            parse_mask(value)
        return value

    @model_validator(mode="after")
    def _interface_lies_inside(self) -> Scan:
        kind, numbers = parse_interface(self.interface)
        if kind == "slice" and not 0 <= numbers[0] < self.slices:
            raise ValueError(f"interface {self.interface}: the scan has slices 0..{self.slices - 1}")
        if kind == "plane":
            farthest = sum(
                max(0.0, part) * n * edge
                for part, n, edge in zip(numbers, self.shape, self.voxel_size_um, strict=False)
            )
            if farthest <= numbers[3]:
                raise ValueError(f"interface {self.interface}: no voxel of the scan lies on the resin's side of it")
        return self


COLUMNS = tuple(Scan.model_fields)
REQUIRED = tuple(name for name, field in Scan.model_fields.items() if field.is_required())


def read_samples(path: str | Path, models: Collection[str]) -> list[Scan]:
    """Read and validate a sample sheet.

    Parameters
    ----------
    path : str or Path
        Tab-separated text with a header; ``#`` begins a comment line; empty cells take the default value.
    models : collection of str
        Names of the configured models.

    Raises
    ------
    ConfigError
        With every problem of every row at once.
    """
    path = Path(path)
    numbered = _numbered_lines(path)
    if len(numbered) < 2:
        raise ConfigError(
            Fault(str(path), "", "the sample sheet has no rows", "Add one row per scan below the header line.")
        )
    header = _cells(numbered[0], path)
    while header and not header[-1]:  # a spreadsheet adds columns without a name
        header.pop()
    faults = _header_faults(path, header)
    if faults:
        raise ConfigError(*faults)
    scans: list[Scan] = []
    seen: dict[str, tuple[int, str]] = {}
    for number, line in numbered[1:]:
        where = f"{path}:{number}"
        try:
            scan = _scan(_row(header, (number, line), path), where)
        except ConfigError as error:
            faults += error.faults
            continue
        earlier, name = seen.get(scan.sample.lower(), (0, ""))
        if earlier:
            alike = "" if name == scan.sample else ", but for upper and lower case, which many disks do not tell apart"
            problem = f"the name is already used in line {earlier}{alike}"
            faults.append(Fault(f"{where} sample", repr(scan.sample), problem, "Give each scan its own name."))
        if scan.model not in models and not scan.mask:
            problem = f"no such model in `models:` ({', '.join(sorted(models))})"
            faults.append(Fault(f"{where} model", shown(scan.model), problem, "Name one of them, or configure it."))
        seen[scan.sample.lower()] = number, scan.sample
        scans.append(scan)
    if faults:
        raise ConfigError(*faults)
    return scans


def write_samples(path: str | Path, scans: Collection[Scan]) -> None:
    """Write a sample sheet that :func:`read_samples` reads back unchanged."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for scan in scans:
        row = scan.model_dump()
        z, y, x = row["voxel_size_um"]
        row["voxel_size_um"] = f"{z:.9g}" if z == y == x else f"{z:.9g},{y:.9g},{x:.9g}"
        writer.writerow("" if row[name] is None else str(row[name]) for name in COLUMNS)
    with whole_file(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")


def keep_cells(path: str | Path, scans: Collection[Scan], unread: Collection[str] = ()) -> list[Scan]:
    """Return scans with the cells of :data:`BY_HAND` that a person filled in an earlier sheet.

    A row belongs to a scan when name and path are the same. Errors in other columns of the earlier sheet do not matter:
    these columns are read from the headers again.

    Parameters
    ----------
    path : str or Path
        The earlier sheet; without one, nothing changes.
    scans : collection of Scan
    unread : collection of str
        Paths of scans that are there and cannot be read: their earlier rows stay as they are.

    Raises
    ------
    ConfigError
        When the sheet cannot be read, or such a cell is invalid for its scan.
    """
    path = Path(path)
    if not path.exists():
        return list(scans)
    first, *numbered = _numbered_lines(path) or [(0, "")]
    header = _cells(first, path)
    earlier = {}
    for number, line in numbered:
        row = _row(header, (number, line), path)
        earlier[row.get("sample"), row.get("path")] = number, row
    kept: list[Scan] = []
    faults: list[Fault] = []
    for scan in scans:
        number, row = earlier.pop((scan.sample, scan.path), (0, {}))
        filled = {
            name: row[name] for name in BY_HAND if row.get(name) and row[name] != str(Scan.model_fields[name].default)
        }
        try:
            kept.append(_scan(scan.model_dump() | filled, f"{path}:{number}"))
        except ConfigError as error:
            faults += error.faults
    for (sample, place), (number, row) in earlier.items():
        if place in unread:
            try:
                kept.append(_scan(row, f"{path}:{number}"))
            except ConfigError as error:
                faults += error.faults
        else:
            LOG.warning("%s is no longer in the sheet: %s was not found", sample, place)
    if faults:
        raise ConfigError(*faults)
    return kept


def filled_in(scan: Scan, **cells: str) -> Scan:
    """Return a scan with cells that options of a command give.

    Raises
    ------
    ConfigError
        When a cell is invalid for the scan.
    """
    return _scan(scan.model_dump() | cells, scan.path)


def _scan(row: dict[str, Any], where: str) -> Scan:
    """Return the scan of a row.

    Raises
    ------
    ConfigError
        With the faults of all its cells.
    """
    try:
        return Scan.model_validate(row)
    except ValidationError as error:
        raise ConfigError(*(_row_fault(item, where) for item in error.errors())) from None


def _row(header: list[str], numbered: tuple[int, str], path: Path) -> dict[str, str]:
    """Return the cells of a line that are not empty, by column."""
    cells = _cells(numbered, path)
    if any(cells[len(header) :]):
        where, problem = f"{path}:{numbered[0]}", f"the header has {len(header)} columns"
        raise ConfigError(Fault(where, f"{len(cells)} cells", problem, "Remove the extra cells."))
    return {name: cell for name, cell in zip(header, cells, strict=False) if cell}


def _numbered_lines(path: Path) -> list[tuple[int, str]]:
    remedy = "Make one with `tomoprofile scan FOLDER --out config/samples.tsv`, or set `samples:` in the configuration."
    lines = lines_of(read_text(path, "the sample sheet", remedy))
    return [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]


def _cells(numbered: tuple[int, str], path: Path) -> list[str]:
    number, line = numbered
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter="\t", strict=True))]
    except csv.Error as error:
        remedy = 'Write a quotation mark inside a quoted cell twice (`""`), and keep cells short.'
        raise ConfigError(Fault(f"{path}:{number}", shown(line), f"not a line of cells: {error}", remedy)) from None


def _header_faults(path: Path, header: list[str]) -> list[Fault]:
    known = ", ".join(COLUMNS)
    if len(header) == 1 and (mark := next((mark for mark in ";," if mark in header[0]), None)):
        remedy = "Save the sheet as text with tabs between the columns (in Excel: `Text (Tab delimited)`)."
        problem = "the columns are not separated by tabs"
        return [Fault(f"{path} header", f"separated by `{mark}`", problem, remedy)]
    faults = [
        Fault(f"{path} header", repr(name), "the column is there twice", "Remove one of them.")
        for name in dict.fromkeys(header)
        if header.count(name) > 1
    ]
    faults += [
        Fault(f"{path} header", shown(name), "unknown column", f"The columns are: {known}.")
        for name in header
        if name not in COLUMNS
    ]
    faults += [
        Fault(f"{path} header", "", f"the column `{name}` is missing", "Add it, or run `tomoprofile scan FOLDER`.")
        for name in REQUIRED
        if name not in header
    ]
    return faults


def _row_fault(item: dict[str, Any], where: str) -> Fault:
    column = str(item["loc"][0]) if item["loc"] else ""
    problem = item["msg"].removeprefix("Value error, ")
    got = "''" if item["type"] == "missing" else shown(item["input"])
    return Fault(f"{where} {column}", got, problem, f"Correct the column `{column}`; config/README.md describes it.")
