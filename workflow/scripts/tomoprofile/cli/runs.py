"""Commands during and after a run: its state, its results."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from ..logs import LOG
from ..run.rerun import STAGES
from .command import RESULTS, Commands, add_command, add_results


def register(commands: Commands) -> None:
    """Add ``status``, ``rerun``, ``verify`` and ``index``."""
    status = add_command(
        commands,
        "status",
        _status,
        "show the progress of each scan, what failed, what it cost and what to do next; the exit status is 0 when all "
        "is done or under way, 1 when something failed or is missing, 3 when the run waits for labels",
        "tomoprofile status",
    )
    add_results(status)

    rerun = add_command(
        commands,
        "rerun",
        _rerun,
        "make one scan again with the next run, from a stage on",
        "tomoprofile rerun SAMPLE --from convert\nsnakemake",
    )
    rerun.add_argument("sample", help="name of the scan in the sheet")
    rerun.add_argument("--from", dest="stage", choices=tuple(STAGES), default="segment", help="first stage made again")
    rerun.add_argument("--results", type=Path, default=RESULTS, help="the folder set in `results:`")

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
        "write index.html of an unfinished run: done, failed, waiting and missing scans",
        "tomoprofile index",
    )
    add_results(index)


def _status(options: argparse.Namespace) -> int:
    from ..run.record import read_run
    from ..run.status import exit_status, read_status, status_text

    run = read_run(options.results)
    scans = read_status(run)
    print(status_text(run, scans))
    return exit_status(scans)


def _rerun(options: argparse.Namespace) -> None:
    from ..run.record import read_run
    from ..run.rerun import make_again
    from ..run.waiting import same_command

    run = read_run(options.results)
    print(*make_again(run, options.sample, options.stage), sep="\n")
    print(f"Next: {same_command(run.command)}")


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
    LOG.info("the state of every scan: %s", run.layout.index)
