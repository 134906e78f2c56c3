"""One run: learn and test, register a pool, compare modes, or register a pair; and write the result."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cells.benchmark import Record, Setting
from ..cells.runner import read_records
from ..cells.single import cpu_s, made_with, run_once, timed
from . import cases, engines, learning, modes, registered
from .plan import ENGINES, MODES, REGISTER, TASKS, TUNING, Cell, tuned


def run_cell(cell: Cell, setting: Setting) -> int:
    """Compute a result unless it exists; returns 0, or ``BUSY`` when another process is at it."""
    return run_once(cell, setting, lambda folder: _record(cell, setting, folder))


def _record(cell: Cell, setting: Setting, folder: Path) -> Record:
    torch.set_num_threads(setting.threads)
    facts: dict[str, Any] = {"resumed": False, "tests": {}}
    if cell.kind == REGISTER:
        facts |= _registered(cell, setting)
    elif cell.kind == MODES:
        facts |= modes.compared(cell.task, setting)
    elif cell.task in ENGINES:
        facts |= engines.compared(cell.task, setting)
    else:
        facts |= _learned(cell, setting, folder)
    return asdict(cell) | facts | {"cpu_s": round(cpu_s(), 2), "made_with": made_with(setting)}


def _registered(cell: Cell, setting: Setting) -> Record:
    kept = len(list((setting.results / "registrations").glob(f"{cell.task}[0-9]*.safetensors")))
    found = registered.registrations(cell.task, setting)
    return {
        "resumed": kept > 0,
        "refused": {one.name: one.why for one in found if one.refusal is not None},
        "folds": sum(int(one.measures.get("folds", 0)) for one in found),
        "seconds": [round(one.measures["seconds"], 1) for one in found],
    }


def _learned(cell: Cell, setting: Setting, folder: Path) -> Record:
    population = "phantom" if cell.task == "C" else cell.task
    resumed = (folder / "checkpoint.pt").exists()
    config = learning.config_of(cell, setting)
    chosen = cases.pool(cell.task, cell.seed + (100 if cell.kind == TUNING else 0))[: cell.labels]
    labelled = [cases.case(population, number, setting.size, setting.work) for number in sorted(chosen)]
    elastic = cell.elastic or (_tuned(setting) if cell.takes_elastic else None)
    collected = learning.collect(cell.task, labelled, config, folder)
    training, facts = learning.amplified(cell, collected, config, setting, elastic)
    made: list[torch.nn.Module] = []
    facts |= timed(lambda: made.append(learning.train(training, config, cell, folder)))
    rated = _rated(cell, setting, made[0], config.neighbours)
    used = {"used_elastic": list(elastic) if elastic else None}
    told = {"steps_done": config.steps, "labelled": [one.name for one in labelled], "dice": _mean(rated)}
    return facts | used | told | {"tests": rated, "resumed": resumed}


def _rated(cell: Cell, setting: Setting, network: torch.nn.Module, neighbours: int) -> dict[str, Any]:
    """Return the Dice of each organ in each case of the tests."""
    organs = list(cases.classes_of(cell.task))[1:]
    indices = range(1, len(organs) + 1)
    rated: dict[str, Any] = {}
    for name, wanted in cases.tests(TASKS[cell.task], cell.kind == TUNING).items():
        each = []
        for where, number in wanted:
            one = cases.case("phantom" if cell.task == "C" else where, number, setting.size, setting.work)
            truth = cases.truth_of(cell.task, one.labels)[:: learning.EVERY]
            each.append(learning.dice(learning.segmented(network, one, neighbours), truth, indices))
        rated[name] = {"organs": organs, "dice": each}
    return rated


def _mean(rated: dict[str, Any]) -> float:
    """Return the mean Dice of the first test."""
    first = next(iter(rated.values()))
    return round(float(np.mean([value for each in first["dice"] for value in each if value is not None])), 5)


def _tuned(setting: Setting) -> tuple[float, float]:
    """Return the elastic deformations that were best on the cases kept for tuning."""
    from .runner import BENCHMARK

    return tuned(read_records(BENCHMARK, setting.results, setting.docs))
