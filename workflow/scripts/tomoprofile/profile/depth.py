"""What changes with the distance from the substrate: profile, zones, breaks, sizes and correlation (P24-P28)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..config import ProfileConfig
from ..domains.objects import ObjectsMetadata, read_objects_metadata
from ..domains.workers import Here, Workers
from ..errors import Fault, InputError, StageError
from ..logs import LOG
from ..shift.alarm import Familiarity
from ..substrate.resin import Resin
from ..volume.plane import Plane
from .breakpoints import breakpoints_table
from .correlation import correlation_table
from .counting import CALIBRATED, Counts, count_scan, dense
from .domains import Domains, diameters, nearest_neighbours, sizes_table
from .estimators import Tallies, draw_blocks, estimate
from .masks import FieldOfView, Floats, Grid, Ints
from .ranges import Ranges, bin_ranges, layer_borders, layer_ranges, zone_ranges
from .tables import OUTSIDE, add_flag, flag, forget_band, write_table

LEVELS = ("low", CALIBRATED, "high")
_DOMAIN_COLUMNS = [
    "voxels",
    "equivalent_diameter_um",
    "centroid_z_um",
    "centroid_y_um",
    "centroid_x_um",
    "edge_weight",
]
_REMEDY = "Remove it and run the workflow again."


@dataclass(frozen=True)
class ProfileTables:
    """Where the tables of a scan go; docs/outputs.md describes them."""

    profile: Path
    zones: Path
    breakpoints: Path
    correlation: Path
    sizes: Path


def profile_depth(
    objects: dict[str, Path],
    domains: dict[str, Path],
    interface: Path,
    config: ProfileConfig,
    seed: int,
    out: ProfileTables,
    *,
    workers: Workers | None = None,
    familiarity: Path | None = None,
    mask: Path | None = None,
    resin_file: Path | None = None,
) -> None:
    """Write the tables of what changes with the distance from the substrate.

    Volume ratios are counted voxel by voxel at the voxel's own depth, never by assigning whole objects. Objects count
    where their centroid lies. Near an open end of the scan, within the radius of its largest whole domain, objects are
    cut: what is told of objects in a range leaves those depths out, volume ratios need not.

    Parameters
    ----------
    objects : dict
        Objects files of the boundary levels ``low``, ``calibrated`` and ``high``.
    domains : dict
        Tables of the same levels.
    interface : Path
        ``interface.json``.
    config : ProfileConfig
        Bins, zones, field of view, bootstrap.
    seed : int
        Of the bootstrap.
    out : ProfileTables
        Receive the tables.
    workers : Workers, optional
        Who counts voxels; without any, this process. The tables do not depend on it.
    familiarity : Path, optional
        ``familiarity.json``; a scan unlike those its model has seen is flagged in every row.
    mask : Path, optional
        ``mask.json`` of a scan whose mask was given. How sure its boundary is nobody knows, so the rows ``low`` and
        ``high`` are empty and flagged.
    resin_file : Path, optional
        ``resin.npz``: where air and the outside of the reconstruction are, which count nowhere.

    Raises
    ------
    InputError
        When a file is no objects file or table, or the files do not belong together.
    StageError
        When the scan holds no resin.

    Notes
    -----
    With a circular field of view, objects with their centroid outside are left out, and the weights stay those of the
    box: exact inside it, an approximation for objects that reach out of the circle.
    """
    conditions = _conditions(objects)
    shape, voxel_size_um = conditions[CALIBRATED].shape, conditions[CALIBRATED].voxel_size_um
    plane = Plane.load(interface)
    part = Resin.load(resin_file) if resin_file else Resin.everywhere()
    view = FieldOfView.of(config.field_of_view, shape, voxel_size_um, part.circle)
    tables = {level: _read_domains(domains[level], level) for level in LEVELS}
    whole = tables[CALIBRATED].query("edge_weight > 0")["equivalent_diameter_um"].max()
    near_um, far_um = whole_objects_um(shape, voxel_size_um, plane, float(whole) / 2 if whole > 0 else 0.0)
    deepest = deepest_um(shape, voxel_size_um, plane)
    borders, bins_um = layer_borders(deepest, near_um, far_um, voxel_size_um[plane.axis], config)
    grid = Grid.of(shape, voxel_size_um, plane, view, borders, config.block_um, part)
    zones = zone_ranges(grid, config.zones)
    counts = count_scan(objects, grid, zones.holds, workers or Here())
    for level in LEVELS:
        _refuse_others(counts, level, tables[level], domains[level], objects[level])
    scan = _Scan.of(grid, counts, near_um, far_um, draw_blocks(grid.n_blocks, config.resamples, seed))
    if not scan.resin.any():
        problem = "the scan holds no resin: nothing lies beyond the plane, the guard and inside the field of view"
        raise StageError(Fault(str(interface), "", problem, "Check the plane, `guard_um` and `field_of_view`."))
    bins = bin_ranges(grid, bins_um, scan.resin)
    found = {level: Domains.placed(tables[level], grid) for level in LEVELS}
    profile, zone_table = (
        pd.concat([scan.rows(level, ranges, found[level]) for level in LEVELS]) for ranges in (bins, zones)
    )
    calibrated, voxel_um3 = found[CALIBRATED], scan.voxel_um3
    density = zone_table.loc[zone_table["level"] == CALIBRATED, "number_density_per_mm3"].to_numpy()
    neighbours = nearest_neighbours(zones, scan.usable, calibrated, grid, density, scan.draws)
    for name, column in neighbours.items():
        zone_table.loc[zone_table["level"] == CALIBRATED, name] = column
    of_model = Familiarity.load(familiarity).flag if familiarity else ""
    for table, ranges in ((profile, bins), (zone_table, zones)):
        unknown = np.concatenate([scan.of_unknown_size(ranges, found[level]) for level in LEVELS])
        flag(table, ranges, grid, scan.resin, (near_um, far_um), unknown, of_model)
        if part.circle and not view.circle:
            add_flag(table, OUTSIDE)
        if mask:
            forget_band(table)
    depth = (profile["depth_lo_um"] + profile["depth_hi_um"]) / 2
    profile.insert(0, "depth_um", depth)
    names = [zone.name for zone in config.zones]
    zone_table = zone_table.rename(columns={"depth_lo_um": "from_um", "depth_hi_um": "to_um"})
    zone_table.insert(0, "zone", names * len(LEVELS))
    if not scan.resin[zones.holds[-1]].any():
        LOG.warning("the scan does not reach the zone %s: its row is empty", config.zones[-1].name)
    layers = scan.tallies(layer_ranges(grid), CALIBRATED, calibrated)
    breakpoints = breakpoints_table(layers, borders, config.bin_um, voxel_um3, scan.draws, of_model)
    correlation = correlation_table(names, grid, *scan.pairs(counts, len(names)), scan.draws)
    sizes = sizes_table(names, zones, scan.usable, calibrated, grid, scan.resin, scan.draws)
    facts = {
        "levels": {level: metadata.level for level, metadata in conditions.items()},
        "plane": {"normal": plane.normal, "offset_um": plane.offset_um},
        "settings": config.model_dump(mode="json"),
        "seed": seed,
        "blocks": grid.n_blocks,
        "field_of_view": view.circle.model_dump() if view.circle else "all",
        "air_left_out": bool(part.air.any()),
        "whole_objects_um": [near_um if np.isfinite(near_um) else None, far_um],
        "boundary": "given with a mask, its uncertainty is unknown" if mask else "between the levels",
    }
    write_table(out.profile, profile, facts)
    write_table(out.zones, zone_table, facts)
    write_table(out.breakpoints, breakpoints, facts)
    write_table(out.correlation, correlation, facts)
    write_table(out.sizes, sizes, facts)


@dataclass(frozen=True)
class _Scan:
    """What was counted in a scan, as plain arrays (layers, blocks), and how it is resampled."""

    grid: Grid
    resin: Ints
    domain: dict[str, Ints]
    usable: NDArray[np.bool_]
    draws: Floats

    @classmethod
    def of(cls, grid: Grid, counts: Counts, near_um: float, far_um: float, draws: Floats) -> _Scan:
        usable = (grid.borders_um[:-1] >= near_um) & (grid.borders_um[1:] <= far_um)
        domain = {level: dense(counted) for level, counted in counts.domain.items()}
        return cls(grid, dense(counts.resin), domain, usable, draws)

    @property
    def voxel_um3(self) -> float:
        return float(np.prod(self.grid.voxel_size_um))

    def tallies(self, ranges: Ranges, level: str, found: Domains) -> Tallies:
        objects = ranges.holds & self.usable
        return Tallies(
            resin=(ranges.holds @ self.resin).astype(np.float64),
            domain=(ranges.holds @ self.domain[level]).astype(np.float64),
            resin_of_objects=(objects @ self.resin).astype(np.float64),
            weight=objects @ found.sums(found.weight, self.grid),
            weight_diameter=objects @ found.sums(found.weight * found.diameter_um, self.grid),
        )

    def rows(self, level: str, ranges: Ranges, found: Domains) -> pd.DataFrame:
        tallies = self.tallies(ranges, level, found)
        columns: dict[str, Any] = {
            "depth_lo_um": ranges.low_um,
            "depth_hi_um": ranges.high_um,
            "level": level,
            "resin_um3": tallies.resin.sum(axis=1) * self.voxel_um3,
            "domain_um3": tallies.domain.sum(axis=1) * self.voxel_um3,
        }
        for name, quantity in estimate(tallies, self.voxel_um3, self.draws).items():
            columns |= quantity.columns(name)
        columns["n_domains"] = ranges.holds @ np.bincount(found.layer, minlength=self.grid.n_layers)
        columns |= diameters(ranges, self.usable, found, self.grid, self.draws)
        return pd.DataFrame(columns)

    def of_unknown_size(self, ranges: Ranges, found: Domains) -> NDArray[np.bool_]:
        """Return which ranges hold domains whose size the table does not tell."""
        unknown = np.bincount(found.layer[found.diameter_um == 0], minlength=self.grid.n_layers)
        return ranges.holds @ unknown > 0

    def pairs(self, counts: Counts, n_zones: int) -> tuple[Ints, Ints]:
        """Return second differences of the pairs in domains and in resin, arrays (zones, blocks, lags + 2)."""
        both = (dense(part) for part in (counts.domain_pairs, counts.resin_pairs))
        domain, resin = (part.reshape(n_zones, self.grid.n_blocks, -1) for part in both)
        return domain, resin


def whole_objects_um(
    shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float], plane: Plane, radius_um: float
) -> tuple[float, float]:
    """Return the depths between which centroids of objects up to a radius can lie without the scan's ends cutting them.

    The near end is open, so has a limit, only when the substrate lies wholly outside the scan.
    """
    near, far = plane.end_depths_um(shape, voxel_size_um)
    near_um = float(near.max()) + radius_um if near.min() > 0 else -np.inf
    return near_um, float(far.min()) - radius_um


def _refuse_others(counts: Counts, level: str, table: pd.DataFrame, table_path: Path, objects: Path) -> None:
    """Raise an :class:`InputError` when runs and table do not belong together."""
    total, voxels = counts.voxels[level], int(table["voxels"].sum())
    if total != voxels:
        problem = f"the domains of this table have {voxels} voxels, those of {objects} {total}"
        raise InputError(Fault(str(table_path), "", problem, _REMEDY))


def deepest_um(shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float], plane: Plane) -> float:
    """Return the largest depth in a scan."""
    return float(max(depths.max() for depths in plane.end_depths_um(shape, voxel_size_um)))


def _conditions(objects: dict[str, Path]) -> dict[str, ObjectsMetadata]:
    found = {level: read_objects_metadata(objects[level]) for level in LEVELS}
    scans = {level: (metadata.shape, metadata.voxel_size_um) for level, metadata in found.items()}
    if len(set(scans.values())) > 1:
        got = ", ".join(f"{level}: {scan}" for level, scan in scans.items())
        raise InputError(Fault(str(objects["low"]), got, "the boundary levels are of different scans", _REMEDY))
    return found


def _read_domains(path: Path, level: str) -> pd.DataFrame:
    columns = [*_DOMAIN_COLUMNS, *(["nearest_um"] if level == CALIBRATED else [])]
    try:
        return pq.read_table(path, columns=columns).to_pandas()
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise InputError(Fault(str(path), "", f"this is no table of domains: {error}", _REMEDY)) from None
