"""A site takes part in a run: its process in the foreground, which ends with the run or with its time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..config import UNetConfig
from ..errors import Fault, StageError
from ..files import digest_file
from ..logs import LOG
from .certificates import Certificate
from .flare_kit import SETTINGS, environment, prepare_site, write_json
from .folders import SiteFolder
from .result import SiteFiles

_LOOK_S, _GRACE_S = 0.5, 10.0
_REPORT_S = 5.0  # for the server to be told that the job has ended here
_AFTERWARDS_S = 60.0  # for the last answer to reach the coordinator


@dataclass(frozen=True)
class Part:
    """The part of a site.

    Attributes
    ----------
    files : SiteFiles
    config : UNetConfig
    mine : SiteFolder
        Certificate of the site, and what may leave it.
    log : Path
        Of its training.
    seed, threads : int
    """

    files: SiteFiles
    config: UNetConfig
    mine: SiteFolder
    log: Path
    seed: int
    threads: int

    def take(self) -> None:
        """Take part until the finished model is here.

        Raises
        ------
        StageError
            When the process ends before, or the time is over.
        """
        train, folder = self.config.train, self.files.folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        command = prepare_site(self.mine.kit, folder / "flare", train.heartbeat_s)
        self._write_settings(Certificate.of_kit(self.mine.kit).name)
        for path in (self.files.result, digest_file(self.files.result)):
            path.unlink(missing_ok=True)
        # What ends this job shall end the site's processes, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        settings = {SETTINGS: str((folder / "site.json").resolve())}
        with running(command, folder / "flare", **settings) as process:
            end = time.monotonic() + train.wait_s
            while not digest_file(self.files.result).is_file():
                if process.poll() is not None:
                    problem = f"the process of this site ended with status {process.returncode}"
                    raise StageError(Fault(str(folder / "flare/said.txt"), "", problem, "Read its end."))
                if time.monotonic() > end:
                    problem = f"the run was not finished after {train.wait_s:g} s"
                    remedy = (
                        "Ask the coordinator how far it is; the same command takes part again. `wait_s` waits longer."
                    )
                    raise StageError(Fault(f"run {train.run}", "", problem, remedy))
                time.sleep(_LOOK_S)
            LOG.info("the finished model is here")
            _let_end(process)

    def _write_settings(self, name: str) -> None:
        """Write what the process of a job reads."""
        told = {
            "name": name,
            "training_set": str(self.files.training_set.resolve()),
            "folder": str(self.files.folder.resolve()),
            "result": str(self.files.result.resolve()),
            "policy": str(self.mine.policy.resolve()),
            "log": str(self.log.resolve()),
            "model": self.config.model_dump(mode="json"),
            "seed": self.seed,
            "threads": self.threads,
        }
        write_json(self.files.folder / "site.json", told)


@contextmanager
def running(command: list[str], folder: Path, **told: str) -> Iterator[subprocess.Popen]:
    """Run a process of FLARE in a folder prepared for it; end it and all that it started at the end.

    Those that a killed job left in the same folder are ended first: a site can be there once only.

    Parameters
    ----------
    command : list of str
    folder : Path
        That the command names.
    **told : str
        Further variables of its environment.
    """
    end_processes([process for process in psutil.process_iter(["cmdline"]) if _is_of(process, folder)])
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, env=environment(**told)
        )
        try:
            yield process
        finally:
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                end_processes([parent, *parent.children(recursive=True)])
            end_processes([other for other in psutil.process_iter(["cmdline"]) if _is_of(other, folder)])
            process.wait(_GRACE_S)


def _is_of(process: psutil.Process, folder: Path) -> bool:
    """Return whether a process is one of FLARE in a folder."""
    words = process.info["cmdline"] or []
    return str(folder) in words and any(word.startswith("nvflare.private.fed.app.") for word in words)


def end_processes(processes: list[psutil.Process], grace_s: float = _GRACE_S) -> None:
    """End processes, if need be by force: all are asked at once, and then waited for."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deaf = psutil.wait_procs(processes, grace_s)[1]
    for process in deaf:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(deaf, grace_s)


def _let_end(process: subprocess.Popen) -> None:
    """Wait until the process of the job has sent the last answer and is gone."""
    end = time.monotonic() + _AFTERWARDS_S
    with suppress(psutil.NoSuchProcess):
        while time.monotonic() < end and psutil.Process(process.pid).children():
            time.sleep(_LOOK_S)
    time.sleep(_REPORT_S)
