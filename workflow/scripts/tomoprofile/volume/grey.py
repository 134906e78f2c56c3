"""What a stored grey value means: physical units, and the scan's own scale that a network sees.

Training, prediction, checks and pictures all take both steps, grey -> physical -> normalised, from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

KNEE = 5.0  # robust standard deviations; beyond it grey values are compressed


@dataclass(frozen=True)
class GreyScale:
    """Meaning of a grey value: ``physical = slope * grey + offset`` in ``unit``."""

    slope: float = 1.0
    offset: float = 0.0
    unit: str = ""

    def physical(self, stored: NDArray[Any], dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Return stored grey values in physical units, as floating-point numbers of the given type."""
        number = np.dtype(dtype).type
        return stored.astype(dtype, copy=False) * number(self.slope) + number(self.offset)


def normalise(image: NDArray, centre: float, spread: float) -> NDArray[np.float32]:
    """Return grey values in robust standard deviations of the scan, compressed beyond five.

    ``5 asinh(x / 5)``: the fringes of a substrate or a void dwarf those of domains, and clipped they would all look
    alike.

    Parameters
    ----------
    image : array
        Physical grey values.
    centre, spread : float
        Median and robust standard deviation of the scan the image comes from.
    """
    return compress((image - np.float32(centre)) / np.float32(spread))


def compress(value: NDArray) -> NDArray[np.float32]:
    """Return ``5 asinh(x / 5)``."""
    return (KNEE * np.arcsinh(value / np.float32(KNEE))).astype(np.float32)


def expand(value: NDArray) -> NDArray[np.float32]:
    """Undo :func:`compress`."""
    return (KNEE * np.sinh(value / np.float32(KNEE))).astype(np.float32)
