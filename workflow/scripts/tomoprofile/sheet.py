"""The sample sheet as text: rows of cells by column, from whatever a spreadsheet made of it when it was saved.

Standard library only: the Snakefile imports this.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import ConfigError, Fault
from .texts import SAVE_SHEET_AS, lines_of, read_text, shown

_WORKBOOKS = {b"PK\x03\x04": "a workbook (.xlsx or .ods)", b"\xd0\xcf\x11\xe0": "a workbook (.xls)"}
_SEPARATORS = "\t;,"


class Row(NamedTuple):
    """A row of the sheet.

    Attributes
    ----------
    where : str
        File and line, for messages.
    cells : dict of str to str
        Those that are not empty, by column.
    """

    where: str
    cells: dict[str, str]


class Sheet(NamedTuple):
    """A sheet.

    Attributes
    ----------
    columns : list of str
        As the header names them.
    rows : list of Row
    faults : list of Fault
        Of rows that are none.
    """

    columns: list[str]
    rows: list[Row]
    faults: list[Fault]


def read_sheet(path: Path, known: Collection[str]) -> Sheet:
    """Read a sheet: tabs, semicolons or commas between the cells, quotes around them or not.

    Parameters
    ----------
    path : Path
        ``#`` begins a comment; rows without a cell do not count.
    known : collection of str
        Names of columns, by which the separator is recognised.

    Raises
    ------
    ConfigError
        When it cannot be read as text.
    """
    lines = [(n, line) for n, line in enumerate(lines_of(_text(path)), 1) if line.strip()]
    if lines and re.fullmatch(r"sep=.\s*", lines[0][1]):  # by which Excel knows the separator
        del lines[0]
    first = next((line for _, line in lines if not _is_comment(line)), "")
    separator = max(_SEPARATORS, key=lambda mark: len({*_names(first, mark)} & {*known}))
    header, rows, faults = None, [], []
    for number, line in lines:
        try:
            cells = _cells(line, separator)
        except csv.Error as error:
            remedy = 'Write a quotation mark inside a quoted cell twice (`""`), and keep cells short.'
            faults.append(Fault(f"{path}:{number}", shown(line), f"not a line of cells: {error}", remedy))
            continue
        if not any(cells) or cells[0].startswith("#"):
            continue
        if header is None:
            header = cells
            continue
        names = header + [""] * len(cells)
        nameless = [place for place, cell in enumerate(cells) if cell and not names[place]]
        if nameless:
            cell, problem = cells[nameless[0]], f"the cell stands in column {nameless[0] + 1}, which the header lacks"
            faults.append(Fault(f"{path}:{number}", shown(cell), problem, "Remove it, or name the column."))
            continue
        rows.append(Row(f"{path}:{number}", {name: cell for name, cell in zip(header, cells, strict=False) if cell}))
    return Sheet([name for name in header or [] if name], rows, faults)


def _text(path: Path) -> str:
    remedy = "Make one with `tomoprofile scan FOLDER --out config/samples.tsv`, or set `samples:` in the configuration."
    if path.is_file():
        with path.open("rb") as file:
            kind = _WORKBOOKS.get(file.read(4))
        if kind:
            raise ConfigError(Fault(str(path), kind, "the sample sheet is not a text file", SAVE_SHEET_AS))
    return read_text(path, "the sample sheet", remedy, save_as=SAVE_SHEET_AS)


def _is_comment(line: str) -> bool:
    return line.lstrip(' "\t').startswith("#")


def _names(line: str, separator: str) -> Iterator[str]:
    return (cell.strip(' "') for cell in line.split(separator))


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, strict=True))]
