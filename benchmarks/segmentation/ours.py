"""All that the benchmark uses of tomoprofile, in one place: the functions that the workflow's rules call."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from scipy import ndimage

from tomoprofile import __version__
from tomoprofile.config import OWN_BASE, ThresholdConfig, UNetConfig
from tomoprofile.files import whole_file
from tomoprofile.labels.training_set import (
    LabelledScan,
    LabelledSlice,
    TrainingSet,
    collect_labels,
    read_training_set,
    write_training_set,
)
from tomoprofile.logs import LOG, log_to_terminal
from tomoprofile.network.bundle import load_network
from tomoprofile.network.crops import CropSampler
from tomoprofile.network.facts import bundle_folder
from tomoprofile.network.fine_tune import fine_tune
from tomoprofile.network.losses import masked_loss
from tomoprofile.network.slices import SlicePredictor
from tomoprofile.network.unet import USUAL, choose_device, choose_precision
from tomoprofile.phantom.scan import simulate
from tomoprofile.phantom.settings import PhantomSettings
from tomoprofile.segment.kinds import segmenter_at
from tomoprofile.segment.pick import pick_slices
from tomoprofile.segment.threshold import fit_threshold, predict_by_threshold
from tomoprofile.shift.appearance import Appearance, describe, sample_slices
from tomoprofile.volume.grey import normalise
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.proposed import read_proposed
from tomoprofile.volume.store import create_store

__all__ = [
    "LOG",
    "USUAL",
    "Appearance",
    "CropSampler",
    "LabelledSlice",
    "PhantomSettings",
    "Plane",
    "TrainingSet",
    "UNetConfig",
    "__version__",
    "choose_device",
    "choose_precision",
    "describe",
    "log_to_terminal",
    "masked_loss",
    "normalise",
    "sample_slices",
    "simulate",
    "whole_file",
]

DOMAIN, SUBSTRATE = 1, 3  # classes of the simulated truth
SHARD_SLICES = 16


@dataclass(frozen=True)
class Labelled:
    """A scan and its labels.

    Attributes
    ----------
    sample : str
    grey : array (z, y, x) of float32
    masks : dict
        By slice index: array (y, x) of uint8, 0 background, 1 domain, 255 ignored.
    looks : Appearance
    voxel_um : float
    """

    sample: str
    grey: NDArray[np.float32]
    masks: dict[int, NDArray[np.uint8]]
    looks: Appearance
    voxel_um: float

    def write(self, folder: Path) -> LabelledScan:
        """Write store, label files and appearance where the workflow would read them."""
        labels, appearance = folder / "labels", folder / "appearance.json"
        labels.mkdir(parents=True, exist_ok=True)
        volume = _store(folder / "volume.ome.zarr", self.grey, self.voxel_um)
        self.looks.save(appearance)
        for z, mask in self.masks.items():
            tifffile.imwrite(labels / f"{self.sample}_z{z:05d}.tif", mask)
        return LabelledScan(self.sample, volume.path, labels, appearance)


def collected(scans: Sequence[Labelled]) -> TrainingSet:
    """Return the training set that the workflow makes of labelled scans."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        written = [scan.write(folder / scan.sample) for scan in scans]
        collect_labels(written, UNetConfig(), folder / "training_set.npz")
        return read_training_set(folder / "training_set.npz")


def proposed(scan: Labelled, count: int) -> list[int]:
    """Return the slices that the workflow proposes to label, where the default model starts from our base."""
    with tempfile.TemporaryDirectory() as scratch:
        written = scan.write(Path(scratch) / scan.sample)
        table = Path(scratch) / "to_label" / "slices.tsv"
        pick_slices(written.volume, scan.sample, count, table, bundle_folder(OWN_BASE), written.appearance)
        return [z for z, _ in read_proposed(table)]


def train_bundle(training: TrainingSet, config: UNetConfig, seed: int, out: Path, threads: int) -> None:
    """Fine-tune as the workflow does; a run that was killed continues from its checkpoint."""
    path = out.with_name(out.name + ".training.npz")
    write_training_set(training, path)
    fine_tune(path, config, seed, out, threads)
    path.unlink()


def own_base() -> Path:
    """Return the bundle that comes with the package."""
    return bundle_folder(OWN_BASE)


def read_bundle(bundle: Path) -> tuple[torch.nn.Module, float]:
    """Return the network of a bundle and its decision level."""
    (level,) = segmenter_at(bundle).levels().values()
    return load_network(bundle), level


def is_whole(bundle: Path) -> bool:
    """Tell whether training came to its end."""
    return (bundle / "configs" / "metadata.json").is_file()


def was_begun(bundle: Path) -> bool:
    """Tell whether a training that was killed left its state."""
    return any(bundle.parent.glob(f"{bundle.name}.*checkpoint.pt")) or any(bundle.parent.glob(f"{bundle.name}.fold*"))


def probabilities(network: torch.nn.Module, stacks: NDArray[np.float32], window: int) -> NDArray[np.uint8]:
    """Return the probability (slices, y, x) of normalised stacks (slices, channels, y, x)."""
    predictor = SlicePredictor(network, window)
    return np.concatenate([predictor.probability(stack) for stack in stacks])


def threshold_mask(
    grey: NDArray[np.float32], plane: Plane | None, voxel_um: float, method: str, folder: Path
) -> NDArray[np.bool_]:
    """Segment a whole scan (z, y, x) by the library's threshold, dark domains; a single slice has its holes filled."""
    config: Any = ThresholdConfig(method="otsu" if len(grey) == 1 else method)
    folder.mkdir(parents=True, exist_ok=True)
    store = _store(folder / "grey.ome.zarr", grey, voxel_um)
    found = create_store(folder / "mask.ome.zarr", grey.shape, "uint8", (voxel_um,) * 3, min(SHARD_SLICES, len(grey)))
    (plane or Plane((0.0, 1.0, 0.0), -1.0)).save(folder / "interface.json")
    fit_threshold(store.path, folder / "interface.json", config, folder / "threshold.json")
    predict_by_threshold(store, found, folder / "threshold.json", 0, len(grey))
    mask = found.read(0, len(grey)) > 0
    if len(grey) == 1 and method == "threshold_fill":
        mask[0] = ndimage.binary_fill_holes(mask[0])
    return mask


def _store(path: Path, grey: NDArray[np.float32], voxel_um: float) -> Any:
    store = create_store(path, grey.shape, "float32", (voxel_um,) * 3, min(SHARD_SLICES, len(grey)))
    for start, stop in store.shards():
        store.write(start, grey[start:stop])
    return store
