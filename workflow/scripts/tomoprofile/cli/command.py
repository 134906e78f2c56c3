"""How a command is added to the parser: with its help, its defaults and an example."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

Commands = Any  # argparse has no public name for what add_subparsers returns
CONFIG = Path("config/config.yaml")
RESULTS = Path("results")
_SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")  # which snakemake finds by itself


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults are told, but not that there is none; examples keep their lines."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int | None], told: str, example: str
) -> argparse.ArgumentParser:
    """Add a command; returns its parser, to which arguments are added, each with a ``help``.

    Parameters
    ----------
    commands
        What ``add_subparsers`` returned.
    name : str
    run : callable
        Takes the options; returns the exit status, or None for 0.
    told : str
        What it does, in one line.
    example : str
        One or several lines as they are typed.
    """
    shown = "\n".join(f"  {line}" for line in example.splitlines())
    made = commands.add_parser(
        name,
        help=told,
        description=told[0].upper() + told[1:] + ".",
        epilog=f"example:\n{shown}",
        formatter_class=_Help,
    )
    made.set_defaults(run=run)
    return made


def add_config(command: argparse.ArgumentParser) -> None:
    """Add the option that names the configuration."""
    command.add_argument("--config", type=Path, default=CONFIG, help="the configuration; not needed for the defaults")


def load(config: Path) -> dict[str, Any]:
    """Return the configuration as it was written; the usual file may be missing, as for the workflow.

    Raises
    ------
    ConfigError
        When it cannot be read, or another file that was named does not exist.
    """
    from ..config_file import load_config

    return {} if config == CONFIG and not config.exists() else load_config(config)


def workflow_command() -> str:
    """Return how the workflow is called from the working directory, as it is typed."""
    here = any(Path(name).is_file() for name in _SNAKEFILES)
    clone = Path(__file__).resolve().parents[4] / "Snakefile"
    if here or not clone.is_file():  # an installed wheel does not know where its workflow is
        return "snakemake"
    nearby = os.path.relpath(clone)
    return f"snakemake --snakefile {shlex.quote(min(nearby, str(clone), key=len))}"


def add_results(command: argparse.ArgumentParser) -> None:
    """Add the argument that names the results folder."""
    command.add_argument("results", type=Path, nargs="?", default=RESULTS, help="the folder set in `results:`")
