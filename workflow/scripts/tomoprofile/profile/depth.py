"""What changes with the distance from the substrate: the profile and the zones (P24-P28)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .. import __version__
from ..config import ProfileConfig, Zone
from ..domains.objects import ObjectsMetadata, filled_row_groups, iter_runs, read_objects_metadata
from ..errors import Fault, InputError, StageError
from ..files import whole_file
from ..logs import LOG, progress
from ..segment.alarm import Familiarity
from ..volume.plane import Plane
from .estimators import LEAST_BLOCKS, Estimate, Tallies, draw_blocks, estimate
from .masks import FieldOfView, Floats, Grid, Ints
from .resin import Resin

LEVELS = ("low", "calibrated", "high")
FEW = 5
GIVEN = "given_mask"
OUTSIDE = "outside_counted"  # filled corners of slices were taken for resin, because the configuration says so
LEAST_EXPOSURE = (
    0.01  # of the largest bin; bins at the ends with less, such as the corners of a tilted scan, are dropped
)
_DOMAIN_COLUMNS = [
    "voxels",
    "equivalent_diameter_um",
    "centroid_z_um",
    "centroid_y_um",
    "centroid_x_um",
    "edge_weight",
]
_REMEDY = "Remove it and run the workflow again."
_UNITS = {"_um": "um", "_um3": "um^3", "_per_mm3": "mm^-3", "_um_lo": "um", "_um_hi": "um"}
_UNITS |= {"_mm3_lo": "mm^-3", "_mm3_hi": "mm^-3", "ratio": "1", "ratio_lo": "1", "ratio_hi": "1"}


@dataclass(frozen=True)
class Ranges:
    """Ranges of depth, each a union of layers.

    Attributes
    ----------
    low_um, high_um : array (n,)
        Ends as they are shown.
    holds : array (n, layers) of bool
        Which layers belong to the range.
    """

    low_um: Floats
    high_um: Floats
    holds: NDArray[np.bool_]


@dataclass(frozen=True)
class Domains:
    """The objects of one boundary level that count; arrays (n,).

    Attributes
    ----------
    layer, block : array of int
        Where the centroid lies.
    diameter_um, weight : array
        Equivalent diameter, and lateral weight of Miles and Lantuéjoul, 0 for objects cut laterally.
    """

    layer: Ints
    block: Ints
    diameter_um: Floats
    weight: Floats


def profile_depth(
    objects: dict[str, Path],
    domains: dict[str, Path],
    interface: Path,
    config: ProfileConfig,
    seed: int,
    profile_out: Path,
    zones_out: Path,
    familiarity: Path | None = None,
    mask: Path | None = None,
    resin_file: Path | None = None,
) -> None:
    """Write ``profile.parquet`` and ``zones.parquet``.

    Volume ratios are counted voxel by voxel at the voxel's own depth, never by assigning whole objects. Objects count
    where their centroid lies. Near an open end of the scan, within the radius of its largest whole domain, objects are
    cut: mean diameter and number density of a range leave those depths out, volume ratios need not.

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
    profile_out, zones_out : Path
        Receive the tables.
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
    shape, voxel_size_um = conditions["calibrated"].shape, conditions["calibrated"].voxel_size_um
    plane = Plane.load(interface)
    part = Resin.load(resin_file) if resin_file else Resin.everywhere()
    view = FieldOfView.of(config.field_of_view, shape, voxel_size_um, part.circle)
    tables = {level: _read_domains(domains[level]) for level in LEVELS}
    whole = tables["calibrated"].query("edge_weight > 0")["equivalent_diameter_um"]
    near_um, far_um = whole_objects_um(shape, voxel_size_um, plane, float(whole.max()) / 2 if len(whole) else 0.0)
    borders, bins_um = layer_borders(_deepest_um(shape, voxel_size_um, plane), near_um, far_um, config)
    grid = Grid.of(shape, voxel_size_um, plane, view, borders, config.block_um, part)
    resin = grid.count_resin()
    if not resin.any():
        problem = "the scan holds no resin: nothing lies beyond the plane, the guard and inside the field of view"
        raise StageError(Fault(str(interface), "", problem, "Check the plane, `guard_um` and `field_of_view`."))
    bins = _bins(grid, bins_um, resin)
    zones = _zones(grid, config.zones)
    usable = (borders[:-1] >= near_um) & (borders[1:] <= far_um)
    draws = draw_blocks(grid.n_blocks, config.resamples, seed)
    profile_rows, zone_rows = [], []
    for level in LEVELS:
        counted = count_domains(objects[level], tables[level], domains[level], grid)
        found = _place(tables[level], grid)
        for ranges, rows in ((bins, profile_rows), (zones, zone_rows)):
            rows.append(_rows(level, ranges, grid, resin, counted, found, usable, draws))
        zone_rows[-1] = pd.concat([zone_rows[-1], _diameters(zones, found, usable)], axis=1)
    profile, zone_table = pd.concat(profile_rows), pd.concat(zone_rows)
    of_model = Familiarity.load(familiarity).flag if familiarity else ""
    for table, ranges in ((profile, bins), (zone_table, zones)):
        _flag(table, ranges, grid, resin, near_um, far_um, of_model)
        if part.circle and not view.circle:
            _add_flag(table, OUTSIDE)
        if mask:
            _forget_band(table)
    depth = (profile["depth_lo_um"] + profile["depth_hi_um"]) / 2
    profile.insert(0, "depth_um", depth)
    zone_table = zone_table.rename(columns={"depth_lo_um": "from_um", "depth_hi_um": "to_um"})
    zone_table.insert(0, "zone", [zone.name for zone in config.zones] * len(LEVELS))
    if not resin[zones.holds[-1]].any():
        LOG.warning("the scan does not reach the zone %s: its row is empty", config.zones[-1].name)
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
    _write(profile_out, profile, facts)
    _write(zones_out, zone_table, facts)


def whole_objects_um(
    shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float], plane: Plane, radius_um: float
) -> tuple[float, float]:
    """Return the depths between which centroids of objects up to a radius can lie without the scan's ends cutting them.

    The near end is open, so has a limit, only when the substrate lies wholly outside the scan.
    """
    near, far = plane.end_depths_um(shape, voxel_size_um)
    near_um = float(near.max()) + radius_um if near.min() > 0 else -np.inf
    return near_um, float(far.min()) - radius_um


def layer_borders(deepest_um: float, near_um: float, far_um: float, config: ProfileConfig) -> tuple[Floats, Floats]:
    """Return the borders of the thinnest layers needed, and those of the bins among them.

    Bins, zones and the depths of whole objects are unions of these layers, so one count serves all of them exactly.
    """
    n_bins = max(1, int(np.floor((deepest_um - config.guard_um) / config.bin_um)) + 1)
    bins = config.guard_um + config.bin_um * np.arange(n_bins + 1)
    zones = [end for zone in config.zones for end in (zone.from_um, zone.to_um) if end is not None]
    extra = [end for end in (*zones, near_um, far_um) if bins[0] < end < bins[-1]]
    return np.unique(np.concatenate([bins, extra])), bins


def count_domains(objects: Path, table: pd.DataFrame, table_path: Path, grid: Grid) -> Ints:
    """Return the voxels of domains by layer and block, from the runs, one row group at a time.

    Raises
    ------
    InputError
        When runs and table do not belong together.
    """
    tallies = np.zeros((grid.n_layers, grid.n_blocks), np.int64)
    total = 0
    for runs in progress(iter_runs(objects), len(filled_row_groups(objects)), f"shards of {objects.name}"):
        grid.count(runs.z, runs.y, runs.x_start, runs.x_stop, tallies)
        total += int((runs.x_stop - runs.x_start).sum(dtype=np.int64))
    voxels = int(table["voxels"].sum())
    if total != voxels:
        problem = f"the domains of this table have {voxels} voxels, those of {objects} {total}"
        raise InputError(Fault(str(table_path), "", problem, _REMEDY))
    return tallies


def _rows(
    level: str,
    ranges: Ranges,
    grid: Grid,
    resin: Ints,
    counted: Ints,
    found: Domains,
    usable: NDArray[np.bool_],
    draws: Floats,
) -> pd.DataFrame:
    objects = ranges.holds & usable
    weight, weight_diameter = np.zeros(resin.shape), np.zeros(resin.shape)
    np.add.at(weight, (found.layer, found.block), found.weight)
    np.add.at(weight_diameter, (found.layer, found.block), found.weight * found.diameter_um)
    tallies = Tallies(
        resin=(ranges.holds @ resin).astype(np.float64),
        domain=(ranges.holds @ counted).astype(np.float64),
        resin_of_objects=(objects @ resin).astype(np.float64),
        weight=objects @ weight,
        weight_diameter=objects @ weight_diameter,
    )
    voxel_um3 = float(np.prod(grid.voxel_size_um))
    columns: dict[str, Any] = {
        "depth_lo_um": ranges.low_um,
        "depth_hi_um": ranges.high_um,
        "level": level,
        "resin_um3": tallies.resin.sum(axis=1) * voxel_um3,
        "domain_um3": tallies.domain.sum(axis=1) * voxel_um3,
    }
    for name, quantity in estimate(tallies, voxel_um3, draws).items():
        columns |= _with_interval(name, quantity)
    number = np.bincount(found.layer, minlength=grid.n_layers)
    columns["n_domains"] = ranges.holds @ number
    return pd.DataFrame(columns)


def _with_interval(name: str, quantity: Estimate) -> dict[str, Floats]:
    return {name: quantity.value, f"{name}_lo": quantity.low, f"{name}_hi": quantity.high}


def _diameters(zones: Ranges, found: Domains, usable: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the distribution of diameters in each zone: all objects that no side of the scan cuts (P24)."""
    rows = []
    for holds in zones.holds & usable:
        chosen = holds[found.layer] & (found.weight > 0)
        diameter, weight = found.diameter_um[chosen], found.weight[chosen]
        known = len(diameter) > 0
        quantiles = np.quantile(diameter, [0, 0.1, 0.5, 0.9, 1]) if known else np.full(5, np.nan)
        volume = weight * diameter**3
        rows.append([*quantiles, (volume * diameter).sum() / volume.sum() if known else np.nan])
    names = [f"diameter_{name}_um" for name in ("min", "p10", "median", "p90", "max")]
    return pd.DataFrame(rows, columns=[*names, "volume_weighted_diameter_um"])


def _flag(
    table: pd.DataFrame, ranges: Ranges, grid: Grid, resin: Ints, near_um: float, far_um: float, of_model: str
) -> None:
    blocks = ((ranges.holds @ resin) > 0).sum(axis=1)
    top = np.where(np.isfinite(ranges.high_um), ranges.high_um, grid.borders_um[-1])
    reasons = {
        "few": table["n_domains"].to_numpy() < FEW,
        "far_end": np.tile((top > far_um) & (blocks > 0), len(LEVELS)),
        "near_end": np.tile((ranges.low_um < near_um) & (blocks > 0), len(LEVELS)),
        "few_blocks": np.tile(blocks < LEAST_BLOCKS, len(LEVELS)),
        of_model: np.full(len(table), bool(of_model)),
    }
    table["flag"] = [
        ";".join(name for name, applies in zip(reasons, row, strict=True) if applies)
        for row in zip(*reasons.values(), strict=True)
    ]


def _add_flag(table: pd.DataFrame, reason: str) -> None:
    table["flag"] = [f"{flag};{reason}" if flag else reason for flag in table["flag"]]


def _forget_band(table: pd.DataFrame) -> None:
    """Empty the rows of the boundary levels: of a given mask all levels are alike, which must not read as certainty."""
    band = table["level"].to_numpy() != "calibrated"
    table["n_domains"] = table["n_domains"].astype("Int64")  # which has missing values
    known = ("depth_lo_um", "depth_hi_um", "level", "resin_um3", "flag")
    for name in table.columns.difference(known):
        table[name] = table[name].mask(band)
    table["flag"] = table["flag"].mask(band, GIVEN)


def _bins(grid: Grid, bins_um: Floats, resin: Ints) -> Ranges:
    ranges = _ranges(grid, bins_um[:-1], bins_um[1:])
    exposure = (ranges.holds @ resin).sum(axis=1)
    kept = np.flatnonzero(exposure >= LEAST_EXPOSURE * exposure.max())
    ends = slice(kept[0], kept[-1] + 1)
    return Ranges(ranges.low_um[ends], ranges.high_um[ends], ranges.holds[ends])


def _zones(grid: Grid, zones: tuple[Zone, ...]) -> Ranges:
    low = np.array([zone.from_um for zone in zones], np.float64)
    high = np.array([np.inf if zone.to_um is None else zone.to_um for zone in zones])
    ranges = _ranges(grid, low, high)
    return Ranges(low, np.where(np.isfinite(high), high, np.nan), ranges.holds)


def _ranges(grid: Grid, low_um: Floats, high_um: Floats) -> Ranges:
    below, above = grid.borders_um[:-1], grid.borders_um[1:]
    holds = (below[None, :] >= low_um[:, None]) & (above[None, :] <= high_um[:, None])
    return Ranges(low_um, high_um, holds)


def _place(table: pd.DataFrame, grid: Grid) -> Domains:
    position = (table[f"centroid_{axis}_um"].to_numpy(np.float64) for axis in "zyx")
    layer, block = grid.place(*position)
    counts = layer >= 0
    diameter = table["equivalent_diameter_um"].to_numpy(np.float64)
    return Domains(layer[counts], block[counts], diameter[counts], table["edge_weight"].to_numpy(np.float64)[counts])


def _deepest_um(shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float], plane: Plane) -> float:
    return float(max(depths.max() for depths in plane.end_depths_um(shape, voxel_size_um)))


def _conditions(objects: dict[str, Path]) -> dict[str, ObjectsMetadata]:
    found = {level: read_objects_metadata(objects[level]) for level in LEVELS}
    scans = {level: (metadata.shape, metadata.voxel_size_um) for level, metadata in found.items()}
    if len(set(scans.values())) > 1:
        got = ", ".join(f"{level}: {scan}" for level, scan in scans.items())
        raise InputError(Fault(str(objects["low"]), got, "the boundary levels are of different scans", _REMEDY))
    return found


def _read_domains(path: Path) -> pd.DataFrame:
    try:
        return pq.read_table(path, columns=_DOMAIN_COLUMNS).to_pandas()
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise InputError(Fault(str(path), "", f"this is no table of domains: {error}", _REMEDY)) from None


def _write(path: Path, table: pd.DataFrame, facts: dict[str, Any]) -> None:
    units = {name: unit for name in table for ending, unit in _UNITS.items() if name.endswith(ending)}
    metadata = {"units": units, "tomoprofile_version": __version__, **facts}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    encoded = {key.encode(): json.dumps(value).encode() for key, value in metadata.items()}
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **encoded})
    with whole_file(path) as partial:
        pq.write_table(arrow, partial)
