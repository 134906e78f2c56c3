"""What a site has: labelled cases, pairs drawn from them, and cases that are held out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch

from tomoprofile.config import UNetConfig
from tomoprofile.labels.training_set import TrainingSet

from ..amplification import cases, learning, registered
from ..amplification.cases import Labelled
from ..cells.benchmark import Setting
from .plan import ELASTIC, EVERYWHERE, TASKS, Task, chosen, held_out, pool


def cases_of(task: Task, site: str, numbers: Iterable[int], setting: Setting) -> Iterator[Labelled]:
    """Yield cases of a site."""
    return (cases.case(task.sites[site], number, setting.size, setting.work) for number in numbers)


def training_of(
    task: Task, site: str, seed: int, amplified: bool, config: UNetConfig, setting: Setting, folder: Path
) -> tuple[TrainingSet, dict[str, Any]]:
    """Return what a site learns from, and how many pairs it drew.

    With pairs, of what the site has alone: its learned deformations are those of its own cases, labelled or not.
    """
    labelled = list(cases_of(task, site, chosen(site, seed), setting))
    collected = learning.collect(task.sites[site], labelled, config, folder / site)
    known = None
    if amplified and task.registers:
        known = registered.learned(task.sites[site], pool(site), setting)
    kind = task.kind if amplified else "none"
    own_seed = 100 * seed + EVERYWHERE.index(site)  # no two sites draw the same deformations
    training, facts = learning.amplified(kind, collected, config, own_seed, ELASTIC, known)
    return training, facts | {"labelled": [one.name for one in labelled]}


def together(sets: Sequence[TrainingSet]) -> TrainingSet:
    """Return one training set of the labels and pairs of many sites; its groups judge nothing."""
    return reduce(_both, sets)


def _both(one: TrainingSet, other: TrainingSet) -> TrainingSet:
    return replace(
        one,
        slices=[*one.slices, *other.slices],
        seen=one.seen | other.seen,
        apart=one.apart | other.apart,
        unlabelled=[*one.unlabelled, *other.unlabelled],
        drawn=[*one.drawn, *other.drawn],
        pairs=[*one.pairs, *other.pairs],
    )


def rated(
    task: str, networks: Mapping[str, torch.nn.Module], neighbours: int, setting: Setting
) -> dict[str, dict[str, list[Any]]]:
    """Return the Dice of each organ in each held-out case of each site that has a network."""
    found = {}
    for site, network in networks.items():
        tests = cases_of(TASKS[task], site, held_out(site), setting)
        found[site] = learning.rated(network, TASKS[task].sites[site], tests, neighbours)
    return found
