"""Give damaged files to a reader: each must be read as the right kind of thing, or refused with file and remedy."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import reliability
from fuzz.mutations import mutations

from tomoprofile.errors import TomoprofileError

FEW, MANY = 100, 2000
# Few in every run of the tests, many in `make test-deep`; the seed of the latter is another one.
NUMBERS = [pytest.param(FEW, 1, id="few"), pytest.param(MANY, 2, id="many", marks=pytest.mark.deep)]
SECONDS = 30  # of computing for one file of a few kilobytes, so that other work on the machine does not count
_WAIT_SECONDS = 600  # for a reader that waits and does not compute
MOST_BYTES = 200 * 2**20  # of memory beyond what the process has before
_LIMIT_BYTES = 4 * 2**30  # of address space, so that a slip does not take the machine with it


class TooLong(BaseException):
    """A reader did not come back; no handler of exceptions may swallow it."""


def failures(path: Path, read: Callable[[], object], number: int, seed: int) -> list[str]:
    """Return what went wrong when a reader was given damaged versions of a file.

    Parameters
    ----------
    path : Path
        A good file, written anew for each version and restored at the end.
    read : callable
        Reads it, and asserts that the result is of the right kind.
    number, seed : int
        Of the damage.
    """
    good = path.read_bytes()
    read()  # the good file must be read
    found, refused = [], 0
    try:
        for what, damaged in mutations(good, number, seed):
            path.write_bytes(damaged)
            try:
                problem = _problem(read)
            except TomoprofileError:
                problem, refused = "", refused + 1
            if problem:
                found.append(f"{path.name}, {what}: {problem}")
    finally:
        path.write_bytes(good)
    if number == MANY:
        test, _, case = os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].removesuffix(" (call)").partition("[")
        name = f"{test.removeprefix('test_').replace('_', ' ')}: {case.removesuffix(']')}"
        note = "read, or refused with a typed fault"
        reliability.record("Files of users, damaged", name, number, number - refused - len(found), refused, note)
    return found


def _problem(read: Callable[[], object]) -> str:
    reset_peak()
    before = memory()
    try:
        with _limits(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except TomoprofileError as error:
        if not str(error).strip():
            return "an error that says nothing"
        if not all(fault.where and fault.problem and fault.remedy for fault in error.faults):
            return f"a fault without file, problem or remedy: {error}"
        raise
    except (Exception, TooLong) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({Path(place.filename).name}:{place.lineno})"
    grown = peak() - before
    return f"{grown >> 20} MB of memory" if grown > MOST_BYTES else ""


def memory() -> int:
    """Return the bytes of memory that this process holds."""
    return _status("VmRSS")


def peak() -> int:
    """Return the most bytes of memory since :func:`reset_peak`."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Forget earlier peaks."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


@contextmanager
def _limits() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLong(f"not finished after {SECONDS} s of computing")

    earlier = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + _LIMIT_BYTES, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(_WAIT_SECONDS)
    # A loop inside a library sees no signals; then the tests end, and say where.
    faulthandler.dump_traceback_later(2 * _WAIT_SECONDS, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        for number, handler in earlier.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
