"""Scores of a segmentation on labelled slices that training never saw: voxels, boundaries, objects, sizes.

A single Dice over all voxels hides what matters here. A slice is full of small domains, and a large domain found as a
hollow rim hardly lowers it, although its size and the volume fraction near the substrate are then wrong. So the
scores are also given by size class of the labelled object, with the share of interior voxels that was found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..labels.classes import DOMAIN, IGNORE
from ..volume.probability import CERTAIN, threshold_of
from .intervals import Counts, area_interval, dice_interval
from .objects_2d import SliceObjects, matched_pairs, slice_objects

Mask = NDArray[np.bool_]

MATCH_IOU = 0.5
INTERIOR_UM, INTERIOR_VOXELS = 1.0, 2.0  # the interior begins at the larger of both depths
_MOST_CLASSES = 8
_DECILES = 10
_FOUR = ndimage.generate_binary_structure(2, 1)


def score_slices(
    probability: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.uint8]],
    level: float,
    voxel_size_um: tuple[float, float, float],
    classes_um: Sequence[float] | None = None,
    groups: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Compare found with labelled domains, slice by slice, in the plane.

    Voxels with the label 255 never count. Objects that touch such voxels or the border of their slice may be cut: they
    count for voxels and boundaries, but neither as objects nor in the table of sizes.

    Parameters
    ----------
    probability : sequence of uint8 arrays (y, x)
        255 = 1.
    labels : sequence of uint8 arrays (y, x)
        0 background, 1 domain, 255 unknown.
    level : float
        Voxels with this probability or more are found; above 0 and at most 1.
    voxel_size_um : tuple of float
        Edges along (z, y, x); only those in the plane matter.
    classes_um : sequence of float, optional
        Borders of the size classes, ascending from 0; the last class is open. Those of :func:`size_classes` by default.
    groups : sequence of int, optional
        Group of each slice: those of one group show partly the same. By default each is a group of its own.

    Returns
    -------
    dict
        Ready for JSON; a ratio of nothing to nothing is None.

        ``dice``, ``iou``, ``precision``, ``recall`` : of voxels, all slices together.
        ``area_ratio`` : found over labelled area.
        ``labelled_fraction`` : labelled share of the known voxels.
        ``interior_recall`` : found share of labelled voxels deeper than ``conditions.interior_um`` in their domain
        (distance of centres to the nearest voxel outside), cut domains included.
        ``dice_interval``, ``area_interval`` : 95 % intervals of ``dice`` and ``area_ratio``, see
        :func:`~tomoprofile.network.intervals.ratio_interval`; None with fewer than 4 tiles.
        ``largest_share`` : share of the labelled area that the largest object of each slice holds.
        ``boundary_um`` : mean and 95th percentile of the distances from each boundary voxel of one mask to the nearest
        of the other, in both directions. Borders of slices and of unknown voxels are not boundaries. Slices where
        only one mask has a boundary have no distance; ``n_one_sided`` counts them.
        ``objects`` : matches between whole labelled and found objects at IoU >= 0.5, one to one; objects are connected
        by edges and corners. Found objects that lie at least half on a cut one are not judged.
        ``sizes`` : a row per class of equivalent diameter (circle of equal area). ``recall``: share of labelled objects
        with at least half of their area found. ``size_bias``: median of found over labelled diameter - 1 of matched
        objects. ``interior_recall`` as above, of whole objects. ``n_false``: whole found objects of that size with
        less than half of their area labelled.
        ``reliability`` : deciles of probability with the share that was labelled, and the expected calibration error
        (mean of |share - probability|, weighted by voxels). Certain background is most of a slice and makes it
        small; ``expected_calibration_error_unsure`` leaves out the first and the last decile.

    Raises
    ------
    ValueError
        When there are not as many labels as slices, or shapes differ.

    Notes
    -----
    The intervals cover other slices of these scans. They do not cover other scans or another person's labels. A level
    chosen on the same slices makes the scores a little too optimistic; models of fewer labels and steps than the one
    they stand for make them too pessimistic, so a card lets the interval of the Dice reach at least to what the model
    itself has on the labels that trained it.
    """
    slices = _Compared.of(probability, labels, level, (float(voxel_size_um[1]), float(voxel_size_um[2])))
    borders = list(classes_um) if classes_um is not None else list(size_classes(labels, voxel_size_um))
    together = range(len(labels)) if groups is None else groups
    counts = Counts.of(slices.found, slices.truth, together, slices.largest_voxels)
    return {
        **_voxel_scores(slices),
        "dice_interval": dice_interval(counts),
        "area_interval": area_interval(counts),
        "largest_share": _largest_share(slices),
        "boundary_um": boundary_distance(slices.found, slices.truth, slices.known, slices.edges),
        "objects": _object_scores(slices.objects),
        "sizes": _size_table(slices, borders),
        "reliability": reliability(probability, labels),
        "conditions": {
            "level": float(level),
            "n_slices": len(labels),
            "n_voxels": _count(slices.known),
            "voxel_size_um": [float(edge) for edge in voxel_size_um],
            "interior_um": slices.depth_um,
            "match_iou": MATCH_IOU,
        },
    }


@dataclass(frozen=True)
class _Compared:
    """Labelled and found masks of the same slices.

    Attributes
    ----------
    known, truth, found : list of bool arrays (y, x)
        Where labels are known, and the labelled and found masks there.
    edges : tuple of float
        Voxel edges along (y, x) in micrometres.
    depth_um : float
        The interior of a domain is deeper than this.
    interior : list of bool arrays (y, x)
    objects : list of SliceObjects
    """

    known: list[Mask]
    truth: list[Mask]
    found: list[Mask]
    edges: tuple[float, float]
    depth_um: float
    interior: list[Mask]
    objects: list[SliceObjects]

    @classmethod
    def of(
        cls,
        probability: Sequence[NDArray[np.uint8]],
        labels: Sequence[NDArray[np.uint8]],
        level: float,
        edges: tuple[float, float],
    ) -> _Compared:
        if len(probability) != len(labels) or any(p.shape != t.shape for p, t in zip(probability, labels, strict=True)):
            raise ValueError("each slice needs a label of its own shape")
        stored, depth = threshold_of(level), max(INTERIOR_UM, INTERIOR_VOXELS * max(edges))
        known = [label != IGNORE for label in labels]
        truth = [label == DOMAIN for label in labels]
        found = [(p >= stored) & k for p, k in zip(probability, known, strict=True)]
        interior = [_interior(mask, edges, depth) for mask in truth]
        objects = [slice_objects(*masks, edges) for masks in zip(truth, found, known, strict=True)]
        return cls(known, truth, found, edges, depth, interior, objects)

    @property
    def largest_voxels(self) -> float:
        """Diameter of the largest labelled object, in voxels."""
        largest = max((float(objects.labelled_um.max(initial=0)) for objects in self.objects), default=0.0)
        return largest / min(self.edges)


def slice_scores(
    probability: Sequence[NDArray[np.uint8]], labels: Sequence[NDArray[np.uint8]], level: float
) -> list[dict[str, float | None]]:
    """Return ``dice`` and ``area_ratio`` of each slice; parameters as in :func:`score_slices`."""
    return [voxel_scores([part], [label], level) for part, label in zip(probability, labels, strict=True)]


def voxel_scores(
    probability: Sequence[NDArray[np.uint8]], labels: Sequence[NDArray[np.uint8]], level: float
) -> dict[str, float | None]:
    """Return ``dice`` and ``area_ratio`` of slices together; parameters as in :func:`score_slices`."""
    stored, both, found, labelled = threshold_of(level), 0, 0, 0
    for part, label in zip(probability, labels, strict=True):
        mask, truth = (part >= stored) & (label != IGNORE), label == DOMAIN
        both += int(np.count_nonzero(mask & truth))
        found += int(np.count_nonzero(mask))
        labelled += int(np.count_nonzero(truth))
    return {"dice": _ratio(2 * both, found + labelled), "area_ratio": _ratio(found, labelled)}


def _voxel_scores(slices: _Compared) -> dict[str, float | None]:
    """Return the scores that count voxels, all slices together."""
    both = _count_both(slices.truth, slices.found)
    labelled, found = _count(slices.truth), _count(slices.found)
    return {
        "dice": _ratio(2 * both, labelled + found),
        "iou": _ratio(both, labelled + found - both),
        "precision": _ratio(both, found),
        "recall": _ratio(both, labelled),
        "area_ratio": _ratio(found, labelled),
        "labelled_fraction": _ratio(labelled, _count(slices.known)),
        "interior_recall": _ratio(_count_both(slices.found, slices.interior), _count(slices.interior)),
    }


def size_classes(labels: Sequence[NDArray[np.uint8]], voxel_size_um: tuple[float, float, float]) -> tuple[float, ...]:
    """Return borders of size classes in micrometres: octaves ... 1, 2, 4, 8 ... between the sizes that occur.

    Parameters
    ----------
    labels : sequence of uint8 arrays (y, x)
        0 background, 1 domain, 255 not known.
    voxel_size_um : tuple of float
        Edges along (z, y, x).

    Returns
    -------
    tuple of float
        0, then the borders; the last class is open. No border lies below two voxels, and there are at most eight
        classes. Sizes are those of whole objects.
    """
    edges = (float(voxel_size_um[1]), float(voxel_size_um[2]))
    sizes = []
    for label in labels:
        truth = label == DOMAIN
        objects = slice_objects(truth, truth, label != IGNORE, edges)
        sizes.append(objects.labelled_um[objects.labelled_whole])
    diameter = np.concatenate([*sizes, np.zeros(0)])
    if not diameter.size:
        return (0.0,)
    least = max(float(diameter.min()), 2 * math.sqrt(edges[0] * edges[1]))
    first, last = math.ceil(math.log2(least)), math.floor(math.log2(float(diameter.max())))
    inner = [2.0**power for power in range(first, last + 1)]
    return (0.0, *inner[-(_MOST_CLASSES - 1) :])


def boundary_distance(
    found: Sequence[Mask], truth: Sequence[Mask], known: Sequence[Mask], edges: tuple[float, float]
) -> dict[str, Any]:
    """Return mean and 95th percentile of the symmetric distances between two boundaries, in micrometres.

    Parameters
    ----------
    found, truth, known : sequences of bool arrays (y, x)
        The two masks, and where the labels are known.
    edges : tuple of float
        Voxel edges along (y, x) in micrometres.

    Returns
    -------
    dict
        ``mean``, ``p95`` (None when no slice has both boundaries), ``n`` distances, ``n_one_sided`` slices.
    """
    distances, one_sided = [np.zeros(0)], 0
    for ours, theirs, sure in zip(found, truth, known, strict=True):
        a, b = _boundary(ours, sure), _boundary(theirs, sure)
        if a.any() and b.any():
            distances += [
                ndimage.distance_transform_edt(~b, sampling=edges)[a],
                ndimage.distance_transform_edt(~a, sampling=edges)[b],
            ]
        elif a.any() or b.any():
            one_sided += 1
    every = np.concatenate(distances)
    mean, p95 = (float(every.mean()), float(np.quantile(every, 0.95))) if every.size else (None, None)
    return {"mean": mean, "p95": p95, "n": int(every.size), "n_one_sided": one_sided}


def reliability(probability: Sequence[NDArray[np.uint8]], labels: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
    """Return how often voxels of each decile of probability were labelled, and the expected calibration error.

    Parameters
    ----------
    probability, labels : sequences of uint8 arrays (y, x)
        As in :func:`score_slices`.

    Returns
    -------
    dict
        ``deciles``: rows of ``from``, ``to``, ``n`` voxels, ``probability`` (mean) and ``labelled`` (share), the last
        two None in empty deciles; ``expected_calibration_error`` and ``expected_calibration_error_unsure``.
    """
    every, domain = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for chance, label in zip(probability, labels, strict=True):
        every += np.bincount(chance[label != IGNORE], minlength=256)
        domain += np.bincount(chance[label == DOMAIN], minlength=256)
    value = np.arange(256)
    decile = np.minimum(value * _DECILES // CERTAIN, _DECILES - 1)
    n = np.bincount(decile, every, _DECILES).astype(np.int64)
    labelled = np.bincount(decile, domain, _DECILES)
    total = np.bincount(decile, every * value, _DECILES) / CERTAIN
    gap = np.abs(labelled - total)  # n |share - mean|
    return {
        "deciles": [
            {
                "from": k / _DECILES,
                "to": (k + 1) / _DECILES,
                "n": int(n[k]),
                "probability": _ratio(total[k], n[k]),
                "labelled": _ratio(labelled[k], n[k]),
            }
            for k in range(_DECILES)
        ],
        "expected_calibration_error": _ratio(gap.sum(), n.sum()),
        "expected_calibration_error_unsure": _ratio(gap[1:-1].sum(), n[1:-1].sum()),
    }


def _object_scores(slices: list[SliceObjects]) -> dict[str, Any]:
    labelled = sum(int(objects.labelled_whole.sum()) for objects in slices)
    hits, false = 0, 0
    for objects in slices:
        mine, its, _ = matched_pairs(objects, MATCH_IOU)
        hits += int(objects.labelled_whole[mine].sum())
        free = objects.found_judged.copy()
        free[its] = False
        false += int(free.sum())
    return {
        "n_labelled": labelled,
        "n_matched": hits,
        "n_false": false,
        "recall": _ratio(hits, labelled),
        "precision": _ratio(hits, hits + false),
        "f1": _ratio(2 * hits, labelled + hits + false),
    }


def _size_table(slices: _Compared, borders: list[float]) -> list[dict[str, Any]]:
    # Columns: diameter, half of it found, interior voxels, those found.
    labelled, bias, false = [np.zeros((0, 4))], [np.zeros((0, 2))], [np.zeros(0)]
    for objects, deep, mask in zip(slices.objects, slices.interior, slices.found, strict=True):
        index = np.arange(1, len(objects.labelled_um) + 1)
        inside = ndimage.sum_labels(deep, objects.labelled, index)
        inside_found = ndimage.sum_labels(deep & mask, objects.labelled, index)
        half = 2 * objects.labelled_found >= objects.labelled_voxels
        rows = np.stack([objects.labelled_um, half, inside, inside_found], axis=1)
        labelled.append(rows[objects.labelled_whole])
        mine, its, _ = matched_pairs(objects, MATCH_IOU)
        whole = objects.labelled_whole[mine] & objects.found_whole[its]
        mine, its = mine[whole], its[whole]
        ratio = objects.found_um[its] / objects.labelled_um[mine] - 1
        bias.append(np.stack([objects.labelled_um[mine], ratio], axis=1))
        wrong = objects.found_whole & (2 * objects.found_labelled < objects.found_voxels)
        false.append(objects.found_um[wrong])
    every, shift, extra = np.concatenate(labelled), np.concatenate(bias), np.concatenate(false)
    table = []
    for low, high in zip(borders, [*borders[1:], math.inf], strict=True):
        mine = every[(every[:, 0] >= low) & (every[:, 0] < high)]
        moved = shift[(shift[:, 0] >= low) & (shift[:, 0] < high), 1]
        table.append(
            {
                "from_um": float(low),
                "to_um": float(high) if math.isfinite(high) else None,
                "n_labelled": len(mine),
                "recall": _ratio(mine[:, 1].sum(), len(mine)),
                "n_matched": len(moved),
                "size_bias": float(np.median(moved)) if len(moved) else None,
                "n_interior": int(mine[:, 2].sum()),
                "interior_recall": _ratio(mine[:, 3].sum(), mine[:, 2].sum()),
                "n_false": int(((extra >= low) & (extra < high)).sum()),
            }
        )
    return table


def _interior(truth: Mask, edges: tuple[float, float], depth: float) -> Mask:
    """Return the voxels deeper than ``depth`` in their domain; what lies beyond the slice does not count as outside."""
    if truth.all():  # there is no voxel outside to measure from
        return truth.copy()
    inside: Mask = ndimage.distance_transform_edt(truth, sampling=edges) > depth * (1 + 1e-9)
    return inside


def _boundary(mask: Mask, known: Mask) -> Mask:
    """Return the voxels of a mask that share an edge with a known voxel outside it."""
    edge: Mask = mask & known & ndimage.binary_dilation(known & ~mask, _FOUR)
    return edge


def _largest_share(slices: _Compared) -> float | None:
    """Return the share of the labelled area that the largest object of each slice holds, all slices together."""
    largest = sum(int(objects.labelled_voxels.max(initial=0)) for objects in slices.objects)
    return _ratio(largest, sum(int(objects.labelled_voxels.sum()) for objects in slices.objects))


def _count(masks: list[Mask]) -> int:
    return sum(int(np.count_nonzero(mask)) for mask in masks)


def _count_both(one: list[Mask], other: list[Mask]) -> int:
    return sum(int(np.count_nonzero(a & b)) for a, b in zip(one, other, strict=True))


def _ratio(top: float, bottom: float) -> float | None:
    return float(top) / float(bottom) if bottom else None
