"""All tables of a scan in one file that any program opens: a zip of CSV, with what every column means."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ..errors import Fault, InputError
from ..files import intact, sealed_file
from ..tables import FLAGS, TABLES

_ROWS = 65_536  # at a time: memory does not grow with the number of domains
_ANY_DAY = (1980, 1, 1, 0, 0, 0)  # the same tables give the same bytes


def write_archive(tables: Iterable[Path], out: Path) -> None:
    """Write ``tables.zip``: each table as CSV, ``columns.csv`` and ``flags.csv``.

    Parameters
    ----------
    tables : iterable of Path
        Parquet files.
    out : Path
        Appears whole or not at all.

    Raises
    ------
    InputError
        When a table cannot be read.
    """
    paths = list(tables)
    columns = pd.concat([_columns(path) for path in paths], ignore_index=True)
    names = set(columns["table"])
    flags = [(name, reason.severity, reason.sentence) for name, reason in FLAGS.items() if names & {*reason.tables}]
    with sealed_file(out) as partial, zipfile.ZipFile(partial, "w") as archive:
        for path in paths:
            _copy(path, archive)
        _write(archive, "columns.csv", columns)
        _write(archive, "flags.csv", pd.DataFrame(flags, columns=["flag", "severity", "meaning"]))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ANY_DAY)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return entry


def _copy(path: Path, archive: zipfile.ZipFile) -> None:
    try:
        with pq.ParquetFile(intact(path), page_checksum_verification=True) as file:
            schema = pa.schema([_plain(field) for field in file.schema_arrow])
            with (
                archive.open(_entry(f"{path.stem}.csv"), "w", force_zip64=True) as entry,
                pa_csv.CSVWriter(entry, schema) as writer,
            ):
                for batch in file.iter_batches(_ROWS):
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema))
    except (OSError, ValueError, pa.ArrowException) as error:
        remedy = "Remove it and run the workflow again."
        raise InputError(Fault(str(path), "", f"the table cannot be read: {error}", remedy)) from None


def _plain(field: pa.Field) -> pa.Field:
    # The writer of CSV does not know dictionaries.
    return pa.field(field.name, field.type.value_type) if pa.types.is_dictionary(field.type) else field


def _columns(path: Path) -> pd.DataFrame:
    """Return what each column of a table means; of a table from another program, what the file says itself."""
    try:
        schema = pq.read_schema(intact(path))
    except (OSError, ValueError, pa.ArrowException) as error:
        remedy = "Remove it and run the workflow again."
        raise InputError(Fault(str(path), "", f"the table cannot be read: {error}", remedy)) from None
    known = TABLES[path.stem].schema
    rows = []
    for field in schema:
        told = (known.field(field.name) if field.name in known.names else field).metadata or {}
        unit, definition = (told.get(name, b"").decode() for name in (b"unit", b"definition"))
        rows.append((path.stem, field.name, unit, definition))
    return pd.DataFrame(rows, columns=["table", "column", "unit", "definition"])


def _write(archive: zipfile.ZipFile, name: str, table: pd.DataFrame) -> None:
    text = io.StringIO()
    table.to_csv(text, index=False)
    archive.writestr(_entry(name), text.getvalue())
