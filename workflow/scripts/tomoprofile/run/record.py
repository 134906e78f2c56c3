"""One run of the workflow: what was requested, when it started, and when it ended.

Light on purpose, as the Snakefile imports it.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

from .. import __version__
from ..config import Config
from ..errors import Fault, InputError
from ..files import whole_file
from ..layout import Layout
from ..samples import Scan
from .claim import Process


class Run(Process):
    """``run.json``: the last run that was started in a results folder, and the process that controls it.

    Attributes
    ----------
    started, ended : datetime
        With time zone; ``ended`` is None while the run goes on, and remains so when it was killed.
    command : list of str
        How it was called.
    work_dir : str
        Where it was called; relative paths start there.
    software : dict
        Versions of tomoprofile, Snakemake and Python.
    config : Config
        With all defaults.
    scans : list of Scan
        The rows of the sample sheet.
    """

    started: datetime
    ended: datetime | None = None
    command: list[str]
    work_dir: str
    software: dict[str, str]
    config: Config
    scans: list[Scan]

    @property
    def layout(self) -> Layout:
        """Where its results are."""
        return Layout(Path(self.work_dir) / self.config.results)

    def is_alive(self) -> bool:
        """Return whether the run is still going, as far as this machine can tell."""
        if self.ended:
            return False
        return self.fate() != "dead"


def begin_run(config: Config, scans: list[Scan], snakemake: str) -> None:
    """Write ``run.json``."""
    run = Run.this(
        started=datetime.now().astimezone(),
        command=sys.argv,
        work_dir=str(Path.cwd()),
        software={"tomoprofile": __version__, "snakemake": snakemake, "python": sys.version.split()[0]},
        config=config,
        scans=scans,
    )
    # What an archive was told of an earlier run is no longer true.
    run.layout.crate.unlink(missing_ok=True)
    _write(run)


def end_run(results: str | Path) -> Run:
    """Record in ``run.json`` that the run ended; returns the record."""
    run = read_run(results).model_copy(update={"ended": datetime.now().astimezone()})
    _write(run)
    return run


def read_run(results: str | Path) -> Run:
    """Read ``run.json`` of a results folder.

    The record of a folder that was moved or copied says where it is now, so that nothing is done to the original.

    Raises
    ------
    InputError
        When it does not exist or cannot be read.
    """
    path = Layout(results).run
    try:
        return _where_it_is(Run.model_validate_json(path.read_bytes()), Path(results))
    except FileNotFoundError:
        remedy = "`snakemake` starts one; where `results:` names another folder, give it."
        raise InputError(Fault(str(results), "", "no run has started here", remedy)) from None
    except (OSError, ValueError) as error:
        remedy = "Give the folder set in `results:`, once a run has started; `snakemake` starts one."
        raise InputError(Fault(str(path), "", f"there is no record of a run: {error}", remedy)) from None


def _where_it_is(run: Run, results: Path) -> Run:
    """Return the record that was read in a results folder, with the places of that folder."""
    here, told = results.resolve(), Path(run.config.results)
    if run.layout.results.resolve() == here:
        return run
    if told.parts and here.parts[-len(told.parts) :] == told.parts:
        return run.model_copy(update={"work_dir": str(Path(*here.parts[: -len(told.parts)]))})
    return run.model_copy(update={"config": run.config.model_copy(update={"results": str(here)})})


def _write(run: Run) -> None:
    with whole_file(run.layout.run) as partial:
        partial.write_text(json.dumps(run.model_dump(mode="json"), indent=1) + "\n")
