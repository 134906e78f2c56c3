"""The tables of a scan as CSV files for spreadsheets, and a file that says what each column means."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ..errors import Fault, InputError
from ..files import intact, whole_file
from .scan import FinishedScan

DICTIONARY = "columns.csv"
# Spreadsheets take a text without this mark for one in the code page of their country.
_MARK = b"\xef\xbb\xbf"


def write_spreadsheets(scan: FinishedScan, folder: Path) -> list[Path]:
    """Write every table of a scan, and the meaning of every column; returns the files.

    Parameters
    ----------
    scan : FinishedScan
    folder : Path
        Receives ``NAME.csv`` for each ``NAME.parquet``, with the unit of a column in its heading, and ``columns.csv``.

    Raises
    ------
    InputError
        When there is no table yet, or one cannot be read.
    """
    tables = sorted(scan.files.folder.glob("*.parquet"))
    if not scan.files.domains.exists():
        remedy = "Run the workflow until this scan is finished; `tomoprofile status` shows how far it is."
        raise InputError(Fault(str(scan.files.domains), "", "the table of domains is not there", remedy))
    written, meaning = [], []
    for table in tables:
        out = folder / f"{table.stem}.csv"
        fields = _write_csv(table, out)
        meaning += [(out.name, _heading(field), *_told(field)) for field in fields]
        written.append(out)
    dictionary = folder / DICTIONARY
    with whole_file(dictionary) as partial, partial.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([("file", "column", "unit", "definition"), *meaning])
    return [*written, dictionary]


def _write_csv(table: Path, out: Path) -> pa.Schema:
    """Write one table, a part of its rows at a time; returns its columns."""
    try:
        with pq.ParquetFile(intact(table), page_checksum_verification=True) as file, whole_file(out) as partial:
            schema = file.schema_arrow
            with partial.open("wb") as target:
                target.write(_MARK)
                headings = [_heading(field) for field in schema]
                csv.writer(_Encoded(target)).writerow(headings)
                options = pa.csv.WriteOptions(include_header=False)
                for batch in file.iter_batches():
                    pa.csv.write_csv(_plain(batch), target, options)
    except (OSError, ValueError, pa.ArrowException) as error:
        remedy = "Run the workflow again; `tomoprofile verify` finds damaged results."
        raise InputError(Fault(str(table), "", f"the table cannot be exported: {error}", remedy)) from None
    return schema


class _Encoded:
    """What the csv module writes its text to."""

    def __init__(self, file: object) -> None:
        self._file = file

    def write(self, text: str) -> None:
        self._file.write(text.replace("\r\n", "\n").encode())  # type: ignore[attr-defined]


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows with texts for numbered words, and an empty cell where there is no number."""
    columns = []
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        elif pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _heading(field: pa.Field) -> str:
    unit, _ = _told(field)
    return f"{field.name} [{unit}]" if unit else field.name


def _told(field: pa.Field) -> tuple[str, str]:
    known = field.metadata or {}
    return known.get(b"unit", b"").decode(), known.get(b"definition", b"").decode()
