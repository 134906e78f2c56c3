"""Segment a slab, slice by slice, in blended windows.

Every slice is predicted separately with the same windows in the same batches, so the bytes do not depend on how the
scan was cut into slabs. While one shard is segmented, the next is read and the previous one written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..network.bundle import load_network
from ..network.facts import ModelFacts, read_facts
from ..network.slices import Pending, SlicePredictor
from ..shift.appearance import Appearance
from ..volume.grey import normalise
from ..volume.store import Store, open_store
from .segmenter import Slab


def predict_slab(bundle: Path, window: int, slab: Slab) -> dict[str, str]:
    """Write the probability of each measured class predicted by a network; three shards are in memory at a time.

    Parameters
    ----------
    bundle : Path
        The model.
    window : int
        Largest side in voxels of the windows.
    slab : Slab

    Returns
    -------
    dict
        Device, engine and precision it was computed with.

    Raises
    ------
    InputError
        When the model does not fit the scan, or the device is not available.
    """
    grey, facts = open_store(slab.volume), read_facts(bundle)
    _compare_voxels(grey, facts, bundle)
    predictor = SlicePredictor(load_network(bundle), window, slab.settings, slab.threads)
    scan = _Grey(grey, _scale(slab), facts.neighbours)
    images = [path for path in (slab.probability, slab.uncertainty) if path]
    targets = [open_store(path, name) for path in images for name in facts.measured]
    compute = _with_spread if slab.uncertainty else _in_order
    with ThreadPoolExecutor(2, "store") as beside:
        writing: list[Future[Any]] = []
        ticks = iter(progress(range(slab.start, slab.stop), slab.stop - slab.start, "slices segmented"))
        for first, part in scan.read_ahead(slab.start, slab.stop, beside):
            results = compute(predictor, scan.stacks(part, ticks))
            # At most one shard waits to be written while the next one is computed.
            _wait_for(writing)
            writing = [beside.submit(store.write, first, found) for store, found in zip(targets, results, strict=True)]
        next(ticks, None)
        _wait_for(writing)
    engine = predictor.engine
    told = {"device": str(engine.device), "engine": engine.name, "precision": engine.precision}
    LOG.info("slices %d..%d segmented on %s by %s in %s", slab.start, slab.stop - 1, *told.values())
    return told


@dataclass(frozen=True)
class _Grey:
    """The grey values of a scan, as a network needs them.

    Attributes
    ----------
    store : Store
    scale : Appearance
        Of the scan's grey values.
    neighbours : int
        Slices above and below that are seen with each.
    """

    store: Store
    scale: Appearance
    neighbours: int

    def read_ahead(self, start: int, stop: int, beside: ThreadPoolExecutor) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield each shard with the slices around it, while the next one is read."""
        shards, k = list(self.store.shards(start, stop)), self.neighbours
        ahead = beside.submit(self.store.read_padded, shards[0][0] - k, shards[0][1] + k)
        for (first, _), following in zip(shards, [*shards[1:], None], strict=True):
            part = ahead.result()
            if following is not None:
                ahead = beside.submit(self.store.read_padded, following[0] - k, following[1] + k)
            yield first, part

    def stacks(self, part: NDArray[Any], ticks: Iterator[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the slices of a shard between their neighbours; each is normalised once."""
        around: deque[NDArray[np.float32]] = deque(maxlen=2 * self.neighbours + 1)
        for values in part:
            physical = self.store.grey.physical(values)
            around.append(normalise(physical, self.scale.centre, self.scale.spread))
            if len(around) == around.maxlen:
                next(ticks)
                yield np.stack(around)


def _in_order(predictor: SlicePredictor, stacks: Iterator[NDArray[np.float32]]) -> list[NDArray[np.uint8]]:
    """Return the probability (z, y, x) of each class; a slice is sent to the GPU before the previous one is fetched."""
    found: list[NDArray[np.uint8]] = []
    under_way: deque[Pending] = deque()
    for stack in stacks:
        under_way.append(predictor.begin(stack))
        if len(under_way) > 1:
            found.append(predictor.finish(under_way.popleft()))
    found += [predictor.finish(pending) for pending in under_way]
    return _by_class(found)


def _with_spread(predictor: SlicePredictor, stacks: Iterator[NDArray[np.float32]]) -> list[NDArray[np.uint8]]:
    """Return the probability (z, y, x) of each class, then the spread over flips of each."""
    probability, spread = zip(*map(predictor.probability_and_spread, stacks), strict=True)
    return _by_class(probability) + _by_class(spread)


def _by_class(slices: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Return an image (z, y, x) of each class from slices (class, y, x)."""
    return [np.stack(planes) for planes in zip(*slices, strict=True)]


def _wait_for(writing: list[Future[Any]]) -> None:
    for done in writing:
        done.result()


def _scale(slab: Slab) -> Appearance:
    if slab.appearance is None:
        problem = "a network needs to know the scale of the scan's grey values"
        raise InputError(Fault(str(slab.volume), "", problem, "Run the workflow, which measures the scale first."))
    return Appearance.load(slab.appearance)


def _compare_voxels(grey: Store, facts: ModelFacts, bundle: Path) -> None:
    """Refuse a scan whose voxels differ more than twofold from those of the training scans: domains look different."""
    ratio = np.asarray(grey.voxel_size_um) / np.asarray(facts.voxel_size_um)
    if ratio.max() > 2 or ratio.min() < 0.5:
        got, learned = (", ".join(f"{edge:g}" for edge in edges) for edges in (grey.voxel_size_um, facts.voxel_size_um))
        problem = f"the model {bundle} was trained on voxels of {learned} um"
        remedy = "Train a model on slices of this scan, or correct `voxel_size_um` in the sheet."
        raise InputError(Fault(str(grey.path), f"{got} um", problem, remedy))
