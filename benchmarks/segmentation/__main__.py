"""``python -m benchmarks.segmentation run`` makes what is missing; ``... report`` writes what there is."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from . import ours
from .plan import Cell, plan
from .report import write_report
from .runner import list_plan, read_records, wanted, work_through
from .single import Setting, run_cell
from .tasks import SIZE

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs/benchmarks"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segmentation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="make the runs that are missing")
    run.add_argument("--only", default="", metavar="REGEX", help="runs whose key matches")
    run.add_argument("--max-minutes", type=float, help="begin no run that would end later")
    run.add_argument("--seeds", type=int, default=3)
    run.add_argument("--list", action="store_true", help="only tell the plan and its hours")
    one = commands.add_parser("one", help="make one run in this process")
    one.add_argument("key")
    report = commands.add_parser("report", help="write tables and plots of what there is")
    report.add_argument(
        "--docs", type=Path, help="folder of the report (default: docs/benchmarks; of trials: with their results)"
    )
    for command in (run, one, report):
        command.add_argument("--work", type=Path, default=HERE / "work", help="scans and unfinished trainings")
        command.add_argument(
            "--results", type=Path, help="folder of the results (default: results; of trials: in --work)"
        )
        command.add_argument("--steps-scale", type=float, default=1.0, help="less than 1: a trial, kept apart")
        command.add_argument("--size", type=int, nargs=3, default=SIZE, help="voxels of a phantom; other: a trial")
        command.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    ours.log_to_terminal()
    work, size = given.work.resolve(), tuple(given.size)
    results, docs = HERE / "results", DOCS
    if given.steps_scale != 1 or size != SIZE:  # a trial: its results say nothing, and are kept apart
        results = work / f"trial_x{given.steps_scale:g}_{'x'.join(map(str, size))}"
        docs = results / "docs"
    if given.results:
        results = given.results.resolve()
    setting = Setting(work, results, given.threads, given.steps_scale, size)
    if given.command == "one":
        return run_cell(_cell(given.key), setting)
    if given.command == "report":
        docs = given.docs or docs
        write_report(read_records(results, docs / "segmentation.json"), docs)
        return 0
    cells = wanted(given.seeds, given.only)
    if given.list:
        list_plan(cells, setting, docs / "segmentation.json")
        return 0
    return 1 if work_through(cells, setting, docs / "segmentation.json", given.max_minutes) else 0


def _cell(key: str) -> Cell:
    task, method, labels, steps, seed = key.split("_n")[0].split("_", 1) + re.findall(r"\d+", key.rsplit("_n", 1)[1])
    cell = Cell(task, method, int(labels), int(steps), int(seed))
    if cell not in plan(cell.seed + 1):
        raise SystemExit(f"{key} is not in the plan")
    return cell


if __name__ == "__main__":
    sys.exit(main())
