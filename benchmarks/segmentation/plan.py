"""What is compared, and in which order: the most telling cells first, one seed through all cells before the next."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

METHODS = {
    "pretrained": "fine-tuned from ImageNet",
    "earlier": "fine-tuned from an earlier bundle (phantom A, 5 slices)",
    "scratch": "same network from scratch",
    "basicunet": "MONAI BasicUNet from scratch",
    "carried": "earlier bundle as it is (no labels)",
    "otsu": "Otsu (no labels)",
    "threshold_fill": "Otsu + hole filling (no labels)",
}
BLIND = ("otsu", "threshold_fill")
UNLABELLED = ("carried", *BLIND)
FULL_STEPS = 300
SHORT_STEPS = (25, 50, 100, 200)
BASE_LABELS = 5

# One thread of an x86-64 core with AVX512-BF16, free of other work. Results that exist replace the seconds of a step.
SECONDS_PER_STEP = {"pretrained": 0.75, "earlier": 0.75, "scratch": 0.75, "basicunet": 0.28}
SECONDS_BESIDE = {"phantom": 30.0, "fibres": 12.0}


@dataclass(frozen=True)
class Task:
    """Scans to learn on and to be tested on.

    Attributes
    ----------
    name, title : str
    labels : tuple of int
        Numbers of labelled slices (phantoms) or of labelled tiles of 22,500 pixels (fibres).
    main : int
        The number that the first comparison and the comparison of times are made at.
    kind : str
        Kind of the phantom; empty for the fibres.
    """

    name: str
    title: str
    labels: tuple[int, ...]
    main: int
    kind: str = ""

    @property
    def learners(self) -> list[str]:
        """Methods that learn; on phantom A the earlier bundle would be one of the same scan."""
        return [name for name in METHODS if name not in UNLABELLED and not (name == "earlier" and self.kind == "A")]


TASKS = {
    task.name: task
    for task in (
        Task("A", "phantom A", (1, 2, 3, 5, 8), 3, "A"),
        Task("B", "phantom B", (1, 2, 3, 5, 8), 3, "B"),
        Task("C", "phantom C", (1, 2, 3, 5, 8), 3, "C"),
        Task("fibres-within", "fibres, one scan", (1, 2, 3), 3),
        Task("fibres-to-coarse", "fibres, fine to coarse scan", (1, 2), 2),
        Task("fibres-to-fine", "fibres, coarse to fine scan", (1, 2, 3, 5), 3),
    )
}


@dataclass(frozen=True)
class Cell:
    """One run: the method on the task, with so many labels, steps and one seed. Blind methods have 0 and 0."""

    task: str
    method: str
    labels: int
    steps: int
    seed: int

    @property
    def key(self) -> str:
        """Name of its result."""
        return f"{self.task}_{self.method}_n{self.labels}_s{self.steps}_seed{self.seed}"

    @property
    def is_base(self) -> bool:
        """Whether its model is the earlier bundle of others."""
        return (self.task, self.method, self.labels, self.steps) == ("A", "pretrained", BASE_LABELS, FULL_STEPS)


def base_cell(seed: int) -> Cell:
    """Return the run whose model is the earlier bundle of a seed."""
    return Cell("A", "pretrained", BASE_LABELS, FULL_STEPS, seed)


def plan(seeds: int, tasks: Iterable[Task] = tuple(TASKS.values())) -> list[Cell]:
    """Return all runs in order of value."""
    tasks = list(tasks)
    cells: list[Cell] = []
    for seed in range(seeds):
        for task in tasks:
            if seed == 0 or task.kind:  # nothing is random in a threshold of one and the same picture
                cells += [Cell(task.name, method, 0, 0, seed) for method in BLIND]
        if any(task.kind == "A" for task in tasks):
            cells.append(base_cell(seed))
            cells += [Cell(task.name, "carried", 0, 0, seed) for task in tasks if task.kind != "A"]
        for task in tasks:
            cells += [Cell(task.name, method, task.main, FULL_STEPS, seed) for method in task.learners]
        for labels in sorted({n for task in tasks for n in task.labels}):
            for task in tasks:
                if labels in task.labels and labels != task.main:
                    cells += [Cell(task.name, method, labels, FULL_STEPS, seed) for method in task.learners]
        for steps in sorted(SHORT_STEPS, reverse=True):
            for task in tasks:
                cells += [Cell(task.name, method, task.main, steps, seed) for method in task.learners]
    return list(dict.fromkeys(cells))


def key_of(record: dict[str, Any]) -> str:
    """Return the name of a result from what it holds."""
    return Cell(*(record[name] for name in ("task", "method", "labels", "steps", "seed"))).key


def expected_seconds(cell: Cell, records: Iterable[dict[str, Any]], steps_scale: float = 1.0) -> float:
    """Estimate the wall time of a run, from finished runs of the same method where there are some."""
    beside = SECONDS_BESIDE["phantom" if TASKS[cell.task].kind else "fibres"]
    if cell.method in UNLABELLED:
        return beside
    seen = [
        record["train_wall_s"] / record["steps_done"]
        for record in records
        if record["method"] == cell.method and record["steps"] == FULL_STEPS and not record["resumed"]
    ]
    step = statistics.median(seen) if seen else SECONDS_PER_STEP[cell.method]
    return beside + step * max(1, round(cell.steps * steps_scale))
