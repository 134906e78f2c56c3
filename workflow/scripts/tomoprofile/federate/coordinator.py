"""What the coordinator does in a run: it sends a task, averages the answers, and keeps a checkpoint.

It knows nothing of how tasks reach the sites, and needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..amplify.storage import stored, write_arrays
from ..config_train import TrainConfig
from ..errors import Fault, FederationError
from ..logs import LOG
from .averaging import averaged, pushed
from .plan import Plan
from .update import Contract, Kind, Update, digest_of_tensors

_KIND = "checkpoint of a federation"
_PARTS = ("tensors", "start", "momentum")
_MOST_LETTERS = 400  # of the reason for which an answer was left out: names in it come from the site
HELD_OUT = ("overlap", "found", "labelled")  # voxels of each measured class, on labels that did not train


@dataclass(frozen=True)
class State:
    """Where a run is: what a checkpoint holds.

    Attributes
    ----------
    agreement : str
        Digest of what all must have the same.
    task : int
        The next one.
    tensors, start : dict of arrays
        Now, and those that every model of the run begins with.
    momentum : dict of arrays
        Of the coordinator.
    held_out : dict of dict of arrays
        By site, how its labels were judged by models that did not train on them; filled by the last task.
    history : tuple of dict
        One for each task: its number, the digest of the tensors that were sent, what each site answered, and why the
        answers of some were left out.
    """

    agreement: str
    task: int
    tensors: dict[str, NDArray]
    start: dict[str, NDArray]
    momentum: dict[str, NDArray] = field(default_factory=dict)
    held_out: dict[str, dict[str, NDArray]] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()

    @classmethod
    def first(cls, agreement: str, tensors: dict[str, NDArray]) -> State:
        """Return the state before the first task."""
        return cls(agreement, 0, tensors, tensors)

    def order(self) -> Update:
        """Return what is sent to all sites."""
        return Update(Kind.WEIGHTS, self.tensors, self.task, 0, 0)

    @property
    def mark(self) -> str:
        """Digest of the state, the same whoever writes it: in a file names may stand in any order."""
        arrays = {f"{part}/{name}": value for part in _PARTS for name, value in getattr(self, part).items()}
        return f"{self.agreement}-{self.task}-{digest_of_tensors(arrays)}"

    def rounds(self) -> list[dict[str, Any]]:
        """Return the rounds in which sites trained, for the log of the federation."""
        told = [one for one in self.history if one["trains"]]
        return [{"round": one["task"], "model": one["sent"], "sites": one["sites"]} for one in told]

    def refusals(self) -> list[dict[str, Any]]:
        """Return which answers were left out and why, for the log of the federation."""
        told = [(one["task"], site, why) for one in self.history for site, why in one.get("refused", {}).items()]
        return [{"task": task, "site": site, "why": why} for task, site, why in told]

    def write(self, path: Path) -> None:
        """Write a checkpoint."""
        arrays = {f"{part}/{name}": value for part in _PARTS for name, value in getattr(self, part).items()}
        arrays |= {f"held_out/{site}/{name}": v for site, each in self.held_out.items() for name, v in each.items()}
        facts = {"agreement": self.agreement, "task": self.task, "history": list(self.history)}
        write_arrays(path, _KIND, arrays, facts)

    @classmethod
    def read(cls, path: Path) -> State:
        """Return the state in a checkpoint.

        Raises
        ------
        InputError
            When it is none, or is damaged.
        """
        with stored(path, _KIND) as (arrays, facts):
            parts: dict[str, dict[str, NDArray]] = {part: {} for part in _PARTS}
            judged: dict[str, dict[str, NDArray]] = {}
            for key, value in arrays.items():
                part, _, name = key.partition("/")
                if part in parts:
                    parts[part][name] = value
                else:
                    site, _, count = name.partition("/")
                    judged.setdefault(site, {})[count] = value
            told = facts["agreement"], int(facts["task"])
            return cls(*told, **parts, held_out=judged, history=tuple(facts["history"]))


@dataclass(frozen=True)
class Coordinator:
    """The rules by which a run goes on.

    Attributes
    ----------
    train : TrainConfig
    measured : int
        Number of measured classes.
    least : int
        Sites that must answer.
    """

    train: TrainConfig
    measured: int
    least: int

    def check(self, state: State, site: str, answer: Update) -> Update:
        """Return the answer of a site to the task of a state, if it can be used.

        Raises
        ------
        FederationError
            When it holds anything but what the task asks for.
        """
        if answer.round != state.task:
            problem = f"the answer to task {state.task} was expected"
            remedy = "Nothing is to be done: the site is sent the next task."
            raise FederationError(Fault(site, f"task {answer.round}", problem, remedy))
        if Plan.of(self.train).tasks[state.task].trains:
            return Contract.like(Kind.WEIGHTS, state.tensors).check(answer, site)
        return Contract(Kind.METRICS, dict.fromkeys(HELD_OUT, ((self.measured,), "float64"))).check(answer, site)

    def go_on(
        self,
        state: State,
        answers: Mapping[str, Update],
        unreadable: Mapping[str, FederationError] = MappingProxyType({}),
    ) -> State:
        """Return the state after a task. An answer that cannot be used is left out, where enough others can.

        Parameters
        ----------
        state : State
        answers : mapping of str to Update
            By the name of the site.
        unreadable : mapping of str to FederationError
            What is wrong with answers that are no updates, by the name of the site.

        Raises
        ------
        FederationError
            When too few sites sent an answer that can be used.
        """
        taken, refused = {}, dict(unreadable)
        for site, answer in answers.items():
            try:
                taken[site] = self.check(state, site, answer)
            except FederationError as error:
                refused[site] = error
        if len(taken) < self.least:
            if refused:
                raise FederationError(*(fault for site in sorted(refused) for fault in refused[site].faults))
            problem = f"{self.least} sites must answer, and {len(taken)} did: {', '.join(sorted(taken)) or 'none'}"
            remedy = (
                "Look at the logs of the others; the run goes on from its last checkpoint. `least_sites` lets it go "
            )
            raise FederationError(Fault(f"task {state.task}", "", problem, remedy + "on with fewer."))
        why = {site: " ".join(str(refused[site]).split())[:_MOST_LETTERS] for site in sorted(refused)}
        for site, reason in why.items():
            LOG.warning("task %d goes on without the answer of %s: %s", state.task, site, reason)
        return self._after(state, taken, why)

    def _after(self, state: State, answers: Mapping[str, Update], refused: Mapping[str, str]) -> State:
        """Return the state after a task from answers that can be used, and why others were left out."""
        plan = Plan.of(self.train)
        task = plan.tasks[state.task]
        row = {"task": state.task, "sent": digest_of_tensors(state.tensors), "trains": task.trains}
        row["sites"] = {site: _told(answers[site]) for site in sorted(answers)}
        row |= {"refused": dict(refused)} if refused else {}
        after = replace(state, task=state.task + 1, history=(*state.history, row))
        if not task.trains:
            judged = {site: dict(answer.tensors) for site, answer in answers.items()}
            begun = replace(after, tensors=state.start, momentum={})
            return begun if task.leaves_out else replace(after, held_out=judged)
        mean = averaged(answers)
        if self.train.algorithm != "fedopt":
            return replace(after, tensors=mean)
        moved = pushed(state.tensors, mean, state.momentum, self.train.server_rate, self.train.server_momentum)
        return replace(after, tensors=moved[0], momentum=moved[1])


def dice(counts: Mapping[str, NDArray]) -> NDArray[np.float64]:
    """Return Dice of each measured class from voxels found, labelled and both; NaN where there are none."""
    both = counts["found"] + counts["labelled"]
    return np.where(both > 0, 2 * counts["overlap"] / np.where(both > 0, both, 1), np.nan)


def _told(answer: Update) -> dict[str, Any]:
    """Return what the history keeps of an answer."""
    return {"voxels": answer.voxels, "cases": answer.cases, "digest": answer.digest, "bytes": answer.size}
