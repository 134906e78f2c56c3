"""The training set of a model: labelled slices with their neighbours, split by slab with a guard gap."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..config import UNetConfig
from ..errors import Fault, InputError, StageError
from ..files import whole_file
from ..logs import LOG
from ..volume.store import open_store
from .label_files import find_label_files
from .labels import DOMAIN, read_labels

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
        Folder of masks ``*_z00123.tif``.
    """

    sample: str
    volume: Path
    labels: Path


@dataclass(frozen=True)
class LabelledSlice:
    """One labelled slice.

    Attributes
    ----------
    sample : str
    z : int
    held_out : bool
        Kept from training, to measure and calibrate.
    image : array (2 k + 1, y, x) of float32
        The slice between its neighbours, physical grey values.
    label : array (y, x) of uint8
        0 background, 1 domain, 255 ignore.
    """

    sample: str
    z: int
    held_out: bool
    image: NDArray[np.float32]
    label: NDArray[np.uint8]


@dataclass(frozen=True)
class TrainingSet:
    """Labelled slices and what the model must remember of them.

    Attributes
    ----------
    slices : list of LabelledSlice
    centre, spread : float
        Robust mean and standard deviation of grey values, physical units.
    voxel_size_um : tuple of float
    facts : dict
        Where labels came from: scans, digests, split.
    """

    slices: list[LabelledSlice]
    centre: float
    spread: float
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
        ``neighbours`` and ``guard_slices`` are used.
    out : Path
        ``.npz`` without pickles; read by :func:`read_training_set`.

    Raises
    ------
    StageError
        When nothing is labelled yet; says which files to make.
    InputError
        When a label file is wrong, or none contains a domain.
    """
    slices: list[LabelledSlice] = []
    facts: dict[str, Any] = {"labels": {}}
    voxel_size: tuple[float, float, float] | None = None
    for scan in scans:
        files = find_label_files(scan.labels)
        if not files:
            continue
        store = open_store(scan.volume)
        voxel_size = voxel_size or store.voxel_size_um
        _check_one_scale(scan, store.voxel_size_um, voxel_size)
        labelled = read_labels(scan.labels, store.shape)
        held_out = choose_held_out(labelled)
        for file in files:
            gap = min((abs(file.z - z) for z in held_out), default=config.guard_slices)
            if file.z not in held_out and gap < config.guard_slices:
                LOG.warning(
                    "%s: slice %d is %d slices from a held-out one and does not train", scan.sample, file.z, gap
                )
                continue
            stack = store.read_padded(file.z - config.neighbours, file.z + config.neighbours + 1)
            image = (stack * np.float32(store.grey.slope) + np.float32(store.grey.offset)).astype(np.float32)
            slices.append(LabelledSlice(scan.sample, file.z, file.z in held_out, image, labelled[file.z]))
            facts["labels"][f"{scan.sample} z{file.z:05d}"] = hashlib.sha256(file.path.read_bytes()).hexdigest()
    if voxel_size is None:
        raise StageError(*(_nothing_labelled(scan) for scan in scans))
    if all(item.held_out for item in slices):
        # Training on them all the same would make held-out scores a lie.
        problem = f"every labelled slice is nearer than {config.guard_slices} slices to a held-out one"
        remedy = "Label slices farther apart, or lower `guard_slices` of the model."
        raise StageError(Fault("models: guard_slices", str(config.guard_slices), problem, remedy))
    if not any((item.label == DOMAIN).any() for item in slices if not item.held_out):
        where = ", ".join(str(scan.labels) for scan in scans)
        raise InputError(Fault(where, "", "no label file that trains contains a domain", "Mark domains with 1."))
    facts["training"] = [f"{item.sample} z{item.z:05d}" for item in slices if not item.held_out]
    facts["held_out"] = [f"{item.sample} z{item.z:05d}" for item in slices if item.held_out]
    grey = np.concatenate([item.image.ravel() for item in slices])
    centre = float(np.median(grey))
    spread = float(1.4826 * np.median(np.abs(grey - centre)))
    if not spread > 0:
        where = ", ".join(str(scan.volume) for scan in scans)
        raise InputError(Fault(where, f"grey {centre:g}", "the labelled slices are constant", "Label other slices."))
    write_training_set(TrainingSet(slices, centre, spread, voxel_size, facts), out)
    LOG.info("training on %s, held out %s", ", ".join(facts["training"]), ", ".join(facts["held_out"]) or "nothing")


def choose_held_out(labelled: dict[int, NDArray[np.uint8]]) -> set[int]:
    """Return the slices to hold out: one in five, at least one when there are two or more, all at one end in z.

    At an end, so that the guard gap costs as few training slices as can be; never random slices, whose neighbours would
    be in the training set. Of the two ends the one with the smaller domains: what is rare must be seen to be learned,
    and a large domain near the substrate may be in one labelled slice only.

    Parameters
    ----------
    labelled : dict
        Masks by slice index.
    """
    if len(labelled) < 2:
        return set()
    order = sorted(labelled)
    count = max(1, round(len(order) / HELD_OUT_SHARE))
    ends = (order[-count:], order[:count])
    return set(min(ends, key=lambda end: max(_largest_domain(labelled[z]) for z in end)))


def _check_one_scale(scan: LabelledScan, edges: tuple[float, ...], others: tuple[float, ...]) -> None:
    if not np.allclose(edges, others, rtol=0.02):
        got, known = ("x".join(f"{edge:g}" for edge in sizes) for sizes in (edges, others))
        problem = f"the scan {scan.sample} has other voxels than the first labelled one of its model ({known} um)"
        remedy = "Give scans of different voxel size different models in the sample sheet."
        raise InputError(Fault(str(scan.volume), f"{got} um", problem, remedy))


def _largest_domain(label: NDArray[np.uint8]) -> int:
    """Return the number of pixels of the largest domain in a mask."""
    parts, count = ndimage.label(label == DOMAIN)
    return int(np.bincount(parts.ravel())[1:].max()) if count else 0


def read_training_set(path: Path) -> TrainingSet:
    """Read what :func:`collect_labels` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        record = json.loads(str(stored["record"]))
        slices = [
            LabelledSlice(item["sample"], item["z"], item["held_out"], stored[f"image_{n}"], stored[f"label_{n}"])
            for n, item in enumerate(record["slices"])
        ]
    return TrainingSet(slices, record["centre"], record["spread"], tuple(record["voxel_size_um"]), record["facts"])


def write_training_set(training: TrainingSet, out: Path) -> None:
    """Write a training set as an ``.npz`` without pickles; :func:`read_training_set` reads it."""
    record = {
        "slices": [{"sample": item.sample, "z": item.z, "held_out": item.held_out} for item in training.slices],
        "centre": training.centre,
        "spread": training.spread,
        "voxel_size_um": training.voxel_size_um,
        "facts": training.facts,
    }
    arrays = {"record": np.array(json.dumps(record))}
    for n, item in enumerate(training.slices):
        arrays |= {f"image_{n}": item.image, f"label_{n}": item.label}
    with whole_file(out) as partial:
        np.savez(partial, **arrays)


def _nothing_labelled(scan: LabelledScan) -> Fault:
    proposed = scan.volume.parent / "to_label"
    problem = f"no slice of {scan.sample} is labelled yet"
    remedy = (
        f"Mark the domains in the images of {proposed} and save each mask under the same name into {scan.labels}; "
        "then run the same command again. `tomoprofile prelabel` makes masks to begin with."
    )
    return Fault(str(scan.labels), "", problem, remedy)
