"""Commands for those who work on tomoprofile itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from .command import Commands, add_command


def register(commands: Commands) -> None:
    """Add ``schema``."""
    schema = add_command(
        commands,
        "schema",
        _schema,
        "for developers: write the schema of the configuration, and the tables of the two guides",
        "tomoprofile schema",
    )
    schema.add_argument("root", type=Path, nargs="?", default=Path(), help="checkout of tomoprofile")


def _schema(options: argparse.Namespace) -> None:
    from ..run.reference import write_reference

    write_reference(options.root)
