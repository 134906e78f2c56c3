"""What a round costs, how that grows with the sites, and what follows on paper for a federation of real size."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..cells.benchmark import Record
from ..cells.page import table
from .plan import ALGORITHMS, LOCAL, METHODS, TASKS
from .results import Results

MOST_OVERHEAD, ROUND_S = 0.2, 60.0
LINK_MBIT = 100.0  # of a site
# On paper.
PAPER_SITES, PAPER_NUMBERS, PAPER_CASES = 100, 30e6, 1e5
SERVER_MBIT = 1000.0
CROPS_PER_CASE, BATCH, PAPER_STEP_S, PAPER_ROUNDS = 10, 4, 0.3, 30
_VOXEL_BYTES = 13  # three slices of float32 and a label
_CASE_VOXELS = 8 * 512 * 512  # eight labelled slices of a case


@dataclass(frozen=True)
class Round:
    """Seconds of a round when sites work at the same time.

    Attributes
    ----------
    steps : float
        Of one site: what local training takes for the same steps.
    beside : float
        Of one site, beside its steps: to take the order, to begin, and to answer.
    coordinator : float
        To check and average answers, and its share of checkpoints.
    bytes : int
        Of an order or an answer.
    sites : int
    """

    steps: float
    beside: float
    coordinator: float
    bytes: int
    sites: int

    @classmethod
    def of(cls, told: dict[str, Any]) -> Round:
        """Return the mean round of a run; what the last task keeps counts as part of the rounds."""
        seconds, rounds, sites = told["seconds"], told["rounds"], told["sites"]
        beside = (seconds["answers"] - seconds["steps"]) / rounds / sites
        coordinator = (seconds["coordinator"] + seconds["checkpoints"]) / rounds
        return cls(seconds["steps"] / rounds / sites, beside, coordinator, told["bytes"], sites)

    @property
    def sent_s(self) -> float:
        """Seconds of order and answer on the link of a site: not measured."""
        return 2 * 8 * self.bytes / (LINK_MBIT * 1e6)

    @property
    def overhead_s(self) -> float:
        """Seconds beside the steps, those on the link included."""
        return self.beside + self.coordinator + self.sent_s


def whole(records: Iterable[Record]) -> list[Record]:
    """Return the federated runs that were not resumed: of others only the last rounds were watched."""
    return [one for one in records if "federation" in one and not one["resumed"]]


def overhead_told(results: Results) -> str:
    """Say whether the overhead of a round is small enough; nothing where it was not measured."""
    runs = [one for method in ALGORITHMS for one in whole(results.of_method(method).values())]
    if not runs:
        return ""
    each = [Round.of(one["federation"]).overhead_s for one in runs]
    share, most = statistics.fmean(each) / ROUND_S, max(each) / ROUND_S
    verdict = "reached" if most <= MOST_OVERHEAD else "not reached by all runs" if share <= MOST_OVERHEAD else "missed"
    sent = Round.of(runs[0]["federation"]).sent_s
    return (
        f"**{verdict}**: {statistics.fmean(each):.2f} s a round ({min(each):.2f} to {max(each):.2f} in {len(runs)} "
        f"runs), which is {share:.1%} of a round of one minute (at most {most:.1%}). Of it {sent:.2f} s are those of "
        f"the weights on a link of {LINK_MBIT:g} Mbit/s, on paper: what FLARE adds is not in it."
    )


def costs_told(results: Results) -> str:
    """Return the table of what a round cost."""
    groups: dict[tuple[str, str, bool, str], list[Record]] = {}
    for method in ALGORITHMS:
        for cell, record in results.of_method(method).items():
            if whole([record]):
                groups.setdefault((cell.task, method, cell.amplified, record["made_with"]["device"]), []).append(record)
    if not groups:
        return ""
    rows = []
    for (task, method, amplified, device), records in groups.items():
        rounds = [Round.of(one["federation"]) for one in records]
        told = records[0]["federation"]
        busy = statistics.fmean((one.steps + one.beside) * one.sites for one in rounds) / 60
        rows.append(
            [
                f"{TASKS[task].title}, {METHODS[method]}{', with pairs' * amplified}",
                str(told["round_steps"]),
                _local_s(results, (task, amplified, device), told["round_steps"]),
                f"{statistics.fmean(one.steps for one in rounds):.2f}",
                f"{statistics.fmean(one.beside for one in rounds):.2f}",
                f"{statistics.fmean(one.coordinator for one in rounds):.3f}",
                f"{2 * told['bytes'] * told['sites'] / 1e6:.1f}",
                f"{busy:.2f} {'GPU' if device == 'cuda' else 'CPU'}",
                str(len(records)),
            ]
        )
    head = ["run", "steps", "s of local training", "s in steps", "s beside", "s of the coordinator", "MB moved"]
    head += ["minutes of all sites", "runs"]
    text = (
        "Per round, of three sites that would work at the same time: seconds of local training for as many steps, "
        "seconds of one site in its steps and beside them (order, first weights, optimiser, answer), seconds of the "
        "coordinator, what all sites and the coordinator send, and the minutes that all sites compute. Where several "
        "runs shared a machine (`load_per_core` of each is in the results), all seconds are longer than those of a "
        "machine of one's own.\n"
    )
    return f"## Cost of a round\n\n{text}\n{table(head, rows)}"


def _local_s(results: Results, like: tuple[str, bool, str], steps: int) -> str:
    """Return the seconds of local training for so many steps, on the same device; empty where there was none."""
    each = [
        record["train_wall_s"] / record["steps"] * steps
        for method in LOCAL
        for cell, record in results.of_method(method).items()
        if (cell.task, cell.amplified, record["made_with"]["device"]) == like and not record["resumed"]
    ]
    return f"{statistics.fmean(each):.2f}" if each else ""


def growth_told(results: Results) -> str:
    """Return the table of rounds with more and more sites."""
    grown = {cell.sites: record for cell, record in results.grown.items() if whole([record])}
    if not grown:
        return ""
    rows = []
    for sites, record in sorted(grown.items()):
        told, one = record["federation"], Round.of(record["federation"])
        rows.append(
            [
                str(sites),
                f"{one.beside:.2f}",
                f"{one.coordinator:.3f}",
                f"{1000 * one.coordinator / sites:.1f}",
                f"{2 * told['bytes'] * sites / 1e6:.1f}",
                str(told["peak_mb"]),
            ]
        )
    head = ["sites", "s beside steps, of a site", "s of the coordinator", "ms for each site", "MB moved", "peak MB"]
    told = next(iter(grown.values()))["federation"]
    text = (
        f"{told['rounds']} rounds of {told['round_steps']} steps, in one process that holds all sites, with a network "
        f"of {told['numbers'] / 1e6:.2f} million numbers. A site does the same however many others there are; the "
        "coordinator checks and averages an answer of each.\n"
    )
    return f"## Growth with the sites\n\n{text}\n{table(head, rows)}{paper_told(grown[max(grown)])}"


def paper_told(record: Record) -> str:
    """Return what follows for many sites, a large network and many cases; from the largest measured growth."""
    told, one = record["federation"], Round.of(record["federation"])
    larger = PAPER_NUMBERS / told["numbers"]
    sent = 4 * PAPER_NUMBERS
    traffic = 2 * sent * PAPER_SITES
    coordinator = one.coordinator / one.sites * PAPER_SITES * larger
    cases = PAPER_CASES / PAPER_SITES
    steps = cases * CROPS_PER_CASE / BATCH
    trained = steps * PAPER_STEP_S / PAPER_ROUNDS
    own_link = 2 * 8 * sent / (LINK_MBIT * 1e6)
    on_server = 8 * traffic / (SERVER_MBIT * 1e6)
    whole_round = trained + one.beside * larger + coordinator + on_server
    memory = cases * _CASE_VOXELS * _VOXEL_BYTES
    rows = [
        ["an order or an answer", f"{sent / 1e6:.0f} MB", "4 bytes a number"],
        ["moved in a round", f"{traffic / 1e9:.0f} GB", "both ways, no compression"],
        [
            "on the coordinator's link",
            f"{on_server:.0f} s",
            f"{SERVER_MBIT / 1000:g} Gbit/s; a site's own of {LINK_MBIT:g} Mbit/s needs {own_link:.0f} s",
        ],
        [
            "average of a round",
            f"{coordinator:.0f} s",
            f"measured at {one.sites} sites and {told['numbers'] / 1e6:.2f} million numbers; in proportion to both",
        ],
        ["memory of the coordinator", f"{sent * (PAPER_SITES + 3) / 1e9:.0f} GB", "all answers of a round are held"],
        [
            "beside the steps, of a site",
            f"{one.beside * larger:.0f} s",
            "in proportion to the numbers: too much, as some of it does not grow",
        ],
        [
            "steps of a site in a round",
            f"{trained:.0f} s",
            f"{cases:.0f} cases, {CROPS_PER_CASE} crops of each in {PAPER_ROUNDS} rounds, {BATCH} crops a step of "
            f"{PAPER_STEP_S:g} s: assumed",
        ],
        ["a round", f"{whole_round / 60:.0f} min", "the sum; the slowest site decides"],
        [
            "a run",
            f"{2 * PAPER_ROUNDS * whole_round / 3600:.1f} h",
            f"{PAPER_ROUNDS} rounds, and as many of the models that judge labels",
        ],
        [
            "labels in a site's memory",
            f"{memory / 1e9:.0f} GB",
            f"{_VOXEL_BYTES} bytes a labelled voxel, eight slices of 512 x 512 of each case: more slices do not fit",
        ],
    ]
    cases_told = f"{PAPER_CASES:,.0f}".replace(",", " ")
    numbers = f"{PAPER_SITES} sites, {PAPER_NUMBERS / 1e6:.0f} million numbers, {cases_told} cases"
    head = ["", "", "assumed"]
    return (
        f"\n### On paper: {numbers}\n\nNothing of this was run. How many rounds so many cases need is not known; "
        f"{PAPER_ROUNDS} are assumed.\n\n{table(head, rows)}"
    )
