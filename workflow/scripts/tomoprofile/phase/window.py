"""Where a phase is looked at: the cell of every voxel, one for each layer of depth and block of the bootstrap.

What lies outside of the material (substrate, air, outside of the reconstruction) belongs neither to the phase nor to
the rest of the material.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..config_profile import ProfileConfig
from ..profile.masks import Floats, Grid, Space
from ..profile.ranges import EVERYWHERE_UM, Ranges, zone_ranges
from ..profile.settings import WHOLE, largest_block_um

Cells = NDArray[np.int32]
_EVERY = slice(None)


@dataclass(frozen=True)
class Window:
    """The material of a scan, divided into cells.

    Attributes
    ----------
    grid : Grid
        Its layers are the pieces between the ends of zones.
    names : tuple of str
        Of the rows of the tables: the whole scan, then its zones.
    ranges : Ranges
        Which layers belong to each of them.
    """

    grid: Grid
    names: tuple[str, ...]
    ranges: Ranges

    @classmethod
    def of(cls, space: Space, config: ProfileConfig) -> Window:
        """Divide a space by the zones of the profile, and by blocks of which at least nine fit where that is possible.

        A phase is connected over longer distances than domains are, so blocks may be larger than those of the profile,
        never smaller.
        """
        block_um = max(config.block_um, largest_block_um(space))
        if not space.plane.has_depth:
            grid = Grid.dividing(space, EVERYWHERE_UM, block_um)
            return cls(grid, (WHOLE,), zone_ranges(grid, config.zones))
        ends = [end for zone in config.zones for end in (zone.from_um, zone.to_um) if end is not None]
        beyond = max(space.deepest_um, *ends, config.guard_um) + 1
        grid = Grid.dividing(space, np.unique([0.0, config.guard_um, *ends, beyond]), block_um)
        counted = grid.borders_um[:-1] >= config.guard_um
        zones = zone_ranges(grid, config.zones)
        names = tuple(zone.name for zone in config.zones)
        low, high, holds = zones.low_um, zones.high_um, zones.holds & counted
        if WHOLE not in names and not (len(holds) == 1 and (holds[0] == counted).all()):
            names = (WHOLE, *names)
            low, high = np.append(config.guard_um, low), np.append(np.nan, high)
            holds = np.concatenate([counted[None], holds])
        return cls(grid, names, Ranges(low, high, holds))

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.grid.n_layers * self.grid.n_blocks

    def cells(self, z: int, y: slice = _EVERY, x: slice = _EVERY) -> Cells:
        """Return the cell of the voxels of a slice, array (y, x) of int32; -1 outside of the material."""
        grid = self.grid
        rows, columns = (np.arange(n)[part] for n, part in zip(grid.shape[1:], (y, x), strict=True))
        dz, dy, dx = grid.voxel_size_um
        bz, by, bx = grid.blocks
        cell = (bz[z] + by[rows][:, None] + bx[columns][None, :]).astype(np.int32)
        if grid.plane.has_depth:
            depth = grid.plane.depth_um((z + 0.5) * dz, (rows[:, None] + 0.5) * dy, (columns[None, :] + 0.5) * dx)
            layer = np.full(cell.shape, -1, np.int32)
            for border in grid.borders_um:
                layer += depth >= border
            layer[layer == grid.n_layers] = -1
            cell = np.where(layer >= 0, layer * grid.n_blocks + cell, -1).astype(np.int32)
        if grid.view.circle is not None:
            start, stop = (ends[rows][:, None] for ends in (grid.view.x_start, grid.view.x_stop))
            cell[(columns[None, :] < start) | (columns[None, :] >= stop)] = -1
        if grid.resin.air.any():
            cell[grid.resin.is_air(np.int64(z), rows[:, None], columns[None, :])] = -1
        return cell

    def by_block(self, tallies: NDArray[np.int64]) -> Floats:
        """Return what was counted in cells, array (..., cells), by row of the tables and block (..., rows, blocks)."""
        parts = tallies.reshape(*tallies.shape[:-1], self.grid.n_layers, self.grid.n_blocks)
        return self.ranges.holds.astype(np.float64) @ parts
