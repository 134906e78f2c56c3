"""Programs from Debian's packages, where a test needs them and they are missing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


class InstallError(RuntimeError):
    """A program is missing, and cannot be installed here."""


def install(programs: tuple[str, ...], packages: tuple[str, ...]) -> None:
    """Install packages unless all programs are there already.

    One at a time: suites that run beside each other would meet at the package manager's locks.

    Raises
    ------
    InstallError
        When this is not root on Debian, or the packages cannot be had.
    """
    with Path(tempfile.gettempdir(), "tomoprofile-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if all(map(shutil.which, programs)):
            return
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise InstallError(f"{', '.join(programs)}: not installed, and only root can install them with apt-get")
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        commands = (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *packages])
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if done.returncode:
                raise InstallError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
