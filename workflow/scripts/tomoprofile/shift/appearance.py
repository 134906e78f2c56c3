"""The appearance of a scan: the scale of its grey values, and what noise, rims and contrast do to its spectrum.

Only resin counts, in tiles of a few slices, so the result takes seconds for any size of scan. The same numbers serve
two purposes: grey values are normalised by the scan's own centre and spread before a network sees them, and the
spectrum shows whether a network has ever seen a similar scan (:mod:`~tomoprofile.shift.alarm`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ..errors import Fault, InputError
from ..files import not_what_is_expected, read_record, write_record
from ..logs import LOG
from ..substrate.resin import Resin
from ..volume.grey import GreyScale
from ..volume.plane import Plane
from ..volume.store import open_store

_WHAT = "a description of a scan's appearance"

SLICES = 8
TILE = 64
# Borders in cycles per voxel: domains, their rims, and two bands that noise fills.
BANDS = (0.03, 0.08, 0.14, 0.22, 0.32, 0.5)
QUANTILES = (0.005, 0.05, 0.95, 0.995)
FEATURES = (
    *(f"power_{low:g}_{high:g}" for low, high in pairwise(BANDS)),
    "dark",
    "low",
    "high",
    "bright",
)
RESIN_SHARE = 0.9  # of a tile, for it to count
_DIGITS = 4  # of features


@dataclass(frozen=True)
class Appearance:
    """The appearance of the resin of a scan.

    Attributes
    ----------
    centre, spread : float
        Median and robust standard deviation of grey values, physical units.
    voxel_size_um : tuple of float
    slices : list of int
        The slices that were read.
    features : array (tiles, len(FEATURES))
        For each tile, in normalised grey values: natural logarithm of the power in each band, then quantiles.
    """

    centre: float
    spread: float
    voxel_size_um: tuple[float, float, float]
    slices: list[int]
    features: NDArray[np.float64]

    def save(self, path: str | Path) -> None:
        """Write ``appearance.json``."""
        write_record(Path(path), self.record())

    def record(self) -> dict:
        """Return plain values for JSON."""
        return {
            "centre": self.centre,
            "spread": self.spread,
            "voxel_size_um": list(self.voxel_size_um),
            "slices": self.slices,
            "names": list(FEATURES),
            "features": np.round(self.features, _DIGITS).tolist(),
        }

    @classmethod
    def of(cls, record: dict, source: str | Path) -> Appearance:
        """Return an appearance from plain values; ``source`` is named when they are wrong.

        Raises
        ------
        InputError
        """
        try:
            features = np.asarray(record["features"], float).reshape(-1, len(FEATURES))
            if record["names"] != list(FEATURES):
                raise ValueError("it was written by another version")
            edges = record["voxel_size_um"]
            return cls(record["centre"], record["spread"], tuple(edges), record["slices"], features)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(not_what_is_expected(Path(source), _WHAT, error)) from None

    @classmethod
    def load(cls, path: str | Path) -> Appearance:
        """Read ``appearance.json``."""
        return cls.of(read_record(Path(path), _WHAT), path)


def look_at_scan(volume: Path, interface: Path, out: Path) -> None:
    """Describe the appearance of a scan.

    Parameters
    ----------
    volume : Path
        Store of grey values.
    interface : Path
        ``interface.json``; only voxels beyond the plane count.
    out : Path
        ``appearance.json``.

    Raises
    ------
    InputError
        When there is no resin, or it is constant or holds NaN or infinite values.
    """
    store = open_store(volume)
    scan = Source(store.shape, store.voxel_size_um, store.grey, lambda z: store.read(z, z + 1)[0], str(volume))
    plane = Plane.load(interface)
    appearance = look(scan, plane, Resin.of_sample(interface, plane))
    appearance.save(out)
    LOG.info("grey values of the resin: centre %.4g, spread %.4g", appearance.centre, appearance.spread)


class Source(NamedTuple):
    """A scan to be looked at, converted or not.

    Attributes
    ----------
    shape : tuple of int
        Voxels along (z, y, x).
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x).
    scale : GreyScale
        From stored to physical grey values.
    read : callable
        Returns a slice (y, x) of stored grey values.
    name : str
        Named in errors.
    """

    shape: tuple[int, int, int]
    voxel_size_um: tuple[float, float, float]
    scale: GreyScale
    read: Callable[[int], NDArray]
    name: str


def look(scan: Source, plane: Plane | None, sample: Resin | None = None) -> Appearance:
    """Return the appearance of a scan: the one choice of slices and voxels, for the check as for the run.

    Parameters
    ----------
    scan : Source
    plane : Plane or None
        Only voxels beyond it count; None while the substrate is not known: what looks like most of a slice counts.
    sample : Resin, optional
        Only voxels of it count; all by default.
    """
    slices = sample_slices(scan.shape[0])
    grey = [scan.scale.physical(scan.read(z), np.float64) for z in slices]
    resin = [
        plane.resin(z, scan.shape, scan.voxel_size_um) if plane else like_most(part)
        for z, part in zip(slices, grey, strict=True)
    ]
    if sample is not None and plane is not None and not plane.has_depth:
        resin = [sample.in_slice(z, scan.shape, scan.voxel_size_um) for z in slices]
    return describe(grey, resin, slices, scan.voxel_size_um, scan.name)


def sample_slices(depth: int) -> list[int]:
    """Return the middles of eight equal parts of a scan, or all slices of a thin one."""
    count = min(SLICES, depth)
    return [(2 * part + 1) * depth // (2 * count) for part in range(count)]


def like_most(grey: NDArray) -> NDArray[np.bool_]:
    """Return where a slice (y, x) has its most common grey value, tile by tile: used when there is no interface."""
    tile = max(1, min(TILE, *grey.shape) // 2)
    rows, columns = (side // tile * tile for side in grey.shape)
    means = grey[:rows, :columns].reshape(rows // tile, tile, columns // tile, tile).mean(axis=(1, 3))
    middle = np.median(means)
    spread = 1.4826 * np.median(np.abs(means - middle))
    like = np.zeros(grey.shape, bool)
    like[:rows, :columns] = (np.abs(means - middle) <= 5 * spread).repeat(tile, 0).repeat(tile, 1)
    return like


def describe(
    grey: list[NDArray],
    resin: list[NDArray[np.bool_]],
    slices: list[int],
    voxel_size_um: tuple[float, float, float],
    source: str,
) -> Appearance:
    """Return the appearance of slices.

    Parameters
    ----------
    grey : list of array (y, x)
        Physical grey values.
    resin : list of array (y, x) of bool
        The voxels that count.
    slices : list of int
        Indices of these slices.
    voxel_size_um : tuple of float
    source : str
        Named in errors.

    Raises
    ------
    InputError
    """
    values = np.concatenate([part[mask] for part, mask in zip(grey, resin, strict=True)])
    if not values.size:
        problem = "there is no resin beyond the interface"
        raise InputError(Fault(source, "", problem, "Correct the column `interface` of the sample sheet."))
    if not np.isfinite(values).all():
        share = 100 * float(1 - np.isfinite(values).mean())
        problem = f"{share:.3g} % of the resin's grey values are NaN or infinite"
        raise InputError(Fault(source, "", problem, "Reconstruct the scan again, or cut these parts off."))
    centre = float(np.median(values))
    spread = float(1.4826 * np.median(np.abs(values - centre)))
    if not spread > 0:
        raise InputError(
            Fault(source, f"grey value {centre:g}", "more than half of the resin is constant", "Check the scan.")
        )
    features = []
    for part, mask in zip(grey, resin, strict=True):
        image = (part - centre) / spread
        tile = min(TILE, *image.shape)
        for y in range(0, image.shape[0] - tile + 1, tile):
            for x in range(0, image.shape[1] - tile + 1, tile):
                window = (slice(y, y + tile), slice(x, x + tile))
                if mask[window].mean() >= RESIN_SHARE:
                    features.append(_features(image[window]))
    # Rounded as in the file, so that what is compared does not depend on whether it was written in between.
    table = np.round(np.array(features, float).reshape(-1, len(FEATURES)), _DIGITS)
    return Appearance(centre, spread, tuple(voxel_size_um), list(slices), table)


def _features(tile: NDArray[np.float64]) -> NDArray[np.float64]:
    side = tile.shape[0]
    window = np.hanning(side)[:, None] * np.hanning(side)[None, :]
    power = np.abs(fft.rfft2((np.clip(tile, -10, 10) - tile.mean()) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None, :])
    bands = [np.log(power[(frequency >= low) & (frequency < high)].mean() + 1e-9) for low, high in pairwise(BANDS)]
    return np.array([*bands, *np.quantile(tile, QUANTILES)])
