"""Scans to measure: spheres, noise and real ones, each a mask of objects and grey values beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import NormalDist

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

COVERED = 0.04  # share of the voxels in objects
BLOCK = 64  # slices whose spheres are drawn together
NOISE_SIGMA, SALT = 2.0, 0.001  # correlation of the noisy mask in voxels; share of lone voxels switched on
REAL = {
    "cement": "xct_volumes_mit/cement_128x128x128.tif",
    "bone": "xct_volumes_mit/bone_128x128x128.tif",
}
TITLES = {
    "a": "spheres of radius 3-12 voxels",
    "s": "spheres of radius 2-4 voxels",
    "noise": f"smoothed noise (sigma {NOISE_SIGMA:g}) above its {1 - COVERED:.0%} quantile, and {SALT:.1%} salt",
    "cement": "cement, air voids below Otsu's threshold (real)",
    "bone": "bone, pores below Otsu's threshold (real)",
}
RADII = {"a": (3.0, 12.0), "s": (2.0, 4.0)}


@dataclass(frozen=True)
class Spheres:
    """Spheres of random radius at random places, 4 % of the voxels; any slices of a scan can be made alone.

    Attributes
    ----------
    depth, side : int
        Slices, and rows and columns, in voxels.
    smallest, largest : float
        Radii in voxels, uniformly distributed between them.
    seed : int
    """

    depth: int
    side: int
    smallest: float
    largest: float
    seed: int

    def _of_block(self, block: int) -> NDArray[np.float64]:
        """Return (z, y, x, radius) of the spheres whose centre lies in a block."""
        rng = np.random.default_rng([self.seed, block])
        first, last = block * BLOCK, min((block + 1) * BLOCK, self.depth)
        mean = 4 / 3 * np.pi * (self.smallest**2 + self.largest**2) * (self.smallest + self.largest) / 4
        count = round(COVERED * (last - first) * self.side**2 / mean)
        low = (first, 0, 0, self.smallest)
        return rng.uniform(low, (last, self.side, self.side, self.largest), (count, 4))

    @cached_property
    def reach(self) -> int:
        """Number of blocks beyond its own that a sphere may reach into."""
        return -(-int(np.ceil(self.largest)) // BLOCK)

    def slab(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return probabilities (uint8, 0 or 255) of slices [start, stop); spheres cross the ends of slabs."""
        image = np.zeros((stop - start, self.side, self.side), np.uint8)
        last_block = (self.depth - 1) // BLOCK
        blocks = range(max(0, start // BLOCK - self.reach), min(last_block, (stop - 1) // BLOCK + self.reach) + 1)
        for block in blocks:
            for *centre, radius in self._of_block(block):
                _draw(image, (centre[0] - start, *centre[1:]), radius)
        return image


def _draw(image: NDArray[np.uint8], centre: tuple[float, float, float], radius: float) -> None:
    """Switch on the voxels whose centre lies in a sphere; places count from the outer corner of voxel (0, 0, 0)."""
    part = tuple(
        slice(max(0, int(c - radius)), max(0, min(n, int(c + radius) + 1)))
        for c, n in zip(centre, image.shape, strict=True)
    )
    z, y, x = ((axis + 0.5 - c) ** 2 for axis, c in zip(np.ogrid[part], centre, strict=True))
    image[part][z + y + x < radius**2] = 255


def noisy(side: int, seed: int) -> NDArray[np.uint8]:
    """Return probabilities (uint8, 0 or 255) of a mask that nobody has cleaned."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal((side,) * 3, np.float32), NOISE_SIGMA, mode="wrap")
    level = NormalDist(0, float(field.std())).inv_cdf(1 - COVERED)
    image = np.where(field > level, np.uint8(255), np.uint8(0))
    places = rng.integers(0, image.size, round(SALT * image.size))
    image.reshape(-1)[places] = 255
    return image


def grey_beside(probability: NDArray[np.uint8], seed: int) -> NDArray[np.uint16]:
    """Return grey values: two grey levels and noise, slice by slice."""
    grey = np.empty(probability.shape, np.uint16)
    rng = np.random.default_rng(seed)
    for image, mask in zip(grey, probability, strict=True):
        values = 1000 * rng.standard_normal(mask.shape, np.float32) + 30_000
        image[...] = values + 2000 * (mask > 0)
    return grey


def volume(name: str, side: int, data: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return probabilities and grey values of one scan.

    Parameters
    ----------
    name : str
        A key of :data:`TITLES`.
    side : int
        Voxels along each axis; real scans have their own.
    data : Path, optional
        Folder of the real scans.

    Raises
    ------
    FileNotFoundError
        When a real scan is missing.
    """
    if name in RADII:
        probability = Spheres(side, side, *RADII[name], seed=1).slab(0, side)
    elif name == "noise":
        probability = noisy(side, seed=2)
    else:
        if data is None:
            raise FileNotFoundError(f"{name}: give the folder of the real scans with --data")
        image = tifffile.imread(data / REAL[name])
        dark = image <= threshold_otsu(image)
        return np.where(dark, np.uint8(255), np.uint8(0)), image.astype(np.uint16) * 256
    return probability, grey_beside(probability, seed=3)
