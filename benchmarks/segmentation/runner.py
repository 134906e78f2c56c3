"""Works through the plan: every run in a fresh process, every result a file that is never computed twice."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import ours
from .plan import CORE_HOURS, TASKS, Cell, available, cell_of, expected_cpu_s, plan, planned_hours
from .report import write_report
from .single import BUSY, Setting
from .tasks import missing

ROOT = Path(__file__).parents[2]


def read_records(results: Path, summary: Path) -> list[dict[str, Any]]:
    """Return all results, those of the folder and those that only the committed summary still has.

    A folder may hold results of an earlier version of the benchmark, which had no tests in them.
    """
    found = json.loads(summary.read_text())["runs"] if summary.is_file() else []
    found += [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    return list({cell_of(record).key: record for record in found if "tests" in record}.values())


def possible(only: str = "") -> list[Cell]:
    """Return the runs of the plan that can be made here and whose key matches."""
    absent = {name: reason for name, task in TASKS.items() if (reason := missing(task))}
    return [cell for cell in plan(available()) if cell.task not in absent and re.search(only, cell.key)]


def tell_plan(cells: Iterable[Cell], records: list[dict[str, Any]]) -> str:
    """Return the plan as text: its runs, their CPU minutes, and the core-hours of all."""
    done = {cell_of(record).key for record in records}
    cells = list(cells)
    lines = [
        f"{'done' if cell.key in done else '    '} {expected_cpu_s(cell, records) / 60:6.1f} min  {cell.key}"
        for cell in cells
    ]
    left = [cell for cell in cells if cell.key not in done]
    total = f"{len(cells)} runs, {len(cells) - len(left)} done: {planned_hours(cells, records):.2f} core-hours"
    return "\n".join([*lines, f"{total} of at most {CORE_HOURS:g}, {planned_hours(left, records):.2f} left"])


def work_through(cells: list[Cell], setting: Setting, docs: Path, max_minutes: float | None) -> int:
    """Make the runs that are missing, in order, and write the page after each; returns how many failed.

    A run begins only when it should end within ``max_minutes``. Several runners may work at once: each cell is locked
    by its process.
    """
    started, failed = time.monotonic(), 0
    setting.results.mkdir(parents=True, exist_ok=True)
    logs = setting.work / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for index, cell in enumerate(cells, start=1):
        records = read_records(setting.results, docs / "segmentation.json")
        if cell.key in {cell_of(record).key for record in records}:
            continue
        seconds = expected_cpu_s(cell, records)
        if max_minutes is not None and time.monotonic() - started + seconds > 60 * max_minutes:
            ours.LOG.info("%s would take %.1f min: left for the next time", cell.key, seconds / 60)
            continue
        with (logs / f"{cell.key}.log").open("ab") as log:
            call, places = _command(cell, setting), _environment(setting)
            status = subprocess.run(call, cwd=ROOT, env=places, stdout=log, stderr=log).returncode
        told = f"[{index}/{len(cells)}] {cell.key}"
        if status == BUSY:
            ours.LOG.info("%s is being made by another runner", told)
        elif status:
            failed += 1
            ours.LOG.error("%s FAILED: %s", told, _last_line(logs / f"{cell.key}.log"))
        else:
            publish(setting, docs)
            record = json.loads((setting.results / f"{cell.key}.json").read_text())
            dice = {name: round(rated["dice"] or 0, 3) for name, rated in record["tests"].items()}
            ours.LOG.info("%s: Dice %s, %.0f CPU s", told, dice, record["cpu_s"])
    return failed


def publish(setting: Setting, docs: Path) -> None:
    """Write the page of all results."""
    docs.mkdir(parents=True, exist_ok=True)
    with (setting.work / "page.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_report(read_records(setting.results, docs / "segmentation.json"), possible(), docs)


def _command(cell: Cell, setting: Setting) -> list[str]:
    return [
        *(sys.executable, "-m", "benchmarks.segmentation", "one", cell.key),
        *("--work", str(setting.work), "--results", str(setting.results), "--threads", str(setting.threads)),
        *("--steps-scale", str(setting.steps_scale), "--size", *map(str, setting.size)),
    ]


def _environment(setting: Setting) -> dict[str, str]:
    threads = str(setting.threads)
    library = str(ROOT / "workflow/scripts")
    path = os.pathsep.join(filter(None, (library, os.environ.get("PYTHONPATH"))))
    return os.environ | {"OMP_NUM_THREADS": threads, "GOMP_SPINCOUNT": "1000", "PYTHONPATH": path}


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else 'no message'} ({log})"
