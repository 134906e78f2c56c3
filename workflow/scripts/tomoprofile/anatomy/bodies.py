"""What a torso consists of: a list of bodies, painted one over the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .frame import Place
from .shapes import EVERYWHERE, Box, Floats

PlacedShape = Callable[[Place], Floats]


@dataclass(frozen=True)
class Layer:
    """A part of a body with a tissue of its own.

    Attributes
    ----------
    tissue : str
    inset : float
        Depth in millimetres below the surface of the body at which it begins.
    shape : callable, optional
        Limits it further.
    """

    tissue: str
    inset: float = 0.0
    shape: PlacedShape | None = None

    def at(self, place: Place, body: Floats) -> Floats:
        """Return its function where that of the body is known."""
        inside = body + np.float32(self.inset)
        return inside if self.shape is None else np.maximum(inside, self.shape(place))


@dataclass(frozen=True)
class Body:
    """An organ, or any other part that is painted.

    Attributes
    ----------
    name : str
    tissue : str
    shape : callable
        Its function, which grows or shrinks with a level until the body has its volume.
    bounds : callable, optional
        The function of the space it has, whatever the level.
    box : Box
        Where its function is needed.
    layers : tuple of Layer
    """

    name: str
    tissue: str
    shape: PlacedShape
    bounds: PlacedShape | None = None
    box: Box = EVERYWHERE
    layers: tuple[Layer, ...] = ()

    def at(self, place: Place, level: float = 0.0) -> Floats:
        """Return its function: negative inside, about the distance to its surface in millimetres."""
        own = self.shape(place) - np.float32(level)
        return own if self.bounds is None else np.maximum(own, self.bounds(place))
