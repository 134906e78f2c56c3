"""What was run, in files of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cells.benchmark import Record
from ..cells.page import write_runs
from .plan import Cell, cell_of


def write_report(records: list[Record], _cells: Sequence[Cell], docs: Path) -> None:
    """Write ``federation.json`` into a folder; without a result nothing."""
    if records:
        write_runs(docs / "federation.json", sorted(records, key=lambda one: cell_of(one).key))
