"""The Parquet tables of the results: columns, types, units, definitions, boundary levels and flags, in one place.

``tables.yaml`` lists them. Stages write tables with :meth:`Table.write`, pages and comparisons read them with
:meth:`Table.read`, and :func:`with_tables` puts them into ``docs/outputs.md``. Every file carries units and
definitions as metadata of its columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from . import __version__
from .errors import Fault, InputError
from .files import intact, sealed_file

CALIBRATED = "calibrated"
LEVELS = ("low", CALIBRATED, "high")  # of the boundary: one below and one above the calibrated probability
ESTIMATES = ("volume_ratio", "mean_equivalent_diameter_um", "number_density_per_mm3")
DIAMETERS = (
    "diameter_min_um",
    "diameter_p10_um",
    "diameter_median_um",
    "diameter_p90_um",
    "diameter_max_um",
    "volume_weighted_diameter_um",
)
OF_MODEL = ("outside_model", "edge_of_model")  # flags of a scan unlike those its model has seen
GIVEN_MASK = "given_mask"

_REMEDY = "Remove it and run the workflow again; for a table of your own, docs/outputs.md lists the columns."
_GREY = "grey_unit"  # stands for the unit of the grey values of a scan
_ENDS = {"_lo": "lower", "_hi": "upper"}
_REASONS = pa.dictionary(pa.int32(), pa.string())
_RAISED = str.maketrans({"^": None, "2": "²", "3": "³"})


@dataclass(frozen=True)
class Reason:
    """Why a row is doubtful, as given in a column ``flag``.

    Attributes
    ----------
    tables : list of str
        Where it occurs.
    severity : {"error", "warning", "note"}
        When it holds for a whole zone or scan; a note is no cause for distrust.
    title, sentence : str
        In words; the sentence begins in lower case and has no full stop.
    """

    tables: list[str]
    severity: str
    title: str
    sentence: str


@dataclass(frozen=True)
class Table:
    """One kind of Parquet table.

    Attributes
    ----------
    name : str
        That of the file, without ``.parquet``.
    schema : Schema
        Columns in their order; the metadata of each field hold ``unit`` (empty for none), ``definition`` and, for a
        column that a file may lack, ``optional``.
    """

    name: str
    schema: pa.Schema

    def write(
        self,
        path: Path,
        columns: pd.DataFrame | Mapping[str, Any],
        facts: Mapping[str, Any] | None = None,
        grey_unit: str = "",
    ) -> None:
        """Write a table that appears complete or not at all.

        Parameters
        ----------
        path : Path
        columns : DataFrame or dict of array
            In any order. NaN in a DataFrame becomes null, NaN in an array stays NaN.
        facts : dict, optional
            What the numbers depend on; goes into the metadata of the file as JSON, with units and software version.
        grey_unit : str
            Unit of the grey values of the scan.

        Raises
        ------
        ValueError
            When a column or a flag is unknown, or a column is missing: a mistake of the stage, not of its user.
        """
        self._refuse_other_columns(columns)
        schema = pa.schema(_in_unit(field, grey_unit) for field in self.schema if field.name in columns)
        if isinstance(columns, pd.DataFrame):
            table = pa.Table.from_pandas(columns, schema=schema, preserve_index=False)
        else:
            table = pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
        self._refuse_other_flags(table)
        metadata = (table.schema.metadata or {}) | encoded({"units": units_of(schema), **(facts or {})})
        with sealed_file(path) as partial:
            table = table.replace_schema_metadata(metadata)
            pq.write_table(table, partial, compression="zstd", write_page_checksum=True)

    def read(self, path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read a table; a missing flag reads as an empty one.

        Parameters
        ----------
        path : Path
        columns : sequence of str, optional
            All by default, in this order; optional ones that the file lacks are left out.

        Raises
        ------
        InputError
            When the file cannot be read or lacks a column.
        """
        wanted = self.schema.names if columns is None else columns
        return read_columns(path, wanted, [name for name in wanted if _is_optional(self.schema.field(name))])

    def _refuse_other_columns(self, columns: Iterable[str]) -> None:
        given = set(columns)
        unknown = given - set(self.schema.names)
        missing = [field.name for field in self.schema if field.name not in given and not _is_optional(field)]
        if unknown or missing:
            raise ValueError(f"{self.name}: unknown columns {sorted(unknown)}, missing columns {missing}")

    def _refuse_other_flags(self, table: pa.Table) -> None:
        if "flag" not in table.column_names:
            return
        found = {reason for flag in table["flag"].unique().to_pylist() for reason in flag.split(";") if reason}
        unknown = [name for name in found if name not in FLAGS or self.name not in FLAGS[name].tables]
        if unknown:
            raise ValueError(f"{self.name}: unknown flags {sorted(unknown)}")


def read_columns(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read columns of any Parquet table; a missing flag reads as an empty one.

    Raises
    ------
    InputError
        When the file cannot be read or lacks a column that is not optional.
    """
    present = _schema_in(path).names
    missing = [name for name in columns if name not in present and name not in optional]
    if missing:
        raise InputError(Fault(str(path), "", f"the table lacks {', '.join(missing)}", _REMEDY))
    table = read_rows(path, [name for name in columns if name in present])
    if "flag" in table.column_names and table["flag"].null_count:
        at = table.column_names.index("flag")
        table = table.set_column(at, "flag", table["flag"].cast(pa.large_string()).fill_null(""))
    try:
        return table.to_pandas()
    except Exception as error:  # what pandas makes of metadata that it did not write
        raise InputError(_unreadable(path, error)) from None


def read_rows(
    path: Path,
    columns: Sequence[str] | None = None,
    filters: Any = None,
    group: int | None = None,
) -> pa.Table:
    """Return rows of any Parquet table.

    Parameters
    ----------
    path : Path
    columns : sequence of str, optional
        All by default.
    filters : list of tuple, optional
        Conditions as in :func:`pyarrow.parquet.read_table`; all rows by default.
    group : int, optional
        Only the rows of this row group; without conditions.

    Raises
    ------
    InputError
        When they cannot be read.
    """
    names = None if columns is None else list(columns)
    try:
        if group is None:
            return pq.read_table(intact(path), columns=names, filters=filters, page_checksum_verification=True)
        with pq.ParquetFile(intact(path), page_checksum_verification=True) as file:
            return file.read_row_group(group, columns=names, use_threads=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(_unreadable(path, error)) from None


def encoded(facts: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return facts and the version of the software as metadata of a Parquet file, each value as JSON."""
    every = {"tomoprofile_version": __version__, **facts}
    return {name.encode(): json.dumps(value).encode() for name, value in every.items()}


def read_facts(path: Path) -> dict[str, Any]:
    """Return the facts in the metadata of a Parquet file; what is not JSON is another program's and left out.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    facts = {}
    for name, value in (_schema_in(path).metadata or {}).items():
        try:
            facts[name.decode()] = json.loads(value)
        except ValueError:
            continue
    return facts


def at_level(table: pd.DataFrame, level: str) -> pd.DataFrame:
    """Return the rows of one boundary level, numbered from 0."""
    return table[table["level"] == level].reset_index(drop=True)


def of_class(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows of one measured class, numbered from 0."""
    return table[table["class"] == name].reset_index(drop=True)


def has_flag(table: pd.DataFrame, name: str) -> pd.Series:
    """Return which rows have a flag, among others."""
    return table["flag"].str.split(";").map(lambda names: name in names).astype(bool)


def units_of(schema: pa.Schema) -> dict[str, str]:
    """Return the units of the columns that have one."""
    return {field.name: _unit_of(field) for field in schema if _unit_of(field)}


def _schema_in(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(intact(path))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(_unreadable(path, error)) from None


def _unreadable(path: Path, error: Exception) -> Fault:
    return Fault(str(path), "", f"the table cannot be read: {error}", _REMEDY)


def _unit_of(field: pa.Field) -> str:
    return str(field.metadata[b"unit"].decode())


def _is_optional(field: pa.Field) -> bool:
    return b"optional" in field.metadata


def _in_unit(field: pa.Field, grey_unit: str) -> pa.Field:
    return field.with_metadata(field.metadata | {b"unit": grey_unit.encode()}) if _unit_of(field) == _GREY else field


# --- tables.yaml ------------------------------------------------------------------------------------------------------


def _load(path: Path) -> tuple[dict[str, Reason], dict[str, Table]]:
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    flags = {name: Reason(**reason) for name, reason in listed["flags"].items()}
    tables: dict[str, Table] = {}
    for name, entries in listed["tables"].items():
        fields = [field for entry in _flat(entries) for field in _fields(entry, name, flags, tables)]
        tables[name] = Table(name, pa.schema(fields))
    return flags, tables


def _flat(entries: list[Any]) -> list[dict[str, Any]]:
    """Return entries of which some, shared between tables, are lists themselves."""
    return [one for entry in entries for one in (entry if isinstance(entry, list) else [entry])]


def _fields(
    entry: dict[str, Any], table: str, flags: dict[str, Reason], tables: dict[str, Table]
) -> Iterable[pa.Field]:
    names = entry["columns"].split()
    if "of" in entry:
        return [tables[entry["of"]].schema.field(name) for name in names]
    kind = _REASONS if entry["type"] == "reasons" else pa.type_for_alias(entry["type"])
    metadata = {"unit": entry.get("unit", ""), "definition": entry.get("definition", "")}
    if names == ["flag"]:
        reasons = ", ".join(f"`{name}`" for name, reason in flags.items() if table in reason.tables)
        metadata["definition"] = f"empty when fine; otherwise [flags](#flags) joined by `;`: {reasons}"
    if entry.get("optional"):
        metadata["optional"] = "true"
    fields = [pa.field(name, kind, metadata=metadata) for name in names]
    if entry.get("interval"):
        for ending, end in _ENDS.items():
            of_end = {"definition": f"{end} end of the 95 % interval of `{names[0]}`"}
            fields.append(pa.field(names[0] + ending, kind, metadata=metadata | of_end))
    return fields


FLAGS, TABLES = _load(Path(__file__).with_suffix(".yaml"))
OBJECTS, DOMAINS, BAND = TABLES["objects"], TABLES["domains"], TABLES["band"]
PROFILE, ZONES, BREAKPOINTS = TABLES["profile"], TABLES["zones"], TABLES["breakpoints"]
CORRELATION, SIZES = TABLES["correlation"], TABLES["sizes"]
PHASE, THICKNESS = TABLES["phase"], TABLES["thickness"]
OF_CLASSES = TABLES["classes"]
BASELINES, COMPARISON = TABLES["baselines"], TABLES["comparison"]


# --- docs/outputs.md --------------------------------------------------------------------------------------------------

_MARKED = re.compile(r"(<!-- table: (\w+)(?: beyond (\w+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(text: str) -> str:
    """Return ``docs/outputs.md`` with the tables between its markers written again.

    ``<!-- table: NAME -->`` begins the table of columns of one kind of file, ``<!-- table: NAME beyond OTHER -->`` that
    of the columns which another kind lacks, and ``<!-- table: flags -->`` that of all flags; ``<!-- end -->`` ends it.
    """

    def written(marked: re.Match[str]) -> str:
        begin, name, other, end = marked.groups()
        known = TABLES[other].schema.names if other else []
        lines = _flag_lines() if name == "flags" else _column_lines(TABLES[name].schema, known)
        return begin + "".join(f"{line}\n" for line in lines) + end

    return _MARKED.sub(written, text)


def _column_lines(schema: pa.Schema, known: Sequence[str]) -> list[str]:
    """Return a line for all columns that are defined alike; the ends of an interval stand beside its estimate."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for field in schema:
        stem = field.name[:-3] if field.name[-3:] in _ENDS and field.name[:-3] in schema.names else field.name
        definition = schema.field(stem).metadata[b"definition"].decode()
        if field.name not in known:
            told = (_type_in_words(field.type), _unit_in_words(field), definition)
            rows.setdefault(told, []).append(f"`{field.name}`")
    lines = [f"| {' | '.join((', '.join(names), *told))} |" for told, names in rows.items()]
    return ["| column | type | unit | definition |", "|---|---|---|---|", *lines]


def _flag_lines() -> list[str]:
    rows = [f"| `{name}` | {', '.join(reason.tables)} | {reason.sentence} |" for name, reason in FLAGS.items()]
    return ["| flag | tables | meaning |", "|---|---|---|", *rows]


def _type_in_words(kind: pa.DataType) -> str:
    if kind in (_REASONS, pa.large_string()):
        return "string"
    return "float64" if kind == pa.float64() else str(kind)


def _unit_in_words(field: pa.Field) -> str:
    unit = _unit_of(field)
    return f"`{_GREY}`" if unit == _GREY else unit.replace("um", "µm").replace("^-3", "⁻³").translate(_RAISED)
