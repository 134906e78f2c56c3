"""The training set of a model: labelled slices with their neighbours, in groups that can judge each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import UNetConfig
from ..errors import Fault, InputError, StageError
from ..files import digest_of, sealed_file
from ..layout import ScanLayout
from ..logs import LOG
from ..shift.appearance import Appearance
from ..volume.arrays import stored_arrays
from ..volume.grey import normalise
from ..volume.sources import content_of_files
from ..volume.store import Store, open_store
from .annotators import shared_slices, summary
from .apart import Apart, alike, connected, copied, groups_of, measure_apart, structure
from .classes import Classes
from .drawn import DrawnSlice, arrays_of, drawn_of, record_of
from .files import LabelFile, find_label_files, unused_in_words
from .masks import merge, read_annotators
from .thinned import slices_of_volumes, thinned

_SAME = 0.5  # correlation of grey values beyond which slices of two scans are one slice
_UNLABELLED = 4  # slices without a label whose uncertainty stands for that of the scans, of all scans together


@dataclass(frozen=True)
class LabelledScan:
    """A scan whose labels train a model.

    Attributes
    ----------
    sample : str
    volume : Path
        Store of grey values.
    labels : Path
        Folder of label files.
    appearance : Path
        ``appearance.json``: the scale of its grey values.
    """

    sample: str
    volume: Path
    labels: Path
    appearance: Path

    @classmethod
    def of(cls, row: Mapping[str, str]) -> LabelledScan:
        """Return it from plain values, as parameters of jobs are."""
        return cls(row["sample"], Path(row["volume"]), Path(row["labels"]), Path(row["appearance"]))


@dataclass(frozen=True)
class LabelledSlice:
    """One labelled slice.

    Attributes
    ----------
    sample : str
    z : int
    group : int
        Slices of one group show partly the same; only those of other groups can judge what it trained.
    image : array (2 k + 1, y, x) of float32
        The slice between its neighbours, normalised by the centre and spread of its scan.
    label : array (y, x) of uint8
        Class indices, 255 ignored.
    """

    sample: str
    z: int
    group: int
    image: NDArray[np.float32]
    label: NDArray[np.uint8]

    @property
    def name(self) -> str:
        """Scan and slice."""
        return f"{self.sample} z{self.z:05d}"


@dataclass(frozen=True)
class TrainingSet:
    """Labelled slices and the facts about them that the model must record.

    Attributes
    ----------
    slices : list of LabelledSlice
    seen : dict
        Appearance of each labelled scan.
    voxel_size_um : tuple of float
    facts : dict
        Origin of the labels: digests, groups, agreement of annotators.
    apart : dict of Apart
        By labelled scan, how far its structure reaches.
    unlabelled : list of arrays (2 k + 1, y, x) of float32
        Slices of the labelled scans without a label, as far as possible from those with one.
    drawn : list of DrawnSlice
        Further slices to train on, drawn from labelled ones.
    pairs : list of dict
        How each pair was drawn, those that were left out included.
    """

    slices: list[LabelledSlice]
    seen: dict[str, Appearance]
    voxel_size_um: tuple[float, float, float]
    facts: dict[str, Any]
    apart: dict[str, Apart] = field(default_factory=dict)
    unlabelled: list[NDArray[np.float32]] = field(default_factory=list)
    drawn: list[DrawnSlice] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def groups(self) -> list[list[str]]:
        """Names of the slices of each group."""
        numbers = sorted({item.group for item in self.slices})
        return [[item.name for item in self.slices if item.group == number] for number in numbers]


def collect_labels(scans: list[LabelledScan], config: UNetConfig, out: Path) -> None:
    """Gather labelled slices into one file.

    Parameters
    ----------
    scans : list of LabelledScan
    config : UNetConfig
        ``classes``, ``measure`` and ``neighbours`` are used.
    out : Path
        ``.npz`` without pickles; read by :func:`read_training_set`.

    Raises
    ------
    StageError
        When nothing is labelled yet; the message says which files to make.
    InputError
        When a label file is wrong, or none contains a domain.
    """
    classes = Classes.of(config)
    gathered = _Gathered()
    for scan in scans:
        if find_label_files(scan.labels):
            gathered.add(scan, classes, config)
    if not gathered.slices:
        raise StageError(*(_nothing_labelled(scan) for scan in scans))
    slices = _grouped(gathered.slices, gathered.apart, classes.indices)
    for name, index in zip(classes.measured, classes.indices, strict=True):
        if not any((item.label == index).any() for item in slices):
            where = ", ".join(str(scan.labels) for scan in scans)
            problem = f"no label file used for training contains a {name}"
            raise InputError(Fault(where, "", problem, f"Mark every {name} with {classes.value(name)}."))
    # A scan may have two rows in the sheet, and the same labels in both.
    each = [{item.name: item.label for item in slices if item.sample == sample} for sample in gathered.apart]
    twins = [pair for masks in each for pair in copied(masks, classes.indices)]
    for one, other in twins:
        LOG.warning("%s and %s have the same mask, voxel for voxel: was one saved for the other?", one, other)
    few = slice(None, None, -(-len(gathered.unlabelled) // _UNLABELLED) or 1)
    training = TrainingSet(slices, gathered.seen, gathered.voxel_size, {}, gathered.apart, gathered.unlabelled[few])
    facts = {
        "labels": gathered.digests,
        "annotators": summary(gathered.names, gathered.shared, classes.indices),
        "training": [item.name for item in slices],
        "groups": training.groups,
        "apart": {sample: apart.record() for sample, apart in gathered.apart.items()},
        "same_masks": twins,
    }
    write_training_set(replace(training, facts=facts), out)
    LOG.info("%d labels train, %s: %s", len(slices), in_words(len(training.groups)), ", ".join(facts["training"]))


def in_words(n_groups: int) -> str:
    """Return how many groups of labels there are, and what that means."""
    return (
        "in one group, whose parts judge each other" if n_groups == 1 else f"in {n_groups} groups that judge each other"
    )


class _Gathered:
    """What the labelled scans give, one after the other."""

    def __init__(self) -> None:
        self.slices: list[LabelledSlice] = []
        self.unlabelled: list[NDArray[np.float32]] = []
        self.seen: dict[str, Appearance] = {}
        self.apart: dict[str, Apart] = {}
        self.digests: dict[str, str] = {}
        self.names: set[str] = set()
        self.shared: dict[str, list[NDArray[np.uint8]]] = {}
        self.voxel_size: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def add(self, scan: LabelledScan, classes: Classes, config: UNetConfig) -> None:
        """Read the labelled slices of a scan, and some without a label."""
        store = open_store(scan.volume)
        self.voxel_size = self.voxel_size if self.seen else store.voxel_size_um
        _check_one_scale(scan, store.voxel_size_um, self.voxel_size)
        self.seen[scan.sample] = appearance = Appearance.load(scan.appearance)
        annotators = read_annotators(scan.labels, store.shape, classes, store.geometry)
        labelled = thinned(merge(annotators), slices_of_volumes(annotators), classes.indices)
        self.apart[scan.sample] = measure_apart(store.read, store.shape[0])
        self.names |= set(annotators)
        self.shared |= {f"{scan.sample} z{z:05d}": masks for z, masks in shared_slices(annotators).items()}
        digests = {file: _digest(file) for person in annotators.values() for file in person.files.values()}
        for z in labelled:
            image = _image(store, appearance, z, config.neighbours)
            _check_grey(image, f"{scan.volume} z{z:05d}")
            self.slices.append(LabelledSlice(scan.sample, z, 0, image, labelled[z]))
            for name, person in annotators.items():
                if z in person.files:
                    self.digests[f"{scan.sample} z{z:05d} {name}".rstrip()] = digests[person.files[z]]
        for z in _far_from(sorted(labelled), store.shape[0]):
            image = _image(store, appearance, z, config.neighbours)
            if np.isfinite(image).all() and image.min() < image.max():
                self.unlabelled.append(image)


def _image(store: Store, appearance: Appearance, z: int, neighbours: int) -> NDArray[np.float32]:
    """Return a slice between its neighbours, normalised."""
    stack = store.grey.physical(store.read_padded(z - neighbours, z + neighbours + 1))
    return normalise(stack, appearance.centre, appearance.spread)


def _far_from(labelled: Sequence[int], depth: int) -> list[int]:
    """Return the middles of the two widest gaps between labelled slices, the ends of the scan included."""
    ends = [-1, *labelled, depth]
    gaps = sorted(pairwise(ends), key=lambda gap: gap[0] - gap[1])
    return sorted((low + high) // 2 for low, high in gaps[:2] if high - low > 1)


def _grouped(slices: list[LabelledSlice], apart: dict[str, Apart], measured: Sequence[int]) -> list[LabelledSlice]:
    """Return the slices with their groups: near ones, ones with like masks, and one slice under two names."""
    joined = []
    for sample, distance in apart.items():
        mine = {item.z: number for number, item in enumerate(slices) if item.sample == sample}
        for group in groups_of({z: slices[number].label for z, number in mine.items()}, distance.slices, measured):
            joined += [(mine[group[0]], mine[z]) for z in group[1:]]
    for one, other in combinations(range(len(slices)), 2):
        here, there = slices[one], slices[other]
        if here.sample != there.sample and alike(here.label, there.label, measured) > _SAME and _same_grey(here, there):
            joined.append((one, other))
    groups = connected(range(len(slices)), joined)
    number_of = {index: number for number, group in enumerate(groups) for index in group}
    return [replace(item, group=number_of[index]) for index, item in enumerate(slices)]


def _same_grey(one: LabelledSlice, other: LabelledSlice) -> bool:
    first, second = (structure(item.image[len(item.image) // 2]) for item in (one, other))
    return first.shape == second.shape and float((first * second).sum()) > _SAME


def _digest(file: LabelFile) -> str:
    return digest_of(file.path) if file.path.is_file() else content_of_files(map(str, file.files))


def _check_grey(image: NDArray[np.float32], where: str) -> None:
    if not np.isfinite(image).all():
        share = 100 * float(1 - np.isfinite(image).mean())
        problem = f"{share:.3g} % of the voxels of the labelled slice and its neighbours are not numbers"
        raise InputError(
            Fault(where, "NaN or infinite", problem, "Label another slice, or reconstruct the scan again.")
        )
    if image.min() == image.max():
        raise InputError(
            Fault(where, f"grey {image.min():g}", "the labelled slice is constant", "Label another slice.")
        )


def _check_one_scale(scan: LabelledScan, edges: tuple[float, ...], others: tuple[float, ...]) -> None:
    if not np.allclose(edges, others, rtol=0.02):
        got, known = ("x".join(f"{edge:g}" for edge in sizes) for sizes in (edges, others))
        problem = f"the voxel size of {scan.sample} differs from the first labelled scan of its model ({known} um)"
        remedy = "Give scans of different voxel size different models in the sample sheet."
        raise InputError(Fault(str(scan.volume), f"{got} um", problem, remedy))


def read_training_set(path: Path) -> TrainingSet:
    """Read what :func:`collect_labels` wrote."""
    with stored_arrays(path, "a training set") as stored:
        record = json.loads(str(stored["record"]))
        slices = [
            LabelledSlice(item["sample"], item["z"], item["group"], stored[f"image_{n}"], stored[f"label_{n}"])
            for n, item in enumerate(record["slices"])
        ]
        seen = {sample: Appearance.of(value, path) for sample, value in record["seen"].items()}
        apart = {sample: Apart.of(value) for sample, value in record["apart"].items()}
        unlabelled = [stored[f"unlabelled_{n}"] for n in range(record["n_unlabelled"])]
        drawn = drawn_of(record.get("drawn", ()), stored)
        described = seen, tuple(record["voxel_size_um"]), record["facts"], apart, unlabelled
        return TrainingSet(slices, *described, drawn, record.get("pairs", []))


def write_training_set(training: TrainingSet, out: Path) -> None:
    """Write a training set as an ``.npz`` without pickles; :func:`read_training_set` reads it."""
    record = {
        "slices": [{"sample": item.sample, "z": item.z, "group": item.group} for item in training.slices],
        "apart": {sample: apart.record() for sample, apart in training.apart.items()},
        "n_unlabelled": len(training.unlabelled),
        "seen": {sample: appearance.record() for sample, appearance in training.seen.items()},
        "voxel_size_um": training.voxel_size_um,
        "facts": training.facts,
    }
    if training.pairs:
        record |= {"drawn": record_of(training.drawn), "pairs": training.pairs}
    arrays = {"record": np.array(json.dumps(record))}
    for n, item in enumerate(training.slices):
        arrays |= {f"image_{n}": item.image, f"label_{n}": item.label}
    arrays |= {f"unlabelled_{n}": image for n, image in enumerate(training.unlabelled)} | dict(
        arrays_of(training.drawn)
    )
    with sealed_file(out) as partial:
        np.savez(partial, **arrays)


def _nothing_labelled(scan: LabelledScan) -> Fault:
    proposed = ScanLayout(scan.volume.parent).to_label.folder
    problem = "; ".join([f"no slice of {scan.sample} is labelled yet", *unused_in_words(scan.labels)]).rstrip(".")
    remedy = (
        f"Mark the domains in the images of {proposed} and save each mask under the same name into {scan.labels} "
        "(docs/labelling.md shows how); then run the same command again. "
        "`tomoprofile prelabel` makes masks to start from."
    )
    return Fault(str(scan.labels), "", problem, remedy)
