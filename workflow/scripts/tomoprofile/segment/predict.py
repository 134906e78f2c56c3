"""Segment a slab, slice by slice, in blended windows.

Every slice is predicted on its own with the same windows in the same batches, so the bytes do not depend on how the
scan was cut into slabs. While one shard is segmented, the next one is read and the last one written.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray

from ..config import BundleConfig, PredictConfig, ThresholdConfig, UNetConfig
from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..volume.store import Store, open_store
from .appearance import Appearance
from .augment import normalise
from .bundle import load_network, read_facts
from .engine import make_engine
from .network import SliceNetwork
from .threshold import predict_by_threshold

OVERLAP = 64  # voxels that windows share: twice the largest domains, so that each lies well inside one of them
STRIDE = 32  # sides that the five halvings of the encoder divide
FLIPS = ((), (-1,), (-2,), (-2, -1))  # axes that test-time flips turn over
MOST_SPREAD = 0.5  # of a probability; stored as 255


@dataclass(frozen=True)
class Pending:
    """A slice whose result may still be on its way from the GPU."""

    found: torch.Tensor
    arrived: torch.cuda.Event | None


class SlicePredictor:
    """A network, ready to turn slices into probabilities.

    Parameters
    ----------
    network : SliceNetwork
    window : int
        Side in voxels of the windows; larger slices are covered with overlap and Gaussian weights, and for smaller
        ones the windows shrink with them.
    settings : PredictConfig, optional
        Device, engine and precision.
    threads : int, optional
        CPU threads; those that PyTorch has when it is not given.
    """

    def __init__(
        self, network: SliceNetwork, window: int, settings: PredictConfig | None = None, threads: int | None = None
    ) -> None:
        settings = settings or PredictConfig()
        self.network, self.window = network, window
        self.engine = make_engine(network, settings, threads or torch.get_num_threads())
        # On a CPU a single window stays in the caches; a GPU wants many at once.
        self.at_once = settings.gpu_windows if self.engine.device.type == "cuda" else 1

    def probability(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the probability (y, x) of the middle slice of a normalised stack (channels, y, x); 255 is certain."""
        return self.finish(self.begin(image))

    def logit(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logit (y, x) of the measured class, not calibrated."""
        return self.network.measured_logit(self._blended(self._sent(image)))[0].cpu().numpy()

    def probability_and_spread(self, image: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the mean probability over four flips, and its standard deviation, where 255 is a half.

        Where flips disagree, the network does not know (test-time augmentation, Wang et al. 2019).
        """
        sent = self._sent(image)
        views = []
        for axes in FLIPS:
            found = self.network.measured(self._blended(sent.flip(axes) if axes else sent))
            views.append(found.flip(axes) if axes else found)
        several = torch.cat(views)
        spread = several.std(0, correction=0) / MOST_SPREAD
        return tuple(
            (part.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy() for part in (several.mean(0), spread)
        )

    def begin(self, image: NDArray[np.float32]) -> Pending:
        """Start on a normalised stack; on a GPU this returns before the result is there."""
        found = (self.network.measured(self._blended(self._sent(image)))[0] * 255).round().to(torch.uint8)
        if self.engine.device.type != "cuda":
            return Pending(found, None)
        arriving = torch.empty(found.shape, dtype=torch.uint8, pin_memory=True)
        arriving.copy_(found, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return Pending(arriving, arrived)

    def finish(self, pending: Pending) -> NDArray[np.uint8]:
        """Return the probability of a slice that was begun."""
        if pending.arrived is not None:
            pending.arrived.synchronize()
        return pending.found.numpy()

    def _sent(self, image: NDArray[np.float32]) -> torch.Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(image))[None]
        if self.engine.device.type == "cuda":
            return batch.pin_memory().to(self.engine.device, non_blocking=True)
        return batch

    @torch.inference_mode()
    def _blended(self, batch: torch.Tensor) -> torch.Tensor:
        sides = [fitting_side(side, self.window) for side in batch.shape[2:]]
        return sliding_window_inference(
            batch,
            roi_size=sides,
            sw_batch_size=self.at_once,
            predictor=self.engine.logits,
            overlap=[min(OVERLAP / side, 0.5) for side in sides],
            mode="gaussian",
            padding_mode="replicate",
        )


def fitting_side(side: int, window: int) -> int:
    """Return the side of the windows that cover a slice with as little to spare as can be, at most ``window``.

    Parameters
    ----------
    side : int
        Of the slice, in voxels.
    window : int
        Most that a window may measure; a multiple of 32.
    """
    if side <= window:
        return -(-side // STRIDE) * STRIDE
    shared = min(OVERLAP, window // 2)
    count = math.ceil((side - shared) / (window - shared))
    return min(window, math.ceil(((side - shared) / count + shared) / STRIDE) * STRIDE)


def predict_slab(
    volume: Path,
    probability: Path,
    segmenter: Path,
    appearance: Path | None,
    config: UNetConfig | BundleConfig | ThresholdConfig,
    start: int,
    stop: int,
    threads: int,
    settings: PredictConfig | None = None,
    uncertainty: Path | None = None,
) -> dict[str, str]:
    """Write the probability of slices ``[start, stop)``; three shards are in memory at a time.

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
    settings : PredictConfig, optional
        Device, engine and precision.
    uncertainty : Path, optional
        Store that receives the spread over test-time flips (255: a standard deviation of a half); the probability is
        then their mean, at four times the cost.

    Returns
    -------
    dict
        Device, engine and precision it was computed with.

    Raises
    ------
    InputError
        When the model does not fit the configuration or the scan, or the device is not there.
    """
    grey, out = open_store(volume), open_store(probability)
    if isinstance(config, ThresholdConfig):
        torch.set_num_threads(threads)
        predict_by_threshold(grey, out, segmenter, start, stop)
        return {"device": "cpu", "engine": "threshold", "precision": "float32"}
    facts = read_facts(segmenter)
    _compare_voxels(grey, facts, segmenter)
    predictor = SlicePredictor(load_network(segmenter), config.window, settings, threads)
    scale = Appearance.load(appearance) if appearance else None
    if scale is None:
        problem = "a network needs to know the scale of the scan's grey values"
        raise InputError(Fault(str(volume), "", problem, "Run the workflow, which looks at the scan first."))
    k = facts["network"]["in_channels"] // 2
    spread = open_store(uncertainty) if uncertainty else None
    with ThreadPoolExecutor(2, "store") as beside:
        writing: list[Future[Any]] = []
        ticks = iter(progress(range(start, stop), stop - start, "slices segmented"))
        for first, part in _read_ahead(grey, start, stop, k, beside):
            stacks = _stacks(part, k, grey, scale, ticks)
            # At most one shard waits to be written while the next one is computed.
            if spread is None:
                results = [_in_order(predictor, stacks)]
            else:
                results = [
                    np.stack(views) for views in zip(*map(predictor.probability_and_spread, stacks), strict=True)
                ]
            for done in writing:
                done.result()
            targets = (out, spread) if spread is not None else (out,)
            writing = [beside.submit(store.write, first, found) for store, found in zip(targets, results, strict=True)]
        next(ticks, None)
        for done in writing:
            done.result()
    told = {
        "device": str(predictor.engine.device),
        "engine": predictor.engine.name,
        "precision": predictor.engine.precision,
    }
    LOG.info("slices %d..%d segmented on %s by %s in %s", start, stop - 1, *told.values())
    return told


def _read_ahead(
    grey: Store, start: int, stop: int, k: int, beside: ThreadPoolExecutor
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield each shard with ``k`` slices around it; the next one is read meanwhile."""
    shards = list(grey.shards(start, stop))
    ahead = beside.submit(grey.read_padded, shards[0][0] - k, shards[0][1] + k)
    for (first, _), following in zip(shards, [*shards[1:], None], strict=True):
        part = ahead.result()
        if following is not None:
            ahead = beside.submit(grey.read_padded, following[0] - k, following[1] + k)
        yield first, part


def _stacks(
    part: NDArray[Any], k: int, grey: Store, scale: Appearance, ticks: Iterator[int]
) -> Iterator[NDArray[np.float32]]:
    """Yield the slices of a shard between their neighbours; each is normalised once."""
    around: deque[NDArray[np.float32]] = deque(maxlen=2 * k + 1)
    for values in part:
        physical = values * np.float32(grey.grey.slope) + np.float32(grey.grey.offset)
        around.append(normalise(physical, scale.centre, scale.spread))
        if len(around) == 2 * k + 1:
            next(ticks)
            yield np.stack(around)


def _in_order(predictor: SlicePredictor, stacks: Iterator[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Predict slices; the next one is sent to the GPU before the last one is fetched."""
    found: list[NDArray[np.uint8]] = []
    under_way: deque[Pending] = deque()
    for stack in stacks:
        under_way.append(predictor.begin(stack))
        if len(under_way) > 1:
            found.append(predictor.finish(under_way.popleft()))
    found += [predictor.finish(pending) for pending in under_way]
    return np.stack(found)


def _compare_voxels(grey: Store, facts: dict, segmenter: Path) -> None:
    """Refuse a scan whose voxels differ more than twofold from those the model learned on: domains look different."""
    learned = np.asarray(facts["voxel_size_um"], float)
    ratio = np.asarray(grey.voxel_size_um) / learned
    if ratio.max() > 2 or ratio.min() < 0.5:
        got = ", ".join(f"{edge:g}" for edge in grey.voxel_size_um)
        problem = f"the model {segmenter} was trained on voxels of {', '.join(f'{edge:g}' for edge in learned)} um"
        remedy = "Train a model on slices of this scan, or correct `voxel_size_um` in the sheet."
        raise InputError(Fault(str(grey.path), f"{got} um", problem, remedy))
