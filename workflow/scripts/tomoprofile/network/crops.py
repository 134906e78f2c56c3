"""Choose the crops of labelled slices for each training step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..config import UNetConfig
from ..labels.classes import BACKGROUND, DOMAIN, IGNORE
from ..labels.drawn import DrawnSlice
from ..labels.training_set import LabelledSlice, TrainingSet
from ..logs import LOG
from ..volume.grey import expand
from .augment import VOID_CONTRAST, padded, vary, window_side

MOST_VARIED = VOID_CONTRAST[0]


class CropSampler:
    """Draws the crops of a training step.

    What step ``n`` sees depends on the seed and ``n`` alone, so an interrupted run continues as if it had not been.

    Parameters
    ----------
    training : TrainingSet
    config : UNetConfig
        ``crop``, ``batch``, ``balance``, ``augment`` and ``amplify.real`` are used.
    seed : int
    """

    def __init__(self, training: TrainingSet, config: UNetConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.square = bool(np.isclose(training.voxel_size_um[1], training.voxel_size_um[2], rtol=1e-3))
        self.labelled = _Pool(training.slices, config.crop)
        kinds = sorted({item.kind for item in training.drawn})
        self.drawn = [_Pool([item for item in training.drawn if item.kind == kind], config.crop) for kind in kinds]
        self.augment = config.augment
        # With more classes voids have a class of their own, or do not matter.
        if config.augment.voids and (len(config.classes) > 2 or not _contrast_is_uniform(self.labelled.items)):
            self.augment = config.augment.model_copy(update={"voids": 0.0})

    def draw(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return normalised images (batch, channels, crop, crop) and labels (batch, crop, crop) for a step."""
        rng = np.random.default_rng([self.seed, step])
        images, labels = zip(*(self._crop(pool, rng) for pool in self.pools(step)), strict=True)
        return np.stack(images), np.stack(labels)

    def pools(self, step: int) -> list[_Pool]:
        """Return where each crop of a step comes from: labelled slices first, then drawn ones of each kind in turn."""
        batch = self.config.batch
        real = math.ceil(self.config.amplify.real * batch) if self.drawn else batch
        before = step * (batch - real)
        return [self.labelled] * real + [self.drawn[(before + n) % len(self.drawn)] for n in range(batch - real)]

    def _crop(self, pool: _Pool, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        index = int(rng.choice(len(pool.items), p=pool.share))
        image, label = pool.items[index]
        side = window_side(self.config.crop, min(label.shape), self.augment, rng)
        free = np.array(label.shape) - side
        corner = rng.integers(0, free + 1)
        places = pool.places[index]
        if places and rng.random() < self.config.balance:
            mine = places[int(rng.integers(len(places)))]  # every class equally often, however rare
            wobble = rng.integers(-side // 4, side // 4 + 1, 2)
            corner = np.clip(mine[rng.integers(len(mine))] - side // 2 + wobble, 0, free)
        y, x = corner
        window = (slice(y, y + side), slice(x, x + side))
        return vary(image[:, *window], label[window], self.config.crop, self.square, self.augment, rng)


class _Pool:
    """Slices of one kind, and where in them the classes are."""

    def __init__(self, slices: Sequence[LabelledSlice | DrawnSlice], crop: int) -> None:
        self.items = [padded(item.image, item.label, crop) for item in slices]
        self.places = [_places(label) for _, label in self.items]
        # Voxels that carry a label: a slice with a few scribbles teaches less than a fully labelled one.
        known = np.array([(label != IGNORE).sum() for _, label in self.items], float)
        self.share = known / known.sum()


def _places(label: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
    """Return the voxels of each class; those of the background only for scribbles, where most voxels are ignored."""
    wanted = [value for value in np.unique(label) if value != IGNORE]
    if (label != IGNORE).mean() > 0.5:
        wanted = [value for value in wanted if value != BACKGROUND]
    return [np.argwhere(label == value) for value in wanted]


def _contrast_is_uniform(items: list[tuple[NDArray[np.float32], NDArray[np.uint8]]]) -> bool:
    """Return whether domains are so alike that an object of several times the contrast must be something else."""
    peaks: list[float] = []
    for image, label in items:
        parts, count = ndimage.label(label == DOMAIN)
        if count:
            strength = np.abs(ndimage.gaussian_filter(expand(image[len(image) // 2]), 0.7))
            peaks += ndimage.maximum(strength, ndimage.grey_dilation(parts, 3), np.arange(1, count + 1)).tolist()
    if not peaks:
        return False
    usual, strongest = np.percentile(peaks, [25, 95])
    if strongest > MOST_VARIED * usual:
        LOG.info("contrast of domains varies %.1f times: training without artificial voids", strongest / usual)
    return bool(strongest <= MOST_VARIED * usual)
