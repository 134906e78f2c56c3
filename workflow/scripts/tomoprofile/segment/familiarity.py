"""Run a model on a few slices of a scan before it segments the scan, to see whether it knows scans like this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from ..layout import ScanLayout, ToLabelLayout
from ..logs import LOG
from ..network.bundle import load_network
from ..network.facts import read_facts
from ..network.slices import SlicePredictor
from ..shift.alarm import UNLIKE, Familiarity, compare, doubt_of
from ..shift.appearance import Appearance, sample_slices
from ..volume.grey import normalise
from ..volume.probability import threshold_of
from ..volume.store import Store, open_store

SIDE = 768  # of the central square that the network segments


def compare_with_model(
    volume: Path,
    appearance: Path,
    bundle: Path,
    sample: str,
    threads: int,
    out: Path,
    values: Mapping[str, int] | None = None,
) -> Familiarity:
    """Write ``familiarity.json``, and the slice to label if the scan is unlike those the model has seen.

    Parameters
    ----------
    volume : Path
        Store of grey values.
    appearance : Path
        ``appearance.json`` of the scan.
    bundle : Path
        The model.
    sample : str
        Name of the scan.
    threads : int
        CPU threads.
    out : Path
        ``familiarity.json``; images go into ``to_label`` beside it.
    values : mapping, optional
        Value of each class in label files, see :class:`SliceModel`.

    Returns
    -------
    Familiarity
    """
    torch.set_num_threads(threads)
    store, looks = open_store(volume), Appearance.load(appearance)
    model = SliceModel(bundle, values)
    doubts: dict[int, float] = {}
    found = []
    for z in sample_slices(store.shape[0]):
        probability = model.probability(store, looks, z, SIDE)
        found.append(probability)
        doubts[z] = doubt_of([probability]) or 0.0
    least_sure = max(doubts, key=lambda z: doubts[z])
    verdict = compare(model.seen, looks, doubt_of(found), least_sure)
    if verdict.status in ("edge", "outside"):
        image, mask = model.export(store, looks, least_sure, ScanLayout(out.parent).to_label.folder, sample)
        LOG.warning(
            "%s looks %s the scans the model has seen: %s. Correct the mask %s of the image %s and train with it.",
            sample,
            UNLIKE[verdict.status],
            "; ".join(verdict.reasons),
            mask,
            image,
        )
    verdict.save(out, model=str(bundle))
    return verdict


class SliceModel:
    """A bundle that segments single slices of a store.

    Parameters
    ----------
    bundle : Path
    values : mapping, optional
        Value of each class in label files, for masks to correct; by default the index of the class.
    """

    def __init__(self, bundle: Path, values: Mapping[str, int] | None = None) -> None:
        facts = read_facts(bundle)
        value_of = {name: index for index, name in enumerate(facts.classes)} | dict(values or {})
        self.values = [value_of[name] for name in (facts.classes[0], *facts.measured)]
        self.seen, self.neighbours = facts.seen, facts.neighbours
        self.levels = tuple(facts.levels.values())
        self.predictor = SlicePredictor(load_network(bundle), facts.window)

    def probability(self, store: Store, looks: Appearance, z: int, side: int | None = None) -> NDArray[np.uint8]:
        """Return the probability (m, y, x) of each measured class in a slice, or in its central ``side`` voxels."""
        k = self.neighbours
        stack = store.read_padded(z - k, z + k + 1)
        if side:
            y, x = ((max(edge - side, 0) // 2, max(edge - side, 0) // 2 + side) for edge in stack.shape[1:])
            stack = stack[:, slice(*y), slice(*x)]
        grey = store.grey.physical(stack)
        return self.predictor.probability(normalise(grey, looks.centre, looks.spread))

    def export(self, store: Store, looks: Appearance, z: int, folder: Path, sample: str) -> tuple[Path, Path]:
        """Write a slice with its original grey values, and a mask to correct with the values of labels; return both."""
        image = folder / f"{sample}_z{z:05d}.tif"
        mask = ToLabelLayout(folder).prelabels / image.name
        mask.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(image, store.read(z, z + 1)[0])
        tifffile.imwrite(mask, self._classes(self.probability(store, looks, z)), compression="zlib")
        return image, mask

    def _classes(self, probability: NDArray[np.uint8]) -> NDArray[Any]:
        """Return for each voxel the value of the most probable class that reaches its level, else of the background."""
        levels = np.array([threshold_of(level) for level in self.levels])[:, None, None]
        reached = np.where(probability >= levels, probability, 0)
        place = np.where(reached.any(0), reached.argmax(0) + 1, 0)
        return np.array(self.values, np.min_scalar_type(max(self.values)))[place]
