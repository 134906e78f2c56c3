"""How a probability is stored: one byte, 255 for certain. The one home of that scale."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, Fault
from .grey import GreyScale

CERTAIN = 255
MOST_SPREAD = 0.5  # the largest standard deviation of a probability; stored as 255
PROBABILITY = GreyScale(1 / CERTAIN, 0.0, "probability")
SPREAD = GreyScale(MOST_SPREAD / CERTAIN, 0.0, "standard deviation of probability")


def stored(probability: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return probabilities (0 to 1, any shape) as they are stored."""
    return np.rint(probability * CERTAIN).astype(np.uint8)


def threshold_of(level: float) -> int:
    """Return the smallest stored value that is foreground at a level of probability.

    Raises
    ------
    ConfigError
        When the level is not above 0 and at most 1.
    """
    if not 0 < level <= 1:
        remedy = "Give a probability above 0 and at most 1."
        raise ConfigError(Fault("level", repr(level), "not a probability level", remedy))
    # Rounded first: 0.2 * 255 must be exactly 51 on every machine.
    return math.ceil(round(level * CERTAIN, 9))
