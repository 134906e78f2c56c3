"""One measurement, in a process of its own: CPU time, wall time and peak memory of the work alone."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
KILOBYTE = 1024


def measure(work: Callable[[], int]) -> dict[str, Any]:
    """Return what ``work`` costs.

    Inputs must be in memory and compiled functions warm: what is there before does not count.

    Parameters
    ----------
    work : callable
        Returns the number of objects.

    Returns
    -------
    dict
        ``cpu_s`` (user and system, of all threads and of child processes that have ended), ``wall_s``,
        ``peak_bytes`` (highest resident memory of this process during the work minus that before), ``peak_from`` (its
        source) and ``objects``.
    """
    gc.collect()
    peak_from = _forget_peak()
    before = _resident_bytes()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    objects = work()
    cpu, wall = _cpu_seconds() - cpu, time.perf_counter() - wall
    peak = _status_bytes("VmHWM") if peak_from == "VmHWM" else _largest_bytes()
    return {
        "cpu_s": round(cpu, 4),
        "wall_s": round(wall, 4),
        "peak_bytes": max(0, peak - before),
        "peak_from": peak_from,
        "objects": int(objects),
    }


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _forget_peak() -> str:
    """Reset the kernel's record of the highest resident memory; return where to read it later.

    Where it cannot be reset (not Linux, or a closed /proc), ``ru_maxrss`` counts from the start of the process.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return "ru_maxrss"
    return "VmHWM"


def _resident_bytes() -> int:
    return _status_bytes("VmRSS") if STATUS.is_file() else _largest_bytes()


def _status_bytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * KILOBYTE


def _largest_bytes() -> int:
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * KILOBYTE
