"""The benchmark as its runner sees it."""

from __future__ import annotations

import re
from importlib.util import find_spec

from ..cells.benchmark import Benchmark, mean_dice_told
from . import report
from .cases import missing
from .plan import CORE_HOURS, ENGINES, SIZE, Cell, cell_of, expected_cpu_s, plan, waits
from .single import run_cell


def possible(only: str = "") -> list[Cell]:
    """Return the runs of the plan that can be made here and whose key matches."""
    return [cell for cell in plan() if not _not_here(cell) and re.search(only, cell.key)]


def _not_here(cell: Cell) -> str:
    if cell.task in ENGINES and (absent := [name for name in ("SimpleITK", "dipy") if find_spec(name) is None]):
        return f"{' and '.join(absent)} not installed"
    return missing(cell.task)


BENCHMARK = Benchmark(
    name="amplification",
    about="Few labelled cases: what training pairs drawn by deformation are worth, in Dice and in labels.",
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
