"""Segment a slab, slice by slice, in blended windows.

Every slice is predicted separately with the same windows in the same batches, so the bytes do not depend on how the
scan was cut into slabs. Slices pass by in layers, as deep as the chunks of the stores: while one is segmented, the next
is read and the previous one written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..logs import LOG, progress
from ..network.bundle import load_network
from ..network.facts import ModelFacts, read_facts
from ..network.slices import Pending, SlicePredictor
from ..shift.appearance import Appearance
from ..volume.ahead import read_ahead
from ..volume.grey import normalise
from ..volume.store import Store, open_store
from .segmenter import Slab

Planes = NDArray[np.uint8]  # (class, y, x) of one slice


def predict_slab(bundle: Path, window: int, slab: Slab) -> dict[str, str]:
    """Write the probability of each measured class predicted by a network, a few layers of chunks at a time.

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
        ticks = iter(progress(range(slab.start, slab.stop), slab.stop - slab.start, "slices segmented"))
        found = compute(predictor, scan.stacks(slab.start, slab.stop, beside, ticks))
        for first, end in targets[0].shards(slab.start, slab.stop):
            _write_shard(targets, first, end, found, beside)
        next(ticks, None)
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

    def stacks(self, start: int, stop: int, beside: Executor, ticks: Iterator[int]) -> Iterator[NDArray[np.float32]]:
        """Yield slices ``[start, stop)`` between their neighbours; each is normalised once."""
        depth, k = self.store.chunk[0], self.neighbours
        borders = [start - k, *range(start + depth, stop, depth), stop + k]
        around: deque[NDArray[np.float32]] = deque(maxlen=2 * k + 1)
        for part in read_ahead(self.store.read_padded, list(pairwise(borders)), beside):
            for values in part:
                physical = self.store.grey.physical(values)
                around.append(normalise(physical, self.scale.centre, self.scale.spread))
                if len(around) == around.maxlen:
                    next(ticks)
                    yield np.stack(around)
            del part, values


def _in_order(predictor: SlicePredictor, stacks: Iterator[NDArray[np.float32]]) -> Iterator[Planes]:
    """Yield the probability (class, y, x) in each slice; one is sent to the GPU before the previous one is fetched."""
    under_way: deque[Pending] = deque()
    for stack in stacks:
        under_way.append(predictor.begin(stack))
        if len(under_way) > 1:
            yield predictor.finish(under_way.popleft())
    yield from map(predictor.finish, under_way)


def _with_spread(predictor: SlicePredictor, stacks: Iterator[NDArray[np.float32]]) -> Iterator[Planes]:
    """Yield the probability of each class in each slice, then the spread over flips of each."""
    for stack in stacks:
        yield np.concatenate(predictor.probability_and_spread(stack))


def _write_shard(targets: Sequence[Store], first: int, end: int, found: Iterator[Planes], beside: Executor) -> None:
    """Write one shard of each store; a layer of chunks is written while the next one is computed."""
    depth = targets[0].chunk[0]
    writing: list[Future[None]] = []
    with ExitStack() as stack:
        adds = [stack.enter_context(store.new_shard(first)) for store in targets]
        stack.callback(lambda: wait(writing))  # after a failure, too: files are closed only then
        for start in range(first, end, depth):
            layer = np.stack(list(islice(found, min(depth, end - start))), axis=1)
            _require_done(writing)
            writing[:] = [beside.submit(add, planes) for add, planes in zip(adds, layer, strict=True)]
        _require_done(writing)


def _require_done(writing: Sequence[Future[None]]) -> None:
    for done in writing:
        done.result()


def _scale(slab: Slab) -> Appearance:
    if slab.appearance is None:
        problem = "a network needs to know the scale of the scan's grey values"
        raise InputError(Fault(str(slab.volume), "", problem, "Run the workflow, which measures the scale first."))
    return Appearance.load(slab.appearance)


def _compare_voxels(grey: Store, facts: ModelFacts, bundle: Path) -> None:
    """Refuse a scan whose voxels differ more than twofold from those of the training scans: domains look different."""
    if facts.voxel_size_um is None:
        return
    ratio = np.asarray(grey.voxel_size_um) / np.asarray(facts.voxel_size_um)
    if ratio.max() > 2 or ratio.min() < 0.5:
        got, learned = (", ".join(f"{edge:g}" for edge in edges) for edges in (grey.voxel_size_um, facts.voxel_size_um))
        problem = f"the model {bundle} was trained on voxels of {learned} um"
        remedy = "Train a model on slices of this scan, or correct `voxel_size_um` in the sheet."
        raise InputError(Fault(str(grey.path), f"{got} um", problem, remedy))
