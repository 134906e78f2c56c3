"""The domains that count, by layer of depth and lateral block: their sizes and nearest neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .estimators import Estimate, medians, ratio, weighted_quantiles
from .exposure import Exposure
from .masks import Floats, Grid, Ints
from .ranges import Ranges

FEW = 5  # fewer objects are too few for an estimate
_QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
_CLASSES = 30  # of diameters, approximately
_POINTS = 64  # per side of the lattice that measures the window
# Mean distance to the nearest neighbour in a Poisson process of density N: gamma(4/3) (4 pi N / 3)^(-1/3).
_POISSON = math.gamma(4 / 3) * (4 * math.pi / 3) ** (-1 / 3)


@dataclass(frozen=True)
class Domains:
    """The objects of one boundary level that count; arrays (n,).

    Attributes
    ----------
    layer, block : array of int
        Those of the voxel that holds the centroid.
    diameter_um, weight : array
        Equivalent diameter, and lateral weight of Miles and Lantuéjoul, 0 for objects cut laterally. Both are 0 where
        the table lacks the size.
    nearest_um, border_um : array
        Distance to the nearest other object, NaN where it is unknown, and to the nearest side of the window.
    """

    layer: Ints
    block: Ints
    diameter_um: Floats
    weight: Floats
    nearest_um: Floats
    border_um: Floats

    @classmethod
    def placed(cls, table: pd.DataFrame, grid: Grid) -> Domains:
        """Return the domains of a table that lie in the layers and inside the field of view."""
        position = [table[f"centroid_{axis}_um"].to_numpy(np.float64) for axis in "zyx"]
        layer, block = grid.place(*position)
        counts = layer >= 0
        size = table[["equivalent_diameter_um", "edge_weight"]].to_numpy(np.float64, na_value=np.nan)
        diameter, weight = np.where(np.isfinite(size).all(axis=1, keepdims=True), size, 0.0).T
        unknown = np.full(len(table), np.nan)
        nearest = table["nearest_um"].to_numpy(np.float64) if "nearest_um" in table else unknown
        border = distance_to_border_um(grid, *position)
        return cls(*(column[counts] for column in (layer, block, diameter, weight, nearest, border)))

    def within(self, holds: NDArray[np.bool_]) -> Domains:
        """Return the objects in some layers (layers,) that no side of the scan cuts."""
        chosen = holds[self.layer] & (self.weight > 0)
        return Domains(*(column[chosen] for column in vars(self).values()))

    def sums(self, values: Floats, grid: Grid) -> Floats:
        """Return sums of values by layer and block, array (layers, blocks)."""
        cell = self.layer * grid.n_blocks + self.block
        return np.bincount(cell, values, grid.n_layers * grid.n_blocks).reshape(grid.n_layers, grid.n_blocks)


def diameters(ranges: Ranges, found: Domains, exposure: Exposure) -> dict[str, Floats]:
    """Return the columns that describe how diameters are distributed in each range.

    Quantiles are those of the weighted distribution: the smallest diameter at or below which the domains have at least
    this share of the weight. The volume-weighted mean is sum of w d^4 / sum of w d^3.

    Parameters
    ----------
    ranges : Ranges
    found : Domains
    exposure : Exposure

    Returns
    -------
    dict of array (ranges,)
    """
    objects = ranges.holds & exposure.usable
    rows = [found.within(holds) for holds in objects]
    quantiles = np.array([weighted_quantiles(row.diameter_um, row.weight, [*_QUANTILES.values()]) for row in rows])
    columns = {f"diameter_{name}_um": column for name, column in zip(_QUANTILES, quantiles.T, strict=True)}
    parts = ([getattr(row, name) for row in rows] for name in ("diameter_um", "weight", "block"))
    median = medians(*parts, exposure.draws)
    cubes = found.weight * found.diameter_um**3
    top, bottom = (objects @ found.sums(values, exposure.grid) for values in (cubes * found.diameter_um, cubes))
    ordered = {}
    for name, column in columns.items():
        ordered |= median.columns(name) if name == "diameter_median_um" else {name: column}
    return ordered | ratio(top, bottom, 1.0, exposure.draws).columns("volume_weighted_diameter_um")


def nearest_neighbours(
    ranges: Ranges, found: Domains, density_per_mm3: Floats, exposure: Exposure
) -> dict[str, Floats]:
    """Return mean and spread of the distance to the nearest neighbour, and how regular the positions are.

    Parameters
    ----------
    ranges : Ranges
    found : Domains
    density_per_mm3 : array (ranges,)
        Number density.
    exposure : Exposure

    Returns
    -------
    dict of array (ranges,)
        ``nearest_mean_um`` with its interval, ``nearest_sd_um``, and ``clark_evans``: the mean over that of a Poisson
        process of the same density, 0.55396 N^(-1/3) (Clark and Evans, Ecology 35 (1954) 445, in three dimensions).

    Notes
    -----
    A neighbour may lie outside the scan. So only objects nearer to their neighbour than to the border of the window
    count, each weighted with one over the volume of the range that is as far from the border (Hanisch, Math.
    Operationsforsch. Stat. 15 (1984) 409): distant neighbours are not under-represented. The substrate is a border.
    With fewer than five such objects there is no estimate.
    """
    known = found.nearest_um <= found.border_um
    lattice = _lattice(exposure.grid)
    mean: list[Estimate] = []
    spread = []
    for holds in ranges.holds & exposure.usable:
        counts = known & holds[found.layer]
        if counts.sum() < FEW:
            counts[:] = False
        distance = found.nearest_um[counts]
        border_um = np.sort(lattice.border_um[holds[lattice.layer]])
        places = len(border_um) - np.searchsorted(border_um, distance)
        weight = 1 / np.maximum(places, 1)
        block = found.block[counts]
        top, bottom = (
            np.bincount(block, part, exposure.grid.n_blocks)[None, :] for part in (weight * distance, weight)
        )
        mean.append(ratio(top, bottom, 1.0, exposure.draws))
        total = weight.sum()
        squares = (weight * (distance - mean[-1].value[0]) ** 2).sum()
        spread.append(math.sqrt(squares / total) if total > 0 else math.nan)
    joined = Estimate(*(np.concatenate([getattr(part, end) for part in mean]) for end in ("value", "low", "high")))
    random = np.full(len(mean), np.nan)
    dense = density_per_mm3 > 0
    random[dense] = _POISSON * (density_per_mm3[dense] / 1e9) ** (-1 / 3)
    columns = {"nearest_sd_um": np.array(spread), "clark_evans": joined.value / random}
    return joined.columns("nearest_mean_um") | columns


def _lattice(grid: Grid) -> Domains:
    """Return points all over the scan that count, equally dense in all ranges."""
    sides = zip(grid.shape, grid.voxel_size_um, strict=True)
    axes = [n * edge * (np.arange(points := min(n, _POINTS)) + 0.5) / points for n, edge in sides]
    position = [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]
    table = pd.DataFrame(dict(zip((f"centroid_{axis}_um" for axis in "zyx"), position, strict=True)))
    return Domains.placed(table.assign(equivalent_diameter_um=0.0, edge_weight=1.0), grid)


def distance_to_border_um(grid: Grid, z_um: Floats, y_um: Floats, x_um: Floats) -> Floats:
    """Return how far points are from the nearest face of the scan, from its circle, or from the substrate."""
    position = (z_um, y_um, x_um)
    sides = [n * edge for n, edge in zip(grid.shape, grid.voxel_size_um, strict=True)]
    distance = np.minimum.reduce([np.minimum(at, side - at) for at, side in zip(position, sides, strict=True)])
    # The depth is NaN where there is no substrate to be near to.
    return np.fmin.reduce([distance, grid.view.inward_um(y_um, x_um), grid.plane.depth_um(*position)])


def diameter_edges_um(found: Domains) -> Floats:
    """Return the borders of classes of diameters, shared by all zones: about thirty of a round width, from 0."""
    largest = float(found.diameter_um.max(initial=0.0)) or 1.0
    power = 10.0 ** math.floor(math.log10(largest / _CLASSES))
    width = next(power * step for step in (1, 2, 5, 10) if power * step >= largest / _CLASSES * (1 - 1e-9))
    return width * np.arange(math.floor(largest / width + 1e-9) + 2)


def sizes_table(names: list[str], zones: Ranges, found: Domains, exposure: Exposure) -> pd.DataFrame:
    """Return the histogram of diameters in each zone: domains that no side of the scan cuts, with their weights.

    Parameters
    ----------
    names : list of str
        Names of the zones.
    zones : Ranges
    found : Domains
    exposure : Exposure
    """
    edges = diameter_edges_um(found)
    n_blocks, per_mm3 = exposure.grid.n_blocks, 1e9 / exposure.grid.voxel_um3
    tables = []
    for name, holds in zip(names, zones.holds & exposure.usable, strict=True):
        row = found.within(holds)
        # The upper border does not belong to a class: [lo, hi).
        size = np.searchsorted(edges, row.diameter_um, side="right") - 1
        n = len(edges) - 1
        weight = np.bincount(size * n_blocks + row.block, row.weight, n * n_blocks).reshape(n, -1)
        resin = np.tile((holds @ exposure.resin).astype(np.float64), (n, 1))
        flat = 1 in exposure.grid.shape
        density = ratio(weight, resin, np.nan if flat else per_mm3, exposure.draws)
        volume = np.bincount(size, row.weight * row.diameter_um**3, n)
        share = volume / volume.sum() if volume.sum() > 0 else np.full(n, np.nan)
        columns = {"zone": name, "diameter_lo_um": edges[:-1], "diameter_hi_um": edges[1:]}
        columns["n_domains"] = np.bincount(size, minlength=n)
        columns |= density.columns("number_density_per_mm3")
        tables.append(pd.DataFrame(columns | {"volume_ratio_share": share}))
    return pd.concat(tables)
