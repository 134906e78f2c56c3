"""Make what is costly once, for all processes of pytest-xdist."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a copy of a folder that the first process to ask for it fills; the others wait.

    Each process has a copy of its own, so that its tests may change it.

    Parameters
    ----------
    factory : TempPathFactory
    name : str
        Of the folder.
    make : callable
        Fills an empty folder. What it leaves when it fails is made again.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each process has a folder of its own in that of the session
    folder, done = base / f"{name}_made", base / f"{name}_made.done"
    with (base / f"{name}_made.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return Path(shutil.copytree(folder, factory.mktemp(name) / name, symlinks=True))
