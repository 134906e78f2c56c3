"""Simple thresholds compared with the scan's own segmentation, in the bins of the profile of one block."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..config_profile import ProfileConfig
from ..files import read_record
from ..profile.masks import Floats, Grid, Ints, Space
from ..substrate.resin import Resin
from ..tables import BASELINES
from ..volume.plane import Plane
from ..volume.store import open_store
from .block import METHODS, OWN, Block, Found

LARGE_UM = 10.0
_CENTROID = ("centroid_z_um", "centroid_y_um", "centroid_x_um")


def write_baselines(out: Path, block: Block, profile: ProfileConfig, outlines: dict[str, Any]) -> None:
    """Write ``baselines.parquet``: one row per class, method and depth bin (docs/outputs.md).

    Parameters
    ----------
    out : Path
    block : Block
        Segmented and measured.
    profile : ProfileConfig
        Its first zone is the one near the substrate.
    outlines : dict
        Picture of the block by class, for the page; stored in the metadata, since the block is not kept.
    """
    resin = block.grid.count_resin(block.window[0].start, block.window[0].stop).sum(axis=1)
    near = profile.zones[0].to_um or math.inf
    tables, classes = [], {}
    for name in block.own_levels:
        rows, told = _of_class(block, name, resin, near)
        tables.append(rows)
        classes[name] = told | {"outlines": outlines[name]}
    facts: dict[str, Any] = {
        "classes": classes,
        "block": {"zyx"[axis]: [part.start, part.stop] for axis, part in enumerate(block.window)},
        "whole_scan": open_store(block.volume).shape == block.grid.shape,
        "voxel_size_um": list(block.grid.voxel_size_um),
        "near_um": near if math.isfinite(near) else None,
    }
    BASELINES.write(out, pd.concat(tables, ignore_index=True), facts)


def _of_class(block: Block, name: str, resin: Ints, near_um: float) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the rows of a class, and its entry in the metadata."""
    found = {method: block.found(method, name) for method in METHODS}
    domains = {method: _read(block, one) for method, one in found.items()}
    whole = _whole_bins(block, domains[OWN])
    rows = [
        _rows(method, _count(block, one), domains[method], resin, whole, block.grid) for method, one in found.items()
    ]
    grey = block.domains_are[name]
    told = {
        "decision_level": found[OWN].level,
        "domains_are": grey,
        "large_found": {method: large_found(domains[OWN], domains[method], near_um) for method in METHODS},
        "thresholds": {method: read_record(block.threshold(method, grey)) for method in METHODS[1:]},
    }
    return pd.concat(rows).assign(**{"class": name}), told


def _whole_bins(block: Block, own: pd.DataFrame) -> NDArray[np.bool_]:
    """Return the bins in which the ends of the block do not cut any of the scan's own domains."""
    store, grid = open_store(block.volume), block.grid
    space = Space.of(store.shape, store.voxel_size_um, Plane.load(block.interface), Resin.everywhere(), "all")
    radius = own.loc[own["edge_weight"] > 0, "equivalent_diameter_um"].max() / 2
    near_um, far_um = space.whole_objects_um(radius if radius > 0 else 0.0)
    return (grid.borders_um[:-1] >= near_um) & (grid.borders_um[1:] <= far_um)


def _count(block: Block, found: Found) -> Ints:
    tallies = np.zeros((block.grid.n_layers, block.grid.n_blocks), np.int64)
    z, y, x = (part.start for part in block.window)
    for runs in found.runs():
        block.grid.count(runs.z + z, runs.y + y, runs.x_start + x, runs.x_stop + x, tallies)
    return tallies.sum(axis=1)


def _rows(
    method: str, domain: Ints, table: pd.DataFrame, resin: Ints, whole: NDArray[np.bool_], grid: Grid
) -> pd.DataFrame:
    """Return the bins that hold resin; sizes and numbers only where the ends of the block do not cut any domain."""
    layer, _ = grid.place(*(table[name].to_numpy(float) for name in _CENTROID))
    placed = table[layer >= 0].assign(layer=layer[layer >= 0])
    diameter, weight = placed["equivalent_diameter_um"], placed["edge_weight"]

    def sums(values: Any = None) -> Floats:
        return np.bincount(placed["layer"], weights=values, minlength=grid.n_layers)

    def known(top: Floats, bottom: Floats) -> Floats:
        return np.divide(top, bottom, out=np.full(len(resin), np.nan), where=whole & (bottom > 0))

    rows = pd.DataFrame(
        {
            "method": method,
            "depth_lo_um": _known(grid.borders_um[:-1]),
            "depth_hi_um": _known(grid.borders_um[1:]),
            "resin_um3": resin * grid.voxel_um3,
            "volume_ratio": domain / np.maximum(resin, 1),
            "mean_equivalent_diameter_um": known(sums(weight * diameter), sums(weight)),
            "number_density_per_mm3": known(sums(weight), resin * grid.voxel_um3 / 1e9),
            "n_domains": sums().astype(np.int64),
            "n_over_10um": sums(diameter > LARGE_UM).astype(np.int64),
            "largest_um": diameter.groupby(placed["layer"]).max().reindex(range(grid.n_layers)).to_numpy(),
        }
    )
    return rows[resin > 0]


def large_found(own: pd.DataFrame, found: pd.DataFrame, near_um: float) -> list[int]:
    """Return how many of the scan's own domains over 10 µm near the substrate a method finds, and how many there are.

    A domain is found when the method has one over 10 µm with its centroid inside the sphere of equal volume.
    """
    wanted = own[(own["equivalent_diameter_um"] > LARGE_UM) & ~(own["depth_um"] >= near_um)]
    large = found[found["equivalent_diameter_um"] > LARGE_UM]
    if large.empty or wanted.empty:
        return [0, len(wanted)]
    distance, _ = cKDTree(large[list(_CENTROID)].to_numpy()).query(wanted[list(_CENTROID)].to_numpy())
    return [int((distance < wanted["equivalent_diameter_um"] / 2).sum()), len(wanted)]


def _known(borders_um: Floats) -> Floats:
    """Return borders of bins; NaN for those of a scan without depth."""
    return np.where(np.isfinite(borders_um), borders_um, np.nan)


def _read(block: Block, found: Found) -> pd.DataFrame:
    """Return the domains of a method in coordinates of the scan."""
    domains = found.domains((*_CENTROID, "equivalent_diameter_um", "edge_weight"))
    domains[list(_CENTROID)] += block.origin_um
    return domains.assign(depth_um=block.grid.plane.depth_um(*(domains[name].to_numpy(float) for name in _CENTROID)))
