"""The command ``tomoprofile``: the steps before, during and after a run of the workflow.

Each module beside this one adds the commands of one subject with its function ``register``.
"""

from __future__ import annotations

import argparse
import sys

from .. import __version__
from ..errors import TomoprofileError
from ..logs import log_to_terminal
from . import base, completion, developers, federation, inputs, labels, results, runs, simulation

# In the order in which they are needed; so help lists them.
GROUPS = (inputs, labels, runs, results, simulation, federation, base, completion, developers)
_FIRST_STEPS = """\
the first hour:
  tomoprofile scan FOLDER --labels labels   write config/samples.tsv
  snakemake                                 convert, propose slices to label, and wait for the labels
  tomoprofile prelabel                      masks to correct; then run `snakemake` again
`tomoprofile COMMAND --help` shows defaults and an example."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 fine, 1 a fault in the inputs or a failed comparison."""
    known = parser()
    options = known.parse_args(arguments)
    if options.run is None:
        known.print_help()
        return 0
    log_to_terminal()
    try:
        return options.run(options) or 0
    except TomoprofileError as error:
        print(error, file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    made = argparse.ArgumentParser(
        prog="tomoprofile",
        description="The steps before, during and after a run of the workflow.",
        epilog=_FIRST_STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=__version__)
    made.set_defaults(run=None)
    commands = made.add_subparsers(metavar="COMMAND")
    for group in GROUPS:
        group.register(commands)
    return made
