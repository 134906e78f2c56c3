"""What is compared, in which order, and what it costs: at most four core-hours, the most telling runs first."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..cells.benchmark import usual_cpu_s

CORE_HOURS = 4.0
# With 200 steps such a network found no organ but the liver; 600 are those of `make demo-organs`, which finds four.
STEPS = {"A": 600, "variants": 600, "C": 300}
PAIRS = 16  # that are drawn
SIZE = (64, 60, 80)  # voxels of a torso: 4.5 x 4.9 x 4.9 mm
POOLS = {"A": 20, "three": 20, "variants": 12, "C": 8}  # cases; each seed chooses which of them are labelled
TESTED, TUNING_CASES = 6, 3  # cases of a test, and those kept for tuning
SEEDS, FEW_SEEDS, TUNING_SEEDS = 5, 3, 2
# Of random elastic deformations: size and wave length, both as shares of the longest edge; first the library's own.
ELASTIC = ((0.02, 0.15), (0.01, 0.15), (0.04, 0.15), (0.02, 0.08), (0.02, 0.3))
KINDS = {
    "none": "labelled cases only",
    "elastic": "random elastic, tuned",
    "deformation": "learned deformations",
    "mixed": "learned and elastic",
    "physics": "labels warped, fringes simulated",
}
LEARNED = ("deformation", "mixed")


@dataclass(frozen=True)
class Task:
    """Cases to learn from, and tests.

    Attributes
    ----------
    name : str
    title : str
    kinds : tuple of str
        Where new shapes come from.
    labels : tuple of int
        How many cases are labelled.
    tests : dict
        Name and title of each.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    labels: tuple[int, ...]
    tests: dict[str, str]


SHAPES = ("none", "elastic", "deformation", "mixed")
SITES = {"A-A": "torso, same site", "A-D": "torso, other scanner and bodies", "A-C": "torso, native, low dose"}
TASKS = {
    task.name: task
    for task in (
        Task("A", "simulated torsos of site A", SHAPES, (1, 3, 8), SITES),
        Task("C", "phantom C", ("none", "elastic", "physics"), (1, 3), {"C": "refraction contrast, phantom C"}),
        Task("variants", "variants of a real case", SHAPES, (1, 3), {"variants": "variants of a real case"}),
    )
}
TESTS = {name: title for task in TASKS.values() for name, title in task.tests.items()}
# Runs that train nothing; of `three` only the three dominant modes of the torsos vary.
REGISTER, MODES, ENGINE, TUNING = "register", "modes", "engines", "tuning"
POPULATIONS = {"A": "13 modes", "three": "3 dominant modes"}
ENGINES = {"torso": "torsos of two sites", "real": "real case and a variant of another contrast"}


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes
    ----------
    task : str
        A task, one of :data:`POPULATIONS`, or one of :data:`ENGINES`.
    kind : str
        One of :data:`KINDS`, or of the runs that train nothing, or ``tuning``.
    labels : int
        Labelled cases.
    seed : int
        Of the choice of labelled cases, of weights, crops, and pairs.
    elastic : tuple of float, or None
        Size and wave length of elastic deformations, where they are tuned.
    """

    task: str
    kind: str
    labels: int = 0
    seed: int = 0
    elastic: tuple[float, float] | None = None

    @property
    def key(self) -> str:
        """Name of its result."""
        tuned = f"_{self.elastic[0]:g}x{self.elastic[1]:g}" if self.elastic else ""
        return f"{self.task}_{self.kind}_n{self.labels}_seed{self.seed}{tuned}"

    @property
    def population(self) -> str:
        """Name of its labelled cases."""
        return "phantom" if self.task == "C" else self.task

    @property
    def trains(self) -> bool:
        """Whether a network is trained."""
        return self.kind in KINDS or self.kind == TUNING

    @property
    def takes_elastic(self) -> bool:
        """Whether it needs the tuned elastic deformations; `physics` moves labels by the same ones."""
        return self.kind in ("elastic", "mixed", "physics")


def plan() -> list[Cell]:
    """Return all runs in order of value; runs that are compared follow one another."""
    cells = [Cell("A", TUNING, 1, seed, elastic) for seed in range(TUNING_SEEDS) for elastic in ELASTIC]
    cells += [Cell("A", REGISTER), Cell("A", MODES), *(Cell(name, ENGINE) for name in ENGINES)]
    few, many = TASKS["A"].labels[:2], TASKS["A"].labels[2:]
    cells += [cell for seed in range(SEEDS) for cell in _compared("A", few, seed)]
    cells += [cell for seed in range(FEW_SEEDS) for cell in _compared("C", TASKS["C"].labels, seed)]
    # With many labels the learned deformations alone are left out: they are part of the mixed ones.
    cells += [cell for seed in range(SEEDS) for cell in _compared("A", many, seed) if cell.kind != "deformation"]
    cells += [Cell("three", REGISTER), Cell("three", MODES), Cell("variants", REGISTER)]
    return cells + [cell for seed in range(FEW_SEEDS) for cell in _compared("variants", TASKS["variants"].labels, seed)]


def _compared(task: str, labels: Iterable[int], seed: int) -> list[Cell]:
    return [Cell(task, kind, n, seed) for n in labels for kind in TASKS[task].kinds]


def cell_of(record: dict[str, Any]) -> Cell:
    """Return the run that made a result."""
    elastic = record["elastic"]
    values = (record[name] for name in ("task", "kind", "labels", "seed"))
    return Cell(*values, elastic=tuple(elastic) if elastic else None)


# CPU seconds, two cores of an AMD EPYC with other work beside, bfloat16, torch 2.13. Those of pairs are estimates.
COSTS = {
    "begin": 6.0,
    "step": 0.16,
    "tested": 0.6,  # a case
    "pair": 1.2,
    "labelled": 1.0,  # a case
    "registration": 20.0,
    MODES: 15.0,
    ENGINE: 60.0,
}


def expected_cpu_s(cell: Cell, records: Sequence[dict[str, Any]] = ()) -> float:
    """Return the CPU seconds of a run: the least of finished runs that differ in seed only, else from costs.

    Parameters
    ----------
    cell : Cell
    records : sequence of dict
        Results.
    """
    if seen := usual_cpu_s(records, lambda one: (one["task"], one["kind"], one["labels"]) == _like(cell)):
        return seen
    if cell.kind == REGISTER:
        return COSTS["begin"] + POOLS[cell.task] * COSTS["registration"]
    if not cell.trains:
        return COSTS[cell.kind]
    tested = TUNING_CASES if cell.kind == TUNING else TESTED * len(TASKS[cell.task].tests)
    seconds = COSTS["begin"] + STEPS[cell.task] * COSTS["step"] + tested * COSTS["tested"]
    seconds += cell.labels * COSTS["labelled"]
    return seconds + (0 if cell.kind == "none" else PAIRS * COSTS["pair"])


def _like(cell: Cell) -> tuple[str, str, int]:
    return cell.task, cell.kind, cell.labels


def waits(cell: Cell, records: Sequence[dict[str, Any]]) -> str:
    """Return which runs must be finished before this one, or an empty text."""
    done = {cell_of(record) for record in records}
    if cell.takes_elastic and (left := sum(one.kind == TUNING and one not in done for one in plan())):
        return f"{left} runs that tune elastic deformations are not finished"
    learns = cell.kind in LEARNED or cell.kind == MODES
    if learns and Cell(cell.task, REGISTER) not in done:
        return f"the cases of {cell.task} are not registered"
    return ""


def tuned(records: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Return the size and wave length of elastic deformations with the largest mean Dice on the cases kept for it."""
    dice: dict[tuple[float, float], list[float]] = {}
    for record in records:
        if record["kind"] == TUNING:
            dice.setdefault(tuple(record["elastic"]), []).append(record["dice"])
    return max(dice, key=lambda one: statistics.fmean(dice[one]))
