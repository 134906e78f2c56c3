"""One logging setup for every stage: a quiet rule log with progress, and the traceback when a rule fails."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from .errors import TomoprofileError

Item = TypeVar("Item")

LOG = logging.getLogger("tomoprofile")
SHARED = {"shared": True}  # `extra` of messages that hold for many files alike
_FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")


def log_to_terminal(level: int = logging.INFO) -> None:
    """Send the messages of a command to stderr, without time stamps."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(level)


@contextmanager
def once_a_kind() -> Iterator[None]:
    """Say what many files share of the first one alone, and in the end of how many others it holds.

    Only messages logged with ``extra=SHARED`` count, whose first argument is the file.
    """
    files: dict[str, list[str]] = {}

    def is_first(record: logging.LogRecord) -> bool:
        if not hasattr(record, "shared"):
            return True
        told = files.setdefault(record.msg, [])
        name = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
        if name not in told:
            told.append(name)
            return len(told) == 1
        return False

    LOG.addFilter(is_first)
    try:
        yield
    finally:
        LOG.removeFilter(is_first)
    for first, *others in files.values():
        if others:
            LOG.info("the same holds for %d more files as for %s", len(others), first)


@contextmanager
def rule_logging(path: str | Path) -> Iterator[logging.Logger]:
    """Write everything a rule logs, and its traceback, to the rule's log file.

    Parameters
    ----------
    path : str or Path
        The rule's ``log:`` file; its folder is created if missing.

    The first line says where the job runs and the last one how long it took: :mod:`tomoprofile.run.status` reads both.

    Raises
    ------
    SystemExit
        With status 1 after a :class:`TomoprofileError` or on a full disk; the message also goes to stderr without a
        traceback, because the cause is not in the program. Any other exception is logged and passed on.
    """
    path = Path(path)
    # Long jobs show their progress on the terminal, under the name of the rule and its wildcards.
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter(f"{path.parent.name} {path.stem}: %(message)s"))
    terminal.addFilter(_for_terminal)
    LOG.addHandler(terminal)
    LOG.setLevel(logging.INFO)
    logging.captureWarnings(True)
    started = time.monotonic()
    handler: logging.Handler = logging.NullHandler()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _RuleLog(path, mode="w")
        handler.setFormatter(_FORMAT)
        LOG.addHandler(handler)
        logging.getLogger("py.warnings").addHandler(handler)
        LOG.info("started %s", _place())
        yield LOG
        LOG.info("done in %.1f s", time.monotonic() - started)
    except TomoprofileError as error:
        LOG.error("%s", error)
        raise SystemExit(1) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            LOG.exception("stopped")
            raise
        where = error.filename or "results"
        LOG.error("%s: %s. Free some space and run the same command again; no half-written file is left.", where, error)
        raise SystemExit(1) from error
    except BaseException:
        LOG.exception("stopped")
        raise
    finally:
        logging.getLogger("py.warnings").removeHandler(handler)
        LOG.removeHandler(handler)
        LOG.removeHandler(terminal)
        handler.close()


class _RuleLog(logging.FileHandler):
    """A log whose own troubles neither bury its messages nor fail a job: the disk may be full."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is that of the base class
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            print(f"{self.baseFilename}: the log is not complete: {error}", file=sys.stderr)

    def close(self) -> None:
        # What is left in the buffer is written now, and may not fit either.
        with suppress(OSError):
            super().close()


def _place() -> str:
    words = [f"on {os.environ.get('SLURMD_NODENAME') or socket.gethostname()}"]
    names = {"SLURM_JOB_ID": "SLURM job", "CUDA_VISIBLE_DEVICES": "GPU"}
    words += [f"{name} {os.environ[variable]}" for variable, name in names.items() if os.environ.get(variable)]
    return ", ".join(words)


def _for_terminal(record: logging.LogRecord) -> bool:
    # A traceback goes to the log only: Python itself shows it on the terminal.
    return not record.exc_info and (getattr(record, "progress", False) or record.levelno >= logging.WARNING)


def progress(items: Iterable[Item], total: int, what: str, every_s: float = 10.0) -> Iterator[Item]:
    """Yield ``items`` and log the progress and the time left.

    Parameters
    ----------
    items : iterable
        Items to process.
    total : int
        Number of items.
    what : str
        Plural noun for the message (``"slices"``).
    every_s : float
        Seconds between messages.
    """
    started = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= every_s or done == total:
            last = now
            left = (now - started) / done * (total - done)
            LOG.info("%s %d of %d, about %.0f s left", what, done, total, left, extra={"progress": done < total})
