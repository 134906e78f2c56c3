"""Commands during and after a run: its state, its results."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..logs import LOG
from .command import Commands, add_command, add_results


def register(commands: Commands) -> None:
    """Add ``status``, ``verify`` and ``index``."""
    status = add_command(
        commands,
        "status",
        _status,
        "show the progress of each scan, what failed and what it cost",
        "tomoprofile status",
    )
    add_results(status)

    verify = add_command(
        commands,
        "verify",
        _verify,
        "read all results again and set aside what was damaged on disk since; the next run makes it anew",
        "tomoprofile verify",
    )
    add_results(verify)

    index = add_command(
        commands,
        "index",
        _index,
        "write index.html of an unfinished run: done, failed and missing scans",
        "tomoprofile index",
    )
    add_results(index)


def _status(options: argparse.Namespace) -> None:
    from ..run.record import read_run
    from ..run.status import read_status, status_text

    run = read_run(options.results)
    print(status_text(run, read_status(run)))


def _verify(options: argparse.Namespace) -> None:
    from ..run.verify import verify

    files, faults = verify(options.results)
    if faults:
        raise InputError(*faults)
    LOG.info("%d files and shards are what was written.", files)


def _index(options: argparse.Namespace) -> None:
    from ..run.index import write_index
    from ..run.record import read_run

    run = read_run(options.results)
    write_index(run)
    LOG.info("done, failed and missing scans: %s", run.layout.index)
