"""Results by test, kind and labelled cases, and what can be compared among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cells.benchmark import Record
from ..cells.intervals import Estimate, Scores, difference, label_equivalent
from .plan import KINDS, TASKS, TESTS, Cell, cell_of

PAIRS = (
    ("mixed", "elastic"),
    ("mixed", "none"),
    ("deformation", "elastic"),
    ("physics", "elastic"),
    ("physics", "none"),
    ("elastic", "none"),
)


@dataclass(frozen=True)
class Difference:
    """How much better one kind is than another in a test, with so many labelled cases."""

    test: str
    labels: int
    one: str
    other: str
    dice: Estimate


class Results:
    """Dice of every run that trained a network for a comparison."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records: dict[Cell, Record] = {
            cell_of(record): record for record in sorted(records, key=lambda one: cell_of(one).key)
        }

    def of_kind(self, kind: str) -> dict[str, Record]:
        """Return the records of runs that are no comparison of kinds, by task."""
        return {cell.task: record for cell, record in self.records.items() if cell.kind == kind}

    def organs(self, test: str) -> list[str]:
        """Return the organs of a test."""
        for record in self.records.values():
            if test in record["tests"]:
                return record["tests"][test]["organs"]
        return []

    def by_seed(self, test: str, kind: str, labels: int) -> dict[int, NDArray[np.float64]]:
        """Return Dice (cases, organs) by seed; not a number where a case lacks the organ."""
        return {
            cell.seed: np.array(record["tests"][test]["dice"], float)
            for cell, record in self.records.items()
            if test in record["tests"] and (cell.kind, cell.labels) == (kind, labels)
        }

    def labels(self, test: str, kind: str) -> list[int]:
        """Return with how many labelled cases a kind was run."""
        found = {cell.labels for cell, record in self.records.items() if test in record["tests"] and cell.kind == kind}
        return sorted(found)

    def paired(self, test: str, runs: Sequence[tuple[str, int]]) -> list[Scores]:
        """Return mean Dice (seeds, cases) of kinds and labelled cases, over the seeds that all of them have."""
        each = [self.by_seed(test, *run) for run in runs]
        seeds = sorted(set.intersection(*(set(one) for one in each)))
        return [np.array([np.nanmean(one[seed], axis=1) for seed in seeds]) for one in each]

    def differences(self) -> list[Difference]:
        """Return all comparisons of kinds that have two seeds."""
        found = []
        for task in TASKS.values():
            for test in task.tests:
                for one, other in PAIRS:
                    for labels in task.labels:
                        first, second = self.paired(test, [(one, labels), (other, labels)])
                        if len(first) > 1:
                            found.append(Difference(test, labels, one, other, difference(first, second)))
        return found

    def equivalents(self) -> list[tuple[str, str, int, Estimate, tuple[int, int]]]:
        """Return test, kind, labelled cases, how many alone give the same Dice, and the ends of the curve."""
        found = []
        for test in TESTS:
            counts = self.labels(test, "none")
            for kind in (kind for kind in KINDS if kind != "none"):
                for labels in self.labels(test, kind):
                    *curve, scores = self.paired(test, [*(("none", n) for n in counts), (kind, labels)])
                    if len(counts) > 1 and len(scores) > 1:
                        same = label_equivalent(dict(zip(counts, curve, strict=True)), scores)
                        found.append((test, kind, labels, same, (counts[0], counts[-1])))
        return found
