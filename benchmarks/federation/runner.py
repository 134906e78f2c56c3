"""The benchmark as its runner sees it."""

from __future__ import annotations

import re

from ..cells.benchmark import Benchmark, mean_dice_told
from . import report
from .plan import CORE_HOURS, SIZE, Cell, cell_of, expected_cpu_s, plan, waits
from .single import run_cell


def possible(only: str = "") -> list[Cell]:
    """Return the runs of the plan whose key matches."""
    return [cell for cell in plan() if re.search(only, cell.key)]


BENCHMARK = Benchmark(
    name="federation",
    about="Sites that train together: what their model is worth, and what a round costs.",
    size=SIZE,
    core_hours=CORE_HOURS,
    plan=plan,
    possible=possible,
    key_of=lambda record: cell_of(record).key,
    expected_cpu_s=expected_cpu_s,
    told=mean_dice_told,
    run=run_cell,
    write_report=report.write_report,
    waits=waits,
)
