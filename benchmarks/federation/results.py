"""Results by task, method and site, and what the numbers to be reached are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cells.benchmark import Record
from ..cells.intervals import Estimate, Scores, difference, ratio
from .plan import CENTRAL, EVERYWHERE, GROWS, LOCAL, REGISTER, TASKS, Cell, Task, cell_of

SHARE = 0.97  # of the Dice of all labels in one place
FEDERATED = "fedavg"


@dataclass(frozen=True)
class Compared:
    """The federated model on the held-out data of one site.

    Attributes
    ----------
    task : Task
    amplified : bool
    site : str
    to_central : Estimate or None
        Its Dice, as a share of that of all labels in one place; None with fewer than two seeds.
    best : str
        The best model of one other site there.
    above_best : Estimate or None
        By how much its Dice is larger than that of ``best``.
    """

    task: Task
    amplified: bool
    site: str
    to_central: Estimate | None
    best: str
    above_best: Estimate | None


class Results:
    """All results, and the Dice of those that are tested."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records: dict[Cell, Record] = {
            cell_of(record): record for record in sorted(records, key=lambda one: cell_of(one).key)
        }

    def of_method(self, method: str) -> dict[Cell, Record]:
        """Return the results of one method, fewest sites first."""
        found = {cell: record for cell, record in self.records.items() if cell.method == method}
        return dict(sorted(found.items(), key=lambda one: (one[0].task, one[0].sites, one[0].seed)))

    @property
    def grown(self) -> dict[Cell, Record]:
        """Results of rounds with few to many sites."""
        return self.of_method(GROWS)

    @property
    def registered(self) -> dict[Cell, Record]:
        """Results of registrations."""
        return {cell: record for method in REGISTER for cell, record in self.of_method(method).items()}

    def by_seed(self, task: str, method: str, amplified: bool, site: str) -> dict[int, NDArray[np.float64]]:
        """Return Dice (cases, organs) by seed; not a number where a case lacks the organ."""
        return {
            cell.seed: np.array(record["tests"][site]["dice"], float)
            for cell, record in self.records.items()
            if (cell.task, cell.method, cell.amplified) == (task, method, amplified) and site in record["tests"]
        }

    def means(self, task: str, method: str, amplified: bool, site: str) -> list[float]:
        """Return the mean Dice of each seed."""
        found = self.by_seed(task, method, amplified, site)
        return [float(np.nanmean(np.nanmean(found[seed], axis=1))) for seed in sorted(found)]

    def organs(self, task: str) -> list[str]:
        """Return the organs of a task."""
        tests = (one for cell, record in self.records.items() if cell.task == task for one in record["tests"].values())
        return next((test["organs"] for test in tests), [])

    def paired(self, task: str, site: str, runs: Sequence[tuple[str, bool]]) -> list[Scores]:
        """Return mean Dice (seeds, cases) of methods, with and without pairs, over the seeds that all of them have."""
        each = [self.by_seed(task, method, amplified, site) for method, amplified in runs]
        seeds = sorted(set.intersection(*(set(one) for one in each)))
        return [np.array([np.nanmean(one[seed], axis=1) for seed in seeds]) for one in each]

    def comparisons(self) -> Iterator[Compared]:
        """Yield how the federated model compares on each site, where it was tested."""
        for task in TASKS.values():
            for amplified in (False, True):
                for site in EVERYWHERE:
                    if self.by_seed(task.name, FEDERATED, amplified, site):
                        yield self._compared(task, amplified, site)

    def _compared(self, task: Task, amplified: bool, site: str) -> Compared:
        mine, central = self.paired(task.name, site, [(FEDERATED, amplified), (CENTRAL, amplified)])
        to_central = ratio(mine, central) if len(mine) > 1 else None
        others = {}
        for method, home in LOCAL.items():
            federated, local = self.paired(task.name, site, [(FEDERATED, amplified), (method, amplified)])
            if home != site and len(local) > 1:
                others[method] = float(local.mean()), difference(federated, local)
        # All others must be there: the best of some is not the best.
        if len(others) < len([home for home in LOCAL.values() if home != site]):
            return Compared(task, amplified, site, to_central, "", None)
        best = max(others, key=lambda method: others[method][0])
        return Compared(task, amplified, site, to_central, best, others[best][1])

    def gain(self, task: str, method: str, site: str) -> Estimate | None:
        """Return by how much pairs raise the Dice of a method, or None with fewer than two seeds of both."""
        with_pairs, without = self.paired(task, site, [(method, True), (method, False)])
        return difference(with_pairs, without) if len(without) > 1 else None
