"""How the same anatomy looks in another scan: grey-value curve, uneven gain and noise.

All sizes are shares of the range between the 1st and the 99th percentile of the image, so that they suit any unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

_LOW, _HIGH = 1, 99  # percent


@dataclass(frozen=True)
class AppearanceSettings:
    """How much an image varies.

    Attributes
    ----------
    gamma : float
        Largest logarithm of the exponent of the grey-value curve.
    bias : float
        Standard deviation of the logarithm of a gain that changes slowly over the image.
    noise : float
        Largest standard deviation of the noise.
    """

    gamma: float = 0.2
    bias: float = 0.03
    noise: float = 0.02


def varied(image: NDArray[np.float32], settings: AppearanceSettings, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return an image as another scan might show it."""
    low, high = (float(value) for value in np.percentile(image, [_LOW, _HIGH]))
    scale = max(high - low, 1e-9)
    unit = (image - low) / scale
    # What lies outside of the range, as metal or air outside of the body, keeps its distance from it.
    inner = unit.clip(0, 1)
    curved = inner ** np.exp(rng.uniform(-settings.gamma, settings.gamma)) + (unit - inner)
    curved = curved * np.exp(settings.bias * _slow(image.shape, rng))
    noise = rng.uniform(0, settings.noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return (low + scale * (curved + noise)).astype(np.float32)


def _slow(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a field of at most two half-waves along each axis, standard deviation about 1."""
    few = rng.standard_normal([3] * len(shape))
    few.flat[0] = 0.0
    spectrum = np.zeros(shape)
    corner = tuple(slice(0, min(3, n)) for n in shape)
    spectrum[corner] = few[tuple(slice(0, min(3, n)) for n in shape)]
    field = fft.idctn(spectrum, norm="ortho")
    return field / max(float(field.std()), 1e-12)
