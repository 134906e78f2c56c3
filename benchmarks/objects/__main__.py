"""``python -m benchmarks.objects peers|stage|depth`` runs what is missing; ``... report`` only writes the page."""

from __future__ import annotations

import argparse
from pathlib import Path

from tomoprofile.logs import log_to_terminal

from .plan import DEPTHS, REPEATS, SECTIONS, SIDE, Cell, plan
from .report import write_report
from .runner import Setting, read_records, work_through
from .single import run_cell

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs/benchmarks"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.objects", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    texts = (
        "in memory, compared with peers",
        "from stores to the table",
        "memory against depth, and a million domains",
    )
    for section, text in zip(SECTIONS, texts, strict=True):
        command = commands.add_parser(section, help=text)
        command.add_argument("--repeats", type=int, default=REPEATS)
        command.add_argument("--data", type=Path, help="folder of the real scans, which are left out without it")
        command.add_argument("--depths", type=int, nargs="+", default=DEPTHS, help="slices of the scans of `depth`")
    commands.add_parser("report", help="write the page from existing results")
    for command in commands.choices.values():
        command.add_argument(
            "--side", type=int, default=SIDE, help="voxels; another value than the default is a trial, kept apart"
        )
        command.add_argument("--work", type=Path, default=HERE / "work", help="folder for scans")
        command.add_argument("--docs", type=Path, help="folder for results and page (trials: in --work)")
    one = commands.add_parser("one", help="make one measurement in this process")
    one.add_argument("cell")
    one.add_argument("inputs", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "one":
        run_cell(Cell.decoded(given.cell), given.inputs)
        return 0
    log_to_terminal()
    work = given.work.resolve()
    docs = given.docs or (DOCS if given.side == SIDE else work / f"trial-{given.side}")
    results = docs / "objects.json"
    failed = 0
    if given.command != "report":
        setting = Setting(work, results, given.data and given.data.resolve())
        failed = work_through(plan(given.command, given.side, given.repeats, tuple(given.depths)), setting)
    write_report(read_records(results), docs / "objects.md")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
