"""Objects across seams: components of all shards, united where they touch."""

from __future__ import annotations

import numpy as np

from .runs import Int64, RowRuns, flatten, reach_of, stack, unite_between_slices


class Components:
    """The components of one shard after the other, and which of them are one object.

    Memory is two integers a component, whatever the number of voxels. The smallest component of an object comes
    first in raster order, because shards are added in the order of z and number theirs in raster order.

    Parameters
    ----------
    ny : int
        Rows in a slice.
    connectivity : int
        6: voxels touch by faces; 26: also by edges and corners.
    """

    def __init__(self, ny: int, connectivity: int) -> None:
        self._ny = ny
        self._reach = reach_of(connectivity)
        self._parent: Int64 = np.zeros(0, np.int64)
        self._voxels: list[Int64] = []

    def add(self, voxels: Int64) -> int:
        """Append the components of the next shard, given their voxel counts; return the number of its first one."""
        first = len(self._parent)
        self._parent = np.concatenate([self._parent, np.arange(first, first + len(voxels))])
        self._voxels.append(voxels)
        return first

    def unite_seam(self, upper: RowRuns, upper_component: Int64, lower: RowRuns, lower_component: Int64) -> None:
        """Unite what touches across the seam between two shards.

        Parameters
        ----------
        upper, lower : RowRuns
            Runs of the last slice of a shard and of the first slice of the next one.
        upper_component, lower_component : int64 array (runs,)
            Component of each run, numbered over all shards.
        """
        component = np.concatenate([upper_component, lower_component])
        unite_between_slices(*stack(upper, lower), self._ny, self._reach, component, self._parent)

    def domains(self, min_voxels: int) -> tuple[Int64, int]:
        """Number the objects that are large enough.

        Parameters
        ----------
        min_voxels : int
            Smaller objects are dropped, now that all their parts are known.

        Returns
        -------
        domain_id : int64 array (components,)
            Domain of each component: 1..n by first voxel in raster order, 0 for dropped ones.
        n_domains : int
        """
        flatten(self._parent)
        voxels = np.zeros(len(self._parent), np.int64)
        np.add.at(voxels, self._parent, np.concatenate([*self._voxels, np.zeros(0, np.int64)]))
        large = (self._parent == np.arange(len(self._parent))) & (voxels >= min_voxels)
        number = np.where(large, np.cumsum(large), 0)
        return number[self._parent], int(large.sum())
