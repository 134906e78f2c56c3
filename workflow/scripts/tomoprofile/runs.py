"""One run of the workflow: what was asked, when it began and ended, and whether an earlier one is still at work.

Light on purpose, as the Snakefile imports it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from . import __version__
from .config import BundleConfig, Config, ThresholdConfig
from .errors import Fault, InputError, StageError
from .files import whole_file
from .samples import Scan

# Snakemake's executor names its jobs by a random UUID, and says rule and wildcards in the comment.
_OUR_NAME = re.compile(r"([A-Za-z0-9_-]+_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SQUEUE_SECONDS = 60


class Run(BaseModel):
    """``run.json``: the last run that began in a results folder.

    Attributes
    ----------
    started, ended : datetime
        With time zone; ``ended`` is None while the run goes on, and stays so when it was killed.
    host, pid
        The process that steers the run.
    command : list of str
        How it was called.
    work_dir : str
        Where it was called; relative paths begin there.
    software : dict
        Versions of tomoprofile, Snakemake and Python.
    config : Config
        With all defaults.
    scans : list of Scan
        The rows of the sample sheet.
    """

    started: datetime
    ended: datetime | None = None
    host: str
    pid: int
    command: list[str]
    work_dir: str
    software: dict[str, str]
    config: Config
    scans: list[Scan]

    @property
    def results(self) -> Path:
        """The results folder."""
        return Path(self.work_dir) / self.config.results

    def is_alive(self) -> bool:
        """Return whether the run still goes on, as far as this machine can know."""
        if self.ended:
            return False
        return self.host != socket.gethostname() or _exists(self.pid)


def begin_run(config: Config, scans: list[Scan], snakemake: str) -> None:
    """Write ``run.json``."""
    run = Run(
        started=datetime.now().astimezone(),
        host=socket.gethostname(),
        pid=os.getpid(),
        command=sys.argv,
        work_dir=str(Path.cwd()),
        software={"tomoprofile": __version__, "snakemake": snakemake, "python": sys.version.split()[0]},
        config=config,
        scans=scans,
    )
    _write(run)


def end_run(results: str | Path) -> Run:
    """Note in ``run.json`` that the run ended; returns it."""
    run = read_run(results).model_copy(update={"ended": datetime.now().astimezone()})
    _write(run)
    return run


def read_run(results: str | Path) -> Run:
    """Read ``run.json`` of a results folder.

    Raises
    ------
    InputError
        When there is none, or it cannot be read.
    """
    path = Path(results) / "run.json"
    try:
        return Run.model_validate_json(path.read_text())
    except (OSError, ValidationError) as error:
        remedy = "Name the folder that `results:` names, after a run has begun; `snakemake` begins one."
        raise InputError(Fault(str(path), "", f"there is no record of a run: {error}", remedy)) from None


def segmenter_of(scan: Scan, config: Config) -> str:
    """Return what segments a scan: the folder of its model bundle, or the file of its threshold or of its own mask."""
    if scan.mask:
        return f"{config.results}/{scan.sample}/mask.json"
    model = config.models[scan.model]
    if isinstance(model, BundleConfig):
        return model.bundle
    return f"{config.results}/" + (
        f"{scan.sample}/threshold.json" if isinstance(model, ThresholdConfig) else f"models/{scan.model}"
    )


def refuse_double_run(work_dir: str | Path, on_cluster: bool) -> None:
    """Refuse to go on while cluster jobs of an earlier run in the same folder are alive.

    Snakemake that was killed leaves its jobs to SLURM; a new run would submit them again, and two jobs would write the
    same files. ``squeue`` alone tells, so this also works where nothing is accounted.

    Parameters
    ----------
    work_dir : str or Path
        Where Snakemake works, which SLURM knows of each job.
    on_cluster : bool
        Whether this run submits jobs; then a queue that does not answer is a reason to refuse, too.

    Raises
    ------
    StageError
        With the ids of the jobs and the two ways out.
    """
    if not shutil.which("squeue"):
        return
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%j|%k|%Z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SQUEUE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        if not on_cluster:
            return
        said = getattr(error, "stderr", "") or str(error)
        problem = f"the queue does not tell whether jobs of an earlier run are alive: {' '.join(said.split())}"
        raise StageError(Fault("squeue", "", problem, "Try again when SLURM answers.")) from None
    here = Path(work_dir).resolve()
    alive = []
    for line in filter(None, done.stdout.splitlines()):
        job, state, name, comment, folder = line.split("|", 4)
        ours = comment.startswith(("rule_", "group_")) or _OUR_NAME.fullmatch(name)
        if ours and Path(folder).resolve() == here:
            alive.append((job, state, comment.removeprefix("rule_").replace("_wildcards_", " ")))
    if alive:
        lines = [f"  {job}  {state:<10}  {what}" for job, state, what in alive]
        ids = " ".join(job for job, _, _ in alive)
        jobs = "1 job" if len(alive) == 1 else f"{len(alive)} jobs"
        problem = f"{jobs} of an earlier run in this folder {'is' if len(alive) == 1 else 'are'} alive"
        ways = f"Wait until `squeue --me` no longer lists them, or end them: scancel {ids}"
        remedy = "\n".join(
            ["A second run would write the same files.", *lines, f"{ways}. Then run the same command again."]
        )
        raise StageError(Fault(str(here), "", problem, remedy))


def _write(run: Run) -> None:
    with whole_file(run.results / "run.json") as partial:
        partial.write_text(json.dumps(run.model_dump(mode="json"), indent=1) + "\n")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
