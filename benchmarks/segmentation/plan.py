"""What is compared, in which order, and what it costs: at most five core-hours, the most telling runs first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..cells.benchmark import usual_cpu_s

OURS = "tomoprofile"
METHODS = {
    OURS: "ours, from our base",
    "imagenet": "ours, from ImageNet",
    "earlier": "ours, from an earlier model (phantom A, 3 labels)",
    "scratch": "ours, from random weights",
    "basicunet": "MONAI BasicUNet, from random weights",
    "forest": "random forest on filters",
    "nnunet": "nnU-Net 2-D",
    "otsu": "Otsu",
    "threshold_fill": "Otsu + hole filling",
}
THRESHOLDS = ("otsu", "threshold_fill")
NETWORKS = (OURS, "imagenet", "earlier", "scratch")  # trained as the workflow does
PEERS = {"forest": "sklearn", "nnunet": "nnunetv2"}  # packages that the workflow does not have
PEERS_COMMAND = "make .venv-peers/installed"

STEPS = 300  # one cycle of training; the default adds another where that does not reproduce the labels
SHORT_STEPS = (50, 100)
FOLDS, LEAST_FOLD_STEPS = 3, 20  # the models that judge take one cycle, all together
MAIN, CURVE, SEEDS = 3, (1, 3, 8), 3
CORE_HOURS = 5.0
# Ten times the CPU seconds of our model at STEPS, without those that judge it: nnU-Net has none here, either.
NNUNET_CPU_S = 1300.0
COSTS = Path(__file__).with_name("costs.json")


@dataclass(frozen=True)
class Task:
    """Labels to learn from, and the tests of what was learned.

    Attributes
    ----------
    name : str
    labels : int
        Most labels that there are; of the fibres tiles of 22,500 pixels.
    tests : dict
        Name and title of each; the first has no other labels to learn from.
    kind : str
        Kind of the phantom; empty for real pictures.
    thresholds : bool
        Whether a threshold can be judged; not where the reference is one.
    """

    name: str
    labels: int
    tests: dict[str, str]
    kind: str = ""
    thresholds: bool = True


TASKS = {
    task.name: task
    for task in (
        Task("A", 8, {"A": "phantom A", "carried": "phantom A to B"}, "A"),
        Task("B", 8, {"B": "phantom B"}, "B"),
        Task("C", 8, {"C": "phantom C"}, "C"),
        Task("fibres", 3, {"fibres-within": "fibres, one scan", "fibres-to-fine": "fibres, coarse to fine"}),
        Task("fibres-fine", 2, {"fibres-to-coarse": "fibres, fine to coarse"}),
        Task("cement", 3, {"cement": "cement"}, thresholds=False),
    )
}
TESTS = {name: title for task in TASKS.values() for name, title in task.tests.items()}


@dataclass(frozen=True)
class Cell:
    """One run: a method learns from so many labels and is tested; without labels it is used as it is.

    Attributes
    ----------
    task, method : str
    labels, steps : int
        Steps of the networks; 0 for what has none.
    seed : int
        Of scan, choice of labels, weights and crops.
    chosen : {"pick", "random"}
        Whether the labelled slices are those that the workflow proposes.
    """

    task: str
    method: str
    labels: int
    steps: int
    seed: int
    chosen: str = "pick"

    @property
    def key(self) -> str:
        """Name of its result."""
        return f"{self.task}_{self.method}_n{self.labels}_s{self.steps}_{self.chosen}_seed{self.seed}"


def learning(task: str, method: str, labels: int, seed: int, steps: int = STEPS, chosen: str = "pick") -> Cell:
    """Return the run of a method that learns; only networks of the library's kind count steps."""
    labels = min(labels, TASKS[task].labels)
    return Cell(task, method, labels, steps if method in (*NETWORKS, "basicunet") else 0, seed, chosen)


def earlier_cell(seed: int) -> Cell:
    """Return the run whose model is the earlier one of a seed."""
    return learning("A", OURS, MAIN, seed)


def available() -> dict[str, str]:
    """Return the methods that can run here, with their names."""
    return {name: title for name, title in METHODS.items() if find_spec(PEERS.get(name, "numpy"))}


def plan(methods: Iterable[str] = tuple(METHODS), seeds: int = SEEDS) -> list[Cell]:
    """Return all runs in order of value: pairs of one seed together, seed after seed, then single points.

    Parameters
    ----------
    methods : iterable of str
        Those that can run here.
    seeds : int
        Of the learning curves.
    """
    cells: list[Cell] = []
    for seed in range(seeds):
        cells += [Cell(task.name, method, 0, 0, seed) for task in _zero(seed) for method in _unlabelled(task, seed)]
        for labels in CURVE[:2]:
            cells += _curve(labels, seed, OURS, "imagenet", "forest")
        cells.append(learning("C", OURS, MAIN, seed, chosen="random"))
    cells += _points()
    for seed in range(seeds):
        cells += [learning("C", method, CURVE[2], seed) for method in (OURS, "imagenet", "forest")]
    cells += [learning(task, "nnunet", MAIN, 0) for task in ("fibres", "C")]
    for steps in SHORT_STEPS:
        cells += [learning(task, method, MAIN, 0, steps) for task in ("C", "fibres") for method in (OURS, "imagenet")]
    methods = set(methods)
    return [cell for cell in dict.fromkeys(cells) if cell.method in methods]


def _zero(seed: int) -> list[Task]:
    """Return the tasks whose test a seed changes; at first, all. Of the fibres only turning them makes another one."""
    return [task for task in TASKS.values() if seed == 0 or task.kind or (task.name == "fibres" and seed == 1)]


def _unlabelled(task: Task, seed: int) -> Sequence[str]:
    """Return what needs no label; that hole filling hardly changes a threshold is plain from one seed."""
    return (OURS, *(THRESHOLDS if seed == 0 else THRESHOLDS[:1])) if task.thresholds else (OURS,)


def _curve(labels: int, seed: int, *methods: str) -> list[Cell]:
    return [learning(task, method, labels, seed) for task in ("C", "fibres") for method in methods]


def _points() -> list[Cell]:
    """Return the comparisons at three labels that one seed makes."""
    points = {
        "B": (OURS, "imagenet", "earlier", "scratch", "basicunet", "forest"),
        "fibres": ("scratch", "basicunet"),
        "C": ("scratch", "earlier", "basicunet"),
        "A": (OURS, "imagenet", "basicunet", "forest"),
        "fibres-fine": (OURS, "forest"),
        "cement": (OURS, "forest"),
    }
    # The earlier model is that of phantom A.
    first = [learning("A", OURS, MAIN, 0)]
    return first + [learning(task, method, MAIN, 0) for task, methods in points.items() for method in methods]


def cell_of(record: dict[str, Any]) -> Cell:
    """Return the run that made a result."""
    return Cell(*(record[name] for name in ("task", "method", "labels", "steps", "seed", "chosen")))


def steps_taken(cell: Cell) -> int:
    """Return the steps of a run, those of the models that judge included."""
    if cell.method == "basicunet":
        return cell.steps
    return cell.steps + max(min(cell.steps, STEPS), FOLDS * min(cell.steps, LEAST_FOLD_STEPS))


def expected_cpu_s(cell: Cell, records: Sequence[dict[str, Any]] = ()) -> float:
    """Return the CPU seconds of a run: the least of finished runs that differ in seed only, else from measured costs.

    Parameters
    ----------
    cell : Cell
    records : sequence of dict
        Results.
    """
    like = (cell.task, cell.method, cell.labels, cell.steps)
    if seen := usual_cpu_s(records, lambda one: (one["task"], one["method"], one["labels"], one["steps"]) == like):
        return seen
    costs = json.loads(COSTS.read_text())["cpu_s"]
    scan = "phantom" if TASKS[cell.task].kind else "pictures"
    seconds = float(costs["beside"][scan])
    if not cell.labels:
        return seconds
    kind = "network" if cell.method in NETWORKS else cell.method
    seconds += costs["labels"][kind]
    if kind == "nnunet":
        return seconds + NNUNET_CPU_S
    if kind == "forest":
        return seconds + costs["forest"][scan]
    return seconds + costs["step"][kind] * steps_taken(cell)
