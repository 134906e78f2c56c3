"""``python -m benchmarks.accuracy`` runs the trials that are missing and writes docs/accuracy.{md,json}."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from tomoprofile.logs import log_to_terminal

from . import phases
from .report import write_report
from .trials import RADII, plan, read_results, work_through

DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--radii", type=float, nargs="+", default=RADII, help="in voxels")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder for the page, figures and results")
    parser.add_argument("--report", action="store_true", help="only write the page, from existing results")
    given = parser.parse_args(arguments)
    log_to_terminal()
    # Bodies of a few voxels have flat convex hulls, about which scikit-image warns every time.
    warnings.filterwarnings("ignore", module="skimage")
    if not given.report:
        work_through(plan(given.radii), given.docs / "accuracy.json")
        phases.work_through(phases.plan(), given.docs / "accuracy.json")
    write_report(read_results(given.docs / "accuracy.json"), given.docs / "accuracy.md")


if __name__ == "__main__":
    main()
