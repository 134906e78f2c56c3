"""Ranges of depth as unions of thin layers: bins, zones, and the layers themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..config_profile import ProfileConfig, Zone
from .masks import Floats, Grid, Ints

LAYERS_PER_BIN = 5  # breaks lie between layers: 1 um with the default bins, well below the 3 um tolerance
EVERYWHERE_UM = np.array([-np.inf, np.inf])  # borders of the one layer of a scan without depth
LEAST_EXPOSURE = 0.01  # of the largest bin; smaller bins at the ends, such as the corners of a tilted scan, are dropped


@dataclass(frozen=True)
class Ranges:
    """Ranges of depth, each a union of layers.

    Attributes
    ----------
    low_um, high_um : array (n,)
        Ends as shown.
    holds : array (n, layers) of bool
        Which layers belong to the range.
    """

    low_um: Floats
    high_um: Floats
    holds: NDArray[np.bool_]


def layer_borders(
    deepest_um: float, near_um: float, far_um: float, thinnest_um: float, config: ProfileConfig
) -> tuple[Floats, Floats]:
    """Return the borders of the layers in which everything is counted, and those of the bins among them.

    Bins, zones and the depths of whole objects are unions of these layers, so one count serves all of them exactly.

    Parameters
    ----------
    deepest_um : float
        Largest depth in the scan.
    near_um, far_um : float
        Depths between which objects are whole.
    thinnest_um : float
        A layer thinner than a voxel would hold voxels by chance.
    config : ProfileConfig
        Bins, guard and zones, in numbers.
    """
    n_bins = max(1, int(np.floor((deepest_um - config.guard_um) / config.bin_um)) + 1)
    per_bin = int(np.clip(config.bin_um / thinnest_um + 1e-9, 1, LAYERS_PER_BIN))
    layers = config.guard_um + config.bin_um * (np.arange(n_bins * per_bin + 1) / per_bin)
    zones = [end for zone in config.zones for end in (zone.from_um, zone.to_um) if end is not None]
    extra = [end for end in (*zones, near_um, far_um) if layers[0] < end < layers[-1]]
    return np.unique(np.concatenate([layers, extra])), layers[::per_bin]


def bin_ranges(grid: Grid, bins_um: Floats, resin: Ints) -> Ranges:
    """Return the bins between borders, without those at the ends that hold hardly any resin (layers, blocks)."""
    if not grid.plane.has_depth:
        return _everywhere()
    ranges = _ranges(grid, bins_um[:-1], bins_um[1:])
    exposure = (ranges.holds @ resin).sum(axis=1)
    kept = np.flatnonzero(exposure >= LEAST_EXPOSURE * exposure.max())
    ends = slice(kept[0], kept[-1] + 1)
    return Ranges(ranges.low_um[ends], ranges.high_um[ends], ranges.holds[ends])


def zone_ranges(grid: Grid, zones: tuple[Zone, ...]) -> Ranges:
    """Return the zones; one that is open at its end has NaN there. Without depth the one zone has no ends at all."""
    if not grid.plane.has_depth:
        return _everywhere()
    low = np.array([zone.from_um for zone in zones], np.float64)
    high = np.array([np.inf if zone.to_um is None else zone.to_um for zone in zones])
    ranges = _ranges(grid, low, high)
    return Ranges(low, np.where(np.isfinite(high), high, np.nan), ranges.holds)


def _everywhere() -> Ranges:
    unknown = np.full(1, np.nan)
    return Ranges(unknown, unknown, np.ones((1, 1), bool))


def layer_ranges(grid: Grid) -> Ranges:
    """Return each layer as a range of its own."""
    return Ranges(grid.borders_um[:-1], grid.borders_um[1:], np.eye(grid.n_layers, dtype=bool))


def _ranges(grid: Grid, low_um: Floats, high_um: Floats) -> Ranges:
    below, above = grid.borders_um[:-1], grid.borders_um[1:]
    holds = (below[None, :] >= low_um[:, None]) & (above[None, :] <= high_um[:, None])
    return Ranges(low_um, high_um, holds)
