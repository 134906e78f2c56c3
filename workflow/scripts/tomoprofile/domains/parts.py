"""A part of a scan: components of consecutive slices with their sums, and how two parts become one.

Joining is associative: however the parts of a scan are cut and joined, the same components come out with the same sums.
What lies wholly inside a part is final there; only what its first or last slice cuts can change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.spatial import ConvexHull, QhullError

from .axes import covariance, principal_axes
from .feret import feret_of_components, feret_of_points
from .forest import number_roots
from .outline import members_of, outline_points
from .pores import OUTSIDE, pores_of, unite_pores
from .runs import Int32, Int64, RowRuns, stack
from .sums import Sums, Values, add_geometry, add_values
from .touching import CAVITIES, TALLIES, components_of, diagonal_pairs, link_seam, tally_instances

MOST_POINTS = 1024  # of one component, before only the corners of its hull are kept


@dataclass(frozen=True)
class Filter:
    """Which objects are taken for noise.

    Attributes
    ----------
    min_voxels, min_slices : int
        Objects of fewer voxels, or in fewer slices.
    """

    min_voxels: int = 1
    min_slices: int = 1

    def keeps(self, sums: Sums, n_slices: int) -> NDArray[np.bool_]:
        """Return which components of a scan are no noise: bool array (components,).

        One that reaches the first or the last slice may go on beyond it.
        """
        start, stop = sums.box[:, 0], sums.box[:, 3]
        cut = (start == 0) | (stop == n_slices)
        return (sums.voxels >= self.min_voxels) & ((stop - start >= self.min_slices) | cut)


@dataclass(frozen=True)
class Grid:
    """What all parts of a scan have in common.

    Attributes
    ----------
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x).
    connectivity : int
        6: voxels touch by faces; 26: also by edges and corners.
    grey_dtype : dtype
        Type of the grey values.
    filter : Filter
        What is dropped in the end; the costly measures of objects that are too small are left out.
    reference : int or float
        What grey sums are relative to.
    """

    voxel_size_um: tuple[float, float, float]
    connectivity: int
    filter: Filter
    grey_dtype: DTypeLike
    reference: np.int64 | np.float64


@dataclass(frozen=True)
class Face:
    """The first or last slice of a part.

    Attributes
    ----------
    runs : RowRuns
    component : int64 array (runs,)
    pore : int64 array (runs,)
        Pore of the gap behind each run; 0 where there is none.
    """

    runs: RowRuns
    component: Int64
    pore: Int64


@dataclass(frozen=True)
class Part:
    """Components of consecutive slices, numbered from 0 by first voxel in raster order.

    Attributes
    ----------
    sums : Sums
        Of each component.
    top, bottom : Face
        First and last slice.
    pores : int64 array (pores + 1,)
        The component that owns each pore that a face cuts; -1 for number 0, the outside.
    points : int32 array (points, 3)
        z, y, x of voxels that hold the hulls of the components that are not whole yet.
    point_owner : int64 array (points,)
        Their components.
    contacts : int64 array (contacts, 4)
        Under 6: pairs of voxels between two components that may become one; both components, direction, number.
    labels : list of int array
        For each shard, the component that each of its first components has become.
    instances : uint32 array (components,) or None
        The label of each component where labels were given.
    """

    sums: Sums
    top: Face
    bottom: Face
    pores: Int64
    points: Int32
    point_owner: Int64
    contacts: Int64
    labels: list[NDArray[Any]]
    instances: NDArray[np.uint32] | None = None


def part_of(
    runs: RowRuns, grid: Grid, start: int, *, values: Values | None = None, label: NDArray[np.uint32] | None = None
) -> tuple[Part, Int32]:
    """Return the part that a stack of slices is.

    Parameters
    ----------
    runs : RowRuns
        Of its slices.
    grid : Grid
    start : int
        Its first slice.
    values : Values, optional
        Grey values and probabilities of the slices; without them only size and place are measured.
    label : uint32 array (runs,), optional
        Given labels: runs of equal label are one component, and nothing else is.

    Returns
    -------
    part : Part
    component : int32 array (runs,)
        The component of each run, as numbered in the part.
    """
    instances = None
    if label is None:
        component, tally = components_of(runs, grid.connectivity, counted=values is not None)
    else:
        instances, component = _by_first(label)
        tally = tally_instances(runs, grid.connectivity, component, len(instances))
    count = len(tally)
    sums = Sums.empty(count, grid.grey_dtype, values is not None)
    add_geometry(sums, runs, start, component)
    ends = [runs.slices(0, 1), runs.slices(runs.nz - 1, runs.nz)]
    is_open = np.full(count, instances is not None)
    for _, place in ends:
        is_open[component[place]] = True

    pore, pores = np.zeros(len(component), np.int32), np.full(1, -1, np.int64)
    points, point_owner, contacts = np.empty((0, 3), np.int32), np.empty(0, np.int64), np.empty((0, 4), np.int64)
    if values is not None:
        sums.tally = tally
        add_values(sums, runs, component, values, grid.reference)
        if grid.connectivity == 6:
            contacts = diagonal_pairs(runs, component, 0, sums.tally, is_open & (instances is None))
        pore, first_run = pores_of(runs, grid.connectivity, None if instances is None else component)
        pores = np.append(pores, component[first_run[1:]])
        members = members_of(runs, component, count)
        _, axes = principal_axes(covariance(sums, grid.voxel_size_um))
        whole = ~is_open & (sums.voxels >= grid.filter.min_voxels)
        sums.feret[:] = feret_of_components(members, whole, axes, np.array(grid.voxel_size_um))
        points, point_owner = outline_points(members, start, np.flatnonzero(is_open))
    faces = [Face(end, component[place].astype(np.int64), pore[place].astype(np.int64)) for end, place in ends]
    part = Part(sums, *faces, pores, points, point_owner, contacts, [np.arange(count)], instances)
    return _settle_pores(part), component


def join(upper: Part, lower: Part, grid: Grid) -> Part:
    """Return two parts as one, ``lower`` beginning where ``upper`` ends."""
    n_upper = len(upper.sums)
    both = stack(upper.bottom.runs, lower.top.runs)
    sums, number = _join_components(upper, lower, both, grid)
    instances = None
    if upper.instances is not None:
        instances = np.empty(len(sums), np.uint32)
        instances[number] = np.concatenate([upper.instances, lower.instances])
    faces = [
        replace(upper.top, component=number[upper.top.component]),
        replace(lower.bottom, component=number[lower.bottom.component + n_upper]),
    ]
    is_open = np.full(len(sums), instances is not None)
    for face in faces:
        is_open[face.component] = True

    contacts = np.concatenate([upper.contacts, lower.contacts + np.array([n_upper, n_upper, 0, 0])])
    contacts[:, :2] = number[contacts[:, :2]]
    component = number[np.concatenate([upper.bottom.component, lower.top.component + n_upper])]
    if sums.detailed and grid.connectivity == 6:
        across = diagonal_pairs(both, component, both.ny, sums.tally, is_open & (instances is None))
        contacts = settle_contacts(np.concatenate([contacts, across]), sums, is_open)

    top, bottom, pores = _join_pores(upper, lower, both, grid, None if instances is None else component)
    pores[1:] = number[pores[1:]]
    faces = [replace(face, pore=pore) for face, pore in zip(faces, (top, bottom), strict=True)]
    points = np.concatenate([upper.points, lower.points])
    point_owner = number[np.concatenate([upper.point_owner, lower.point_owner + n_upper])]
    labels = [number[label] for label in upper.labels] + [number[label + n_upper] for label in lower.labels]
    joined = Part(sums, *faces, pores, points, point_owner, contacts, labels, instances)
    return settle_points(_settle_pores(joined), is_open, grid)


def _join_components(upper: Part, lower: Part, both: RowRuns, grid: Grid) -> tuple[Sums, Int64]:
    """Return the sums of the components of two parts, and for each component of either part its number among them."""
    n_upper = len(upper.sums)
    sums = upper.sums.beside(lower.sums)
    parent = np.arange(len(sums))
    if upper.instances is not None:
        _, one, other = np.intersect1d(upper.instances, lower.instances, return_indices=True)
        parent[n_upper + other] = one
    component = parent[np.concatenate([upper.bottom.component, lower.top.component + n_upper])]
    tally = sums.tally if sums.detailed else np.zeros((len(sums), TALLIES), np.int64)
    link_seam(both, grid.connectivity, component, parent, tally, upper.instances is not None)
    count = number_roots(parent)
    return sums.gathered(parent) if count < len(sums) else sums, parent


def _join_pores(
    upper: Part, lower: Part, both: RowRuns, grid: Grid, component: Int64 | None
) -> tuple[Int64, Int64, Int64]:
    """Return the pores of the gaps of the top and of the bottom face, and the owner of each pore.

    ``component`` is that of each run of ``both`` where labels are given, else None. Owners are numbered over the
    components of both parts. Pores of the lower part follow those of the upper one; the outside is number 0 in both.
    """
    shift = len(upper.pores) - 1
    seam, bottom = (np.where(face.pore > 0, face.pore + shift, OUTSIDE) for face in (lower.top, lower.bottom))
    number = np.arange(shift + len(lower.pores))
    if upper.sums.detailed:
        unite_pores(both, grid.connectivity, component, np.concatenate([upper.bottom.pore, seam]), number)
    number_roots(number)
    roots = np.unique(number, return_index=True)[1]  # a root comes before all that depends on it
    owner = np.concatenate([upper.pores, lower.pores[1:] + len(upper.sums)])[roots]
    return number[upper.top.pore], number[bottom], owner


def finish(part: Part, grid: Grid) -> Part:
    """Return the part that is a whole scan: nothing will be joined to its faces any more."""
    return settle_points(part, np.zeros(len(part.sums), bool), grid)


def _by_first(label: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], Int32]:
    """Return the labels that occur in the order of their first run, and the place of each run's label among them."""
    labels, first, place = np.unique(label, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(labels), np.int32)
    rank[order] = np.arange(len(labels), dtype=np.int32)
    return labels[order], rank[place]


def settle_contacts(contacts: Int64, sums: Sums, is_open: NDArray[np.bool_]) -> Int64:
    """Count the pairs whose components have become one; drop those of components that can no longer do so."""
    one, other, direction, pairs = contacts.T
    same = one == other
    np.add.at(sums.tally, (one[same], direction[same]), pairs[same])
    return contacts[~same & is_open[one] & is_open[other]]


def _settle_pores(part: Part) -> Part:
    """Count the pores that no face cuts as cavities of their owners, and renumber the others."""
    kept = np.zeros(len(part.pores), bool)
    kept[OUTSIDE] = True
    for face in (part.top, part.bottom):
        kept[face.pore] = True
    if part.sums.detailed:
        np.add.at(part.sums.tally[:, CAVITIES], part.pores[~kept], 1)
    number = np.cumsum(kept) - 1
    top, bottom = (replace(face, pore=number[face.pore]) for face in (part.top, part.bottom))
    return replace(part, top=top, bottom=bottom, pores=part.pores[kept])


def settle_points(part: Part, is_open: NDArray[np.bool_], grid: Grid) -> Part:
    """Measure the Feret diameters of components that are now whole, and thin out the points of large ones."""
    if not len(part.points):
        return part
    order = np.argsort(part.point_owner, kind="stable")
    owner, points = part.point_owner[order], part.points[order]
    owners, first = np.unique(owner, return_index=True)
    ends = np.append(first[1:], len(owner))
    edges = np.array(grid.voxel_size_um)
    _, axes = principal_axes(covariance(part.sums.rows(owners), grid.voxel_size_um))
    kept_points, kept_owner = [np.empty((0, 3), np.int32)], [np.empty(0, np.int64)]
    for i, component in enumerate(owners):
        mine = points[first[i] : ends[i]]
        if len(mine) > MOST_POINTS:
            mine = hull_corners(mine)
        if is_open[component]:
            kept_points.append(mine)
            kept_owner.append(np.full(len(mine), component))
        else:
            part.sums.feret[component] = feret_of_points(mine, axes[i], edges)
    return replace(part, points=np.concatenate(kept_points), point_owner=np.concatenate(kept_owner))


def hull_corners(points: Int32) -> Int32:
    """Return the points that are corners of the convex hull; all of them where they lie in a plane."""
    try:
        return points[np.sort(ConvexHull(points).vertices)]
    except QhullError:
        return points
