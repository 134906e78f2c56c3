"""Open an HDF5 file in a process of its own first, because damage can make the HDF5 library loop forever or crash.

Its loops hold the interpreter, so nothing in the process itself could end them; a process can be ended. It is started
with the first HDF5 file and serves all later ones, and it ends with the process that started it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from ...errors import Fault, InputError
from .base import COPY_AGAIN

SECONDS = 120  # large files on a slow network drive take a few
# Errors are not reported: whoever opens the file afterwards meets them, too. The alarm ends the process even inside the
# library, also when nobody waits for it any more.
_PROBE = """
import json, resource, signal, sys
import h5py, hdf5plugin
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes
def attempt(step):
    try:
        step()
    except Exception:
        pass
for line in sys.stdin:
    path, dataset, seconds = json.loads(line)
    signal.alarm(seconds)
    before, answer = peak(), "opened"
    try:
        with h5py.File(path, "r") as file:
            if dataset:
                item = file.get(dataset)
                for part in (item, *(item.parent.get(name) for name in "zyx")):
                    attempt(lambda: list(part.attrs.values()))
                    attempt(lambda: part.fillvalue)
                attempt(lambda: item.virtual_sources())
                attempt(lambda: item.id.chunk_iter(lambda info: None))
                if peak() - before > 150_000:
                    answer = "memory"  # a damaged header promised a text of that size
                elif item.size // len(item) * item.dtype.itemsize < 2**28:
                    attempt(lambda: item[-1:])
            else:
                file.visititems(lambda name, item: None)
    except Exception:
        pass
    signal.alarm(0)
    print(answer, flush=True)
"""


class _Helper:
    """The process, and how to ask it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROBE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @property
    def is_mine(self) -> bool:
        """Whether it serves this process, and not the one this was forked from."""
        return self.owner == os.getpid() and self.process.poll() is None

    def answer(self, path: str, dataset: str) -> str:
        """Return what it says after opening a dataset, or all of a file; nothing when it ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps([path, dataset, SECONDS]) + "\n")
            self.process.stdin.flush()
            return self.process.stdout.readline().strip()
        except OSError:
            return ""


_HELPERS: list[_Helper] = []


def require_openable(path: Path, dataset: str = "") -> None:
    """Raise an :class:`InputError` when opening a dataset, or all of a file, crashes the library or never ends."""
    try:
        found = path.stat()
    except OSError:
        return  # opening it says why
    _require(str(path.absolute()), dataset, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1024)
def _require(path: str, dataset: str, *_: int) -> None:
    if not _HELPERS or not _HELPERS[0].is_mine:
        _HELPERS[:] = [_Helper()]
    helper = _HELPERS[0]
    answer = helper.answer(path, dataset)
    if answer == "opened":
        return
    _HELPERS.clear()
    helper.process.communicate()
    if answer:
        told = "its header takes more memory than any has"
    elif helper.process.returncode == -signal.SIGALRM:
        told = f"its library does not finish opening it in {SECONDS} s"
    else:
        told = "its library crashes"
    raise InputError(Fault(path, dataset, f"the file cannot be read as HDF5: {told}", COPY_AGAIN))
