"""One run: train, segment the test, score, and write the result."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import basic_unet, ours, scores
from .plan import BLIND, Cell, base_cell
from .tasks import SIZE, Problem, make_problem

BUSY = 3  # exit status when another runner has the cell


@dataclass(frozen=True)
class Setting:
    """How all runs of a results folder are made.

    Attributes
    ----------
    work : Path
        Scans, unfinished trainings and earlier bundles.
    results : Path
        One JSON file a run.
    threads : int
    steps_scale : float
        1, or less to try things out.
    size : tuple of int
        Voxels of the phantoms.
    """

    work: Path
    results: Path
    threads: int = 1
    steps_scale: float = 1.0
    size: tuple[int, int, int] = SIZE

    def config(self, cell: Cell, base: str) -> ours.UNetConfig:
        """Return the library's defaults with the steps of the run."""
        return ours.UNetConfig(base=base, steps=max(1, round(cell.steps * self.steps_scale)))


def run_cell(cell: Cell, setting: Setting) -> int:
    """Compute a result unless it exists; returns 0, or ``BUSY`` when another process is at it."""
    out = setting.results / f"{cell.key}.json"
    folder = setting.work / "runs" / cell.key
    folder.mkdir(parents=True, exist_ok=True)
    with (setting.work / "runs" / f"{cell.key}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        if not out.exists():
            record = _record(cell, setting, folder)
            with ours.whole_file(out) as partial:
                partial.write_text(json.dumps(record, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _record(cell: Cell, setting: Setting, folder: Path) -> dict[str, Any]:
    torch.set_num_threads(setting.threads)
    problem = make_problem(cell, setting.work, setting.size)
    facts: dict[str, Any] = {**asdict(cell), "steps_done": 0, "level": None, "parameters": 0, "resumed": False}
    facts |= {"train_wall_s": 0.0, "train_cpu_s": 0.0}
    if cell.method in BLIND:
        start = time.perf_counter()
        mask = ours.threshold_mask(problem.grey, problem.plane, problem.voxel_um, cell.method, folder)
        facts["test_wall_s"] = round(time.perf_counter() - start, 2)
        found = mask[problem.test]
    else:
        found = _learned(cell, setting, folder, problem, facts)
    rated = scores.score(found, problem.truth, problem.resin, problem.depth_um, problem.voxel_um)
    return facts | {"scores": rated, "made_with": _made_with(setting)}


def _learned(cell: Cell, setting: Setting, folder: Path, problem: Problem, facts: dict[str, Any]) -> NDArray[np.bool_]:
    """Train or take a model, note what it cost, and return the segmented test."""
    if cell.method == "carried":
        network, level = ours.read_bundle(_earlier_bundle(cell.seed, setting))
        config = setting.config(cell, "imagenet")
        facts["level"] = level
        return ours.probabilities(network, problem.stacks(config.neighbours), config.window) >= level * 255
    training = problem.training
    assert training is not None
    base = {"scratch": "none", "earlier": ""}.get(cell.method, "imagenet")
    if cell.method == "earlier":
        base = str(_earlier_bundle(cell.seed, setting))
    config = setting.config(cell, base)
    if cell.method == "basicunet":
        network = basic_unet.create(config, cell.seed)
        facts |= _timed(lambda: basic_unet.train(network, training, config, cell.seed))
        level = basic_unet.level(network, training, config.window)
    else:
        bundle = _base_path(cell.seed, setting) if cell.is_base else folder / "model"
        facts |= _train_once(bundle, training, config, cell.seed, setting.threads)
        network, level = ours.read_bundle(bundle)
    facts["steps_done"] = config.steps
    facts["level"] = level
    facts["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    start = time.perf_counter()
    found = ours.probabilities(network, problem.stacks(config.neighbours), config.window)
    facts["test_wall_s"] = round(time.perf_counter() - start, 2)
    return found >= level * 255


def _timed(work: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "train_wall_s": round(time.perf_counter() - wall, 2),
        "train_cpu_s": round(time.process_time() - cpu, 2),
    }


def _train_once(
    bundle: Path, training: ours.TrainingSet, config: ours.UNetConfig, seed: int, threads: int
) -> dict[str, Any]:
    """Train a bundle unless it is whole; returns how long that took, or had taken."""
    note = bundle.with_name(bundle.name + ".time.json")
    bundle.parent.mkdir(parents=True, exist_ok=True)
    with bundle.with_name(bundle.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (note.exists() and ours.is_whole(bundle)):
            resumed = ours.checkpoint_of(bundle).exists()
            facts = _timed(lambda: ours.train_bundle(training, config, seed, bundle, threads)) | {"resumed": resumed}
            with ours.whole_file(note) as partial:
                partial.write_text(json.dumps(facts))
    return json.loads(note.read_text())


def _base_path(seed: int, setting: Setting) -> Path:
    return setting.work / "bases" / f"{setting.results.name}_seed{seed}"


def _earlier_bundle(seed: int, setting: Setting) -> Path:
    """Return the bundle trained on phantom A with five slices, which is a run of its own."""
    path = _base_path(seed, setting)
    cell = base_cell(seed)
    training = make_problem(cell, setting.work, setting.size).training
    assert training is not None
    _train_once(path, training, setting.config(cell, "imagenet"), seed, setting.threads)
    return path


def _made_with(setting: Setting) -> dict[str, Any]:
    device = ours.choose_device()
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return {
        "commit": git.stdout.strip() or "unknown",
        "tomoprofile": ours.__version__,
        "torch": torch.__version__,
        "device": str(device),
        "precision": str(ours.choose_precision(device)).removeprefix("torch."),
        "threads": setting.threads,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_per_core": round(os.getloadavg()[0] / (os.cpu_count() or 1), 2),
        "size": list(setting.size),
        "steps_scale": setting.steps_scale,
    }
