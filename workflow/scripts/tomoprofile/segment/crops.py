"""Which crop of which labelled slice a training step sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..config import UNetConfig
from .augment import padded, vary, window_side
from .labels import BACKGROUND, IGNORE
from .training_set import TrainingSet


class CropSampler:
    """Draws the crops of a training step.

    What step ``n`` sees depends on the seed and ``n`` alone, so a run that was interrupted continues as if it was not.

    Parameters
    ----------
    training : TrainingSet
    config : UNetConfig
        ``crop``, ``batch``, ``balance`` and ``augment`` are used.
    seed : int
    """

    def __init__(self, training: TrainingSet, config: UNetConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.square = bool(np.isclose(training.voxel_size_um[1], training.voxel_size_um[2], rtol=1e-3))
        self.items = [padded(item.image, item.label, config.crop) for item in training.part(held_out=False)]
        self.places = [_places(label) for _, label in self.items]
        # Voxels that carry a label: a slice with a few scribbles teaches less than one that is labelled all over.
        known = np.array([(label != IGNORE).sum() for _, label in self.items], float)
        self.share = known / known.sum()

    def draw(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return normalised images (batch, channels, crop, crop) and labels (batch, crop, crop) of a step."""
        rng = np.random.default_rng([self.seed, step])
        images, labels = zip(*(self._crop(rng) for _ in range(self.config.batch)), strict=True)
        return np.stack(images), np.stack(labels)

    def _crop(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        index = int(rng.choice(len(self.items), p=self.share))
        image, label = self.items[index]
        side = window_side(self.config.crop, min(label.shape), self.config.augment, rng)
        free = np.array(label.shape) - side
        corner = rng.integers(0, free + 1)
        places = self.places[index]
        if places and rng.random() < self.config.balance:
            mine = places[int(rng.integers(len(places)))]  # every class as often, however rare
            wobble = rng.integers(-side // 4, side // 4 + 1, 2)
            corner = np.clip(mine[rng.integers(len(mine))] - side // 2 + wobble, 0, free)
        y, x = corner
        window = (slice(y, y + side), slice(x, x + side))
        return vary(image[:, *window], label[window], self.config.crop, self.square, self.config.augment, rng)


def _places(label: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
    """Return the voxels of each class beside the background; of scribbles also those, as most voxels are ignored."""
    wanted = [value for value in np.unique(label) if value != IGNORE]
    if (label != IGNORE).mean() > 0.5:
        wanted = [value for value in wanted if value != BACKGROUND]
    return [np.argwhere(label == value) for value in wanted]
