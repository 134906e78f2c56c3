"""All that the benchmark uses of tomoprofile, in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from tomoprofile import __version__
from tomoprofile.config import ThresholdConfig, UNetConfig
from tomoprofile.errors import ConfigError
from tomoprofile.files import whole_file
from tomoprofile.labels.apart import Apart, groups_of, measure_apart
from tomoprofile.labels.training_set import LabelledSlice, TrainingSet, write_training_set
from tomoprofile.logs import LOG, log_to_terminal
from tomoprofile.network.bundle import load_network
from tomoprofile.network.crops import CropSampler
from tomoprofile.network.fine_tune import fine_tune
from tomoprofile.network.losses import masked_loss
from tomoprofile.network.slices import SlicePredictor
from tomoprofile.network.unet import choose_device, choose_precision
from tomoprofile.phantom.scan import simulate
from tomoprofile.phantom.settings import PhantomSettings
from tomoprofile.segment.kinds import segmenter_at
from tomoprofile.segment.threshold import fit_threshold, predict_by_threshold
from tomoprofile.shift.appearance import Appearance, describe, sample_slices
from tomoprofile.volume.grey import normalise
from tomoprofile.volume.plane import Plane
from tomoprofile.volume.store import create_store

__all__ = [
    "LOG",
    "Apart",
    "Appearance",
    "ConfigError",
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
    "groups_of",
    "log_to_terminal",
    "masked_loss",
    "measure_apart",
    "normalise",
    "sample_slices",
    "simulate",
    "whole_file",
]

DOMAIN, SUBSTRATE = 1, 3  # classes of the simulated truth
SHARD_SLICES = 16


def train_bundle(training: TrainingSet, config: UNetConfig, seed: int, out: Path, threads: int) -> None:
    """Fine-tune as the workflow does; a run that was killed continues from its checkpoint."""
    path = out.with_name(out.name + ".training.npz")
    write_training_set(training, path)
    fine_tune(path, config, seed, out, threads)
    path.unlink()


def read_bundle(bundle: Path) -> tuple[torch.nn.Module, float]:
    """Return the network of a bundle and its decision level."""
    (level,) = segmenter_at(bundle).levels().values()
    return load_network(bundle), level


def is_whole(bundle: Path) -> bool:
    """Tell whether training came to its end."""
    return (bundle / "configs" / "metadata.json").is_file()


def checkpoint_of(bundle: Path) -> Path:
    """Return where a training that was killed left its state."""
    return bundle.with_name(bundle.name + ".checkpoint.pt")


def probabilities(network: torch.nn.Module, stacks: NDArray[np.float32], window: int) -> NDArray[np.uint8]:
    """Return the probability (slices, y, x) of normalised stacks (slices, channels, y, x)."""
    predictor = SlicePredictor(network, window)
    return np.concatenate([predictor.probability(stack) for stack in stacks])


def threshold_mask(
    grey: NDArray[np.float32], plane: Plane | None, voxel_um: float, method: str, folder: Path
) -> NDArray[np.bool_]:
    """Segment a whole scan (z, y, x) by the library's threshold, dark domains; a single slice has its holes filled."""
    config: Any = ThresholdConfig(method="otsu" if len(grey) == 1 else method)
    shard = min(SHARD_SLICES, len(grey))
    stores = [
        create_store(folder / f"{name}.ome.zarr", grey.shape, kind, (voxel_um,) * 3, shard)
        for name, kind in (("grey", "float32"), ("mask", "uint8"))
    ]
    for start, stop in stores[0].shards():
        stores[0].write(start, grey[start:stop])
    (plane or Plane((0.0, 1.0, 0.0), -1.0)).save(folder / "interface.json")
    fit_threshold(stores[0].path, folder / "interface.json", config, folder / "threshold.json")
    predict_by_threshold(stores[0], stores[1], folder / "threshold.json", 0, len(grey))
    mask = stores[1].read(0, len(grey)) > 0
    if len(grey) == 1 and method == "threshold_fill":
        mask[0] = ndimage.binary_fill_holes(mask[0])
    return mask
