"""Where domains could have been found: the resin of a scan, and the resamples of its lateral blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .masks import Floats, Grid, Ints


@dataclass(frozen=True)
class Exposure:
    """The resin of a scan by layer and lateral block, and how often each block is drawn.

    Attributes
    ----------
    grid : Grid
    resin : array (layers, blocks)
        Voxels of resin, which includes domains.
    whole_um : tuple of float
        Depths between which no end of the scan cuts objects.
    draws : array (resamples, blocks)
        Of :func:`~tomoprofile.profile.estimators.draw_blocks`.
    """

    grid: Grid
    resin: Ints
    whole_um: tuple[float, float]
    draws: Floats

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Layers in which no end of the scan cuts objects."""
        near_um, far_um = self.whole_um
        return (self.grid.borders_um[:-1] >= near_um) & (self.grid.borders_um[1:] <= far_um)
