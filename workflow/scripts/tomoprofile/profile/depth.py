"""The results against the distance from the substrate: profile, zones, breakpoints, sizes and correlation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..config_profile import ProfileConfig
from ..domains.measures import ONE_SLICE
from ..domains.objects import ObjectsMetadata, read_objects_metadata
from ..domains.workers import Here, Workers
from ..errors import Fault, InputError, StageError
from ..logs import LOG
from ..shift.alarm import Familiarity
from ..substrate.resin import Resin
from ..tables import BAND, CALIBRATED, DOMAINS, LEVELS, TABLES, of_class
from ..volume.plane import Plane
from .breakpoints import breakpoints_table
from .correlation import correlation_table
from .counting import Counts, count_scan, dense
from .domains import Domains, diameters, nearest_neighbours, sizes_table
from .doubts import Doubts
from .estimators import Tallies, draw_blocks, estimate
from .exposure import Exposure
from .masks import Grid, Ints, Space
from .ranges import EVERYWHERE_UM, Ranges, bin_ranges, layer_borders, layer_ranges, zone_ranges
from .settings import facts_of, settled

_DOMAIN_COLUMNS = (
    "voxels",
    "equivalent_diameter_um",
    "centroid_z_um",
    "centroid_y_um",
    "centroid_x_um",
    "edge_weight",
)
_REMEDY = "Remove it and run the workflow again."


@dataclass(frozen=True)
class ProfileInputs:
    """The files from which the tables of a scan are made.

    Attributes
    ----------
    objects, domains : dict of Path
        Objects files and tables of domains of the boundary levels ``low``, ``calibrated`` and ``high``.
    interface : Path
        ``interface.json``.
    resin : Path, optional
        ``resin.npz``: where there is air or nothing was reconstructed; neither is counted.
    familiarity : Path, optional
        ``familiarity.json``; a scan unlike those that its model has seen is flagged in every row.
    mask : Path, optional
        ``mask.json`` of a scan whose mask was given. The uncertainty of its boundary is unknown, so the rows ``low``
        and ``high`` are empty and flagged.
    """

    objects: dict[str, Path]
    domains: dict[str, Path]
    interface: Path
    resin: Path | None = None
    familiarity: Path | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class ProfileTables:
    """Where the tables of a scan are written; docs/outputs.md describes them."""

    profile: Path
    zones: Path
    breakpoints: Path
    correlation: Path
    sizes: Path


def profile_depth(
    inputs: ProfileInputs, config: ProfileConfig, seed: int, out: ProfileTables, workers: Workers | None = None
) -> None:
    """Write the tables of results against the distance from the substrate, one class after another.

    Each class is measured as if it were alone: everything but its own domains is resin, domains of other classes too.

    Volume fractions are counted voxel by voxel at each voxel's depth, never by assigning whole objects. Objects count
    where the voxel that holds their centroid is counted. Near an open end of the scan, within the radius of its largest
    whole domain, objects are cut: estimates about objects leave those depths out, volume fractions need not.

    Parameters
    ----------
    inputs : ProfileInputs
    config : ProfileConfig
        Bins, zones, field of view, bootstrap.
    seed : int
        Seed of the bootstrap.
    out : ProfileTables
        Paths of the tables.
    workers : Workers, optional
        Count the voxels; without any, this process does. The tables do not depend on it.

    Raises
    ------
    InputError
        When a file is not an objects file or table of this version, or the files do not belong together.
    StageError
        When the scan holds no resin.

    Notes
    -----
    With a circular field of view, objects with their centroid outside are left out, and the weights stay those of the
    box: exact inside it, an approximation for objects that reach out of the circle.
    """
    conditions = _conditions(inputs.objects)
    given, space = config, _space(inputs, next(iter(conditions.values()))[CALIBRATED], config)
    config = settled(given, space, {name: _calibrated(inputs, name) for name in conditions})
    LOG.info("bins of %s um, blocks of %s um, zones %s", config.bin_um, config.block_um, config.zones)
    doubts = _doubts(inputs, space)
    tables: dict[str, list[pd.DataFrame]] = {}
    classes = {}
    for name, levels in conditions.items():
        counted = _Counted.of(inputs, name, space, config, seed, workers or Here())
        classes[name] = {"levels": {level: one.level for level, one in levels.items()}, **_facts_of(counted.exposure)}
        for kind, table in _tables(counted, doubts, config).items():
            tables.setdefault(kind, []).append(table.assign(**{"class": name}))
    if not counted.exposure.resin[counted.zones.holds[-1]].any():  # resin is the same for all classes
        LOG.warning("the scan does not reach the zone %s: its row is empty", config.zones[-1].name)
    facts = {
        "classes": classes,
        "plane": _plane_of(space),
        **facts_of(given, config, space.plane.has_depth),
        "seed": seed,
        "field_of_view": space.view.circle.model_dump() if space.view.circle else "all",
        "air_left_out": bool(space.resin.air.any()),
        "boundary": "given with a mask, its uncertainty is unknown" if inputs.mask else "between the levels",
    }
    for kind, parts in tables.items():
        TABLES[kind].write(getattr(out, kind), pd.concat(parts), facts)


@dataclass(frozen=True)
class _Counted:
    """The counts of one class in a scan.

    Attributes
    ----------
    exposure : Exposure
    bins, zones : Ranges
    domain : dict of array (layers, blocks)
        Voxels of domains at each level.
    found : dict of Domains
        Domains at each level.
    pairs : tuple of array (zones, blocks, lags + 2)
        Second differences of the pairs in domains and in resin.
    """

    exposure: Exposure
    bins: Ranges
    zones: Ranges
    domain: dict[str, Ints]
    found: dict[str, Domains]
    pairs: tuple[Ints, Ints]

    @classmethod
    def of(
        cls, inputs: ProfileInputs, name: str, space: Space, config: ProfileConfig, seed: int, workers: Workers
    ) -> _Counted:
        """Count voxels, domains and pairs of points of a class."""
        domains = {level: _read_domains(inputs.domains[level], name, level) for level in LEVELS}
        whole_um = space.whole_objects_um(_largest_radius_um(domains[CALIBRATED]))
        borders_um = bins_um = EVERYWHERE_UM
        if space.plane.has_depth:
            borders_um, bins_um = layer_borders(space.deepest_um, *whole_um, space.thinnest_um, config)
        grid = Grid.dividing(space, borders_um, config.block_um)
        zones = zone_ranges(grid, config.zones)
        counts = count_scan(inputs.objects, name, grid, zones.holds, workers)
        for level in LEVELS:
            files = inputs.domains[level], inputs.objects[level]
            _refuse_others(counts.voxels[level], domains[level], name, *files)
        resin = dense(counts.resin)
        if not resin.any():
            problem = "the scan holds no resin: nothing lies beyond the plane, the guard and inside the field of view"
            remedy = "Check the plane, `guard_um` and `field_of_view`."
            raise StageError(Fault(str(inputs.interface), "", problem, remedy))
        return cls(
            Exposure(grid, resin, whole_um, draw_blocks(grid.n_blocks, config.resamples, seed)),
            bin_ranges(grid, bins_um, resin),
            zones,
            {level: dense(counted) for level, counted in counts.domain.items()},
            {level: Domains.placed(domains[level], grid) for level in LEVELS},
            _pairs(counts, len(config.zones), grid.n_blocks),
        )

    def tallies(self, ranges: Ranges, level: str) -> Tallies:
        """Return the tallies behind the estimates of some ranges."""
        found, resin, grid = self.found[level], self.exposure.resin, self.exposure.grid
        objects = ranges.holds & self.exposure.usable
        return Tallies(
            resin=(ranges.holds @ resin).astype(np.float64),
            domain=(ranges.holds @ self.domain[level]).astype(np.float64),
            resin_of_objects=(objects @ resin).astype(np.float64),
            weight=objects @ found.sums(found.weight, grid),
            weight_diameter=objects @ found.sums(found.weight * found.diameter_um, grid),
        )

    def rows(self, ranges: Ranges) -> pd.DataFrame:
        """Return the rows of some ranges, level by level."""
        return pd.concat([self._rows_at(level, ranges) for level in LEVELS])

    def _rows_at(self, level: str, ranges: Ranges) -> pd.DataFrame:
        tallies, found, grid = self.tallies(ranges, level), self.found[level], self.exposure.grid
        columns: dict[str, Any] = {
            "depth_lo_um": ranges.low_um,
            "depth_hi_um": ranges.high_um,
            "level": level,
            "resin_um3": tallies.resin.sum(axis=1) * grid.voxel_um3,
            "domain_um3": tallies.domain.sum(axis=1) * grid.voxel_um3,
        }
        for name, quantity in estimate(tallies, grid.voxel_um3, self.exposure.draws).items():
            columns |= quantity.columns(name)
        if 1 in grid.shape:  # sections in one slice do not tell how many bodies a volume holds
            columns |= {name: np.full(len(ranges.low_um), np.nan) for name in columns if "number_density" in name}
        columns["n_domains"] = ranges.holds @ np.bincount(found.layer, minlength=grid.n_layers)
        return pd.DataFrame(columns | diameters(ranges, found, self.exposure))

    def of_unknown_size(self, ranges: Ranges) -> NDArray[np.bool_]:
        """Return which rows of some ranges hold domains whose size is missing from the table."""
        n_layers = self.exposure.grid.n_layers
        unknown = [
            np.bincount(found.layer[found.diameter_um == 0], minlength=n_layers) for found in self.found.values()
        ]
        return np.concatenate([ranges.holds @ counts > 0 for counts in unknown])


def _tables(counted: _Counted, doubts: Doubts, config: ProfileConfig) -> dict[str, pd.DataFrame]:
    """Return the tables by their names."""
    exposure, grid = counted.exposure, counted.exposure.grid
    names = [zone.name for zone in config.zones]
    return {
        "profile": _profile_table(counted, doubts),
        "zones": _zones_table(names, counted, doubts),
        "breakpoints": _breakpoints_table(counted, doubts, config.bin_um),
        "correlation": correlation_table(names, grid, *counted.pairs, exposure.draws),
        "sizes": sizes_table(names, counted.zones, counted.found[CALIBRATED], exposure),
    }


def _profile_table(counted: _Counted, doubts: Doubts) -> pd.DataFrame:
    table = counted.rows(counted.bins)
    doubts.flag(table, counted.bins, counted.exposure, counted.of_unknown_size(counted.bins))
    return table.assign(depth_um=(table["depth_lo_um"] + table["depth_hi_um"]) / 2)


def _zones_table(names: list[str], counted: _Counted, doubts: Doubts) -> pd.DataFrame:
    table, zones = counted.rows(counted.zones), counted.zones
    calibrated = table["level"] == CALIBRATED
    density = table.loc[calibrated, "number_density_per_mm3"].to_numpy()
    for name, column in nearest_neighbours(zones, counted.found[CALIBRATED], density, counted.exposure).items():
        table.loc[calibrated, name] = column
    doubts.flag(table, zones, counted.exposure, counted.of_unknown_size(zones))
    if 1 in counted.exposure.grid.shape:
        table["flag"] = [";".join(filter(None, (flag, ONE_SLICE))) for flag in table["flag"]]
    return table.rename(columns={"depth_lo_um": "from_um", "depth_hi_um": "to_um"}).assign(zone=names * len(LEVELS))


def _breakpoints_table(counted: _Counted, doubts: Doubts, bin_um: float) -> pd.DataFrame:
    """Return where the profile bends: no rows without depth, along which it could."""
    exposure, grid = counted.exposure, counted.exposure.grid
    layers = counted.tallies(layer_ranges(grid), CALIBRATED)
    table = breakpoints_table(layers, grid.borders_um, bin_um, grid.voxel_um3, exposure.draws, doubts.of_model)
    if 1 in grid.shape:
        table = table[table["quantity"] != "number_density_per_mm3"]
    return table if grid.plane.has_depth else table.iloc[:0]


def _plane_of(space: Space) -> dict[str, Any] | None:
    if space.plane.axis is None:
        return None
    return {"normal": space.plane.normal, "offset_um": space.plane.offset_um}


def _facts_of(exposure: Exposure) -> dict[str, Any]:
    near_um, far_um = exposure.whole_um
    return {
        "blocks": exposure.grid.n_blocks,
        "whole_objects_um": [end if np.isfinite(end) else None for end in (near_um, far_um)],
    }


def _conditions(objects: dict[str, Path]) -> dict[str, dict[str, ObjectsMetadata]]:
    """Return how voxels became domains, by class and level."""
    found = {level: read_objects_metadata(objects[level]) for level in LEVELS}
    for what, look in (("scans", _scan_of), ("classes", list)):
        told = {level: look(classes) for level, classes in found.items()}
        if any(one != told[CALIBRATED] for one in told.values()):
            got = ", ".join(f"{level}: {one}" for level, one in told.items())
            raise InputError(Fault(str(objects["low"]), got, f"the boundary levels have different {what}", _REMEDY))
    return {name: {level: found[level][name] for level in LEVELS} for name in found[CALIBRATED]}


def _scan_of(classes: dict[str, ObjectsMetadata]) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    any_of_them = next(iter(classes.values()))
    return any_of_them.shape, any_of_them.voxel_size_um


def _space(inputs: ProfileInputs, scan: ObjectsMetadata, config: ProfileConfig) -> Space:
    resin = Resin.load(inputs.resin) if inputs.resin else Resin.everywhere()
    return Space.of(scan.shape, scan.voxel_size_um, Plane.load(inputs.interface), resin, config.field_of_view)


def _doubts(inputs: ProfileInputs, space: Space) -> Doubts:
    return Doubts(
        Familiarity.load(inputs.familiarity).flag if inputs.familiarity else "",
        corners_counted=bool(space.resin.circle and not space.view.circle),
        mask_was_given=inputs.mask is not None,
    )


def _read_domains(path: Path, name: str, level: str) -> pd.DataFrame:
    columns = ("class", *_DOMAIN_COLUMNS)
    table = DOMAINS.read(path, (*columns, "nearest_um")) if level == CALIBRATED else BAND.read(path, columns)
    return of_class(table, name)


def _calibrated(inputs: ProfileInputs, name: str) -> pd.DataFrame:
    return _read_domains(inputs.domains[CALIBRATED], name, CALIBRATED)


def _largest_radius_um(domains: pd.DataFrame) -> float:
    """Return the radius of the largest domain that no side of the scan cuts; 0 when there is none."""
    largest = float(domains.query("edge_weight > 0")["equivalent_diameter_um"].max())
    return largest / 2 if largest > 0 else 0.0


def _refuse_others(voxels: int, domains: pd.DataFrame, name: str, path: Path, objects: Path) -> None:
    """Raise an :class:`InputError` when runs and table do not belong together."""
    total = int(domains["voxels"].sum())
    if total != voxels:
        problem = f"the domains of this class have {total} voxels in this table, those of {objects} {voxels}"
        raise InputError(Fault(str(path), f"class {name}", problem, _REMEDY))


def _pairs(counts: Counts, n_zones: int, n_blocks: int) -> tuple[Ints, Ints]:
    both = (dense(part) for part in (counts.domain_pairs, counts.resin_pairs))
    domain, resin = (part.reshape(n_zones, n_blocks, -1) for part in both)
    return domain, resin
