"""One run: begun by one process only, its result a file that appears whole or not at all, and what it was made with."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprofile import __version__
from tomoprofile.files import whole_file
from tomoprofile.network.unet import choose_device, choose_precision

from .benchmark import ROOT, Cell, Record, Setting

BUSY = 3  # exit status when another runner has the cell


def run_once(cell: Cell, setting: Setting, make: Callable[[Path], Record]) -> int:
    """Compute a result unless it exists; returns 0, or ``BUSY`` when another process is at it.

    ``make`` gets a folder of its own, which is kept until the result is there.
    """
    out = setting.results / f"{cell.key}.json"
    folder = setting.work / "runs" / setting.results.name / cell.key
    folder.mkdir(parents=True, exist_ok=True)
    # Not `with_suffix`: keys have dots, and what follows the last one would be cut off.
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        if not out.exists():
            record = make(folder)
            with whole_file(out) as partial:
                partial.write_text(json.dumps(record, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def cpu_s() -> float:
    """Return the CPU seconds of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Do some work; return how long it took."""
    wall, cpu = time.perf_counter(), cpu_s()
    work()
    return {"train_wall_s": round(time.perf_counter() - wall, 2), "train_cpu_s": round(cpu_s() - cpu, 2)}


def kept(path: Path, make: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return arrays that are made once, whoever asks first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            with whole_file(path) as partial:
                np.savez(partial, **make())  # type: ignore[arg-type]
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def made_with(setting: Setting) -> dict[str, Any]:
    """Return what a run was made with."""
    device = choose_device()
    return {
        "commit": _commit(),
        "tomoprofile": __version__,
        "torch": torch.__version__,
        "device": str(device),
        "precision": str(choose_precision(device)).removeprefix("torch."),
        "threads": setting.threads,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_per_core": round(os.getloadavg()[0] / (os.cpu_count() or 1), 2),
        "size": list(setting.size),
        "steps_scale": setting.steps_scale,
    }


def _commit() -> str:
    """Return the commit of the code; the page, which grows with every run, does not count as a change of it."""
    code = ("benchmarks", "workflow")
    asked = (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no", "--", *code])
    commit, changed = (
        subprocess.run(["git", *words], capture_output=True, text=True, cwd=ROOT).stdout.strip() for words in asked
    )
    return f"{commit or 'unknown'}{'-dirty' if changed else ''}"
