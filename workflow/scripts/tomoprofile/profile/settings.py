"""What ``auto`` means for a scan: bins, blocks and zones that fit its voxels, its domains and its depth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..config_profile import AUTO, ProfileConfig, Zone
from ..errors import Fault, InputError
from ..tables import read_facts
from .masks import Floats, Space

WHOLE = "whole"  # the one zone of a scan without depth
ZONES = ("near", "middle", "far")
LEAST_VOXELS = 2.0  # in a bin: in thinner ones voxels lie by chance
MOST_BINS, LEAST_BINS = 100, 10  # between which the thickness of a bin follows the domains
BLOCK_DIAMETERS, LEAST_BLOCK_DIAMETERS = 10.0, 5.0  # a block is as long, and for want of room not shorter
WANTED_BLOCKS = 9  # from here on, intervals have their nominal coverage (docs/benchmarks/coverage.md)
_POINTS = 64  # per side of the lattice on which the deepest sample is sought


def settled(config: ProfileConfig, space: Space, domains: Mapping[str, pd.DataFrame]) -> ProfileConfig:
    """Return the settings with numbers in place of ``auto``, the same for all classes of a scan.

    A bin is as thick as the domains of the smallest class are across, a block ten times as long as those of the
    largest class. Zones are thirds of the depths that hold resin; without depth there is one, the whole sample.

    Parameters
    ----------
    config : ProfileConfig
    space : Space
    domains : dict of DataFrame
        Tables of domains at the calibrated level by class.
    """
    diameters = [diameter for table in domains.values() if math.isfinite(diameter := _mean_diameter_um(table))]
    deepest_um = _deepest_um(space, config.guard_um)
    bin_um, block_um, zones = config.bin_um, config.block_um, config.zones
    if bin_um == AUTO:
        bin_um = _bin_um(min(diameters, default=0.0), deepest_um - config.guard_um, space.thinnest_um)
    if block_um == AUTO:
        block_um = _block_um(max(diameters, default=0.0), space)
    if not space.plane.has_depth:
        zones = (Zone(name=WHOLE, from_um=0),)
    elif zones == AUTO:
        zones = _thirds(config.guard_um, deepest_um, bin_um)
    return config.model_copy(update={"bin_um": bin_um, "block_um": block_um, "zones": zones})


def facts_of(config: ProfileConfig, settings: ProfileConfig, has_depth: bool) -> dict[str, Any]:
    """Return what the tables say of their settings: the numbers, and which of them were found by ``auto``."""
    told = settings.model_dump(mode="json")
    if not has_depth:
        told |= {"bin_um": None, "guard_um": None}
    automatic = [name for name in ("bin_um", "block_um", "zones") if getattr(config, name) == AUTO]
    return {"settings": told, "automatic": automatic}


def read_settings(profile: Path) -> ProfileConfig:
    """Return the settings with which ``profile.parquet`` was made.

    Raises
    ------
    InputError
        When the file cannot be read or does not say.
    """
    told = read_facts(profile).get("settings")
    try:
        return ProfileConfig.model_validate({name: value for name, value in told.items() if value is not None})
    except (AttributeError, ValueError):
        problem = "it does not say with which bins and zones it was made"
        raise InputError(Fault(str(profile), "", problem, "Remove it and run the workflow again.")) from None


def _mean_diameter_um(domains: pd.DataFrame) -> float:
    """Return the mean diameter of the domains that no lateral side of the scan cuts; NaN without any."""
    return float(domains.loc[domains["edge_weight"] > 0, "equivalent_diameter_um"].mean())


def _deepest_um(space: Space, guard_um: float) -> float:
    """Return the largest depth at which there is resin, to the spacing of a lattice; the guard when there is none."""
    if not space.plane.has_depth:
        return guard_um
    index = np.meshgrid(*(_spread(n) for n in space.shape), indexing="ij", sparse=True)
    depth = space.plane.depth_um(*((at + 0.5) * edge for at, edge in zip(index, space.voxel_size_um, strict=True)))
    z, y, x = np.broadcast_arrays(*index)
    counts = ~space.resin.is_air(z, y, x) & (x >= space.view.x_start[y]) & (x < space.view.x_stop[y])
    return float(np.max(depth, initial=guard_um, where=counts))


def _spread(n: int) -> Any:
    return np.unique(np.linspace(0, n - 1, min(n, _POINTS)).astype(np.int64))


def _bin_um(diameter_um: float, depth_um: float, voxel_um: float) -> float:
    fitting = min(max(diameter_um, depth_um / MOST_BINS), depth_um / LEAST_BINS) if diameter_um else depth_um / 20
    return _round_up(max(fitting, LEAST_VOXELS * voxel_um))


def largest_block_um(space: Space) -> float:
    """Return the largest side of blocks of which nine fit into a scan."""
    return _block_um(0.0, space)


def _block_um(diameter_um: float, space: Space) -> float:
    """Return the side of a block: ten diameters, or less where fewer than nine such blocks fit."""
    sides = np.array([n * edge for axis, (n, edge) in enumerate(zip(space.shape, space.voxel_size_um, strict=True))
                      if axis != space.plane.axis])  # fmt: skip
    wanted = float(f"{BLOCK_DIAMETERS * diameter_um:.3g}") if diameter_um else float(sides.max())
    if _blocks(sides, wanted) >= WANTED_BLOCKS:
        return wanted
    least = max(LEAST_BLOCK_DIAMETERS * diameter_um, min(space.voxel_size_um))
    fitting = [side / pieces for side in sides for pieces in range(1, WANTED_BLOCKS + 1)]
    enough = [side for side in fitting if side >= least and _blocks(sides, side) >= WANTED_BLOCKS]
    return float(max(enough, default=max(min(least, sides.max()), 1e-3)))


def _blocks(sides_um: Floats, block_um: float) -> int:
    return int(np.prod(np.maximum(1, np.floor(sides_um / block_um + 1e-9))))


def _thirds(guard_um: float, deepest_um: float, bin_um: float) -> tuple[Zone, ...]:
    """Return three zones of about equal thickness that consist of whole bins; one where there are too few bins."""
    thick = round((deepest_um - guard_um) / 3 / bin_um) * bin_um
    if thick <= 0:
        return (Zone(name="all", from_um=0),)
    first, second = (float(f"{guard_um + part * thick:.9g}") for part in (1, 2))
    near, middle, far = ZONES
    return (
        Zone(name=near, from_um=0, to_um=first),
        Zone(name=middle, from_um=first, to_um=second),
        Zone(name=far, from_um=second),
    )


def _round_up(length_um: float) -> float:
    """Return the next of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(length_um))
    return next(float(f"{step * power:.9g}") for step in (1, 2, 5, 10) if step * power >= length_um * (1 - 1e-9))
