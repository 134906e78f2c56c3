"""The command line of every such benchmark: ``run`` makes what is missing, ``--plan`` tells the cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from tomoprofile.logs import log_to_terminal

from .benchmark import ROOT, Benchmark
from .runner import publish, read_records, tell_plan, work_through


def main(bench: Benchmark, arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{bench.name}", description=bench.about)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="make the runs that are missing")
    run.add_argument("--only", default="", metavar="REGEX", help="runs whose key matches")
    run.add_argument("--max-minutes", type=float, help="begin no run that would end later")
    run.add_argument("--plan", action="store_true", help="only tell the plan and its core-hours")
    one = commands.add_parser("one", help="make one run in this process")
    one.add_argument("key")
    report = commands.add_parser("report", help="write the page of what there is")
    here = ROOT / "benchmarks" / bench.name
    for command in (run, one, report):
        command.add_argument("--work", type=Path, default=here / "work", help="scans and unfinished trainings")
        command.add_argument(
            "--results", type=Path, help="folder of the results (default: results; of trials: in --work)"
        )
        command.add_argument("--steps-scale", type=float, default=1.0, help="less than 1: a trial, kept apart")
        command.add_argument(
            "--size", type=int, nargs=3, default=bench.size, help="voxels of a phantom; other: a trial"
        )
        command.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    log_to_terminal()
    work, size = given.work.resolve(), tuple(given.size)
    results, docs = here / "results", ROOT / "docs/benchmarks"
    if given.steps_scale != 1 or size != bench.size:  # a trial: its results say nothing, and are kept apart
        results = work / f"trial_x{given.steps_scale:g}_{'x'.join(map(str, size))}"
        docs = results / "docs"
    if given.results:
        results = given.results.resolve()
    setting = bench.setting(work, results, given.threads, given.steps_scale, size, docs)
    if given.command == "one":
        cells = {cell.key: cell for cell in bench.plan()}
        if given.key not in cells:
            parser.error(f"{given.key} is not in the plan")
        return bench.run(cells[given.key], setting)
    work.mkdir(parents=True, exist_ok=True)
    if given.command == "report":
        publish(bench, setting, docs)
        return 0
    cells_here = bench.possible(given.only)
    if given.plan:
        print(tell_plan(bench, cells_here, read_records(bench, results, docs)))
        return 0
    return 1 if work_through(bench, cells_here, setting, docs, given.max_minutes) else 0
