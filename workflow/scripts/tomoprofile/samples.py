"""The sample sheet: one tab-separated row per scan. Kept light, because the Snakefile imports it."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from .cells import FACE, MASK_FORMS, NO_PLANE, MaskImage, OwnMask, edges_of, parse_interface, parse_mask, plain_number
from .errors import ConfigError, Fault
from .files import whole_file
from .names import RESERVED, name_problem, possible_path
from .sheet import read_sheet
from .texts import shown
from .validation import choices, nearest, sentence

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
# Columns that no header holds.
BY_HAND = ("interface", "labels", "role", "model", "mask", "reference", "group", "time_h")


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
        description="Type of the raw grey values. They are stored exactly: `bool`, `uint8`, `int8`, `uint16` and "
        "`int16` as integers; `int32`, `uint32`, `int64`, `uint64`, `float16`, `float32` and `float64` as `float32`. "
        "Values that do not fit are an error, never a rounding."
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
        "substrate, see below. Without a substrate: `none` (no depth, and one zone, the whole sample), or "
        "depth from a face of the scan, `face:z=0` or `face:z=end` (also y, x), or from the sample's own `surface`.",
    )
    labels: str = Field(
        "",
        description="Folder with labelled slices of this scan. Empty: the scan is segmented by its model, but does "
        "not train it.",
    )
    role: Literal["template", "labelled", "unlabelled"] | None = Field(
        None,
        description="What the scan is to `amplify` of its model: `template`, to which all others are registered (one "
        "for a model; without one it is chosen), `labelled` or `unlabelled`. Empty: labelled where the folder of "
        "`labels` holds label files, else unlabelled.",
    )
    model: str = Field("default", description="The configured model (a key of `models`) that segments this scan.")
    mask: str = Field("", description=f"A given mask, used instead of a model: {MASK_FORMS}; see below.")
    reference: str = Field(
        "",
        description="A segmentation of the whole scan by other means, with which the result is compared (Dice, "
        "distances between surfaces): an image whose values are those of `classes` of the model (other values count as "
        "background), or for one measured class a mask. Nothing is learned from it.",
    )
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
    def has_substrate(self) -> bool:
        """Whether depth begins at a substrate, which is fitted or which the sheet describes."""
        return self.interface not in NO_PLANE and not self.interface.startswith(FACE)

    @property
    def has_own_surface(self) -> bool:
        """Whether depth begins at the surface of the sample itself."""
        return self.interface == "surface"

    @property
    def summarises_classes(self) -> bool:
        """Whether its classes are measured as a whole: where there is no substrate, or a reference."""
        return not self.has_substrate or bool(self.reference)

    @property
    def substrate_mask(self) -> MaskImage | None:
        """The given mask of the substrate, or None when the interface is a plane."""
        kind, _, place = self.interface.partition(":")
        return parse_mask(place).binary if kind == "mask" else None

    @field_validator("slice_axis", "slices", "rows", "columns", "grey_slope", "grey_offset", "time_h", mode="before")
    @classmethod
    def _number_as_spreadsheets_write_it(cls, value: Any) -> Any:
        return plain_number(value) if isinstance(value, str) else value

    @field_validator("voxel_size_um", mode="before")
    @classmethod
    def _one_or_three_edges(cls, value: Any) -> Any:
        return edges_of(value) if isinstance(value, str) else value

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

    @field_validator("path", "labels", "mask", "reference", "interface", "dataset", "grey_unit", "model", "group")
    @classmethod
    def _text_can_be_stored(cls, value: str) -> str:
        return possible_path(value)

    @field_validator("role")
    @classmethod
    def _labelled_names_a_folder(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value == "labelled" and not info.data.get("labels"):
            raise ValueError("a labelled scan needs a folder in the column `labels`")
        return value

    @field_validator("interface")
    @classmethod
    def _interface_lies_inside(cls, value: str, info: ValidationInfo) -> str:
        kind, numbers = parse_interface(value)
        slices, shape = info.data.get("slices"), tuple(info.data.get(name) for name in ("slices", "rows", "columns"))
        edges = info.data.get("voxel_size_um")
        if kind == "slice" and slices and not 0 <= numbers[0] < slices:
            raise ValueError(f"the slice lies outside the scan, which has slices 0..{slices - 1}")
        if kind == "plane" and edges and all(shape):
            ends = zip(numbers, shape, edges, strict=False)
            if sum(max(0.0, part) * n * edge for part, n, edge in ends) <= numbers[3]:
                raise ValueError("no voxel of the scan lies on the resin's side of the plane")
        return value

    @field_validator("mask")
    @classmethod
    def _mask_has_a_path(cls, value: str) -> str:
        if value:
            parse_mask(value)
        return value


COLUMNS = tuple(Scan.model_fields)
REQUIRED = tuple(name for name, field in Scan.model_fields.items() if field.is_required())


def read_samples(path: str | Path, models: Collection[str]) -> list[Scan]:
    """Read and validate a sample sheet.

    Parameters
    ----------
    path : str or Path
        Text with a header, see :func:`~tomoprofile.sheet.read_sheet`; empty cells take the default value.
    models : collection of str
        Names of the configured models.

    Raises
    ------
    ConfigError
        With every problem of every row at once.
    """
    path = Path(path)
    sheet = read_sheet(path, COLUMNS)
    if not sheet.columns or not (sheet.rows or sheet.faults):
        raise ConfigError(
            Fault(str(path), "", "the sample sheet has no rows", "Add one row per scan below the header line.")
        )
    if faults := _header_faults(path, sheet.columns):
        raise ConfigError(*faults)
    faults = [*sheet.faults]
    scans: list[Scan] = []
    seen: dict[str, tuple[str, str]] = {}
    for where, cells in sheet.rows:
        try:
            scan = scan_of_row(cells, where)
        except ConfigError as error:
            faults += error.faults
            continue
        earlier, name = seen.get(scan.sample.lower(), ("", ""))
        if earlier:
            alike = "" if name == scan.sample else ", but for upper and lower case, which many disks do not tell apart"
            problem = f"the name is already used in line {earlier.rpartition(':')[2]}{alike}"
            faults.append(Fault(f"{where} sample", repr(scan.sample), problem, "Give each scan its own name."))
        if scan.model not in models and not scan.mask:
            problem = f"no such model in `models:` ({', '.join(sorted(models))})"
            near = nearest(scan.model, models)
            remedy = f"Did you mean `{near}`?" if near else "Name one of them, or configure it."
            faults.append(Fault(f"{where} model", shown(scan.model), problem, remedy))
        seen[scan.sample.lower()] = where, scan.sample
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


def filled_in(scan: Scan, **cells: str) -> Scan:
    """Return a scan with cells that options of a command give.

    Raises
    ------
    ConfigError
        When a cell is invalid for the scan.
    """
    return scan_of_row(scan.model_dump() | cells, scan.path)


def scan_of_row(row: Mapping[str, Any], where: str) -> Scan:
    """Return the scan of a row of cells by column.

    Raises
    ------
    ConfigError
        With the faults of all its cells.
    """
    try:
        return Scan.model_validate(row)
    except ValidationError as error:
        raise ConfigError(*(_row_fault(item, where) for item in error.errors())) from None


def _header_faults(path: Path, header: list[str]) -> list[Fault]:
    if not {*header} & {*COLUMNS}:
        remedy = f"Begin the sheet with a line that names the columns: {', '.join(REQUIRED)}, ..."
        return [Fault(f"{path} header", shown(", ".join(header)), "the first line names no known column", remedy)]
    faults = [
        Fault(f"{path} header", repr(name), "the column is there twice", "Remove one of them.")
        for name in dict.fromkeys(header)
        if header.count(name) > 1
    ]
    for name in header:
        if name not in COLUMNS:
            near = nearest(name, [column for column in COLUMNS if column not in header])
            remedy = f"Did you mean `{near}`?" if near else f"The columns are: {', '.join(COLUMNS)}."
            faults.append(Fault(f"{path} header", shown(name), "unknown column", remedy))
    faults += [
        Fault(f"{path} header", "", f"the column `{name}` is missing", "Add it, or run `tomoprofile scan FOLDER`.")
        for name in REQUIRED
        if name not in header
    ]
    return faults


def _row_fault(item: dict[str, Any], where: str) -> Fault:
    column = str(item["loc"][0])
    got = "" if item["type"] == "missing" else shown(item["input"])
    near = nearest(item["input"], choices(item))
    remedy = f"Did you mean `{near}`?" if near else f"Correct the column `{column}`; config/README.md describes it."
    return Fault(f"{where} {column}", got, sentence(item, "the cell"), remedy)
