"""The command line of NVIDIA FLARE, which makes keys, requests, certificates and startup kits."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from ..errors import Fault, FederationError
from ..texts import shown

_LIMIT_S = 300


def require_flare(where: str) -> None:
    """Refuse where the package is not installed.

    Raises
    ------
    FederationError
        With the command that installs it.
    """
    if importlib.util.find_spec("nvflare") is None:
        remedy = "Install it: `pip install 'nvflare>=2.9,<3'`, or `pip install 'tomoprofile[federated]'`."
        raise FederationError(Fault(where, "", "the package nvflare is not installed", remedy))


def flare(*words: str) -> dict[str, Any]:
    """Run a command of FLARE; return what it answers.

    It keeps records in the home folder; here it has one of its own, which is removed.

    Raises
    ------
    FederationError
        When it refuses, with its own words.
    """
    where = f"nvflare {' '.join(words[:2])}"
    require_flare(where)
    command = [sys.executable, "-m", "nvflare.cli", "--format", "json", *words]
    with tempfile.TemporaryDirectory() as home:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        try:
            done = subprocess.run(command, timeout=_LIMIT_S, env=os.environ | {"HOME": home}, check=False, **pipes)
        except subprocess.TimeoutExpired:
            problem, remedy = "the command did not end", "Try again when this machine has less to do."
            raise FederationError(Fault(where, f"{_LIMIT_S} s", problem, remedy)) from None
    try:
        said = json.loads(done.stdout)
    except ValueError:
        said = {}
    if done.returncode or said.get("status") != "ok":
        told = [str(said[key]) for key in ("message", "detail", "hint") if said.get(key)]
        problem = " ".join(told) or shown(done.stderr.strip()[-300:])
        raise FederationError(Fault(where, str(said.get("error_code", "")), problem.rstrip("."), "Correct this first."))
    return dict(said.get("data") or {})
