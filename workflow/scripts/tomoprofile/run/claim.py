"""Who runs here: a results folder belongs to one run at a time, and the claim of a dead run is recognised as such.

Light on purpose, as the Snakefile imports it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import Fault, StageError
from ..layout import Layout
from .guard import refuse_double_run

Mine = TypeVar("Mine", bound="Process")

# All processes of a run inherit it, so those that outlive it are known.
MARK = "TOMOPROFILE_RUN"
_SECONDS_TO_DIE = 30
_AGAIN = "Then run the same command again."


class Process(BaseModel):
    """A process, described so that any machine can tell whether it still exists, or that it cannot tell.

    Attributes
    ----------
    host, pid
        Name of its machine, and its number there.
    machine, boot : str
        Identifiers of the installation and of the time since it was switched on; empty where there are none.
    namespace : str
        Containers on one machine each have their own numbers of processes.
    begun : int
        When it began, in ticks of a clock that nobody sets; 0 where there is none. Numbers are used again, this is not.
    user : int
        Whose it is; -1 where that is not recorded.
    """

    host: str
    pid: int
    machine: str = ""
    boot: str = ""
    namespace: str = ""
    begun: int = 0
    user: int = -1

    @classmethod
    def this(cls: type[Mine], **more: Any) -> Mine:
        """Describe the process that asks."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            machine=_text("/etc/machine-id"),
            boot=_text("/proc/sys/kernel/random/boot_id"),
            namespace=_namespace(),
            begun=_begun(os.getpid()) or 0,
            user=os.getuid(),
            **more,
        )

    def fate(self) -> Literal["alive", "dead", "unknown"]:
        """Return whether it is alive, as far as this machine can tell: of other machines nothing is known."""
        here = Process.this()
        if self.host != here.host or (self.machine and self.machine != here.machine):
            return "unknown"
        if self.boot and self.boot != here.boot:
            return "dead"
        if self.namespace and self.namespace != here.namespace:
            return "unknown"
        begun = _begun(self.pid)
        return "dead" if begun is None or (self.begun and begun != self.begun) else "alive"


class Claim(Process):
    """``claim.json``: the run to which a results folder belongs; the file is there while the run goes on.

    Attributes
    ----------
    token : str
        Value of :data:`MARK` in the environment of all its processes.
    since : datetime
        With time zone.
    results, work_dir : str
        The results folder as the run calls it, and the folder where it was called.
    earlier_locks : dict
        Snakemake's locks that were there before it, with their times in nanoseconds: not its own.
    """

    token: str
    since: datetime
    results: str
    work_dir: str
    earlier_locks: dict[str, int] = {}

    def __str__(self) -> str:
        since = self.since.isoformat(" ", "seconds")
        return f"the run of process {self.pid} on {self.host}, begun {since} in {self.work_dir}"

    def own_locks(self) -> list[Path]:
        """Return the locks that Snakemake set for this run: they came with it, and list files of its results."""
        inside, own = f"{self.results}/", []
        for name, (path, time) in _locks(self.work_dir).items():
            with contextlib.suppress(FileNotFoundError):
                lines = path.read_text(errors="replace").splitlines()
                if self.earlier_locks.get(name) != time and any(line.startswith(inside) for line in lines):
                    own.append(path)
        return own


@contextlib.contextmanager
def claimed(results: str | Path, work_dir: str | Path, on_cluster: bool) -> Iterator[None]:
    """Claim a results folder for this process while the context lasts.

    What a dead run left is cleared away and said in one line: its claim, its processes and its Snakemake locks.

    Parameters
    ----------
    results, work_dir : str or Path
        The results folder, relative to the working directory of Snakemake or absolute.
    on_cluster : bool
        Whether this run submits jobs.

    Raises
    ------
    StageError
        When another run has claimed the folder and is alive, or may be alive on another machine; when jobs of a dead
        run are.
    """
    path = Path(work_dir) / Layout(results).claim
    mine = Claim.this(
        token=uuid.uuid4().hex,
        since=datetime.now().astimezone(),
        results=str(results),
        work_dir=str(Path(work_dir).resolve()),
    )
    refuse_double_run(work_dir, on_cluster)
    while not _written(path, mine):
        _clear_if_dead(path, on_cluster)
    os.environ[MARK] = mine.token
    try:
        yield
    finally:
        if _read(path) == mine:
            path.unlink()


def is_claimed_here(results: str | Path) -> bool:
    """Return whether this process has claimed a results folder."""
    claim = _read(Layout(results).claim)
    return claim is not None and claim.token == os.environ.get(MARK) and claim.pid == os.getpid()


def release(results: str | Path) -> None:
    """Remove the claim on a results folder, as the user asks when this machine cannot tell whether the run is alive.

    Raises
    ------
    StageError
        When the run is alive on this machine.
    """
    path = Layout(results).claim
    claim = _read(path)
    if claim and claim.fate() == "alive":
        raise _refusal(path, claim)
    path.unlink(missing_ok=True)


def _written(path: Path, mine: Claim) -> bool:
    """Write a claim, whole and at once; returns False when there is one already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = {name: time for name, (_, time) in _locks(mine.work_dir).items()}
    text = mine.model_copy(update={"earlier_locks": earlier}).model_dump_json(indent=1) + "\n"
    mine.earlier_locks = earlier
    partial = path.with_name(f".partial-{mine.token}.json")
    partial.write_text(text)
    try:
        os.link(partial, path)  # unlike a rename it fails when the name exists
        return True
    except FileExistsError:
        # A network file system may repeat a request whose answer was lost, and then finds its own link.
        return _is_still(path, partial.stat())
    except OSError:  # a file system without links
        with contextlib.suppress(FileExistsError), path.open("x") as file:
            file.write(text)
            return True
        return False
    finally:
        partial.unlink()


def _clear_if_dead(path: Path, on_cluster: bool) -> None:
    """Remove the claim of a dead run and all that it left; two processes that try this do it one after the other."""
    try:
        file = path.open("r+")
    except FileNotFoundError:
        return
    with file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if not _is_still(path, os.fstat(file.fileno())):
            return  # somebody else was faster
        claim = _read(path)
        if claim is None or claim.fate() != "dead" or claim.user != os.getuid():
            raise _refusal(path, claim)
        refuse_double_run(claim.work_dir, on_cluster)
        ended = _end_processes(claim)
        locks = claim.own_locks()
        for lock in locks:
            lock.unlink(missing_ok=True)
        path.unlink()
    cleared = f"lock files removed: {len(locks)}; processes ended that had gone on: {ended}"
    print(f"Earlier, {claim} died. It no longer holds {path.parent}; {cleared}.", flush=True)


def _is_still(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except FileNotFoundError:
        return False


def _refusal(path: Path, claim: Claim | None) -> StageError:
    if claim is None:
        problem = "the claim of a run cannot be read"
        return StageError(Fault(str(path), "", problem, f"When no run goes on, call `snakemake --unlock`. {_AGAIN}"))
    if claim.fate() == "alive":
        remedy = f"Wait for its end, or end it: kill {claim.pid}. {_AGAIN}"
        return StageError(Fault(str(path.parent), "", f"{claim} is going on here", remedy))
    problem = f"{claim} has not ended as far as this machine can tell"
    if claim.fate() == "dead":
        problem = f"{claim} died; it was started by another user (id {claim.user}), and its jobs may go on"
    remedy = f"When it is no longer alive there, call `snakemake --unlock` in {claim.work_dir}. {_AGAIN}"
    return StageError(Fault(str(path.parent), "", problem, remedy))


def _read(path: Path) -> Claim | None:
    try:
        return Claim.model_validate_json(path.read_text())
    except (OSError, ValidationError):
        return None


def _end_processes(claim: Claim) -> int:
    """End the processes that outlived a dead run; returns how many there were.

    Snakemake starts their jobs again, and two jobs would write the same files. Jobs of SLURM are left to the guard.
    """
    import psutil

    count = 0
    while found := [process for process in psutil.process_iter() if _belongs(process, claim)]:
        count += len(found)
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _, alive = psutil.wait_procs(found, timeout=_SECONDS_TO_DIE)
        if alive:
            pids = " ".join(str(process.pid) for process in alive)
            problem = f"{claim} died, but some of its processes cannot be ended: {pids}"
            raise StageError(Fault(claim.work_dir, "", problem, f"Wait until they are gone. {_AGAIN}"))
    return count


def _belongs(process: Any, claim: Claim) -> bool:
    import psutil

    try:
        variables = process.environ()
        on_slurm = variables.get("SLURM_JOB_ID") != os.environ.get("SLURM_JOB_ID")
        return variables.get(MARK) == claim.token and not on_slurm and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def _locks(work_dir: str) -> dict[str, tuple[Path, int]]:
    """Return Snakemake's lock files in a folder, with their times in nanoseconds."""
    found = {}
    for path in Path(work_dir, ".snakemake/locks").glob("*.lock"):
        with contextlib.suppress(FileNotFoundError):  # of a run that ends just now
            found[path.name] = (path, path.stat().st_mtime_ns)
    return found


def _begun(pid: int) -> int | None:
    """Return when a process began, in ticks since the machine was switched on, or None when there is no such process.

    The time of day will not do: it is reckoned from the clock, which may be set while the process runs.
    """
    if not Path("/proc/self/stat").exists():
        import psutil

        return 0 if psutil.pid_exists(pid) else None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
