"""One run: learn, segment the tests, score, and write the result."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..cells import benchmark
from ..cells.single import cpu_s, made_with, run_once, timed
from . import basic_unet, forest, ours, scores
from .plan import NNUNET_CPU_S, OURS, THRESHOLDS, Cell, earlier_cell
from .tasks import SIZE, Test, make_problem

BASES = {"scratch": "none"}
Segment = Callable[[Test], NDArray[np.bool_]]


@dataclass(frozen=True)
class Setting(benchmark.Setting):
    """How all runs of a results folder are made."""

    size: tuple[int, int, int] = SIZE

    def config(self, cell: Cell, base: str) -> ours.UNetConfig:
        """Return the library's defaults with the steps of the run."""
        return ours.UNetConfig(base=base, steps=max(1, round(cell.steps * self.steps_scale)))

    def earlier(self, seed: int) -> Path:
        """Return the folder of the earlier model of a seed."""
        return self.work / "models" / f"{self.results.name}_seed{seed}"


def run_cell(cell: Cell, setting: Setting) -> int:
    """Compute a result unless it exists; returns 0, or ``BUSY`` when another process is at it."""
    return run_once(cell, setting, lambda folder: _record(cell, setting, folder))


def _record(cell: Cell, setting: Setting, folder: Path) -> dict[str, Any]:
    torch.set_num_threads(setting.threads)
    problem = make_problem(cell, setting.work, setting.size)
    segment, facts = _learned(cell, setting, folder, problem.training)
    begun, rated = cpu_s(), {}
    for name, test in problem.tests.items():
        found = segment(test)
        rated[name] = scores.score(found, test.truth, test.resin, test.depth_um, test.voxel_um)
    seconds = {"test_cpu_s": round(cpu_s() - begun, 2), "cpu_s": round(cpu_s(), 2)}
    return asdict(cell) | facts | seconds | {"tests": rated, "made_with": made_with(setting)}


def _learned(
    cell: Cell, setting: Setting, folder: Path, training: ours.TrainingSet | None
) -> tuple[Segment, dict[str, Any]]:
    """Return what segments a test, and what it took to learn that."""
    facts = {"steps_done": 0, "level": None, "parameters": 0, "resumed": False, "train_cpu_s": 0.0, "train_wall_s": 0.0}
    if cell.method in THRESHOLDS:
        return lambda test: _by_threshold(test, cell.method, folder), facts
    if training is None:
        return _by_bundle(ours.own_base(), facts)
    if cell.method == "forest":
        made: list[Any] = []
        facts |= timed(lambda: made.append(forest.train(training, cell.seed)))
        return lambda test: forest.mask(made[0], test.stacks(1)), facts
    if cell.method == "nnunet":
        return _by_nnunet(cell, setting, folder, training, facts)
    if cell.method == "basicunet":
        return _by_basic_unet(cell, setting, training, facts)
    bundle = setting.earlier(cell.seed) if cell == earlier_cell(cell.seed) else folder / "model"
    base = str(_earlier(cell.seed, setting)) if cell.method == "earlier" else BASES.get(cell.method, cell.method)
    config = setting.config(cell, base)
    facts |= _train_once(bundle, training, config, cell.seed, setting.threads) | {"steps_done": config.steps}
    return _by_bundle(bundle, facts)


def _by_threshold(test: Test, method: str, folder: Path) -> NDArray[np.bool_]:
    shutil.rmtree(folder, ignore_errors=True)
    return ours.threshold_mask(test.grey, test.plane, test.voxel_um, method, folder)[test.place]


def _by_bundle(bundle: Path, facts: dict[str, Any]) -> tuple[Segment, dict[str, Any]]:
    network, level = ours.read_bundle(bundle)
    return _by_network(network, level, facts)


def _by_network(network: torch.nn.Module, level: float, facts: dict[str, Any]) -> tuple[Segment, dict[str, Any]]:
    usual = ours.UNetConfig()
    facts |= {"level": level, "parameters": sum(parameter.numel() for parameter in network.parameters())}
    return (
        lambda test: ours.probabilities(network, test.stacks(usual.neighbours), usual.window) >= level * 255,
        facts,
    )


def _by_basic_unet(
    cell: Cell, setting: Setting, training: ours.TrainingSet, facts: dict[str, Any]
) -> tuple[Segment, dict[str, Any]]:
    config = setting.config(cell, "none")
    network = basic_unet.create(config, cell.seed)
    facts |= timed(lambda: basic_unet.train(network, training, config, cell.seed)) | {"steps_done": config.steps}
    return _by_network(network, basic_unet.level(network, training, config.window), facts)


def _by_nnunet(
    cell: Cell, setting: Setting, folder: Path, training: ours.TrainingSet, facts: dict[str, Any]
) -> tuple[Segment, dict[str, Any]]:
    from . import nnunet

    made: list[Any] = []
    facts |= {"resumed": (folder / "state.pt").exists()}
    budget = NNUNET_CPU_S * setting.steps_scale
    facts |= timed(lambda: made.append(nnunet.train(training, cell.seed, budget, folder)))
    facts |= {"parameters": sum(parameter.numel() for parameter in made[0].network.parameters())}
    return lambda test: nnunet.mask(made[0], test.grey[test.place]), facts


def _train_once(
    bundle: Path, training: ours.TrainingSet, config: ours.UNetConfig, seed: int, threads: int
) -> dict[str, Any]:
    """Train a bundle unless it is whole; returns how long that took, or had taken."""
    note = bundle.with_name(bundle.name + ".time.json")
    bundle.parent.mkdir(parents=True, exist_ok=True)
    with bundle.with_name(bundle.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (note.exists() and ours.is_whole(bundle)):
            resumed = ours.was_begun(bundle)
            facts = timed(lambda: ours.train_bundle(training, config, seed, bundle, threads)) | {"resumed": resumed}
            with ours.whole_file(note) as partial:
                partial.write_text(json.dumps(facts))
    return json.loads(note.read_text())


def _earlier(seed: int, setting: Setting) -> Path:
    """Return the model of phantom A, which is a run of its own."""
    cell, path = earlier_cell(seed), setting.earlier(seed)
    if not ours.is_whole(path):
        training = make_problem(cell, setting.work, setting.size).training
        assert training is not None
        _train_once(path, training, setting.config(cell, OURS), seed, setting.threads)
    return path
