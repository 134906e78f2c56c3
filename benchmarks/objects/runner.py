"""Works through the plan: every measurement in a fresh process, every result kept and never made twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tomoprofile.files import whole_file
from tomoprofile.logs import LOG

from . import stores, volumes
from .methods import METHODS
from .plan import Cell, key_of

ROOT = Path(__file__).parents[2]
ONE_THREAD = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "BLOSC_NTHREADS"),
    *("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "ZARR_THREADING__MAX_WORKERS"),
)
Record = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where scans and results are.

    Attributes
    ----------
    work : Path
        Folder of the scans, which are removed after use.
    results : Path
        JSON file of the results.
    data : Path or None
        Folder of the real scans.
    """

    work: Path
    results: Path
    data: Path | None = None


def read_records(results: Path) -> list[Record]:
    """Return all results so far."""
    return json.loads(results.read_text())["runs"] if results.is_file() else []


def write_records(results: Path, records: Iterable[Record]) -> None:
    """Write results, one per line."""
    lines = ",\n".join(json.dumps(record) for record in sorted(records, key=key_of))
    with whole_file(results) as partial:
        partial.write_text('{"runs": [\n' + lines + "\n]}\n")


def work_through(scans: Iterable[list[Cell]], setting: Setting) -> int:
    """Make the measurements that are missing, scan by scan; return how many failed."""
    failed = 0
    for cells in scans:
        done = {key_of(record) for record in read_records(setting.results)}
        left = [cell for cell in cells if cell.key not in done and not _not_here(cell, setting)]
        if not left:
            continue
        inputs = setting.work / f"{left[0].section}-{left[0].scan}-{left[0].depth}x{left[0].side}"
        LOG.info("%s: %d measurements", inputs.name, len(left))
        _once(inputs, lambda folder, cell=left[0]: _make_inputs(folder, cell, setting.data))
        failed += sum(not _run(cell, inputs, setting.results) for cell in left)
        shutil.rmtree(inputs)
    return failed


def _not_here(cell: Cell, setting: Setting) -> str:
    """Return why a measurement cannot be made, and log a warning."""
    reason = METHODS[cell.method].missing if cell.section == "peers" else ""
    reason = reason and f"not installed: {reason}"
    if cell.scan in volumes.REAL and (setting.data is None or not (setting.data / volumes.REAL[cell.scan]).is_file()):
        reason = "the real scans are missing; give their folder with --data"
    if reason and not cell.repeat:
        LOG.warning("SKIPPED %s: %s", cell.key, reason)
    return reason


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder that appears complete or not at all."""
    if not folder.is_dir():
        partial = folder.with_name(f".partial-{folder.name}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.replace(folder)


def _make_inputs(folder: Path, cell: Cell, data: Path | None) -> None:
    if cell.section != "peers":
        stores.write_stores(folder, cell.scan, cell.depth, cell.side)
        return
    mask, grey = volumes.volume(cell.scan, cell.side, data)
    np.save(folder / "mask.npy", mask)
    np.save(folder / "grey.npy", grey)


def _run(cell: Cell, inputs: Path, results: Path) -> bool:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.objects", "one", cell.encoded(), str(inputs)]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True)
    if done.returncode:
        told = done.stderr.strip().splitlines()
        LOG.error("%s FAILED (%d): %s", cell.key, done.returncode, told[-1] if told else "no message")
        return False
    record = json.loads(done.stdout.splitlines()[-1])
    write_records(results, [*read_records(results), record])
    LOG.info("%s: %.3f CPU s, %.2f byte/voxel", cell.key, record["cpu_s"], record["peak_bytes"] / record["voxels"])
    return True


def _environment() -> dict[str, str]:
    """Return variables that limit every library in every process to one thread."""
    paths = os.pathsep.join(filter(None, (str(ROOT / "workflow/scripts"), os.environ.get("PYTHONPATH"))))
    limits = dict.fromkeys(ONE_THREAD, "1")
    return os.environ | limits | {"PYTHONPATH": paths}
