"""The command that makes the base of our own."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..logs import LOG
from .command import Commands, add_command

MINUTES = 110.0


def register(commands: Commands) -> None:
    """Add ``base``."""
    base = add_command(
        commands,
        "base",
        _base,
        "make the weights that training can start from: a network that learns on randomised simulated scans",
        "tomoprofile base build/base",
    )
    base.add_argument("folder", type=Path, help="receives the model; a killed training continues")
    base.add_argument("--minutes", type=float, default=MINUTES, help="the number of steps follows from it")
    base.add_argument("--steps", type=int, help="their number, instead of a time")
    base.add_argument("--seed", type=int, default=1, help="another number, other scans")
    base.add_argument(
        "--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="processes that simulate scans"
    )


def _base(options: argparse.Namespace) -> None:
    from ..base.train import make_base

    facts = make_base(options.folder, options.minutes, options.seed, options.workers, options.steps)
    for name, found in facts["held_out"].items():
        LOG.info("Dice of %d random scans, %s: %.3f", found["n"], name, found["dice"])
    LOG.info("%s: %d steps in %s minutes", options.folder, facts["plan"]["steps"], facts["minutes"])
