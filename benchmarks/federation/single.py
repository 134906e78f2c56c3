"""One run: learn and test, register the cases of a site, or measure rounds of many sites; and write the result."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tomoprofile.network.fine_tune import compute_reproducibly

from ..amplification import learning, registered
from ..cells.benchmark import Record, Setting
from ..cells.single import cpu_s, made_with, run_once, timed
from .plan import (
    ALGORITHMS,
    EVERYWHERE,
    GROWS,
    GROWTH_ROUNDS,
    GROWTH_STEPS,
    REGISTER,
    ROUNDS,
    SITES,
    TASKS,
    Cell,
    pool,
)
from .rounds import Federation, with_rounds
from .sites import cases_of, rated, together, training_of


def run_cell(cell: Cell, setting: Setting) -> int:
    """Compute a result unless it exists; returns 0, or ``BUSY`` when another process is at it."""
    return run_once(cell, setting, lambda folder: _record(cell, setting, folder))


def _record(cell: Cell, setting: Setting, folder: Path) -> Record:
    compute_reproducibly(setting.threads)
    facts: dict[str, Any] = {"resumed": False, "tests": {}}
    if cell.method in REGISTER:
        site = REGISTER[cell.method]
        facts |= registered.told(TASKS[cell.task].sites[site], pool(site), setting)
    elif cell.method == GROWS:
        facts |= _grown(cell, setting, folder)
    else:
        facts |= _learned(cell, setting, folder)
    return asdict(cell) | facts | {"cpu_s": round(cpu_s(), 2), "made_with": made_with(setting)}


def _learned(cell: Cell, setting: Setting, folder: Path) -> Record:
    task = TASKS[cell.task]
    resumed = any((folder / name).exists() for name in ("checkpoint.pt", "state.safetensors"))
    round_steps = max(1, round(task.round_steps * setting.steps_scale))
    kind = task.kind if cell.amplified else "none"
    config = learning.config_of(task.sites[SITES[0]], kind, ROUNDS * round_steps)
    sets, pairs = {}, {}
    for site in cell.taught_by:
        sets[site], pairs[site] = training_of(task, site, cell.seed, cell.amplified, config, setting, folder)
    facts: dict[str, Any] = {"pairs": pairs, "steps": config.steps}
    networks: dict[str, torch.nn.Module] = {}
    if cell.method in ALGORITHMS:
        federation = Federation(sets, with_rounds(config, cell.method, ROUNDS, round_steps), cell.seed, folder)

        def work() -> None:
            state, facts["federation"] = federation.run(setting.threads)
            networks.update(federation.networks(state))
    else:

        def work() -> None:
            network = learning.train(together([*sets.values()]), config, cell.seed, cell.key, folder)
            networks.update(dict.fromkeys(EVERYWHERE, network))

    facts |= timed(work)
    tests = rated(cell.task, networks, config.neighbours, setting)
    dice = sum(learning.mean_dice(test) for test in tests.values()) / len(tests)
    return facts | {"tests": tests, "dice": round(dice, 5), "resumed": resumed}


def _grown(cell: Cell, setting: Setting, folder: Path) -> Record:
    """Return what short rounds of many sites cost, each with one labelled case of its own."""
    task, sets = TASKS[cell.task], {}
    config = learning.config_of(task.sites[SITES[0]], "none", GROWTH_ROUNDS * GROWTH_STEPS)
    for number in range(cell.sites):
        like = SITES[number % len(SITES)]
        labelled = list(cases_of(task, like, [pool(like)[number // len(SITES)]], setting))
        name = f"{like}{number:02d}"
        sets[name] = learning.collect(task.sites[like], labelled, config, folder / name).training
    config = with_rounds(config, "fedavg", GROWTH_ROUNDS, GROWTH_STEPS)
    federation = Federation(sets, config, cell.seed, folder)
    resumed = federation.checkpoint.is_file()
    return {"federation": federation.run(setting.threads)[1], "resumed": resumed}
