"""The public basis in which sites add up their statistics: the slowest cosines over the lattice.

The coefficients of a velocity field in three dimensions are tens of thousands, and the sum of their products would be
gigabytes. The discrete cosine transform is orthonormal and known to everybody; what it leaves out are the fastest
waves, which are registration noise rather than anatomy. A lattice of fewer coefficients is kept as a whole. The basis
depends on the lattice alone, so sums of sites with the same template belong together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .lattice import Lattice

MOST = 1500  # coefficients: the sum of products is 18 MB


@dataclass(frozen=True)
class Basis:
    """Cosines over a lattice.

    Attributes
    ----------
    lattice : Lattice
    """

    lattice: Lattice

    @cached_property
    def waves(self) -> NDArray[np.int64]:
        """Which of the flattened cosines are kept, slowest first."""
        nodes = self.lattice.shape[1:]
        axes = [
            np.arange(n) / (2 * n * spacing) for n, spacing in zip(nodes, self.lattice.spacing, strict=True)
        ]  # cycles per millimetre
        squared = sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij", sparse=True))
        kept = min(squared.size, MOST // len(nodes))
        # Rounded, so that waves of the same length stand in one order on every machine.
        return np.argsort(np.round(np.sqrt(squared).ravel(), 12), kind="stable")[:kept]

    @property
    def size(self) -> int:
        """How many numbers describe a deformation."""
        return len(self.lattice.parts) * len(self.waves)

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Cycles per millimetre of each number's wave (size,)."""
        nodes = self.lattice.shape[1:]
        places = np.unravel_index(self.waves, nodes)
        parts = [k / (2 * n * h) for k, n, h in zip(places, nodes, self.lattice.spacing, strict=True)]
        return np.tile(np.sqrt(np.sum(np.square(parts), axis=0)), len(nodes))

    def of_coefficients(self, coefficients: NDArray) -> NDArray[np.float64]:
        """Return the numbers (size,) of coefficients on the lattice."""
        axes = tuple(range(1, coefficients.ndim))
        spectrum = fft.dctn(np.asarray(coefficients, np.float64), axes=axes, norm="ortho")
        return spectrum.reshape(len(coefficients), -1)[:, self.waves].ravel()

    def to_coefficients(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the coefficients on the lattice that numbers stand for."""
        shape = self.lattice.shape
        spectrum = np.zeros((shape[0], int(np.prod(shape[1:]))))
        spectrum[:, self.waves] = numbers.reshape(shape[0], -1)
        return fft.idctn(spectrum.reshape(shape), axes=tuple(range(1, len(shape))), norm="ortho")
