"""A sheet that is written anew: scans keep the name, the path and the cells that they had in the one before."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .cells import parse_mask
from .errors import ConfigError, Fault
from .logs import LOG
from .names import unused_name
from .samples import BY_HAND, COLUMNS, Scan, scan_of_row
from .sheet import Row, read_sheet


@dataclass(frozen=True)
class EarlierSheet:
    """The rows of a sheet that is about to be replaced.

    A row belongs to a scan when both lead to the same file or folder, however the path is written: relative, absolute
    or through a link. The same name elsewhere is another scan.
    """

    rows: list[Row]

    @classmethod
    def read(cls, path: Path) -> EarlierSheet:
        """Read it; without one there are no rows.

        Raises
        ------
        ConfigError
            When there is one that cannot be read.
        """
        if not path.exists():
            return cls([])
        sheet = read_sheet(path, COLUMNS)
        if sheet.faults:
            raise ConfigError(*sheet.faults)
        return cls(sheet.rows)

    @property
    def aside(self) -> list[Path]:
        """The labels and masks that its rows name, which are no scans wherever they lie."""
        places = [Path(row.cells["labels"]) for row in self.rows if "labels" in row.cells]
        for row in self.rows:
            cells = [row.cells.get("mask", ""), row.cells.get("interface", "").removeprefix("mask:")]
            with suppress(ValueError):
                places += [Path(image.path) for cell in cells if cell for image in parse_mask(cell).images]
        return places

    def named(self, scans: Collection[Scan]) -> list[Scan]:
        """Return scans under the names and paths that they had; new ones get names that no other row has."""
        rows = self._rows_of(scans)
        taken = {row.cells.get("sample", "").lower() for row in (*rows.values(), *self._others(rows))}
        given: set[str] = set()
        named = []
        for scan in scans:
            row = rows.get(scan.sample)
            name = row.cells.get("sample", "") if row else ""
            if not name or name.lower() in given:
                name = unused_name(scan.sample, taken | given)
            given.add(name.lower())
            path = row.cells["path"] if row else scan.path
            named.append(scan.model_copy(update={"sample": name, "path": path}))
        return named

    def merged(self, scans: Collection[Scan]) -> list[Scan]:
        """Return scans with the cells of :data:`~.samples.BY_HAND` that a person filled, and the other rows that stay.

        A row whose raw scan exists and was not found stays as it is: it lies elsewhere, or cannot be read at present.
        Errors in other columns of a row that was found do not matter: they are read from the headers again.

        Raises
        ------
        ConfigError
            When a cell is invalid for its scan.
        """
        rows = self._rows_of(scans)
        kept: list[Scan] = []
        faults: list[Fault] = []
        for scan in scans:
            row = rows.get(scan.sample, Row(scan.path, {}))
            try:
                kept.append(scan_of_row(scan.model_dump() | _filled(row), row.where))
            except ConfigError as error:
                faults += error.faults
        for row in self._others(rows):
            place = row.cells.get("path", "")
            if not place or not Path(place).exists():
                typed = ", ".join(f"{name}={cell}" for name, cell in _filled(row).items())
                told = f"; what was typed in its row is lost: {typed}" if typed else ""
                LOG.warning("%s is no longer in the sheet: %s was not found%s", row.cells.get("sample"), place, told)
                continue
            try:
                kept.append(scan_of_row(row.cells, row.where))
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(*faults)
        return kept

    def _rows_of(self, scans: Collection[Scan]) -> dict[str, Row]:
        """Return the row of each scan that had one, by the scan's present name."""
        exact = {(_place(row.cells.get("path", "")), row.cells.get("dataset", "")): row for row in self.rows}
        places = Counter(_place(row.cells.get("path", "")) for row in self.rows)
        found = Counter(_place(scan.path) for scan in scans)
        by_place = {place: row for (place, _), row in exact.items() if places[place] == 1}
        rows = {}
        for scan in scans:
            place = _place(scan.path)
            alone = by_place.get(place) if found[place] == 1 else None
            if row := exact.get((place, scan.dataset), alone):
                rows[scan.sample] = row
        return rows

    def _others(self, rows: dict[str, Row]) -> list[Row]:
        of_scans = {row.where for row in rows.values()}
        return [row for row in self.rows if row.where not in of_scans]


def _filled(row: Row) -> dict[str, str]:
    """Return the cells that a person typed: those no header holds, where they are not the default."""
    return {
        name: row.cells[name]
        for name in BY_HAND
        if name in row.cells and row.cells[name] != str(Scan.model_fields[name].default)
    }


def _place(path: str) -> str:
    return os.path.realpath(path) if path else ""
