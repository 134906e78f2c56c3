"""``python -m benchmarks.segmentation run`` makes what is missing and writes the page; ``--plan`` tells the cost."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import ours
from .plan import plan
from .runner import possible, publish, read_records, tell_plan, work_through
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
    run.add_argument("--plan", action="store_true", help="only tell the plan and its core-hours")
    one = commands.add_parser("one", help="make one run in this process")
    one.add_argument("key")
    report = commands.add_parser("report", help="write the page of what there is")
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
        cells = {cell.key: cell for cell in plan()}
        if given.key not in cells:
            parser.error(f"{given.key} is not in the plan")
        return run_cell(cells[given.key], setting)
    work.mkdir(parents=True, exist_ok=True)
    if given.command == "report":
        publish(setting, docs)
        return 0
    cells = possible(given.only)
    if given.plan:
        print(tell_plan(cells, read_records(results, docs / "segmentation.json")))
        return 0
    return 1 if work_through(cells, setting, docs, given.max_minutes) else 0


if __name__ == "__main__":
    sys.exit(main())
