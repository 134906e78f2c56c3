"""The benchmark as its runner sees it."""

from __future__ import annotations

import re
from typing import Any

from ..cells.benchmark import Benchmark
from . import report
from .plan import CORE_HOURS, SIZE, Cell, cell_of, expected_cpu_s, plan, waits
from .single import run_cell


def possible(only: str = "") -> list[Cell]:
    """Return the runs of the plan whose key matches."""
    return [cell for cell in plan() if re.search(only, cell.key)]


def _told(record: dict[str, Any]) -> str:
    return f"mean Dice {record['dice']:.3f}" if "dice" in record else "done"


BENCHMARK = Benchmark(
    name="federation",
    about="Sites that train together: what their model is worth, and what a round costs.",
    size=SIZE,
    core_hours=CORE_HOURS,
    plan=plan,
    possible=possible,
    key_of=lambda record: cell_of(record).key,
    expected_cpu_s=expected_cpu_s,
    told=_told,
    run=run_cell,
    write_report=report.write_report,
    waits=waits,
)
