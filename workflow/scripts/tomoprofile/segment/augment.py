"""Crops of labelled slices, varied as scans vary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .labels import DOMAIN, IGNORE
from .training_set import LabelledSlice, TrainingSet

ON_DOMAIN = 0.5  # share of crops centred on a domain, so that large rare ones are seen
GAIN, OFFSET, NOISE = 0.1, 0.2, 0.2  # in units of the spread of grey values


class CropSampler:
    """Draws the crops of a training step.

    What step ``n`` sees depends on the seed and ``n`` alone, so a run that was interrupted continues as if it was not.

    Parameters
    ----------
    training : TrainingSet
    crop : int
        Side of a crop in voxels; smaller slices are padded with ignored voxels.
    batch : int
    seed : int
    """

    def __init__(self, training: TrainingSet, crop: int, batch: int, seed: int) -> None:
        self.crop, self.batch, self.seed = crop, batch, seed
        self.items = [_padded(item, crop, training) for item in training.part(held_out=False)]
        self.domains = [np.argwhere(label == DOMAIN) for _, label in self.items]
        area = np.array([label.size for _, label in self.items], float)
        self.share = area / area.sum()

    def draw(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return normalised images (batch, channels, crop, crop) and labels (batch, crop, crop) of a step."""
        rng = np.random.default_rng([self.seed, step])
        images, labels = zip(*(self._crop(rng) for _ in range(self.batch)), strict=True)
        return np.stack(images), np.stack(labels)

    def _crop(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        index = int(rng.choice(len(self.items), p=self.share))
        image, label = self.items[index]
        free = np.array(label.shape) - self.crop
        corner = rng.integers(0, free + 1)
        if len(self.domains[index]) and rng.random() < ON_DOMAIN:
            middle = self.domains[index][rng.integers(len(self.domains[index]))]
            wobble = rng.integers(-self.crop // 4, self.crop // 4 + 1, 2)
            corner = np.clip(middle - self.crop // 2 + wobble, 0, free)
        y, x = corner
        window = (slice(y, y + self.crop), slice(x, x + self.crop))
        image, label = image[:, *window], label[window]
        # Flips and quarter turns in the plane of the slice, and of the order of slices: a domain looks the same.
        for axis in (1, 2):
            if rng.random() < 0.5:
                image, label = np.flip(image, axis), np.flip(label, axis - 1)
        if rng.random() < 0.5:
            image, label = image.transpose(0, 2, 1), label.T
        if rng.random() < 0.5:
            image = image[::-1]
        image = image * (1 + GAIN * rng.uniform(-1, 1)) + OFFSET * rng.uniform(-1, 1)
        image = image + NOISE * rng.uniform() * rng.standard_normal(image.shape)
        return np.ascontiguousarray(image, dtype=np.float32), np.ascontiguousarray(label)


def normalise(image: NDArray, centre: float, spread: float) -> NDArray[np.float32]:
    """Return grey values in robust standard deviations, cut at 10: the substrate's fringes dwarf those of domains.

    Parameters
    ----------
    image : array
        Physical grey values.
    centre, spread : float
        Of the labelled slices the model was trained on.
    """
    return np.clip((image - np.float32(centre)) / np.float32(spread), -10, 10).astype(np.float32)


def _padded(item: LabelledSlice, crop: int, training: TrainingSet) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    image = normalise(item.image, training.centre, training.spread)
    missing = [(0, max(crop - side, 0)) for side in item.label.shape]
    label = np.pad(item.label, missing, constant_values=IGNORE)
    return np.pad(image, [(0, 0), *missing], mode="edge"), label
