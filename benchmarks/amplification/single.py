"""One run: learn and test, register a pool, compare modes, or register a pair; and write the result."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..cells.benchmark import Record, Setting
from ..cells.runner import read_records
from ..cells.single import cpu_s, made_with, run_once, timed
from . import cases, engines, learning, modes, registered
from .plan import ENGINES, LEARNED, MODES, POOLS, REGISTER, STEPS, TASKS, TUNING, Cell, tuned


def run_cell(cell: Cell, setting: Setting) -> int:
    """Compute a result unless it exists; returns 0, or ``BUSY`` when another process is at it."""
    return run_once(cell, setting, lambda folder: _record(cell, setting, folder))


def _record(cell: Cell, setting: Setting, folder: Path) -> Record:
    torch.set_num_threads(setting.threads)
    facts: dict[str, Any] = {"resumed": False, "tests": {}}
    if cell.kind == REGISTER:
        facts |= registered.told(cell.task, range(POOLS[cell.task]), setting)
    elif cell.kind == MODES:
        facts |= modes.compared(cell.task, setting)
    elif cell.task in ENGINES:
        facts |= engines.compared(cell.task, setting)
    else:
        facts |= _learned(cell, setting, folder)
    return asdict(cell) | facts | {"cpu_s": round(cpu_s(), 2), "made_with": made_with(setting)}


def _learned(cell: Cell, setting: Setting, folder: Path) -> Record:
    resumed = (folder / "checkpoint.pt").exists()
    steps = max(1, round(STEPS[cell.task] * setting.steps_scale))
    config = learning.config_of(cell.population, cell.kind, steps)
    chosen = cases.pool(cell.task, cell.seed + (100 if cell.kind == TUNING else 0))[: cell.labels]
    labelled = [cases.case(cell.population, number, setting.size, setting.work) for number in sorted(chosen)]
    elastic = cell.elastic or (_tuned(setting) if cell.takes_elastic else None)
    collected = learning.collect(cell.population, labelled, config, folder)
    pool = range(POOLS[cell.task])
    known = registered.learned(cell.task, pool, setting) if cell.kind in LEARNED else None
    training, facts = learning.amplified(cell.kind, collected, config, cell.seed, elastic, known)
    made: list[torch.nn.Module] = []
    facts |= timed(lambda: made.append(learning.train(training, config, cell.seed, cell.key, folder)))
    rated = _rated(cell, setting, made[0], config.neighbours)
    used = {"used_elastic": list(elastic) if elastic else None}
    told = {
        "steps_done": config.steps,
        "labelled": [one.name for one in labelled],
        "dice": learning.mean_dice(next(iter(rated.values()))),
    }
    return facts | used | told | {"tests": rated, "resumed": resumed}


def _rated(cell: Cell, setting: Setting, network: torch.nn.Module, neighbours: int) -> dict[str, Any]:
    """Return the Dice of each organ in each case of the tests."""
    rated = {}
    for name, wanted in cases.tests(TASKS[cell.task], cell.kind == TUNING).items():
        tested = (cases.case(where, number, setting.size, setting.work) for where, number in wanted)
        rated[name] = learning.rated(network, cell.population, tested, neighbours)
    return rated


def _tuned(setting: Setting) -> tuple[float, float]:
    """Return the elastic deformations that were best on the cases kept for tuning."""
    from .runner import BENCHMARK

    return tuned(read_records(BENCHMARK, setting.results, setting.docs))
