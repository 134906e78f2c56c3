"""Works through the plan: every run in a fresh process, every result a file that is never computed twice."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import ours
from .plan import TASKS, Cell, expected_seconds, key_of, plan
from .single import BUSY, Setting
from .tasks import missing

ROOT = Path(__file__).parents[2]


def read_records(results: Path, summary: Path) -> list[dict[str, Any]]:
    """Return all results, those of the folder and those that only the committed summary still has."""
    records = {}
    if summary.is_file():
        records = {key_of(record): record for record in json.loads(summary.read_text())["runs"]}
    for path in sorted(results.glob("*.json")):
        record = json.loads(path.read_text())
        records[key_of(record)] = record
    return list(records.values())


def wanted(seeds: int, only: str) -> list[Cell]:
    """Return the runs that can be made here; says loudly which tasks cannot."""
    tasks = []
    for task in TASKS.values():
        reason = missing(task)
        if reason:
            ours.LOG.warning("SKIPPED: task %s (%s): %s", task.name, task.title, reason)
        else:
            tasks.append(task)
    return [cell for cell in plan(seeds, tasks) if re.search(only, cell.key)]


def list_plan(cells: list[Cell], setting: Setting, summary: Path) -> None:
    """Tell which runs there are, and how many hours are left."""
    records = read_records(setting.results, summary)
    done = {key_of(record) for record in records}
    hours: dict[int, list[float]] = {}
    for cell in cells:
        seconds = expected_seconds(cell, records, setting.steps_scale)
        hours.setdefault(cell.seed, [0.0, 0.0])
        hours[cell.seed][0] += seconds / 3600
        hours[cell.seed][1] += 0 if cell.key in done else seconds / 3600
        ours.LOG.info("%s %6.1f min  %s", "done" if cell.key in done else "    ", seconds / 60, cell.key)
    for seed, (planned, left) in hours.items():
        ours.LOG.info("seed %d: %.1f hours planned, %.1f hours left", seed, planned, left)
    planned, left = (sum(part) for part in zip(*hours.values(), strict=True)) if hours else (0.0, 0.0)
    ours.LOG.info("%d runs, %d done: %.1f hours planned, %.1f hours left", len(cells), len(done), planned, left)


def work_through(cells: list[Cell], setting: Setting, summary: Path, max_minutes: float | None) -> int:
    """Make the runs that are missing, in order; returns how many failed.

    A run begins only when it should end within ``max_minutes``. Several runners may work at once: each cell is locked
    by its process.
    """
    started, failed = time.monotonic(), 0
    setting.results.mkdir(parents=True, exist_ok=True)
    logs = setting.work / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for index, cell in enumerate(cells, start=1):
        records = read_records(setting.results, summary)
        if cell.key in {key_of(record) for record in records}:
            continue
        seconds = expected_seconds(cell, records, setting.steps_scale)
        spent = time.monotonic() - started
        if max_minutes is not None and spent + seconds > 60 * max_minutes:
            ours.LOG.info("%s would take %.1f min: left for the next time", cell.key, seconds / 60)
            continue
        begun = time.monotonic()
        with (logs / f"{cell.key}.log").open("ab") as log:
            status = subprocess.run(_command(cell, setting), cwd=ROOT, env=_environment(setting), stderr=log).returncode
        took = time.monotonic() - begun
        if status == BUSY:
            ours.LOG.info("[%d/%d] %s is being made by another runner", index, len(cells), cell.key)
        elif status:
            failed += 1
            ours.LOG.error("[%d/%d] %s FAILED: %s", index, len(cells), cell.key, _last_line(logs / f"{cell.key}.log"))
        else:
            dice = json.loads((setting.results / f"{cell.key}.json").read_text())["scores"]["dice"]
            told = "none" if dice is None else f"{dice:.3f}"
            ours.LOG.info("[%d/%d] %s: Dice %s, %.0f s", index, len(cells), cell.key, told, took)
    return failed


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
