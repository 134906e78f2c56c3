"""The training set of a model: labelled slices with their neighbours; one end in z is held out, behind a guard gap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..config import UNetConfig
from ..errors import Fault, InputError, StageError
from ..files import digest_of, sealed_file
from ..layout import ScanLayout
from ..logs import LOG
from ..shift.appearance import Appearance
from ..volume.arrays import stored_arrays
from ..volume.grey import normalise
from ..volume.sources import content_of_files
from ..volume.store import open_store
from .annotators import shared_slices, summary
from .classes import DOMAIN, Classes
from .files import LabelFile, find_label_files, unused_in_words
from .masks import merge, read_annotators

HELD_OUT_SHARE = 5  # one labelled slice in five is held out, at least one


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


@dataclass(frozen=True)
class LabelledSlice:
    """One labelled slice.

    Attributes
    ----------
    sample : str
    z : int
    held_out : bool
        Kept out of training, for scores and calibration.
    image : array (2 k + 1, y, x) of float32
        The slice between its neighbours, normalised by the centre and spread of its scan.
    label : array (y, x) of uint8
        Class indices, 255 ignored.
    """

    sample: str
    z: int
    held_out: bool
    image: NDArray[np.float32]
    label: NDArray[np.uint8]


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
        Origin of the labels: scans, digests, split, agreement of annotators.
    """

    slices: list[LabelledSlice]
    seen: dict[str, Appearance]
    voxel_size_um: tuple[float, float, float]
    facts: dict[str, Any]

    def part(self, held_out: bool) -> list[LabelledSlice]:
        """Return the slices that are held out, or those that train."""
        return [item for item in self.slices if item.held_out is held_out]


def collect_labels(scans: list[LabelledScan], config: UNetConfig, out: Path) -> None:
    """Gather labelled slices into one file.

    Parameters
    ----------
    scans : list of LabelledScan
    config : UNetConfig
        ``classes``, ``measure``, ``neighbours`` and ``guard_slices`` are used.
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
    slices: list[LabelledSlice] = []
    seen: dict[str, Appearance] = {}
    facts: dict[str, Any] = {"labels": {}}
    names: set[str] = set()
    shared: dict[str, list[NDArray[np.uint8]]] = {}
    voxel_size: tuple[float, float, float] | None = None
    for scan in scans:
        if not find_label_files(scan.labels):
            continue
        store = open_store(scan.volume)
        seen[scan.sample] = appearance = Appearance.load(scan.appearance)
        voxel_size = voxel_size or store.voxel_size_um
        _check_one_scale(scan, store.voxel_size_um, voxel_size)
        annotators = read_annotators(scan.labels, store.shape, classes)
        labelled = merge(annotators)
        names |= set(annotators)
        shared |= {f"{scan.sample} z{z:05d}": masks for z, masks in shared_slices(annotators).items()}
        held_out = choose_held_out(labelled, classes.indices)
        digests = {file: _digest(file) for person in annotators.values() for file in person.files.values()}
        for z in labelled:
            gap = min((abs(z - other) for other in held_out), default=config.guard_slices)
            if z not in held_out and gap < config.guard_slices:
                LOG.warning("%s: slice %d is not used for training, %d slices from a held-out one", scan.sample, z, gap)
                continue
            stack = store.read_padded(z - config.neighbours, z + config.neighbours + 1)
            image = store.grey.physical(stack)
            _check_grey(image, f"{scan.volume} z{z:05d}")
            image = normalise(image, appearance.centre, appearance.spread)
            slices.append(LabelledSlice(scan.sample, z, z in held_out, image, labelled[z]))
            for name, person in annotators.items():
                if z in person.files:
                    facts["labels"][f"{scan.sample} z{z:05d} {name}".rstrip()] = digests[person.files[z]]
    if voxel_size is None:
        raise StageError(*(_nothing_labelled(scan) for scan in scans))
    if all(item.held_out for item in slices):
        # Training on them anyway would make the held-out scores meaningless.
        problem = f"every labelled slice is held out, or within {config.guard_slices} slices of a held-out one"
        remedy = "Label slices farther apart, or lower `guard_slices` of the model."
        raise StageError(Fault("models: guard_slices", str(config.guard_slices), problem, remedy))
    for name, index in zip(classes.measured, classes.indices, strict=True):
        if not any((item.label == index).any() for item in slices if not item.held_out):
            where = ", ".join(str(scan.labels) for scan in scans)
            problem = f"no label file used for training contains a {name}"
            raise InputError(Fault(where, "", problem, f"Mark every {name} with {classes.value(name)}."))
    facts["annotators"] = summary(names, shared, classes.indices)
    facts["training"] = [f"{item.sample} z{item.z:05d}" for item in slices if not item.held_out]
    facts["held_out"] = [f"{item.sample} z{item.z:05d}" for item in slices if item.held_out]
    write_training_set(TrainingSet(slices, seen, voxel_size, facts), out)
    LOG.info("training on %s, held out %s", ", ".join(facts["training"]), ", ".join(facts["held_out"]) or "nothing")


def choose_held_out(labelled: dict[int, NDArray[np.uint8]], measured: Sequence[int] = (DOMAIN,)) -> set[int]:
    """Return the slices to hold out: one in five, at least one when there are two or more, all at one end in z.

    At an end, so that the guard gap costs as few training slices as possible; never random slices, whose neighbours
    would be in the training set. The end is chosen so that every measured class can still be learned, then for smaller
    domains relative to the largest of their class: rare domains must be in the training set to be learned, and a large
    domain near the substrate may appear in only one labelled slice.

    Parameters
    ----------
    labelled : dict
        Masks by slice index.
    measured : sequence of int
        Indices of the classes whose domains count.
    """
    if len(labelled) < 2:
        return set()
    order = sorted(labelled)
    count = max(1, round(len(order) / HELD_OUT_SHARE))
    largest = {z: np.array([_largest_domain(labelled[z], index) for index in measured]) for z in order}
    everywhere = np.maximum(np.max(list(largest.values()), axis=0), 1)

    def loss(end: list[int]) -> tuple[int, float]:
        """Return how many classes could not be learned if an end were held out, and how large its domains are."""
        left = np.max([largest[z] for z in order if z not in end], axis=0)
        mine = np.max([largest[z] for z in end], axis=0)
        return int(np.count_nonzero((left == 0) & (mine > 0))), float((mine / everywhere).max())

    return set(min((order[-count:], order[:count]), key=loss))


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


def _largest_domain(label: NDArray[np.uint8], measured: int) -> int:
    """Return the number of pixels of the largest domain in a mask."""
    parts, count = ndimage.label(label == measured)
    return int(np.bincount(parts.ravel())[1:].max()) if count else 0


def read_training_set(path: Path) -> TrainingSet:
    """Read what :func:`collect_labels` wrote."""
    with stored_arrays(path, "a training set") as stored:
        record = json.loads(str(stored["record"]))
        slices = [
            LabelledSlice(item["sample"], item["z"], item["held_out"], stored[f"image_{n}"], stored[f"label_{n}"])
            for n, item in enumerate(record["slices"])
        ]
        seen = {sample: Appearance.of(value, path) for sample, value in record["seen"].items()}
        return TrainingSet(slices, seen, tuple(record["voxel_size_um"]), record["facts"])


def write_training_set(training: TrainingSet, out: Path) -> None:
    """Write a training set as an ``.npz`` without pickles; :func:`read_training_set` reads it."""
    record = {
        "slices": [{"sample": item.sample, "z": item.z, "held_out": item.held_out} for item in training.slices],
        "seen": {sample: appearance.record() for sample, appearance in training.seen.items()},
        "voxel_size_um": training.voxel_size_um,
        "facts": training.facts,
    }
    arrays = {"record": np.array(json.dumps(record))}
    for n, item in enumerate(training.slices):
        arrays |= {f"image_{n}": item.image, f"label_{n}": item.label}
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
