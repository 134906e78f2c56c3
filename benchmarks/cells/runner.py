"""Works through a plan: every run in a fresh process, every result a file that is never computed twice."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tomoprofile.logs import LOG

from .benchmark import ROOT, Benchmark, ExpectedCpuS, Record, Setting
from .single import BUSY


def read_records(bench: Benchmark, results: Path, docs: Path) -> list[Record]:
    """Return all results, those of the folder and those that only the committed summary still has.

    A folder may hold results of an earlier version of the benchmark, which had no tests in them.
    """
    summary = docs / bench.summary
    found = json.loads(summary.read_text())["runs"] if summary.is_file() else []
    found += [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    return list({bench.key_of(record): record for record in found if "tests" in record}.values())


def planned_hours(expected_cpu_s: ExpectedCpuS, cells: Iterable[Any], records: Sequence[Record] = ()) -> float:
    """Return the core-hours of runs."""
    return sum(expected_cpu_s(cell, records) for cell in cells) / 3600


def tell_plan(bench: Benchmark, cells: Iterable[Any], records: list[Record]) -> str:
    """Return the plan as text: its runs, their CPU minutes, and the core-hours of all."""
    done = {bench.key_of(record) for record in records}
    cells = list(cells)
    lines = [
        f"{'done' if cell.key in done else '    '} {bench.expected_cpu_s(cell, records) / 60:6.1f} min  {cell.key}"
        for cell in cells
    ]
    left = [cell for cell in cells if cell.key not in done]
    of_all, of_left = (planned_hours(bench.expected_cpu_s, some, records) for some in (cells, left))
    total = f"{len(cells)} runs, {len(cells) - len(left)} done: {of_all:.2f} core-hours"
    return "\n".join([*lines, f"{total} of at most {bench.core_hours:g}, {of_left:.2f} left"])


def work_through(
    bench: Benchmark, cells: Sequence[Any], setting: Setting, docs: Path, max_minutes: float | None
) -> int:
    """Make the runs that are missing, in order, and write the page after each; returns how many failed.

    A run begins only when it should end within ``max_minutes``. Several runners may work at once: each cell is locked
    by its process. What waits for other runs is asked for again at the end, as long as any are made.
    """
    started, failed = time.monotonic(), 0
    setting.results.mkdir(parents=True, exist_ok=True)
    (setting.work / "logs").mkdir(parents=True, exist_ok=True)
    left = list(enumerate(cells, start=1))
    while left:
        waiting, made = [], 0
        for index, cell in left:
            records = read_records(bench, setting.results, docs)
            if cell.key in {bench.key_of(record) for record in records}:
                continue
            told = f"[{index}/{len(cells)}] {cell.key}"
            if reason := bench.waits(cell, records):
                waiting.append((index, cell))
                LOG.info("%s waits: %s", told, reason)
                continue
            seconds = bench.expected_cpu_s(cell, records)
            if max_minutes is not None and time.monotonic() - started + seconds > 60 * max_minutes:
                LOG.info("%s would take %.1f min: left for the next time", cell.key, seconds / 60)
                continue
            status = _run(bench, cell, setting)
            if status == BUSY:
                LOG.info("%s is being made by another runner", told)
            elif status:
                failed += 1
                LOG.error("%s FAILED: %s", told, _last_line(_log(cell, setting)))
            else:
                made += 1
                publish(bench, setting, docs)
                record = json.loads((setting.results / f"{cell.key}.json").read_text())
                LOG.info("%s: %s, %.0f CPU s", told, bench.told(record), record["cpu_s"])
        left = waiting if made else []
    return failed


def publish(bench: Benchmark, setting: Setting, docs: Path) -> None:
    """Write the page of all results."""
    docs.mkdir(parents=True, exist_ok=True)
    with (setting.work / "page.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bench.write_report(read_records(bench, setting.results, docs), bench.possible(""), docs)


def _run(bench: Benchmark, cell: Any, setting: Setting) -> int:
    with _log(cell, setting).open("ab") as log:
        call = [
            *(sys.executable, "-m", f"benchmarks.{bench.name}", "one", cell.key),
            *("--work", str(setting.work), "--results", str(setting.results), "--threads", str(setting.threads)),
            *("--steps-scale", str(setting.steps_scale), "--size", *map(str, setting.size)),
        ]
        return subprocess.run(call, cwd=ROOT, env=_environment(setting), stdout=log, stderr=log).returncode


def _log(cell: Any, setting: Setting) -> Path:
    return setting.work / "logs" / f"{cell.key}.log"


def _environment(setting: Setting) -> dict[str, str]:
    threads = str(setting.threads)
    library = str(ROOT / "workflow/scripts")
    path = os.pathsep.join(filter(None, (library, os.environ.get("PYTHONPATH"))))
    return os.environ | {"OMP_NUM_THREADS": threads, "GOMP_SPINCOUNT": "1000", "PYTHONPATH": path}


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else 'no message'} ({log})"
