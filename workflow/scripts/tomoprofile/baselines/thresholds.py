"""Simple thresholds beside the scan's own segmentation, on one block of the scan (P21).

The methods are those of :mod:`tomoprofile.segment.threshold` with their default settings. Domains of all masks are
found, measured and counted by the same functions as those of the scan.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..config import Circle, ObjectsConfig, ProfileConfig, ThresholdConfig
from ..domains.objects import iter_runs
from ..domains.table import Level, measure_domains
from ..errors import Fault, StageError
from ..layout import ScanLayout
from ..logs import LOG
from ..profile.depth import deepest_um, whole_objects_um
from ..profile.masks import FieldOfView, Floats, Grid, Ints
from ..profile.tables import write_table
from ..segment.threshold import fit_threshold, predict_by_threshold
from ..substrate.resin import Resin
from ..volume.plane import Plane
from ..volume.probability import threshold_of
from ..volume.store import Store, create_store, open_store

OWN = "own"
METHODS = (OWN, "otsu", "threshold_fill")
MOST_VOXELS = 512**3
LARGE_UM = 10.0  # P24
_SUBSTRATE_UM = 20.0  # of it are kept, so that pictures show it
Window = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Block:
    """The part of a scan that is compared, as stores of its own.

    Attributes
    ----------
    folder : Path
        Holds ``volume.ome.zarr``, for each method ``METHOD.ome.zarr`` (probability), ``METHOD.objects.parquet`` and
        ``METHOD.domains.parquet``, and ``interface.json``.
    window : tuple of slice
        Where it lies in the scan, in voxels along (z, y, x).
    grid : Grid
        Bins of depth of the whole scan, in which only the block counts.
    domains_are : {"dark", "bright"}
        Grey of the scan's own domains against the rest of the resin.
    """

    folder: Path
    window: Window
    grid: Grid
    domains_are: Literal["dark", "bright"]

    @property
    def volume(self) -> Path:
        """Its grey values."""
        return ScanLayout(self.folder).volume.path

    @property
    def interface(self) -> Path:
        """The plane nearest to the substrate, in coordinates of the block: for directions and pictures."""
        return ScanLayout(self.folder).interface

    def mask(self, method: str) -> Path:
        """Store of a method's mask or probability."""
        return self.folder / f"{method}.ome.zarr"

    def level(self, method: str, own: float) -> Level:
        """Where the domains of a method go; ``own`` is the decision level of the scan's own segmentation."""
        files = (self.folder / f"{method}.{kind}.parquet" for kind in ("objects", "domains"))
        return Level(own if method == OWN else 0.5, *files)


def segment_block(
    volume: Path,
    probability: Path,
    interface: Path,
    resin: Path,
    level: float,
    profile: ProfileConfig,
    objects: ObjectsConfig,
    folder: Path,
    instances: Path | None = None,
) -> Block:
    """Cut a block out of a scan, segment it by thresholds, and measure the domains of all masks.

    Parameters
    ----------
    volume, probability : Path
        Stores of the scan.
    interface, resin : Path
        ``interface.json`` and ``resin.npz``.
    level : float
        Decision level of the scan's own segmentation.
    profile : ProfileConfig
        Bins and field of view; its first zone is the one near the substrate.
    objects : ObjectsConfig
        What counts as one domain.
    folder : Path
        Receives the block.
    instances : Path, optional
        Store of given labels, which the scan's own domains are.

    Raises
    ------
    StageError
        When the block holds no resin, or its resin a single grey value.
    """
    grey, certain, plane = open_store(volume), open_store(probability), Plane.load(interface)
    part = Resin.load(resin)
    view = FieldOfView.of(profile.field_of_view, grey.shape, grey.voxel_size_um, part.circle)
    window = choose_block(grey.shape, grey.voxel_size_um, plane, view.circle, MOST_VOXELS)
    edges = grey.voxel_size_um
    grid = _grid(grey.shape, edges, plane, view.within(window[1], window[2]), part, profile)
    block = _cut_block(grey, certain, grid, window, threshold_of(level), folder)
    if instances:
        _copy(open_store(instances), window, ScanLayout(folder).instances.path)
    for method in METHODS:
        if method != OWN:
            _segment(block, method)
        LOG.info("measuring the domains of %s", method)
        measure_domains(
            block.mask(method),
            block.volume,
            block.interface,
            {"calibrated": block.level(method, level)},
            objects,
            instances=ScanLayout(folder).instances.path if instances and method == OWN else None,
        )
    return block


def choose_block(
    shape: tuple[int, int, int],
    voxel_size_um: tuple[float, float, float],
    plane: Plane,
    circle: Circle | None,
    most_voxels: int,
) -> Window:
    """Return a block of a scan: the whole of it when it is small, else all depths of a window in its middle.

    Parameters
    ----------
    shape, voxel_size_um
        Of the scan along (z, y, x).
    plane : Plane
        Substrate farther than 20 µm behind it is left out.
    circle : Circle or None
        Of what was reconstructed: a part of a scan lies inside it.
    most_voxels : int
    """
    if math.prod(shape) <= most_voxels:
        return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])
    deep = _along_depth(shape, voxel_size_um, plane)
    first, second = (axis for axis in range(3) if axis != plane.axis)
    sizes = list(shape)
    sizes[plane.axis] = deep.stop - deep.start
    side = math.isqrt(most_voxels // sizes[plane.axis])
    sizes[first] = min(shape[first], side)
    # A short side leaves room for a longer other one.
    sizes[second] = min(shape[second], most_voxels // (sizes[plane.axis] * sizes[first]))
    sizes[first] = min(shape[first], most_voxels // (sizes[plane.axis] * sizes[second]))
    starts = [(n - size) // 2 for n, size in zip(shape, sizes, strict=True)]
    starts[plane.axis] = deep.start
    if circle is not None and circle.centre_um is not None:
        inside = _inside_circle(shape, voxel_size_um, plane.axis, circle.radius_um, circle.centre_um, starts, sizes)
        for axis, (start, size) in inside.items():
            starts[axis], sizes[axis] = start, size
    z, y, x = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    return z, y, x


def _along_depth(shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float], plane: Plane) -> slice:
    """Return the voxels along the depth whose layer holds resin or the last of the substrate."""
    axis = plane.axis
    ends: list[Any] = [
        np.array([0.0, n * edge]).reshape([-1 if i == j else 1 for j in range(3)])
        for i, (n, edge) in enumerate(zip(shape, voxel_size_um, strict=True))
    ]
    ends[axis] = ((np.arange(shape[axis]) + 0.5) * voxel_size_um[axis]).reshape(
        [-1 if axis == j else 1 for j in range(3)]
    )
    deepest = plane.depth_um(*ends).max(axis=tuple(i for i in range(3) if i != axis))
    kept = np.flatnonzero(deepest > -_SUBSTRATE_UM)
    return slice(int(kept[0]), int(kept[-1]) + 1) if kept.size else slice(0, shape[axis])


def _inside_circle(
    shape: tuple[int, int, int],
    voxel_size_um: tuple[float, float, float],
    depth_axis: int,
    radius_um: float,
    centre_um: tuple[float, float],
    starts: list[int],
    sizes: list[int],
) -> dict[int, tuple[int, int]]:
    """Return start and size along y and x so that the rectangle lies inside a circle of the slice.

    Where depth runs in the slice the lateral side stays and the ends of the depth go, else both shrink alike.
    """
    half = {axis: sizes[axis] * voxel_size_um[axis] / 2 for axis in (1, 2)}
    if math.hypot(*half.values()) > radius_um:
        lateral = 3 - depth_axis
        if depth_axis == 0 or half[lateral] > radius_um / math.sqrt(2):
            half = dict.fromkeys((1, 2), radius_um / math.sqrt(2))
        else:
            half[depth_axis] = math.sqrt(radius_um**2 - half[lateral] ** 2)
    found = {}
    for axis, reach in half.items():
        middle, reach = centre_um[axis - 1] / voxel_size_um[axis], reach / voxel_size_um[axis]
        start = max(starts[axis] if axis == depth_axis else 0, math.ceil(middle - reach - 1e-6))
        end = starts[axis] + sizes[axis] if axis == depth_axis else shape[axis]
        found[axis] = (start, min(end, math.floor(middle + reach + 1e-6)) - start)
    return found


def _cut_block(grey: Store, certain: Store, grid: Grid, window: Window, threshold: int, folder: Path) -> Block:
    """Copy a block and compare grey values inside the scan's own domains with those of the rest of the resin."""
    plane, origin = grid.plane, _origin_um(window, grid)
    offset_um = plane.offset_um - float(np.dot(plane.normal, origin))
    Plane(plane.normal, offset_um).save(ScanLayout(folder).interface)
    volume = _copy(grey, window, ScanLayout(folder).volume.path)
    own = _copy(certain, window, folder / f"{OWN}.ome.zarr")
    at = [
        (np.arange(part.start, part.stop) + 0.5) * edge for part, edge in zip(window, grid.voxel_size_um, strict=True)
    ]
    y_um, x_um = (axis.ravel() for axis in np.meshgrid(at[1], at[2], indexing="ij"))
    sums, counts = np.zeros(2), np.zeros(2, np.int64)
    for start, stop in volume.shards():
        values, inside = volume.read(start, stop).astype(np.float64), own.read(start, stop) >= threshold
        for z in range(start, stop):
            layer, _ = grid.place(np.full(len(y_um), at[0][z]), y_um, x_um)
            resin = (layer >= 0).reshape(volume.shape[1:]) & np.isfinite(values[z - start])
            for side, chosen in enumerate((resin & inside[z - start], resin & ~inside[z - start])):
                sums[side] += values[z - start][chosen].sum()
                counts[side] += chosen.sum()
    if not counts.any():
        problem = "the block holds no resin: nothing lies beyond the plane"
        raise StageError(Fault(str(grey.path), "", problem, "Correct the column `interface` of the sample sheet."))
    # Without any domain the default of the methods holds.
    bright = counts.all() and sums[0] / counts[0] > sums[1] / counts[1]
    return Block(folder, window, grid, "bright" if bright else "dark")


def _origin_um(window: Window, grid: Grid) -> Floats:
    return np.array([part.start * edge for part, edge in zip(window, grid.voxel_size_um, strict=True)])


def _copy(store: Store, window: Window, path: Path) -> Store:
    z, y, x = window
    shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
    out = create_store(path, shape, store.dtype, store.voxel_size_um, store.shard_slices, store.grey)
    for start, stop in out.shards():
        out.write(start, store.read(z.start + start, z.start + stop, y, x))
    return out


def _segment(block: Block, method: str) -> None:
    config = ThresholdConfig.model_validate({"method": method, "domains_are": block.domains_are})
    grey = open_store(block.volume)
    record = block.folder / f"{method}.json"
    fit_threshold(block.volume, block.interface, config, record)
    out = create_store(block.mask(method), grey.shape, "uint8", grey.voxel_size_um, grey.shard_slices)
    predict_by_threshold(grey, out, record, 0, grey.shape[0])


def write_baselines(out: Path, block: Block, level: float, profile: ProfileConfig, outlines: dict[str, Any]) -> None:
    """Write ``baselines.parquet``: one row a method and depth bin (docs/outputs.md).

    Parameters
    ----------
    out : Path
    block : Block
        Segmented and measured.
    level : float
        Decision level of the scan's own segmentation.
    profile : ProfileConfig
        Its first zone is the one near the substrate.
    outlines : dict
        Picture of the block, for the page; it goes into the metadata, since the block is not kept.
    """
    store, grid = open_store(block.volume), block.grid
    resin = grid.count_resin(block.window[0].start, block.window[0].stop).sum(axis=1)
    tables = {method: _read(block.level(method, level).table, block) for method in METHODS}
    own = tables[OWN]
    radius = own.loc[own["edge_weight"] > 0, "equivalent_diameter_um"].max() / 2
    ends = whole_objects_um(
        store.shape, store.voxel_size_um, Plane.load(block.interface), radius if radius > 0 else 0.0
    )
    whole = (grid.borders_um[:-1] >= ends[0]) & (grid.borders_um[1:] <= ends[1])
    rows = pd.concat(
        [
            _rows(method, _count(block.level(method, level).objects, block), tables[method], resin, whole, grid)
            for method in METHODS
        ],
        ignore_index=True,
    )
    near = profile.zones[0].to_um or math.inf
    facts: dict[str, Any] = {
        "block": {"zyx"[axis]: [part.start, part.stop] for axis, part in enumerate(block.window)},
        "whole_scan": store.shape == grid.shape,
        "voxel_size_um": list(grid.voxel_size_um),
        "decision_level": level,
        "domains_are": block.domains_are,
        "near_um": near if math.isfinite(near) else None,
        "large_found": {method: large_found(own, tables[method], near) for method in METHODS},
        "thresholds": {name: json.loads((block.folder / f"{name}.json").read_text()) for name in METHODS[1:]},
        "outlines": outlines,
    }
    write_table(out, rows, facts)


def _grid(
    shape: tuple[int, int, int],
    voxel_size_um: tuple[float, float, float],
    plane: Plane,
    view: FieldOfView,
    resin: Resin,
    profile: ProfileConfig,
) -> Grid:
    """Return the bins of the profile in one lateral block."""
    n_bins = max(1, math.floor((deepest_um(shape, voxel_size_um, plane) - profile.guard_um) / profile.bin_um) + 1)
    borders = profile.guard_um + profile.bin_um * np.arange(n_bins + 1)
    widest = max(n * edge for n, edge in zip(shape, voxel_size_um, strict=True))
    return Grid.of(shape, voxel_size_um, plane, view, borders, widest, resin)


def _count(objects: Path, block: Block) -> Ints:
    tallies = np.zeros((block.grid.n_layers, block.grid.n_blocks), np.int64)
    z, y, x = (part.start for part in block.window)
    for runs in iter_runs(objects):
        block.grid.count(runs.z + z, runs.y + y, runs.x_start + x, runs.x_stop + x, tallies)
    return tallies.sum(axis=1)


def _rows(
    method: str, domain: Ints, table: pd.DataFrame, resin: Ints, whole: NDArray[np.bool_], grid: Grid
) -> pd.DataFrame:
    """Return the bins that hold resin; sizes and numbers only where the ends of the block cut no domain."""
    layer, _ = grid.place(*(table[f"centroid_{axis}_um"].to_numpy(float) for axis in "zyx"))
    placed = table[layer >= 0].assign(layer=layer[layer >= 0])
    diameter, weight = placed["equivalent_diameter_um"], placed["edge_weight"]

    def sums(values: Any = None) -> Floats:
        return np.bincount(placed["layer"], weights=values, minlength=grid.n_layers)

    def known(top: Floats, bottom: Floats) -> Floats:
        return np.divide(top, bottom, out=np.full(len(resin), np.nan), where=whole & (bottom > 0))

    voxel_um3 = float(np.prod(grid.voxel_size_um))
    rows = pd.DataFrame(
        {
            "method": method,
            "depth_lo_um": grid.borders_um[:-1],
            "depth_hi_um": grid.borders_um[1:],
            "resin_um3": resin * voxel_um3,
            "volume_ratio": domain / np.maximum(resin, 1),
            "mean_equivalent_diameter_um": known(sums(weight * diameter), sums(weight)),
            "number_density_per_mm3": known(sums(weight), resin * voxel_um3 / 1e9),
            "n_domains": sums().astype(np.int64),
            "n_over_10um": sums(diameter > LARGE_UM).astype(np.int64),
            "largest_um": diameter.groupby(placed["layer"]).max().reindex(range(grid.n_layers)).to_numpy(),
        }
    )
    return rows[resin > 0]


def large_found(own: pd.DataFrame, found: pd.DataFrame, near_um: float) -> list[int]:
    """Return how many of the scan's own domains over 10 µm near the substrate a method finds, and how many there are.

    One is found when a domain of the method that is itself over 10 µm has its centroid inside the sphere of its volume.
    """
    centroid = [f"centroid_{axis}_um" for axis in "zyx"]
    wanted = own[(own["equivalent_diameter_um"] > LARGE_UM) & (own["depth_um"] < near_um)]
    large = found[found["equivalent_diameter_um"] > LARGE_UM]
    if large.empty or wanted.empty:
        return [0, len(wanted)]
    distance, _ = cKDTree(large[centroid].to_numpy()).query(wanted[centroid].to_numpy())
    return [int((distance < wanted["equivalent_diameter_um"] / 2).sum()), len(wanted)]


def _read(table: Path, block: Block) -> pd.DataFrame:
    """Return the domains of a method in coordinates of the scan."""
    centroid = [f"centroid_{axis}_um" for axis in "zyx"]
    found = pq.read_table(table, columns=[*centroid, "equivalent_diameter_um", "edge_weight"]).to_pandas()
    found[centroid] += _origin_um(block.window, block.grid)
    return found.assign(depth_um=block.grid.plane.depth_um(*(found[name].to_numpy(float) for name in centroid)))
