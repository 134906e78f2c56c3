"""Programs that run beside each other in folders of their own; none outlives the script that started it."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tomoprofile.federate.flare_part import end_processes

_LOOK_S, _GRACE_S = 0.2, 20.0
_LINES = 30  # of what a program that failed has said


class DemoError(Exception):
    """A program failed, or did not end in time."""


@dataclass
class Program:
    """A program that was started.

    Attributes
    ----------
    name : str
        Folder and command, as it is shown.
    process : Popen
    out, said : Path
        Receive what it prints, and what it says besides.
    """

    name: str
    process: subprocess.Popen[bytes]
    out: Path
    said: Path

    def ended(self) -> bool:
        """Return whether it is done.

        Raises
        ------
        DemoError
            When it failed.
        """
        status = self.process.poll()
        if status:
            raise self.error(f"ended with status {status}")
        return status == 0

    def error(self, what: str) -> DemoError:
        """Return an error with the last lines that it said."""
        lines = [line for path in (self.out, self.said) for line in path.read_text(errors="replace").splitlines()]
        return DemoError("\n".join([f"{self.name} {what}; {self.said} ends with", *lines[-_LINES:]]))


@dataclass
class Programs:
    """All programs of the script."""

    started: list[Program] = field(default_factory=list)

    def begin(self, folder: Path, *command: object) -> Program:
        """Show a command, and start it in a folder."""
        words = [str(word) for word in command]
        name = f"{folder.name}$ {shlex.join(words)}"
        print(name, flush=True)
        out, said = (folder / f"said/{len(self.started):03d}_{Path(words[0]).name}.{kind}" for kind in ("out", "txt"))
        said.parent.mkdir(exist_ok=True)
        with out.open("wb") as printed, said.open("wb") as others:
            # A session of its own: Ctrl-C reaches this script alone, which ends all others in order.
            process = subprocess.Popen(
                words, cwd=folder, stdin=subprocess.DEVNULL, stdout=printed, stderr=others, start_new_session=True
            )
        self.started.append(Program(name, process, out, said))
        return self.started[-1]

    def call(self, folder: Path, *command: object, limit_s: float = 300) -> str:
        """Run a command in a folder; return what it printed."""
        program = self.begin(folder, *command)
        self.wait([program], limit_s)
        return program.out.read_text()

    def wait(self, waited: Sequence[Program], limit_s: float, while_runs: Sequence[Program] = ()) -> None:
        """Wait until programs have ended.

        Parameters
        ----------
        waited : sequence of Program
        limit_s : float
            Seconds.
        while_runs : sequence of Program
            That must not end before.

        Raises
        ------
        DemoError
            When one fails, or they have not ended in time.
        """
        end = time.monotonic() + limit_s
        while left := [one for one in waited if not one.ended()]:
            for one in while_runs:
                if one.ended():
                    raise one.error("ended too early")
            if time.monotonic() > end:
                raise left[0].error(f"did not end in {limit_s:g} s")
            time.sleep(_LOOK_S)

    def end(self) -> None:
        """End all that still run, with all that they started."""
        families = [_family(program.process.pid) for program in self.started if program.process.poll() is None]
        end_processes([one for family in families for one in family], _GRACE_S)
        for program in self.started:
            program.process.wait()


@contextmanager
def programs() -> Iterator[Programs]:
    """Yield what starts programs; end them all afterwards, also on failure, Ctrl-C or SIGTERM."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    running = Programs()
    try:
        yield running
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C leaves none behind
        running.end()
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and all below it, in whatever session."""
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
