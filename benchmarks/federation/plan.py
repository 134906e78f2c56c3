"""What is compared, in which order, and what it costs: at most three core-hours, the most telling runs first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..amplification.plan import PAIRS
from ..cells.benchmark import usual_cpu_s

CORE_HOURS = 3.0
SIZE = (64, 60, 80)  # voxels of a torso: 4.5 x 4.9 x 4.9 mm
SITES, ABSENT = ("A", "B", "C"), "D"
EVERYWHERE = (*SITES, ABSENT)
LABELLED, TESTED, POOL = 3, 5, 12  # cases of a site: labelled in a run, held out, and those of which a seed labels some
SEEDS = 3
ROUNDS = 30
# Size and wave length of elastic deformations, tuned on torsos (docs/benchmarks/amplification.md).
ELASTIC = (0.02, 0.3)
GROWTH = (2, 4, 8, 16)  # simulated sites
GROWTH_ROUNDS, GROWTH_STEPS = 3, 4
_FIRST_TEST, _APART = 200, 20  # numbers of cases; no two sites have the same, for a number stands for a body


@dataclass(frozen=True)
class Task:
    """What sites learn.

    Attributes
    ----------
    name, title : str
    sites : dict
        Population of each site, the absent one included.
    steps : int
        Of a site; those of `benchmarks/amplification`, where fewer taught no organ but the liver.
    kind : str
        Where the shapes of drawn pairs come from.
    registers : bool
        Whether pairs need the cases of the pool to be registered.
    """

    name: str
    title: str
    sites: dict[str, str]
    steps: int
    kind: str
    registers: bool = False

    @property
    def round_steps(self) -> int:
        """Steps of a site in a round."""
        return self.steps // ROUNDS


TASKS = {
    task.name: task
    for task in (
        Task("torso", "organs", {site: site for site in EVERYWHERE}, 600, "mixed", registers=True),
        Task("fringes", "refraction contrast", {site: f"phantom_{site}" for site in EVERYWHERE}, 300, "physics"),
    )
}
LOCAL = {f"local_{site}": site for site in SITES}
CENTRAL = "centralised"
ALGORITHMS = ("fedavg", "fedprox", "fedopt", "fedbn")
METHODS = {
    **{method: f"site {site} alone" for method, site in LOCAL.items()},
    CENTRAL: "all labels in one place",
    "fedavg": "federated (FedAvg)",
    "fedprox": "federated, FedProx",
    "fedopt": "federated, FedOpt",
    "fedbn": "federated, FedBN",
}
REGISTER = {f"register_{site}": site for site in SITES}
GROWS = "growth"


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes
    ----------
    task : str
    method : str
        One of :data:`METHODS`, or of the runs that compare nothing.
    amplified : bool
        Whether three of four crops are from drawn pairs.
    seed : int
        Of the choice of labelled cases, of weights, crops, and pairs.
    sites : int
        Of runs that measure growth.
    """

    task: str
    method: str
    amplified: bool = False
    seed: int = 0
    sites: int = 0

    @property
    def key(self) -> str:
        """Name of its result."""
        if self.sites:
            return f"{self.task}_{self.method}_{self.sites}"
        return f"{self.task}_{self.method}{'_amplified' * self.amplified}_seed{self.seed}"

    @property
    def compares(self) -> bool:
        """Whether it is tested."""
        return self.method in METHODS

    @property
    def taught_by(self) -> tuple[str, ...]:
        """Sites whose labels train."""
        return (LOCAL[self.method],) if self.method in LOCAL else SITES


def plan() -> list[Cell]:
    """Return all runs in order of value: seeds one after the other, then with pairs, then other rules, then cost."""
    compared = (*LOCAL, CENTRAL, "fedavg")
    cells = [Cell(task, method, seed=seed) for seed in range(SEEDS) for task in TASKS for method in compared]
    cells += [Cell(task.name, register) for task in TASKS.values() if task.registers for register in REGISTER]
    cells += [Cell(task, method, True, seed) for seed in range(SEEDS) for task in TASKS for method in compared]
    cells += [Cell("torso", algorithm) for algorithm in ALGORITHMS[1:]]
    return cells + [Cell("fringes", GROWS, sites=sites) for sites in GROWTH]


def cell_of(record: dict[str, Any]) -> Cell:
    """Return the run that made a result."""
    return Cell(*(record[name] for name in ("task", "method", "amplified", "seed", "sites")))


def pool(site: str) -> range:
    """Return the numbers of the cases of a site, of which each seed labels some."""
    first = EVERYWHERE.index(site) * _APART
    return range(first, first + POOL)


def chosen(site: str, seed: int) -> list[int]:
    """Return the numbers of the labelled cases of a site."""
    order = np.random.default_rng([17, seed, EVERYWHERE.index(site)]).permutation(POOL)[:LABELLED]
    return sorted(pool(site)[index] for index in order)


def held_out(site: str) -> range:
    """Return the numbers of the test cases of a site."""
    first = _FIRST_TEST + EVERYWHERE.index(site) * _APART
    return range(first, first + TESTED)


# CPU seconds, two cores of an AMD EPYC with other work beside, bfloat16, torch 2.13; a CPU without bfloat16 took 0.28 s
# for a step.
COSTS = {
    "begin": 9.0,  # with its share of the simulation of cases, which are kept
    "step": 0.14,
    "tested": 0.6,  # a case
    "labelled": 1.0,  # a case
    "pair": 1.0,
    "registration": 20.0,
    "round": 0.5,  # of a site, beside its steps
}


def expected_cpu_s(cell: Cell, records: Sequence[dict[str, Any]] = ()) -> float:
    """Return the CPU seconds of a run: the least of finished runs that differ in seed only, else from costs.

    Parameters
    ----------
    cell : Cell
    records : sequence of dict
        Results.
    """
    if seen := usual_cpu_s(records, lambda one: _like(cell_of(one)) == _like(cell)):
        return seen
    if cell.method in REGISTER:
        return COSTS["begin"] + POOL * COSTS["registration"]
    if cell.method == GROWS:
        each = COSTS["labelled"] + GROWTH_ROUNDS * (COSTS["round"] + GROWTH_STEPS * COSTS["step"])
        return COSTS["begin"] + cell.sites * each
    taught = len(cell.taught_by)
    trainings = taught if cell.method in ALGORITHMS else 1
    seconds = COSTS["begin"] + trainings * TASKS[cell.task].steps * COSTS["step"]
    seconds += len(EVERYWHERE) * TESTED * COSTS["tested"] + taught * LABELLED * COSTS["labelled"]
    seconds += ROUNDS * taught * COSTS["round"] * (cell.method in ALGORITHMS)
    return seconds + taught * PAIRS * COSTS["pair"] * cell.amplified


def _like(cell: Cell) -> tuple[str, str, bool, int]:
    return cell.task, "local" if cell.method in LOCAL else cell.method, cell.amplified, cell.sites


def waits(cell: Cell, records: Sequence[dict[str, Any]]) -> str:
    """Return which runs must be finished before this one, or an empty text."""
    if not (cell.amplified and TASKS[cell.task].registers):
        return ""
    done = {cell_of(record) for record in records}
    needed = [name for name, site in REGISTER.items() if site in cell.taught_by]
    left = [REGISTER[name] for name in needed if Cell(cell.task, name) not in done]
    return f"the cases of {', '.join(left)} are not registered" if left else ""
