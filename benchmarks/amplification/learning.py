"""Labels to learn from, pairs drawn from them, training, and the segmentation of tests: the workflow's own functions.

What is left out are the models of folds, which judge labels: they cost as much again and change no comparison here. A
voxel is of the class with the largest logit.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from tomoprofile.amplify.pairs import Drawing, LabelledCase, Learned
from tomoprofile.amplify.sample import SampleSettings
from tomoprofile.amplify.stored import StoredCase
from tomoprofile.amplify.template import Template
from tomoprofile.config import UNetConfig
from tomoprofile.labels.training_set import LabelledScan, TrainingSet, collect_labels, read_training_set
from tomoprofile.network.crops import CropSampler
from tomoprofile.network.initial import initial_network
from tomoprofile.network.trainer import Trainer
from tomoprofile.network.unet import choose_device, choose_precision
from tomoprofile.shift.appearance import Appearance, describe, sample_slices
from tomoprofile.volume.grey import normalise
from tomoprofile.volume.store import create_store

from . import fringes
from .cases import PHANTOMS, Labelled, body_of, classes_of, phantom_settings, truth_of
from .plan import PAIRS, TUNING

SLIM = (64, 48, 32, 16)  # channels of the decoder
CROP = 64
BALANCE = 0.8  # of the crops are centred on an organ: small ones are learned in fewer steps
SHARD_SLICES = 16
EVERY = 3  # of that many slices of a test one is segmented


def config_of(population: str, kind: str, steps: int) -> UNetConfig:
    """Return the settings of a training: a slim network that begins from ImageNet, small crops, few steps."""
    classes = classes_of(population)
    kind = {TUNING: "elastic", "physics": "elastic"}.get(kind, kind)
    return UNetConfig(
        base="imagenet",
        decoder_channels=SLIM,
        classes=classes,
        measure=tuple(classes)[1:],
        input_scale=2.0,
        crop=CROP,
        balance=BALANCE,
        steps=steps,
        augment={"turn": population in PHANTOMS},
        amplify={"kind": kind, "pairs": PAIRS},
    )


@dataclass(frozen=True)
class Collected:
    """Labelled cases as the workflow collects them.

    Attributes
    ----------
    population : str
    training : TrainingSet
    sources : list of LabelledCase
        To draw from.
    """

    population: str
    training: TrainingSet
    sources: list[LabelledCase]


def collect(population: str, labelled: Sequence[Labelled], config: UNetConfig, folder: Path) -> Collected:
    """Write cases where the workflow would read them, and collect their labels."""
    shutil.rmtree(folder / "scans", ignore_errors=True)  # of a run that was killed while it wrote them
    scans = [_written(population, one, folder / "scans" / one.name) for one in labelled]
    collect_labels(scans, config, folder / "training_set.npz")
    training = read_training_set(folder / "training_set.npz")
    sources = []
    for one in labelled:
        masks = dict(enumerate(truth_of(population, one.labels)))
        case = replace(StoredCase.at(one.name, folder / "scans" / one.name / "volume.ome.zarr"), labels=masks)
        groups = {item.z: item.group for item in training.slices if item.sample == one.name}
        sources.append(LabelledCase(case, Template.of(case.small()), groups, training.seen[one.name]))
    return Collected(population, training, sources)


def _written(population: str, one: Labelled, folder: Path) -> LabelledScan:
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    volume, appearance = folder / "volume.ome.zarr", folder / "appearance.json"
    edges: Any = tuple(1000 * edge for edge in one.spacing_mm)
    store = create_store(volume, one.grey.shape, "float32", edges, SHARD_SLICES)
    for start, stop in store.shards():
        store.write(start, one.grey[start:stop])
    looks_of(one).save(appearance)
    tifffile.imwrite(folder / "labels" / f"{one.name}.tif", truth_of(population, one.labels))
    return LabelledScan(one.name, volume, folder / "labels", appearance)


def looks_of(one: Labelled) -> Appearance:
    """Return how a case looks, from the slices that the workflow would look at, and as there without air around it."""
    slices = sample_slices(len(one.grey))
    edges: Any = tuple(1000 * edge for edge in one.spacing_mm)
    sample = body_of(one.grey) if one.in_air else np.ones(one.grey.shape, bool)
    return describe([one.grey[z] for z in slices], [sample[z] for z in slices], slices, edges, one.name)


def amplified(
    kind: str,
    collected: Collected,
    config: UNetConfig,
    seed: int,
    elastic: tuple[float, float] | None = None,
    known: Learned | None = None,
) -> tuple[TrainingSet, dict[str, Any]]:
    """Return the training set with drawn slices, and how many pairs were accepted.

    Parameters
    ----------
    kind : str
        Where new shapes come from.
    collected : Collected
    config : UNetConfig
    seed : int
    elastic : tuple of float, optional
        Size and wave length of elastic deformations; by default the library's own.
    known : Learned, optional
        How cases differ, for kinds that need it.
    """
    if kind == "none":
        return collected.training, {"accepted": 0, "left_out": 0}
    settings = SampleSettings() if elastic is None else SampleSettings(elastic=elastic[0], elastic_length=elastic[1])
    if kind == "physics":
        optics = phantom_settings(collected.population, 0)
        pairs = fringes.pairs(collected.sources, settings, optics, config, seed)
    else:
        pairs = Drawing(collected.sources, known, config.amplify, config.neighbours, seed, settings).pairs()
    records, drawn = [], []
    for record, slices in pairs:
        records.append(record)
        drawn += slices
    accepted = sum(record["accepted"] for record in records)
    facts = {"accepted": accepted, "left_out": len(records) - accepted}
    return replace(collected.training, drawn=drawn, pairs=records), facts


def train(training: TrainingSet, config: UNetConfig, seed: int, key: str, folder: Path) -> torch.nn.Module:
    """Return a trained network; a run that was killed goes on from the state in ``folder``, if it has the same key."""
    torch.manual_seed(seed)
    network = initial_network(config)
    sampler = CropSampler(training, config, seed)
    return Trainer(network, config, sampler, [], folder / "checkpoint.pt", key, config.steps).run()


def rated(
    network: torch.nn.Module, population: str, tests: Iterable[Labelled], neighbours: int
) -> dict[str, list[Any]]:
    """Return the names of the organs, and the Dice of each in each case of a test."""
    organs = list(classes_of(population))[1:]
    each = [
        dice(segmented(network, one, neighbours), truth_of(population, one.labels)[::EVERY], range(1, len(organs) + 1))
        for one in tests
    ]
    return {"organs": organs, "dice": each}


def mean_dice(rated_test: dict[str, list[Any]]) -> float:
    """Return the mean Dice of a test."""
    return round(float(np.mean([value for each in rated_test["dice"] for value in each if value is not None])), 5)


@torch.inference_mode()
def segmented(network: torch.nn.Module, one: Labelled, neighbours: int) -> NDArray[np.uint8]:
    """Return the class of each voxel, of one slice in :data:`EVERY` of a case."""
    looks = looks_of(one)
    grey = normalise(one.grey, looks.centre, looks.spread)
    around = np.arange(-neighbours, neighbours + 1)
    device = choose_device()
    precision = choose_precision(device)
    network.to(device).eval()
    multiple: Any = network.reduction
    rows, columns = grey.shape[1:]
    wider = [(0, 0), (0, 0), (0, -rows % multiple), (0, -columns % multiple)]
    found = []
    for z in range(0, len(grey), EVERY):
        stack = grey[np.clip(z + around, 0, len(grey) - 1)][None]
        image = torch.from_numpy(np.pad(stack, wider, mode="edge")).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits = network(image).float()
        best = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)
        found.append(best[0, :rows, :columns].to(torch.uint8).cpu().numpy())
    return np.stack(found)


def dice(found: NDArray[np.uint8], truth: NDArray[np.uint8], values: Sequence[int]) -> list[float | None]:
    """Return the Dice of each class; None where the case has none of it."""
    scores: list[float | None] = []
    for value in values:
        here, there = found == value, truth == value
        total = int(here.sum() + there.sum())
        scores.append(round(2 * int((here & there).sum()) / total, 5) if there.any() else None)
    return scores
