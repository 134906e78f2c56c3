"""What the pages of all such benchmarks have in common: their files, tables, and what the runs were made with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tomoprofile.files import whole_file

from .benchmark import Record

_MADE_WITH = ("commit", "torch", "device", "precision", "threads", "machine")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def write_runs(path: Path, records: Iterable[Record]) -> None:
    """Write the summary of all results, a run to a line."""
    lines = ",\n".join(f" {json.dumps(record)}" for record in records)
    with whole_file(path) as partial:
        partial.write_text('{"runs": [\n' + lines + "\n]}\n")


def write_page(path: Path, parts: Iterable[str]) -> None:
    """Write a page of those parts that are not empty."""
    with whole_file(path) as partial:
        partial.write_text("\n".join(part for part in parts if part))


def trial_told(records: Sequence[Record]) -> str:
    """Return the warning of a trial, or an empty text."""
    scales = {record["made_with"]["steps_scale"] for record in records} - {1.0}
    return f"\n**A trial: steps are multiplied by {scales}; the numbers mean nothing.**\n" if scales else ""


def made_with_told(records: Sequence[Record]) -> str:
    """Return what runs were made with; empty without any."""
    facts = [record["made_with"] for record in records]
    made = "; ".join(f"{name} {', '.join(sorted({str(fact[name]) for fact in facts}))}" for name in _MADE_WITH)
    return f"\nMade with {made}.\n" if facts else ""
