"""Jobs of the coordinator: some rounds each, from one checkpoint to the next, whatever dies meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import UNetConfig, digest
from ..errors import Fault, InputError, StageError
from ..files import whole_folder
from ..labels.classes import Classes
from ..logs import LOG
from .certificates import Certificate
from .coordinator import State
from .flare_kit import CHECKPOINT, JOB, PROBLEM, SERVER_CLASSES, SITE_CLASSES, environment, write_json
from .folders import CoordinatorFolder
from .log import append_new
from .members import check_sites
from .plan import Plan
from .tool import require_flare

_LOOK_S, _DOUBT_S = 30, 10  # between two looks at a job, and where it may be one that nobody runs any more
_ATTEMPTS = 50
_COMMAND_S = 120  # of a command of FLARE, beyond what it is told to wait
_DONE, _ENDED = "FINISHED:COMPLETED", ("FINISHED:", "ABORTED", "ABANDONED", "FAILED", "FINISHED_EXCEPTION")
_REMEDY = "Look at the logs of server and sites; the same command goes on from the last checkpoint."


@dataclass(frozen=True)
class Segment:
    """A job of the coordinator.

    Attributes
    ----------
    number : int
        From 0.
    before : Path or None
        Checkpoint to begin with; none for the first job, which begins with the network of the settings.
    after : Path
        Checkpoint at the end.
    folder : Path
        For what is sent and received.
    mine : CoordinatorFolder
        Certificate of the coordinator, and its log.
    config : UNetConfig
    seed : int
    """

    number: int
    before: Path | None
    after: Path
    folder: Path
    mine: CoordinatorFolder
    config: UNetConfig
    seed: int

    def run(self) -> State:
        """Have the rounds of the job taken, and write the checkpoint; return it.

        A job that an earlier call submitted is waited for, not submitted again. One that failed is replaced.

        Raises
        ------
        StageError
            When it failed, or did not end in time.
        FederationError
            When a site may not take part, or the certificate of the coordinator does not hold.
        """
        train = self.config.train
        require_flare("train.mode: federated")
        Certificate.of_kit(self.mine.coordinator).check(str(self.mine.coordinator))
        if self.mine.authority.exists():  # else the certificates come from elsewhere, and who may take part, too
            check_sites(self.mine.log, train.sites)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        before = self.before or self._start()
        job, commands = self._written(before), _Commands(self.mine.coordinator, self.folder)
        content = digest([State.read(before).mark, train.learning, list(train.sites), train.least_sites])
        for attempt in range(_ATTEMPTS):
            token = f"{train.run}-{self.number}-{content}-{attempt}"
            known = commands.find(token)
            number = known or commands.submit(job, token)
            LOG.info("job %s: %s", number, "submitted by an earlier run" if known else "submitted")
            done = commands.wait(number, train.wait_s, doubt=known is not None)
            try:
                # Also of a job that counts as failed: FLARE says so where a site left right after its last answer.
                return self._downloaded(commands, number, before)
            except (InputError, StageError) as error:
                if known:
                    LOG.warning("job %s cannot be used, and is done again: %s", number, error)
                    continue
                if done:
                    raise
            problem = f"its rounds were not finished: {self._told(commands, number)}"
            raise StageError(Fault(f"job {number}", commands.status(number), problem, _REMEDY))
        raise StageError(Fault(str(before), "", f"{_ATTEMPTS} jobs from this checkpoint failed", _REMEDY))

    def _start(self) -> Path:
        """Write the checkpoint before the first task."""
        from .site import first_state  # PyTorch is needed for the first job alone

        first_state(self.config, self.seed).write(self.folder / "start.safetensors")
        return self.folder / "start.safetensors"

    def _written(self, before: Path) -> Path:
        """Return the folder of the job: the server gets the checkpoint, and sites the name of one class."""
        train = self.config.train
        sites = list(train.sites)
        end = Plan.of(train).end_of_job(self.number)
        least = train.least_sites or len(sites)
        meta = {
            "name": f"{train.run}-{self.number}",
            "resource_spec": {},
            "min_clients": least,
            "deploy_map": {"server": ["server"], "site": sites},
        }
        if least == len(sites):
            meta["mandatory_clients"] = sites
        told = {
            "train": train.model_dump(mode="json", exclude={"federation"}),
            "measured": len(Classes.of(self.config).indices),
        }
        with whole_folder(self.folder / "job") as folder:
            for part in ("server", "site"):
                (folder / part / "config").mkdir(parents=True)
            write_json(folder / "meta.json", meta)
            rounds = {"id": "rounds", "path": SERVER_CLASSES[0], "args": {}}
            grace = {"dead_client_grace_period": train.heartbeat_s, "dead_client_check_lead_time": train.heartbeat_s}
            config = folder / "server" / "config"
            write_json(config / "config_fed_server.json", {"format_version": 2, **grace, "workflows": [rounds]})
            write_json(config / JOB, told | {"end": end})
            shutil.copy(before, config / CHECKPOINT)
            trainer = {"tasks": ["train"], "executor": {"path": SITE_CLASSES[0], "args": {}}}
            trained = {"format_version": 2, "executors": [trainer]}
            write_json(folder / "site" / "config" / "config_fed_client.json", trained)
        return self.folder / "job"

    def _told(self, commands: _Commands, number: str) -> str:
        """Return what the server said of a job that failed."""
        try:
            with whole_folder(self.folder / "failed") as folder:
                commands.download(number, folder)
                found = sorted(folder.rglob(PROBLEM))
                told = found[0].read_text(errors="replace")[:1000] if found else "the server says nothing of it"
                return "".join(letter for letter in " ".join(told.split()) if letter.isprintable()).rstrip(".")
        except StageError:
            return "what the server says of it cannot be had"

    def _downloaded(self, commands: _Commands, number: str, begun: Path) -> State:
        train = self.config.train
        with whole_folder(self.folder / "received") as folder:
            commands.download(number, folder)
            found = [path for path in folder.rglob(CHECKPOINT) if path.parent.name != "config"]
            if len(found) != 1:
                raise StageError(Fault(f"job {number}", f"{len(found)} files", "it left no checkpoint", _REMEDY))
            state, before = State.read(found[0]), State.read(begun)
        if (state.agreement, state.task) != (before.agreement, Plan.of(train).end_of_job(self.number)):
            problem = f"its checkpoint is not that of task {Plan.of(train).end_of_job(self.number)}"
            raise StageError(Fault(f"job {number}", f"task {state.task}", problem, _REMEDY))
        append_new(self.mine.log, "round", train.run, state.rounds())
        append_new(self.mine.log, "refused", train.run, state.refusals())
        state.write(self.after)
        return state


class _Commands:
    """The command line of FLARE, with the certificate of the coordinator; every call has a limit."""

    def __init__(self, kit: Path, home: Path) -> None:
        self.kit, self.home = kit, home  # FLARE keeps records in the home folder

    def find(self, token: str) -> str | None:
        """Return the job that was submitted with a token, if any."""
        jobs = self._asked("list", "--submit-token", token)
        return str(jobs[0]["job_id"]) if jobs else None

    def status(self, number: str) -> str:
        """Return the status of a job."""
        return self._status_or_none(number) or "unknown"

    def submit(self, job: Path, token: str) -> str:
        """Submit a job; return its number."""
        return str(self._asked("submit", "-j", str(job.resolve()), "--submit-token", token)["job_id"])

    def wait(self, number: str, limit_s: float, doubt: bool = False) -> bool:
        """Wait until a job has ended; return whether all of it was done.

        A job that the server has on record as running but does not run, because it was restarted, has ended: the server
        says so for ever, also of one that was given up. Where that is in doubt, looks are short. What keeps the server
        from answering, as a full disk does, is logged, and waited for.
        """
        end, idle, trouble = time.monotonic() + limit_s, 0, ""
        while time.monotonic() < end:
            look = _DOUBT_S if doubt else _LOOK_S
            said = self._said("wait", number, "--timeout", str(look), "--interval", "1", limit_s=look)
            status = self._status_or_none(number) if said is None or not said.get("data") else None
            status = status or str((said or {}).get("data", {}).get("status", ""))
            trouble = _warned((said or {}).get("message", ""), trouble) if not status else ""
            if status.startswith(_DONE) or status == "FINISHED_OK":
                return True
            if _has_failed(status):
                return False
            running = self._said("stats", number) if status == "RUNNING" else None
            idle = idle + 1 if running and running.get("error_code") == "JOB_NOT_RUNNING" else 0
            if idle > 1:
                break
            doubt = idle > 0
        LOG.warning("job %s is given up", number)
        self._said("abort", number, "--force")
        return False

    def download(self, number: str, folder: Path) -> None:
        """Fetch what a job left."""
        self._asked("download", number, "-o", str(folder.resolve()), "--force")

    def _status_or_none(self, number: str) -> str | None:
        said = self._said("meta", number)
        return str(said["data"].get("status")) if said and said.get("status") == "ok" else None

    def _asked(self, *words: str) -> Any:
        """Return what a command answers, which is tried again while the server cannot be reached."""
        for pause in (1, 3, 10, 30, 0):
            said = self._said(*words)
            if said and said.get("status") == "ok":
                return said.get("data")
            if said and said.get("exit_code") not in (2, None):
                break
            time.sleep(pause)
        got = f"{(said or {}).get('error_code', 'no answer')}"
        raise StageError(Fault("nvflare job " + words[0], got, "the server refused or did not answer", _REMEDY))

    def _said(self, *words: str, limit_s: float = 0) -> dict[str, Any] | None:
        """Return the JSON that a command prints, or None."""
        command = [sys.executable, "-m", "nvflare.cli", "--format", "json", "job", *words]
        command += ["--startup-kit", str(self.kit.resolve())]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=limit_s + _COMMAND_S,
                env=environment(HOME=str(self.home.resolve())),
                check=False,
            )
            return dict(json.loads(done.stdout))
        except (subprocess.TimeoutExpired, ValueError):
            return None


def _warned(message: str, before: str) -> str:
    """Log what the server answers instead of a status, unless it said the same before; return it."""
    if message and message != before:
        LOG.warning("the server cannot tell how far the job is: %s. Mend that; it is asked again", message.rstrip("."))
    return message or before


def _has_failed(status: str) -> bool:
    return status.startswith(_ENDED) and not status.startswith(_DONE)
