"""How good a segmentation is: voxels, the depth profile, and objects by size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

MIN_VOXELS = 5  # as the workflow's default
SIZE_CLASSES_UM = {"below_3": (0, 3), "3_to_6": (3, 6), "6_to_10": (6, 10), "above_10": (10, math.inf)}
LARGE_UM = 10.0
INTERIOR_UM = 2.0
BIN_UM = 5.0
ENOUGH = 500  # voxels of resin that make a depth bin


@dataclass(frozen=True)
class Objects:
    """Components of a mask, joined by faces, edges and corners, of at least five voxels.

    Attributes
    ----------
    labels : int array, as the mask
        0 outside; smaller components too.
    voxels : int array (n,)
    centroids_um : array (n, dimensions)
    diameters_um : array (n,)
        Of the sphere, or in a single slice of the circle, of the same size.
    whole : bool array (n,)
        Touches no face of the block.
    """

    labels: NDArray[np.int32]
    voxels: NDArray[np.int64]
    centroids_um: NDArray[np.float64]
    diameters_um: NDArray[np.float64]
    whole: NDArray[np.bool_]


def find_objects(mask: NDArray[np.bool_], voxel_um: float) -> Objects:
    """Label a mask (z, y, x) or (y, x)."""
    labels, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
    size = np.bincount(labels.ravel())
    size[0] = 0
    number = np.cumsum(size >= MIN_VOXELS) * (size >= MIN_VOXELS)
    labels = number[labels].astype(np.int32)
    n = int(number.max(initial=0))
    voxels = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    index = np.nonzero(labels)
    of = labels[index]
    sums = [np.bincount(of, axis + 0.5, n + 1)[1:] for axis in index]
    centroids = np.stack(sums, 1) / voxels[:, None] * voxel_um
    whole = np.ones(n + 1, bool)
    for axis in range(mask.ndim):
        for end in (0, -1):
            whole[np.unique(labels.take(end, axis))] = False
    volume = voxels * voxel_um**mask.ndim
    diameters = np.cbrt(6 * volume / math.pi) if mask.ndim == 3 else np.sqrt(4 * volume / math.pi)
    return Objects(labels, voxels, centroids, diameters, whole[1:])


def recalled(truth: Objects, found: Objects) -> NDArray[np.bool_]:
    """Return which true objects were found: IoU of 0.5, or a found centroid within a quarter of the diameter."""
    n = len(found.voxels) + 1
    both = (truth.labels > 0) & (found.labels > 0)
    pairs, overlap = np.unique(truth.labels[both].astype(np.int64) * n + found.labels[both], return_counts=True)
    one, other = pairs // n - 1, pairs % n - 1
    match = np.zeros(len(truth.voxels), bool)
    iou = overlap / (truth.voxels[one] + found.voxels[other] - overlap)
    match[one[iou >= 0.5]] = True
    if len(found.voxels) and len(truth.voxels):
        distance, _ = cKDTree(found.centroids_um).query(truth.centroids_um)
        match |= distance <= truth.diameters_um / 4
    return match


def interior(truth: Objects, voxel_um: float) -> NDArray[np.bool_]:
    """Return the voxels of large domains deeper than 2 um inside; a cut by a face of the block is no surface."""
    inside = np.zeros(truth.labels.shape, bool)
    boxes = ndimage.find_objects(truth.labels)
    for index in np.flatnonzero(truth.diameters_um > LARGE_UM):
        box = tuple(
            slice(max(part.start - 1, 0), min(part.stop + 1, side))
            for part, side in zip(boxes[index], inside.shape, strict=True)
        )
        mine = truth.labels[box] == index + 1
        inside[box] |= ndimage.distance_transform_edt(mine) * voxel_um > INTERIOR_UM
    return inside


def score(
    found: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    resin: NDArray[np.bool_],
    depth_um: NDArray[np.float32],
    voxel_um: float,
) -> dict[str, Any]:
    """Return all scores of a block (slices, y, x); what cannot be told is None.

    Parameters
    ----------
    found, truth, resin : bool array (slices, y, x)
        Only the resin counts: the workflow measures nothing in the substrate.
    depth_um : array (slices, y, x)
    voxel_um : float
    """
    found = found & resin
    both, either = int((found & truth).sum()), int((found | truth).sum())
    total = int(found.sum() + truth.sum())
    scores: dict[str, Any] = {
        "dice": 2 * both / total if total else None,
        "iou": both / either if either else None,
        "vv_truth_percent": 100 * float(truth.sum() / resin.sum()),
        "vv_error_points": 100 * float((int(found.sum()) - int(truth.sum())) / resin.sum()),
        "profile_error_points": profile_error(found, truth, resin, depth_um),
    }
    if len(truth) == 1:  # a single slice: circles, not spheres
        found, truth = found[0], truth[0]
    real, seen = find_objects(truth, voxel_um), find_objects(found, voxel_um)
    n_real, n_seen = int(real.whole.sum()), int(seen.whole.sum())
    scores["objects_truth"] = n_real
    scores["count_error_percent"] = 100 * (n_seen / n_real - 1) if n_real else None
    means = [float(part.diameters_um[part.whole].mean()) if part.whole.any() else None for part in (seen, real)]
    scores["diameter_truth_um"] = means[1]
    scores["diameter_error_um"] = None if None in means else means[0] - means[1]
    match = recalled(real, seen)
    for name, (low, high) in SIZE_CLASSES_UM.items():
        mine = real.whole & (real.diameters_um >= low) & (real.diameters_um < high)
        scores[f"objects_{name}"] = int(mine.sum())
        scores[f"recall_{name}"] = float(match[mine].mean()) if mine.any() else None
    inside = interior(real, voxel_um)
    scores["interior_recall_large"] = float(found[inside].mean()) if inside.any() else None
    return scores


def profile_error(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], resin: NDArray[np.bool_], depth_um: NDArray[np.float32]
) -> float:
    """Return the mean over depth bins of 5 um of the absolute error of the volume ratio, in percentage points."""
    bins = (depth_um[resin] / BIN_UM).astype(np.intp)
    counts = np.bincount(bins)
    difference = np.bincount(bins, found[resin].astype(float)) - np.bincount(bins, truth[resin].astype(float))
    enough = counts >= min(ENOUGH, counts.max())
    return float(100 * np.abs(difference[enough] / counts[enough]).mean())
