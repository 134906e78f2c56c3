"""The sample sheet: one tab-separated row per scan. Kept light, because the Snakefile imports it."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import ConfigError, Fault
from .logs import LOG

INTERFACE_FORMS = (
    "`auto`, `slice:INDEX`, `slice:INDEX:below`, `plane:nz,ny,nx,offset_um`, `mask:PATH` or `mask:FILE.h5:/DATASET`"
)
MASK_FORMS = (
    "`PATH`, `instances:PATH`, `classes:PATH`, or `instances:PATH;classes:PATH`, each with `FILE.h5:/DATASET` for PATH "
    "where an HDF5 file needs it"
)
MOST_EDGE = 100_000  # voxels; no detector is wider, and what is sized by it must stay finite
BY_HAND = ("interface", "labels", "model", "mask", "group", "time_h")  # columns that no header holds
_DATASET = re.compile(r"(.+\.\w+):(/.+)")
_PARTS = re.compile(r";(?=instances:|classes:)")  # any other semicolon belongs to a path


class MaskImage(NamedTuple):
    """An image that came with a scan.

    Attributes
    ----------
    path : str
        File or folder.
    dataset : str
        Path of the dataset inside an HDF5 file; empty when the cell does not say.
    """

    path: str
    dataset: str = ""

    @property
    def place(self) -> str:
        """Where it lies, as the sheet has it."""
        return f"{self.path}:{self.dataset}" if self.dataset else self.path


class OwnMask(NamedTuple):
    """A cell of the column ``mask``.

    Attributes
    ----------
    binary : MaskImage or None
        It has 0 and one other value; the only image where there is one.
    instances : MaskImage or None
        Every value but 0 is an object of its own.
    classes : MaskImage or None
        Values are those of the classes of a model; beside ``instances`` it says of which class each object is.
    """

    binary: MaskImage | None = None
    instances: MaskImage | None = None
    classes: MaskImage | None = None

    @property
    def images(self) -> list[MaskImage]:
        """The one or two images it names."""
        return [image for image in self if image]

    @property
    def place(self) -> str:
        """Where they lie, as the sheet has it."""
        return ";".join(image.place for image in self.images)


class Scan(BaseModel):
    """One row of the sample sheet. Shapes are those of the volume after ``slice_axis`` has become z."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the scan and of its results folder: letters, digits, `.`, `_`, `-`.",
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
    slices: int = Field(ge=1, description="Voxels along z.")
    rows: int = Field(ge=1, description="Voxels along y.")
    columns: int = Field(ge=1, description="Voxels along x.")
    dtype: Literal["uint8", "uint16", "float32"] = Field(
        description="Type of the raw grey values: `uint8`, `uint16` or `float32`. They are stored unchanged."
    )
    voxel_size_um: tuple[float, float, float] = Field(
        description="Voxel edge in micrometres: one number, or `z,y,x` when they differ."
    )
    grey_slope: float = Field(1.0, description="Physical value = `grey_slope` · grey + `grey_offset`.")
    grey_offset: float = Field(0.0, description="See `grey_slope`.")
    grey_unit: str = Field("", description="Unit of the physical value, such as `1/cm`; empty when unknown.")
    interface: str = Field(
        "auto",
        description="Where the substrate ends. `auto` fits a plane; `slice:INDEX` is the outer face of that slice with "
        "the resin at larger z (`slice:INDEX:below`: at smaller z); `plane:nz,ny,nx,offset_um` is a plane whose normal "
        "points into the resin; `mask:PATH` or `mask:FILE.h5:/DATASET` is a segmentation of a rough or curved "
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
        allow_inf_nan=False,
        description="Hours since the beginning of a series, for groups that are scanned repeatedly.",
    )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        return self.slices, self.rows, self.columns

    @property
    def raw(self) -> dict[str, Any]:
        """The columns that conversion depends on; the others may change without a new conversion."""
        return self.model_dump(mode="json", exclude={*BY_HAND})

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
        if not all(0 < edge < 1e5 for edge in value):
            raise ValueError("the voxel size must be a positive number of micrometres")
        return value

    @field_validator("grey_slope")
    @classmethod
    def _slope_is_not_zero(cls, value: float) -> float:
        if value == 0:
            raise ValueError("a slope of 0 would erase the image")
        return value

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
        return self


def parse_interface(text: str) -> tuple[str, tuple[float, ...]]:
    """Split an ``interface`` cell into its kind and numbers.

    Returns
    -------
    kind : {"auto", "slice", "plane", "mask"}
    numbers : tuple of float
        ``()`` for auto and mask; ``(index, sign)`` for a slice, sign +1 when the resin lies at larger z; ``(nz, ny, nx,
        offset_um)`` for a plane whose normal points into the resin.

    Raises
    ------
    ValueError
        When the text has none of these forms.
    """
    kind, _, rest = text.partition(":")
    try:
        if text == "auto":
            return "auto", ()
        if kind == "mask" and parse_mask(rest).binary:
            return "mask", ()
        if kind == "slice":
            index, _, side = rest.partition(":")
            if side in {"", "below"}:
                return "slice", (float(int(index)), -1.0 if side else 1.0)
        if kind == "plane":
            numbers = tuple(float(part) for part in rest.split(","))
            if len(numbers) == 4 and any(numbers[:3]):
                return "plane", numbers
    except ValueError:
        pass
    raise ValueError(f"must be {INTERFACE_FORMS}")


def parse_mask(text: str) -> OwnMask:
    """Split a ``mask`` cell into the images it names.

    Raises
    ------
    ValueError
        When there is no path, or a combination that means nothing.
    """
    images: dict[str, MaskImage] = {}
    for part in _PARTS.split(text):
        kind, _, place = part.partition(":")
        if kind not in ("instances", "classes"):
            kind, place = "binary", part
        if not place.strip() or kind in images:
            raise ValueError(f"must be {MASK_FORMS}")
        inside = _DATASET.fullmatch(place)
        images[kind] = MaskImage(*inside.groups()) if inside else MaskImage(place)
    if "binary" in images and len(images) > 1:
        raise ValueError(f"must be {MASK_FORMS}")
    return OwnMask(**images)


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
    header = [name.strip() for name in numbered[0][1].split("\t")]
    faults = _header_faults(path, header)
    if faults:
        raise ConfigError(*faults)
    scans: list[Scan] = []
    seen: dict[str, int] = {}
    for number, line in numbered[1:]:
        cells = _cells(line)
        where = f"{path}:{number}"
        if len(cells) > len(header):
            faults.append(
                Fault(where, f"{len(cells)} cells", f"the header has {len(header)} columns", "Remove the extra cells.")
            )
            continue
        row = {name: cell for name, cell in zip(header, cells, strict=False) if cell}
        try:
            scan = Scan.model_validate(row)
        except ValidationError as error:
            faults += [_row_fault(item, where) for item in error.errors()]
            continue
        if scan.sample in seen:
            problem = f"the name is already used in line {seen[scan.sample]}"
            faults.append(Fault(f"{where} sample", repr(scan.sample), problem, "Give each scan its own name."))
        if scan.model not in models and not scan.mask:
            problem = f"no such model in `models:` ({', '.join(sorted(models))})"
            faults.append(Fault(f"{where} model", repr(scan.model), problem, "Name one of them, or configure it."))
        seen[scan.sample] = number
        scans.append(scan)
    if faults:
        raise ConfigError(*faults)
    return scans


def write_samples(path: str | Path, scans: Collection[Scan]) -> None:
    """Write a sample sheet that :func:`read_samples` reads back unchanged."""
    lines = ["\t".join(COLUMNS)]
    for scan in scans:
        row = scan.model_dump()
        z, y, x = row["voxel_size_um"]
        row["voxel_size_um"] = f"{z:g}" if z == y == x else f"{z:g},{y:g},{x:g}"
        lines.append("\t".join("" if row[name] is None else str(row[name]) for name in COLUMNS))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def keep_cells(path: str | Path, scans: Collection[Scan]) -> list[Scan]:
    """Return scans with the cells of :data:`BY_HAND` that a person filled in an earlier sheet.

    A row belongs to a scan when name and path are the same. Errors in other columns of the earlier sheet do not matter:
    these columns are read from the headers again.

    Parameters
    ----------
    path : str or Path
        The earlier sheet; without one, nothing changes.
    scans : collection of Scan

    Raises
    ------
    ConfigError
        When the sheet cannot be read, or such a cell is invalid for its scan.
    """
    path = Path(path)
    if not path.exists():
        return list(scans)
    (_, first), *numbered = _numbered_lines(path) or [(0, "")]
    header = _cells(first)
    earlier = {}
    for number, line in numbered:
        row = dict(zip(header, _cells(line), strict=False))
        earlier[row.get("sample"), row.get("path")] = number, row
    kept: list[Scan] = []
    faults: list[Fault] = []
    for scan in scans:
        number, row = earlier.pop((scan.sample, scan.path), (0, {}))
        filled = {
            name: row[name] for name in BY_HAND if row.get(name) and row[name] != str(Scan.model_fields[name].default)
        }
        try:
            kept.append(Scan.model_validate(scan.model_dump() | filled))
        except ValidationError as error:
            faults += [_row_fault(item, f"{path}:{number}") for item in error.errors()]
    if faults:
        raise ConfigError(*faults)
    for sample, place in earlier:
        LOG.warning("%s is no longer in the sheet: %s was not found", sample, place)
    return kept


def _numbered_lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        remedy = (
            "Make one with `tomoprofile scan FOLDER --out config/samples.tsv`, or set `samples:` in the configuration."
        )
        raise ConfigError(Fault(f"samples: {path}", "", f"the sample sheet cannot be read: {error}", remedy)) from None
    return [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter="\t"))]


def _header_faults(path: Path, header: list[str]) -> list[Fault]:
    known = ", ".join(COLUMNS)
    faults = [
        Fault(f"{path} header", repr(name), "unknown column", f"The columns are: {known}.")
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
    got = "''" if item["type"] == "missing" else repr(item["input"])
    return Fault(f"{where} {column}", got, problem, f"Correct the column `{column}`; config/README.md describes it.")
