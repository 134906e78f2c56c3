"""Segment a slab, slice by slice, in blended windows.

Every slice is predicted on its own with the same windows in the same batches, so the bytes do not depend on how the
scan was cut into slabs. While one shard is segmented, the next one is read and the last one written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import BundleConfig, PredictConfig, ThresholdConfig, UNetConfig
from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..network.bundle import load_network, read_facts
from ..network.slices import Pending, SlicePredictor
from ..shift.appearance import Appearance
from ..volume.grey import normalise
from ..volume.store import Store, open_store
from .threshold import predict_by_threshold


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
        physical = grey.grey.physical(values)
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
