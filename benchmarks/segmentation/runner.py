"""The benchmark as its runner sees it."""

from __future__ import annotations

import re
from typing import Any

from ..cells.benchmark import Benchmark
from . import report
from .plan import CORE_HOURS, TASKS, Cell, available, cell_of, expected_cpu_s, plan
from .single import Setting, run_cell
from .tasks import SIZE, missing


def possible(only: str = "") -> list[Cell]:
    """Return the runs of the plan that can be made here and whose key matches."""
    absent = {name: reason for name, task in TASKS.items() if (reason := missing(task))}
    return [cell for cell in plan(available()) if cell.task not in absent and re.search(only, cell.key)]


def _told(record: dict[str, Any]) -> str:
    return f"Dice { {name: round(rated['dice'] or 0, 3) for name, rated in record['tests'].items()} }"


BENCHMARK = Benchmark(
    name="segmentation",
    about="Few labelled slices, little time: the library's fine-tuning beside other ways to segment the same scans.",
    size=SIZE,
    core_hours=CORE_HOURS,
    plan=plan,
    possible=possible,
    key_of=lambda record: cell_of(record).key,
    expected_cpu_s=expected_cpu_s,
    told=_told,
    run=run_cell,
    write_report=report.write_report,
    setting=Setting,
)
