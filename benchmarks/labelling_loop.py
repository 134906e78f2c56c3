"""Whether labels of the scans that are ranked first help more than labels of scans that are chosen by chance.

``python -m benchmarks.labelling_loop WORK`` simulates torsos of which one is labelled, trains, ranks the others as
``tomoprofile rank`` does, and goes on training with two more labelled: the first two, or two by chance. Finished seeds
are not computed again. It writes ``docs/benchmarks/labelling_loop.json`` and ``.md``; with ``--page`` only the page.
On a GPU: ``--processes 8``.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from scipy import stats

from tomoprofile.amplify.register import RegisterSettings, register_case
from tomoprofile.amplify.stored import StoredCase
from tomoprofile.amplify.template import Template
from tomoprofile.anatomy.case import simulate_case
from tomoprofile.anatomy.settings import LABELS, AnatomySettings
from tomoprofile.config import PredictConfig, UNetConfig
from tomoprofile.files import read_record, write_record
from tomoprofile.labels.training_set import LabelledScan, collect_labels, read_training_set
from tomoprofile.network.crops import CropSampler
from tomoprofile.network.initial import initial_network
from tomoprofile.network.slices import SlicePredictor
from tomoprofile.network.trainer import Trainer
from tomoprofile.network.unet import SliceNetwork
from tomoprofile.segment.ranking import Case, Ranked, rank
from tomoprofile.shift.alarm import doubt_of
from tomoprofile.shift.appearance import FEATURES, Appearance, sample_slices
from tomoprofile.volume.grey import normalise
from tomoprofile.volume.store import create_store

OUT = Path(__file__).parents[1] / "docs/benchmarks/labelling_loop.json"
TASKS = {"one site": ("A",), "two sites": ("A", "D")}  # whose torsos follow each other; the first one is labelled
ORGANS = ("liver", "spleen", "kidney_left", "kidney_right")
CLASSES = {"background": 0} | {organ: number for number, organ in enumerate(ORGANS, 1)}
SEEDS = 5
EVERY = 3  # of that many slices of a test one is segmented
BODY_HU = -300.0
TESTS_FROM = 900_000  # numbers of the torsos of tests
PARTS = {"doubt": "uncertainty", "difference": "difference", "gain": "their product"}

INTRODUCTION = """# Which scan to label next

`python -m benchmarks.labelling_loop WORK` made this page. Of {pool} simulated torsos one is labelled as a whole; a slim
network learns {measured} organs in {first} steps. The others are ranked as `tomoprofile rank` does: expected share of
wrong voxels times the distance of deformations from what is labelled. Then {added} more are labelled, and the same
network goes on for {more} steps: with the first {added} of the ranking, or with {added} by chance, {draws} times. Dice
is the mean over organs and {tests} other torsos. `amplify` is off.
"""


@dataclass(frozen=True)
class Settings:
    """How large it is.

    Attributes
    ----------
    size : tuple of int
        Voxels of a torso.
    pool : int
        Torsos, the labelled one included.
    added : int
        Of them that are labelled next.
    draws : int
        Random choices.
    tests : int
        Other torsos.
    first, more : int
        Steps with one labelled, and with the added ones.
    registration : tuple of int
        Steps on coarse and on fine voxels.
    """

    size: tuple[int, int, int] = (48, 44, 56)
    pool: int = 11
    added: int = 2
    draws: int = 3
    tests: int = 4
    first: int = 300
    more: int = 150
    registration: tuple[int, int] = (40, 25)

    def config(self, steps: int) -> UNetConfig:
        """Return the settings of a training."""
        return UNetConfig(
            base="imagenet",
            decoder_channels=(64, 48, 32, 16),
            classes=CLASSES,
            measure=ORGANS,
            input_scale=1.0,
            learning_rate=8e-3,  # finds two organs in 80 steps, where the default one finds the liver alone
            crop=max(32, min(64, min(self.size) // 16 * 16)),
            balance=0.8,
            steps=steps,
            augment={"turn": False},
        )


@dataclass(frozen=True)
class Torso:
    """A simulated torso.

    Attributes
    ----------
    name : str
    grey : array (z, y, x) of float32
    labels : array (z, y, x) of uint8
        Indices of :data:`CLASSES`.
    appearance : Appearance
    """

    name: str
    grey: NDArray[np.float32]
    labels: NDArray[np.uint8]
    appearance: Appearance

    def stack(self, z: int) -> NDArray[np.float32]:
        """Return a slice between its neighbours, normalised."""
        around = np.clip([z - 1, z, z + 1], 0, len(self.grey) - 1)
        return normalise(self.grey[around], self.appearance.centre, self.appearance.spread)


def torso(site: str, number: int, settings: Settings) -> Torso:
    """Simulate a torso."""
    case = simulate_case(AnatomySettings.of_site(site, size=settings.size), number)
    index_of = np.zeros(256, np.uint8)
    for organ in ORGANS:
        index_of[LABELS[organ]] = CLASSES[organ]
    grey = case.hu.astype(np.float32)
    body = grey[grey > BODY_HU]
    centre = float(np.median(body))
    spread = 1.4826 * float(np.median(np.abs(body - centre)))
    z, y, x = (1000 * edge for edge in case.spacing_mm)
    looks = Appearance(centre, spread, (z, y, x), [0], np.zeros((0, len(FEATURES))))
    return Torso(f"{site}{number}", grey, index_of[case.labels], looks)


def store(one: Torso, folder: Path) -> LabelledScan:
    """Write a torso and all its labels where the workflow would read them."""
    scan = LabelledScan(one.name, folder / "volume.ome.zarr", folder / "labels", folder / "appearance.json")
    scan.labels.mkdir(parents=True, exist_ok=True)
    made = create_store(scan.volume, one.grey.shape, "float32", one.appearance.voxel_size_um, 16)
    for start, stop in made.shards():
        made.write(start, one.grey[start:stop])
    one.appearance.save(scan.appearance)
    tifffile.imwrite(scan.labels / f"{one.name}.tif", one.labels)
    return scan


class Loop:
    """One labelled torso and a pool, on the way to more labels."""

    def __init__(self, task: str, seed: int, settings: Settings, work: Path) -> None:
        self.settings, self.seed, self.work = settings, seed, work
        sites = TASKS[task]
        self.pool = [torso(sites[n % len(sites)], 1000 * (seed + 1) + n, settings) for n in range(settings.pool)]
        self.tests = [torso(sites[n % len(sites)], TESTS_FROM + n, settings) for n in range(settings.tests)]
        self.scans = [store(one, work / "scans" / one.name) for one in self.pool]

    def trained(self, labelled: Sequence[int], start: SliceNetwork, steps: int) -> SliceNetwork:
        """Return a copy of a network that was trained on some torsos of the pool."""
        config, name = self.settings.config(steps), "_".join(map(str, labelled))
        collect_labels([self.scans[n] for n in labelled], config, self.work / f"{name}.npz")
        sampler = CropSampler(read_training_set(self.work / f"{name}.npz"), config, self.seed)
        checkpoint = self.work / f"{name}.checkpoint.pt"
        return Trainer(copy.deepcopy(start), config, sampler, [], checkpoint, f"{self.seed} {name} {steps}").run()

    def shapes(self) -> list[NDArray[np.float32] | None]:
        """Return the deformation of each torso of the pool onto the labelled one; None where it is refused."""
        cases = [StoredCase.at(scan.sample, scan.volume).small() for scan in self.scans]
        template = Template.of(cases[0])
        settings = RegisterSettings(steps=self.settings.registration)
        found = [register_case(case, template, settings) for case in cases[1:]]
        still = np.zeros(template.lattice.shape, np.float32)
        return [still, *(None if one.refusal else one.coefficients for one in found)]


def predictor_of(network: SliceNetwork, config: UNetConfig) -> SlicePredictor:
    """Return what segments slices with a network."""
    return SlicePredictor(network.eval(), config.window, PredictConfig(engine="torch"))


def segmented(predictor: SlicePredictor, one: Torso, slices: Sequence[int]) -> tuple[float, float]:
    """Return the doubt of a model about some slices of a torso, and its Dice there, the mean over organs."""
    probability = [predictor.probability(one.stack(z)) for z in slices]
    doubt = doubt_of(probability)
    found = np.stack([np.where((part > 127).any(0), part.argmax(0) + 1, 0) for part in probability])
    truth, scores = one.labels[list(slices)], []
    for value in range(1, len(CLASSES)):
        here, there = found == value, truth == value
        if there.any():
            scores.append(2 * (here & there).sum() / (here.sum() + there.sum()))
    return 1.0 if doubt is None else doubt, float(np.mean(scores))


def run(task: str, seed: int, settings: Settings, work: Path, threads: int) -> dict[str, Any]:
    """Return what one seed shows; a finished one is read."""
    out = work / f"{task.replace(' ', '_')}_{seed}.json"
    identity = {"task": task, "seed": seed, "settings": json.loads(json.dumps(asdict(settings)))}
    if out.exists() and (known := read_record(out)).items() >= identity.items():
        return known
    torch.set_num_threads(threads)
    loop = Loop(task, seed, settings, work / out.stem)
    config = settings.config(settings.first)
    torch.manual_seed(seed)
    first = loop.trained([0], initial_network(config), settings.first)
    predictor, depth = predictor_of(first, config), settings.size[0]
    seen = [segmented(predictor, one, sample_slices(depth)) for one in loop.pool[1:]]
    shapes = loop.shapes()
    others = [Case(str(n), seen[n - 1][0], shape=shapes[n]) for n in range(1, settings.pool)]
    ranked = rank([Case("0", shape=shapes[0])], others)

    def rated(network: SliceNetwork) -> float:
        made = predictor_of(network, config)
        return float(np.mean([segmented(made, one, range(0, depth, EVERY))[1] for one in loop.tests]))

    def added(chosen: list[int]) -> dict[str, Any]:
        return {"chosen": chosen, "dice": rated(loop.trained([0, *sorted(chosen)], first, settings.more))}

    rng = np.random.default_rng([29, seed])
    draws = [
        rng.choice(np.arange(1, settings.pool), settings.added, replace=False).tolist() for _ in range(settings.draws)
    ]
    record = identity | {
        "first": rated(first),
        "ranked": added([int(one.sample) for one in ranked[: settings.added]]),
        "random": [added(chosen) for chosen in draws],
        "pool": _told(ranked, {str(n): dice for n, (_, dice) in enumerate(seen, 1)}, shapes),
    }
    write_record(out, record)
    return record


def _told(
    ranked: Sequence[Ranked], dice: dict[str, float], shapes: Sequence[NDArray[np.float32] | None]
) -> list[dict[str, Any]]:
    """Return each torso of the pool with its Dice before it was labelled, and its distance from the labelled one."""
    alone = {
        one.sample: one
        for shape, name in zip(shapes[1:], dice, strict=True)
        if shape is not None
        for one in rank([Case("0", shape=shapes[0])], [Case(name, 1.0, shape=shape)])
    }
    told = []
    for one in ranked:
        difference = alone[one.sample].difference if one.sample in alone else None
        gain = None if difference is None else one.doubt * difference
        told.append({"doubt": one.doubt, "difference": difference, "gain": gain, "dice": dice[one.sample]})
    return told


def page(records: Sequence[dict[str, Any]]) -> str:
    """Return the page of finished seeds."""
    how = Settings(**records[0]["settings"])
    text = INTRODUCTION.format(**asdict(how) | {"measured": len(ORGANS)})
    for task in dict.fromkeys(record["task"] for record in records):
        mine = [record for record in records if record["task"] == task]
        text += f"\n## {task.capitalize()}: {', '.join(TASKS[task])}\n\n"
        text += "| seed | one label | ranked | by chance | gain of ranked |\n|---|---|---|---|---|\n"
        gains = []
        for record in mine:
            chance = float(np.mean([one["dice"] for one in record["random"]]))
            gains.append(record["ranked"]["dice"] - chance)
            cells = [record["first"], record["ranked"]["dice"], chance, gains[-1]]
            text += f"| {record['seed']} | {' | '.join(f'{cell:.3f}' for cell in cells)} |\n"
        text += f"\n{_verdict(gains)}\n\n{_tells(mine)}\n"
    return text


def _verdict(gains: Sequence[float]) -> str:
    mean = float(np.mean(gains))
    if len(gains) < 3:
        return f"Mean gain {mean:+.3f}; too few seeds for an interval."
    half = float(stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains))
    low, high = mean - half, mean + half
    interval = f"Mean gain {mean:+.3f} (95 % interval {low:+.3f} to {high:+.3f})"
    if low <= 0 <= high:
        return f"{interval}: these seeds show no difference between ranked scans and others."
    return f"{interval}: labels of ranked scans help {'more' if low > 0 else 'less'} than those of others."


def _tells(records: Sequence[dict[str, Any]]) -> str:
    """Return how well each part of the ranking tells the scans on which the first model is worst."""
    told = []
    for part, name in PARTS.items():
        found = [_correlation(record["pool"], part) for record in records]
        told.append(f"{name} {np.mean([value for value in found if np.isfinite(value)] or [np.nan]):+.2f}")
    return f"Rank correlation with the Dice of each scan before it was labelled, mean over seeds: {', '.join(told)}."


def _correlation(pool: Sequence[dict[str, Any]], part: str) -> float:
    known = [(one[part], one["dice"]) for one in pool if one[part] is not None]
    return float(stats.spearmanr(*zip(*known, strict=True)).statistic) if len(known) > 2 else np.nan


def main(arguments: Sequence[str] | None = None, settings: Settings | None = None, out: Path = OUT) -> None:
    """Compute what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder for what is computed")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=["one site"])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    options = parser.parse_args(arguments)
    if not options.page:
        options.work.mkdir(parents=True, exist_ok=True)
        threads = max(1, len(os.sched_getaffinity(0)) // options.processes)
        asked = [(task, seed) for task in options.tasks for seed in range(options.seeds)]
        # CUDA does not survive a fork.
        with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as processes:
            jobs = [processes.submit(run, *one, settings or Settings(), options.work, threads) for one in asked]
            records = [job.result() for job in jobs]
        out.write_text(json.dumps(records, indent=1) + "\n")
    out.with_suffix(".md").write_text(page(json.loads(out.read_text())))


if __name__ == "__main__":
    main()
