"""Segment a slab, slice by slice, in blended windows.

Every slice is predicted on its own with the same windows in the same batches, so the bytes do not depend on how the
scan was cut into slabs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray

from ..config import BundleConfig, ThresholdConfig, UNetConfig
from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..volume.store import Store, open_store
from .appearance import Appearance
from .augment import normalise
from .bundle import load_network, read_facts
from .network import SliceNetwork, choose_device, choose_precision
from .threshold import predict_by_threshold

OVERLAP = 0.25
STRIDE = 32  # sides that the five halvings of the encoder divide
WINDOWS_AT_ONCE = 4


class SlicePredictor:
    """A network, ready to turn slices into probabilities.

    Parameters
    ----------
    network : SliceNetwork
    window : int
        Side in voxels of the windows; larger slices are covered with overlap and Gaussian weights, and for smaller
        ones the windows shrink with them.
    """

    def __init__(self, network: SliceNetwork, window: int) -> None:
        self.device = choose_device()
        self.precision = choose_precision(self.device)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()
        self.window = window

    def probability(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the probability (y, x) of the middle slice of a normalised stack (channels, y, x); 255 is certain."""
        probability = self.network.measured(self._blended(image))
        return (probability * 255).round()[0].to(torch.uint8).cpu().numpy()

    def logit(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logit (y, x) of the measured class, not calibrated."""
        return self.network.measured_logit(self._blended(image))[0].cpu().numpy()

    @torch.inference_mode()
    def _blended(self, image: NDArray[np.float32]) -> torch.Tensor:
        batch = torch.from_numpy(image)[None].to(self.device)
        return sliding_window_inference(
            batch,
            roi_size=[min(self.window, -(-side // STRIDE) * STRIDE) for side in image.shape[1:]],
            sw_batch_size=WINDOWS_AT_ONCE,
            predictor=self._logits,
            overlap=OVERLAP,
            mode="gaussian",
            padding_mode="replicate",
        )

    def _logits(self, windows: torch.Tensor) -> torch.Tensor:
        windows = windows.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            return self.network(windows).float()


def predict_slab(
    volume: Path,
    probability: Path,
    segmenter: Path,
    appearance: Path | None,
    config: UNetConfig | BundleConfig | ThresholdConfig,
    start: int,
    stop: int,
    threads: int,
) -> dict[str, str]:
    """Write the probability of slices ``[start, stop)``, one shard in memory at a time.

    Parameters
    ----------
    volume, probability : Path
        Stores of grey values and of the result, uint8 with 255 for certain.
    segmenter : Path
        Model bundle, or ``threshold.json``.
    appearance : Path or None
        ``appearance.json``: the scale of the scan's grey values; not used by thresholds.
    config : UNetConfig, BundleConfig or ThresholdConfig
    start, stop : int
        Whole shards.
    threads : int
        CPU threads.

    Returns
    -------
    dict
        Device and precision it was computed with.

    Raises
    ------
    InputError
        When the model does not fit the configuration or the scan.
    """
    torch.set_num_threads(threads)
    grey, out = open_store(volume), open_store(probability)
    if isinstance(config, ThresholdConfig):
        predict_by_threshold(grey, out, segmenter, start, stop)
        return {"device": "cpu", "precision": "float32"}
    facts = read_facts(segmenter)
    _compare_voxels(grey, facts, segmenter)
    predictor = SlicePredictor(load_network(segmenter), config.window)
    scale = Appearance.load(appearance)
    k = facts["network"]["in_channels"] // 2
    slices = iter(progress(range(start, stop), stop - start, "slices segmented"))
    for first, end in grey.shards(start, stop):
        part = grey.read_padded(first - k, end + k)
        result = np.empty((end - first, *grey.shape[1:]), np.uint8)
        for index in range(end - first):
            next(slices)
            stack = part[index : index + 2 * k + 1] * np.float32(grey.grey.slope) + np.float32(grey.grey.offset)
            result[index] = predictor.probability(normalise(stack, scale.centre, scale.spread))
        out.write(first, result)
    next(slices, None)
    device, precision = str(predictor.device), str(predictor.precision).removeprefix("torch.")
    LOG.info("slices %d..%d segmented on %s in %s", start, stop - 1, device, precision)
    return {"device": device, "precision": precision}


def _compare_voxels(grey: Store, facts: dict, segmenter: Path) -> None:
    """Refuse a scan whose voxels differ more than twofold from those the model learned on: domains look different."""
    learned = np.asarray(facts["voxel_size_um"], float)
    ratio = np.asarray(grey.voxel_size_um) / learned
    if ratio.max() > 2 or ratio.min() < 0.5:
        got = ", ".join(f"{edge:g}" for edge in grey.voxel_size_um)
        problem = f"the model {segmenter} was trained on voxels of {', '.join(f'{edge:g}' for edge in learned)} um"
        remedy = "Train a model on slices of this scan, or correct `voxel_size_um` in the sheet."
        raise InputError(Fault(str(grey.path), f"{got} um", problem, remedy))
