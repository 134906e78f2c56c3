"""What the pages of all such benchmarks have in common: their files, tables, and what the runs were made with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tomoprofile.files import whole_file

from .benchmark import ExpectedCpuS, Record
from .runner import planned_hours

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


def progress_told(name: str, expected_cpu_s: ExpectedCpuS, cells: Sequence[Any], done: Mapping[Any, Record]) -> str:
    """Return how much of a plan is done, and what is left.

    Parameters
    ----------
    name : str
        Of the benchmark.
    expected_cpu_s : callable
        CPU seconds of a run, given the results so far.
    cells : sequence of Cell
        The plan.
    done : mapping of Cell to dict
        Results.
    """
    left = [cell for cell in cells if cell not in done]
    spent = sum(record["cpu_s"] for record in done.values()) / 3600
    told = f"**{len(cells) - len(left)} of {len(cells)} planned runs are done**, in {spent:.2f} core-hours.\n"
    if left:
        hours = planned_hours(expected_cpu_s, left, list(done.values()))
        told += f"`make bench-{name}` goes on where it was stopped; {hours:.1f} core-hours are left.\n"
    return told + "Nothing that was not run appears on this page.\n"


def trial_told(records: Sequence[Record]) -> str:
    """Return the warning of a trial, or an empty text."""
    scales = {record["made_with"]["steps_scale"] for record in records} - {1.0}
    return f"\n**A trial: steps are multiplied by {scales}; the numbers mean nothing.**\n" if scales else ""


def made_with_told(records: Sequence[Record]) -> str:
    """Return what runs were made with; empty without any."""
    facts = [record["made_with"] for record in records]
    made = "; ".join(f"{name} {', '.join(sorted({str(fact[name]) for fact in facts}))}" for name in _MADE_WITH)
    return f"\nMade with {made}.\n" if facts else ""
