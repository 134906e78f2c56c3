"""Labelled and found objects of one slice, and which belong together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Int64 = NDArray[np.int64]
_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class SliceObjects:
    """The objects of a slice; those that touch its border or unlabelled voxels are not whole.

    Attributes
    ----------
    labelled : int32 array (y, x)
        Number of the labelled object, 0 outside; object i is row i - 1 of the arrays.
    labelled_um, found_um : float64 arrays (objects,)
        Diameter of the circle of equal area.
    labelled_voxels, found_voxels : int64 arrays (objects,)
    labelled_found, found_labelled : int64 arrays (objects,)
        Voxels of each that are found, or labelled.
    labelled_whole, found_whole : bool arrays (objects,)
    found_judged : bool array (objects,)
        Whole, and less than half of it on cut labelled objects: only these can be false objects.
    overlap : int64 array (pairs, 3)
        Labelled object, found object (from 0) and the voxels they share.
    """

    labelled: NDArray[np.int32]
    labelled_um: NDArray[np.float64]
    found_um: NDArray[np.float64]
    labelled_voxels: Int64
    found_voxels: Int64
    labelled_found: Int64
    found_labelled: Int64
    labelled_whole: Mask
    found_whole: Mask
    found_judged: Mask
    overlap: Int64


def slice_objects(truth: Mask, found: Mask, known: Mask, edges: tuple[float, float]) -> SliceObjects:
    """Find the objects of a slice, connected by edges and corners.

    Parameters
    ----------
    truth, found, known : bool arrays (y, x)
        Labelled mask, found mask, and where the label is known; both masks lie within the latter.
    edges : tuple of float
        Voxel edges along (y, x) in micrometres.
    """
    cut = ndimage.binary_dilation(~known, _EIGHT)
    cut[[0, -1]] = cut[:, [0, -1]] = True
    mine, n_mine = ndimage.label(truth, _EIGHT)
    its, n_its = ndimage.label(found, _EIGHT)
    code, shared = np.unique(mine.astype(np.int64) * (n_its + 1) + its, return_counts=True)
    row, column = np.divmod(code, n_its + 1)
    mine_voxels, its_voxels = _sums(row, shared, n_mine), _sums(column, shared, n_its)
    meets = (row > 0) & (column > 0)
    row, column, shared = row[meets], column[meets], shared[meets]
    mine_whole, its_whole = _untouched(mine, cut, n_mine), _untouched(its, cut, n_its)
    on_cut = ~mine_whole[row - 1]
    return SliceObjects(
        mine,
        _diameter(mine_voxels, edges),
        _diameter(its_voxels, edges),
        mine_voxels,
        its_voxels,
        _sums(row, shared, n_mine),
        _sums(column, shared, n_its),
        mine_whole,
        its_whole,
        its_whole & (2 * _sums(column[on_cut], shared[on_cut], n_its) < its_voxels),
        np.stack([row - 1, column - 1, shared], axis=1),
    )


def matched_pairs(objects: SliceObjects, least_iou: float) -> tuple[Int64, Int64, NDArray[np.float64]]:
    """Return labelled objects, found objects and their IoU, each object at most once, the best pairs first."""
    mine, its, shared = objects.overlap.T
    iou = shared / (objects.labelled_voxels[mine] + objects.found_voxels[its] - shared)
    order = np.argsort(-iou, kind="stable")
    order = order[iou[order] >= least_iou]
    mine, its, iou = mine[order], its[order], iou[order]
    # From one half on, an object has one partner, except two of exactly one half each: the first counts.
    once = np.zeros(len(mine), bool)
    used: tuple[set[int], set[int]] = set(), set()
    for pair, (a, b) in enumerate(zip(mine.tolist(), its.tolist(), strict=True)):
        if a not in used[0] and b not in used[1]:
            once[pair] = True
            used[0].add(a)
            used[1].add(b)
    return mine[once], its[once], iou[once]


def _sums(number: Int64, count: Int64, n: int) -> Int64:
    """Add counts by number 1..n."""
    return np.bincount(number, count, n + 1)[1:].astype(np.int64)


def _untouched(objects: NDArray[Any], cut: Mask, n: int) -> Mask:
    return np.bincount(objects[cut], minlength=n + 1)[1:] == 0


def _diameter(voxels: Int64, edges: tuple[float, float]) -> NDArray[np.float64]:
    return np.sqrt(4 * voxels * edges[0] * edges[1] / math.pi)
