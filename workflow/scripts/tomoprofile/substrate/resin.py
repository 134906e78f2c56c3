"""Which part of a scan is resin: reconstructed, and not air.

A film ends in air, and the corners of the slices of a cylindrical reconstruction are filled with a constant. Both lie
beyond the substrate and hold no domains, so counting them as resin would dilute every result. They are found once, in
means over blocks of voxels, and left out of numerator and denominator alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from ..config_profile import Circle
from ..files import sealed_file
from ..layout import ScanLayout
from ..volume.arrays import stored_arrays
from ..volume.circle import radius_around
from ..volume.plane import Plane
from ..volume.store import Store
from . import edges

BLOCK_VOXELS = 8  # at least: a block then holds several rims of both signs, which cancel
AWAY = 12  # voxels from the substrate whose rims and blur change block means
SMOOTH_BLOCKS = (2, 3, 4)  # sigma in blocks: rims cancel under a smooth window, and not in a block that cuts them
SMOOTH_AROUND = (
    0.5,
    1,
    *SMOOTH_BLOCKS,
)  # for air around a sample, which may be a thin ring: its place tells it from voids
SEPARATION = 4.0  # of air and resin, in standard deviations; one population split in two has less than 3
REGION = 3  # blocks, the least thickness of a region of air; domains, voids and rims are thinner
LEAST_SIDE = 0.5  # of a side of a scan without a substrate that the air around it fills
LEAST_NEAR = 0.5  # of the blocks next to the substrate that must be resin
_NEAR_BLOCKS = 3
_NOWHERE = 1 << 30


@dataclass(frozen=True)
class Resin:
    """Which part of a scan beyond the substrate may be resin.

    Attributes
    ----------
    side : int
        Voxels along each edge of a block.
    air : array (blocks along z, y, x) of bool
        Blocks that are air, or touch it.
    circle : Circle or None
        The reconstructed part of each slice; None when all of it was reconstructed.
    """

    side: int
    air: NDArray[np.bool_]
    circle: Circle | None

    @classmethod
    def everywhere(cls) -> Resin:
        """Return a resin without any air or outside."""
        return cls(_NOWHERE, np.zeros((1, 1, 1), bool), None)

    def is_air(self, z: NDArray[np.int64], y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether voxels, given by their indices, lie in air."""
        return self.air[z // self.side, y // self.side, x // self.side]

    def in_slice(
        self, index: int, shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]
    ) -> NDArray[np.bool_]:
        """Return which voxels (y, x) of slice ``index`` of a volume are neither air nor outside the circle."""
        rows, columns = (np.arange(n) for n in shape[1:])
        inside = ~self.is_air(np.int64(index), rows[:, None], columns[None, :])
        if self.circle is not None and self.circle.centre_um is not None:
            y, x = ((at + 0.5) * edge for at, edge in zip((rows, columns), voxel_size_um[1:], strict=True))
            centre_y, centre_x = self.circle.centre_um
            inside &= np.hypot(y[:, None] - centre_y, x[None, :] - centre_x) <= self.circle.radius_um
        return np.broadcast_to(inside, shape[1:])

    @classmethod
    def of_sample(cls, interface: Path, plane: Plane) -> Resin:
        """Return the sample of a scan without a substrate, as recorded beside ``interface.json``; else everywhere.

        Where there is a substrate, what lies beyond it counts as resin until the profile is counted.
        """
        path = ScanLayout(interface.parent).resin
        return cls.load(path) if plane.has_recorded_sample and path.exists() else cls.everywhere()

    def within(self, window: tuple[slice, slice, slice], voxel_size_um: tuple[float, float, float]) -> Resin:
        """Return what lies in a window of the scan, in voxels (z, y, x), as places in the window."""
        side = math.gcd(self.side, *(part.start for part in window))
        blocks = (np.arange(part.start, part.stop, side) // self.side for part in window)
        circle = self.circle
        if circle is not None and circle.centre_um is not None:
            starts = (part.start * edge for part, edge in zip(window[1:], voxel_size_um[1:], strict=True))
            centre_y, centre_x = (at - start for at, start in zip(circle.centre_um, starts, strict=True))
            circle = Circle(radius_um=circle.radius_um, centre_um=(centre_y, centre_x))
        return Resin(side, self.air[np.ix_(*blocks)], circle)

    def save(self, path: Path) -> None:
        """Write ``resin.npz``."""
        circle = [math.nan] * 3 if self.circle is None else [self.circle.radius_um, *(self.circle.centre_um or ())]
        with sealed_file(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, side=self.side, air=self.air, circle_um=np.array(circle))

    @classmethod
    def load(cls, path: Path) -> Resin:
        """Read ``resin.npz``.

        Raises
        ------
        InputError
            When it is not such a file.
        """
        with stored_arrays(path, "a record of where the resin is") as file:
            radius, y, x = file["circle_um"].tolist()
            circle = None if math.isnan(radius) else Circle(radius_um=radius, centre_um=(y, x))
            return cls(int(file["side"]), file["air"].astype(bool), circle)


def find_resin(
    store: Store, plane: Plane, means: NDArray[np.float32], side: int, outside: float
) -> tuple[Resin, dict[str, Any]]:
    """Return where air and the outside of a reconstruction are, and what ``interface.json`` says about them.

    Parameters
    ----------
    store : Store
        Grey values.
    plane : Plane
        The substrate.
    means : array (blocks along z, y, x)
        See :func:`.edges.block_means`; NaN outside.
    side : int
        Voxels in a block.
    outside : float
        See :func:`.edges.constant_outside`.
    """
    circle = reconstructed_circle(store, outside)
    while side < BLOCK_VOXELS:
        means, side = _coarser(means), 2 * side
    depth_um = edges.depth_of_blocks_um(means.shape, side, plane, store.voxel_size_um)
    air, facts = find_air(means, depth_um if plane.has_depth else None, side, min(store.voxel_size_um))
    if facts is not None:
        facts["contrast"] *= store.grey.slope
    told = {"air": facts, "reconstructed_radius_um": circle.radius_um if circle else None}
    return Resin(side, air, circle), told


def find_air(
    means: NDArray[np.float32], depth_um: NDArray[np.float64] | None, side: int, voxel_um: float
) -> tuple[NDArray[np.bool_], dict[str, Any] | None]:
    """Return which blocks are air, and how clearly; None in place of the facts when there is no air.

    The smoothed blocks beyond the substrate are split into dark and bright by Otsu's method. Dark blocks are air if the
    two groups lie many standard deviations apart, if the material on the substrate is bright, and if they form regions
    several blocks thick. Without a substrate such a region must also fill most of a side of the scan: the others are
    voids of the sample. Blocks that touch air are cut by its surface or hold its rims, and are left out too.

    Parameters
    ----------
    means : array (blocks along z, y, x)
    depth_um : array, same shape, or None
        Depth of the centres of blocks; None without a substrate.
    side : int
        Voxels in a block.
    voxel_um : float
        Smallest voxel edge.
    """
    nothing = np.zeros(means.shape, bool)
    beyond = np.isfinite(means)
    if depth_um is not None:
        beyond &= depth_um > (AWAY + side) * voxel_um
    if beyond.sum() < REGION**3:
        return nothing, None
    for sigma in SMOOTH_BLOCKS if depth_um is not None else SMOOTH_AROUND:
        smooth = _smooth(means, beyond, sigma)
        ends = np.quantile(smooth[beyond], [0.001, 0.999])
        if not ends[0] < ends[1]:
            return nothing, None
        level = threshold_otsu(np.clip(smooth[beyond], *ends))
        dark, bright = beyond & (smooth < level), beyond & (smooth >= level)
        contrast = float(np.median(smooth[bright]) - np.median(smooth[dark]))
        noise = max(_spread(smooth[bright]), _spread(smooth[dark]))
        if contrast >= SEPARATION * noise:
            break
    else:
        return nothing, None
    if depth_um is not None:
        near = beyond & (depth_um < (AWAY + (1 + _NEAR_BLOCKS) * side) * voxel_um)
        if bright[near].mean() < LEAST_NEAR:
            return nothing, None
    # Only smoothed means may decide where air ends: the domains in a single block make it darker or brighter, and a
    # border that follows them would leave out resin with more, or with fewer, domains. Beyond the scan air continues.
    region = np.ones((REGION,) * 3, bool)
    wide = dark if depth_um is not None else dark | ~beyond  # around a sample, air continues outside the reconstruction
    air = ndimage.binary_opening(np.pad(wide, REGION, mode="edge"), region)[(slice(REGION, -REGION),) * 3]
    if depth_um is None:
        air = _around(air & dark, beyond)
    if not air.any():
        return nothing, None
    facts = {
        "share": float(air.sum() / beyond.sum()),
        "contrast": contrast,
        "separation": contrast / noise if noise else None,
    }
    return ndimage.binary_dilation(air, region), facts


def _around(dark: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the dark regions that fill at least half of what is known of a side of the scan."""
    labels, n = ndimage.label(dark)
    around: set[int] = set()
    for axis in range(3):
        for end in (0, -1):
            side, here = np.take(labels, end, axis), np.take(known, end, axis)
            counts = np.bincount(side[here], minlength=n + 1)
            around |= {int(one) for one in np.flatnonzero(counts >= LEAST_SIDE * max(here.sum(), 1)) if one}
    return np.isin(labels, list(around))


def reconstructed_circle(store: Store, outside: float) -> Circle | None:
    """Return the circle beyond which most voxels hold the value of the outside; None when there is no such value.

    Its centre is that of the slice, where reconstruction programs put the rotation axis.
    """
    if math.isnan(outside):
        return None
    middle = store.shape[0] // 2
    filled = store.read(middle, middle + 1)[0] == outside
    _, dy, dx = store.voxel_size_um
    radius_um = radius_around(filled, (dy, dx))
    centre_um = filled.shape[0] * dy / 2, filled.shape[1] * dx / 2
    return Circle(radius_um=radius_um, centre_um=centre_um) if radius_um else None


def _coarser(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means over 2 x 2 x 2 blocks; NaN where less than half is known."""
    padded = np.pad(means, [(0, n % 2) for n in means.shape], constant_values=np.nan)
    z, y, x = (n // 2 for n in padded.shape)
    parts = padded.reshape(z, 2, y, 2, x, 2)
    known = np.isfinite(parts)
    count = known.sum(axis=(1, 3, 5))
    total = np.where(known, parts, 0).sum(axis=(1, 3, 5), dtype=np.float64)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count >= 4).astype(np.float32)


def _smooth(means: NDArray[np.float32], known: NDArray[np.bool_], sigma: float) -> NDArray[np.float64]:
    """Return Gaussian means over known blocks alone."""
    total = ndimage.gaussian_filter(np.where(known, means, 0).astype(np.float64), sigma)
    weight = ndimage.gaussian_filter(known.astype(np.float64), sigma)
    return np.divide(total, weight, out=np.full(means.shape, np.inf), where=known)


def _spread(values: NDArray[np.float32]) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
