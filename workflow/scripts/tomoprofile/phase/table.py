"""From the mask of a class to its tables as a phase: densities, thickness and anisotropy, whole and by zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..domains.workers import Here, Workers
from ..logs import LOG
from ..profile.estimators import LEAST_BLOCKS, SURE_BLOCKS, Estimate, draw_blocks, ratio, sum_of_ratios
from ..profile.masks import Floats, Space
from ..profile.settings import read_settings
from ..substrate.resin import Resin
from ..tables import CALIBRATED, GIVEN_MASK, LEVELS, PHASE, THICKNESS, read_facts
from ..volume.plane import Plane
from ..volume.probability import threshold_of
from ..volume.store import open_store
from .anisotropy import degree_interval, fabric_matrix, fabric_of
from .counting import SLICES, Counted, Counting
from .neighbours import EIGHTHS, surface_terms
from .scan import Phase
from .thickness import SPACES
from .window import Window

OPEN_END = 0.01  # of a space; with more of it thicker than the scan can show, its mean thickness is too small
Estimates = dict[str, Any]


@dataclass(frozen=True)
class SegmentedPhases:
    """What a scan's phases are measured from.

    Attributes
    ----------
    probability : Path
        Store of the probability of each class.
    interface, resin : Path
        ``interface.json`` and ``resin.npz``.
    profile : Path
        ``profile.parquet``, for zones, blocks and field of view as they were settled.
    levels : dict of str to float
        Decision level of each class.
    band : tuple of float
        Levels below and above it, between which the boundary may lie.
    is_mask : bool
        Whether the mask was given, so that nothing is known of its boundary.
    """

    probability: Path
    interface: Path
    resin: Path
    profile: Path
    levels: Mapping[str, float]
    band: tuple[float, float]
    is_mask: bool = False


def measure_phases(
    scan: SegmentedPhases,
    connectivity: int,
    seed: int,
    out: tuple[Path, Path],
    workers: Workers | None = None,
    slices: int = SLICES,
) -> None:
    """Write ``phase.parquet`` and ``thickness.parquet``.

    Each class is one phase and all other material is the rest, as if the class were alone. No object is dropped.

    Parameters
    ----------
    scan : SegmentedPhases
    connectivity : int
        6 or 26, on which the Euler number depends.
    seed : int
        Seed of the bootstrap.
    out : tuple of Path
        The two tables.
    workers : Workers, optional
        Who counts; the tables do not depend on it.
    slices : int
        How many slices are counted at a time, which does not change the tables either.

    Raises
    ------
    StoreError
        When the store cannot be read, or lacks a class.
    InputError
        When another file cannot be read.
    """
    config = read_settings(scan.profile)
    first = open_store(scan.probability, next(iter(scan.levels)))
    edges = first.voxel_size_um
    plane, resin = Plane.load(scan.interface), Resin.load(scan.resin)
    window = Window.of(Space.of(first.shape, edges, plane, resin, config.field_of_view), config)
    draws = draw_blocks(window.grid.n_blocks, config.resamples, seed)
    counting = Counting(draws, workers or Here(), slices)
    rows, distributions = [], []
    for name, level in scan.levels.items():
        of_level = partial(Phase, scan.probability, name, connectivity=connectivity, window=window)
        calibrated = counting.count(of_level(threshold_of(level)))
        counted = {CALIBRATED: calibrated}
        for end, other in zip(("low", "high"), scan.band, strict=True):
            counted[end] = calibrated if scan.is_mask else counting.count(of_level(threshold_of(other)), calibrated)
        rows.append(_at_levels(counted, scan.is_mask).assign(**{"class": name}))
        distributions.append(_distributions(calibrated).assign(**{"class": name}))
        share = calibrated.neighbours["phase"][0].sum() / max(1.0, calibrated.neighbours["material"][0].sum())
        LOG.info("class %s: volume fraction %.6g", name, share)
    facts = {
        "levels": dict(scan.levels),
        "band": list(scan.band),
        "connectivity": connectivity,
        "blocks": window.grid.n_blocks,
        "settings": read_facts(scan.profile)["settings"],
        "seed": seed,
    }
    PHASE.write(out[0], pd.concat(rows), facts)
    THICKNESS.write(out[1], pd.concat(distributions), facts)


def _at_levels(levels: Mapping[str, Counted], is_mask: bool) -> pd.DataFrame:
    """Return the rows of all levels; those of the band are empty for a given mask, as they are in the profile."""
    tables = []
    for level in LEVELS:
        table = _rows(levels[level])
        table.insert(table.columns.get_loc("zone") + 1, "level", level)
        if is_mask and level != CALIBRATED:
            for name in table.columns.difference(["zone", "level", "from_um", "to_um", "material_um3", "flag"]):
                table[name] = np.nan
            table["flag"] = GIVEN_MASK
        tables.append(table)
    return pd.concat(tables)


def _rows(counted: Counted) -> pd.DataFrame:
    window, found = counted.window, counted.neighbours
    voxel = window.grid.voxel_um3
    material, phase = (found[name].sum(axis=1) for name in ("material", "phase"))
    columns: Estimates = {
        "zone": window.names,
        "from_um": window.ranges.low_um,
        "to_um": window.ranges.high_um,
        "material_um3": material * voxel,
        "phase_um3": phase * voxel,
    }
    columns |= ratio(found["phase"], found["material"], 1.0, counted.draws).columns("volume_ratio")
    terms = surface_terms(found["pairs"], found["changes"], window.grid.voxel_size_um)
    columns |= sum_of_ratios(1e3 * terms[0], terms[1], counted.draws).columns("surface_density_per_mm")
    euler = ratio(found["euler"], found["groups"], 1e9 / (EIGHTHS * voxel), counted.draws)
    columns |= euler.columns("euler_density_per_mm3")
    columns |= _anisotropy(counted)
    blocks = (found["material"] > 0).sum(axis=1)
    flags = [["few_blocks"] * int(n < SURE_BLOCKS) for n in blocks]
    for space, name in enumerate(("thickness", "separation")):
        columns |= _thickness(counted, space, name, flags)
    return pd.DataFrame(columns | {"flag": [";".join(names) for names in flags]})


def _anisotropy(counted: Counted) -> Estimates:
    pairs, changes = counted.neighbours["pairs"], counted.neighbours["changes"]
    edges, draws = counted.window.grid.voxel_size_um, counted.draws
    matrix = fabric_matrix(pairs.sum(axis=2), changes.sum(axis=2), edges)
    resampled = fabric_matrix(*(np.moveaxis(part @ draws.T, 2, 1) for part in (pairs, changes)), edges)
    fabric, blocks = fabric_of(matrix), (pairs > 0).all(axis=0).sum(axis=1)
    low, high = np.full((2, len(matrix)), np.nan)
    for row in np.flatnonzero((blocks >= LEAST_BLOCKS) & np.isfinite(fabric.degree)):
        low[row], high[row] = degree_interval(matrix[row], resampled[:, row], int(blocks[row]))
    columns: Estimates = Estimate(fabric.degree, low, high).columns("anisotropy")
    for number in range(3):
        columns[f"intercept_{number + 1}_um"] = fabric.lengths_um[:, number]
    for axis, letter in enumerate("zyx"):
        # Of a direction and its opposite the one that goes forward in raster order.
        for name, which in (("long", 0), ("short", 2)):
            columns[f"{name}_{letter}"] = _forward(fabric.axes[:, which])[:, axis]
    return columns


def _forward(directions: Floats) -> Floats:
    """Return directions (rows, 3) or their opposites, so that the first part that is not 0 is positive."""
    leading = np.take_along_axis(directions, (np.abs(directions) > 1e-9).argmax(axis=1)[:, None], axis=1)
    return np.where(leading < 0, -directions, directions)


def _thickness(counted: Counted, space: int, name: str, flags: list[list[str]]) -> Estimates:
    """Return mean, standard deviation and maximum of the thickness, and flag rows in which part of it is too large."""
    n_rows = len(flags)
    means, others = [], np.full((2, n_rows), np.nan)
    for row in range(n_rows):
        last = _last_radius(counted, space, row)
        if not last or not counted.inside[space, :last, row].any():
            unknown = np.full(1, np.nan)
            means.append(Estimate(unknown, unknown, unknown))
            continue
        known, inside = (part[space, :last, row] for part in (counted.known, counted.inside))
        share, ends = inside.sum(axis=1) / known.sum(axis=1), _ends(counted.radii_um[:last])
        there, steps = share > 0, np.diff(ends)
        mean = sum_of_ratios((steps[:, None] * inside)[there, None], known[there, None], counted.draws)
        means.append(Estimate(mean.value + ends[0], mean.low + ends[0], mean.high + ends[0]))
        squares = ends[0] ** 2 + (np.diff(ends**2) * share).sum()
        others[:, row] = np.sqrt(max(squares - means[-1].value[0] ** 2, 0.0)), ends[1:][there].max(initial=ends[0])
        if share[-1] > OPEN_END:
            flags[row].append(f"thick_{SPACES[space]}")
    columns: Estimates = {}
    for end, part in (("", "value"), ("_lo", "low"), ("_hi", "high")):
        columns[f"{name}_mean_um{end}"] = np.concatenate([getattr(mean, part) for mean in means])
    return columns | {f"{name}_sd_um": others[0], f"{name}_max_um": others[1]}


def _last_radius(counted: Counted, space: int, row: int) -> int:
    """Return how many radii are known in a row: a radius counts while some voxel is far enough from the faces."""
    known = counted.known[space, :, row].sum(axis=1) > 0
    return int(known.argmin()) if not known.all() else len(known)


def _ends(radii: Floats) -> Floats:
    """Return the thicknesses between those of the radii, from one below the first to one beyond the last (n + 1,)."""
    steps = np.append(radii, 2 * radii[-1] - radii[-2] if len(radii) > 1 else 2 * radii[-1])
    return np.concatenate([[radii[0]], steps[1:] + steps[:-1]])


def _distributions(counted: Counted) -> pd.DataFrame:
    """Return the share of phase and rest that is at least as thick as each diameter."""
    tables = []
    for space, of in enumerate(SPACES):
        for row, zone in enumerate(counted.window.names):
            last = _last_radius(counted, space, row)
            if not last:
                continue
            thicker = ratio(counted.inside[space, :last, row], counted.known[space, :last, row], 1.0, counted.draws)
            columns: Estimates = {"zone": zone, "space": of, "thickness_um": 2 * counted.radii_um[:last]}
            columns |= thicker.columns("share_thicker")
            tables.append(pd.DataFrame(columns | {"voxels": counted.known[space, :last, row].sum(axis=1).astype(int)}))
    return pd.concat(tables) if tables else _nothing()


def _nothing() -> pd.DataFrame:
    return pd.DataFrame({name: [] for name in THICKNESS.schema.names if name != "class"})
