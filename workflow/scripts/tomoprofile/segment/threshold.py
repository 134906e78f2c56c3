"""Global thresholds: simple baselines that do not recognise the interior of fringed domains."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from ..config import ThresholdConfig
from ..config_profile import OF_RESULTS
from ..errors import Fault, InputError, StageError
from ..files import not_what_is_expected, read_record, write_record
from ..logs import LOG, progress
from ..substrate.resin import Resin
from ..volume.plane import Plane
from ..volume.probability import CERTAIN
from ..volume.store import Store, open_store

_WHAT = "a threshold file"

BINS = 1 << 16
# Range of Otsu's method in robust standard deviations from the matrix, towards the domains and away from them.
TOWARDS, AWAY = 15, 3
REACH = 4.0  # the Gaussian is truncated at this many sigma


@dataclass(frozen=True)
class Threshold:
    """A threshold and its settings, as in ``threshold.json``.

    Attributes
    ----------
    value : float
        Grey value as stored.
    config : ThresholdConfig
    plane : Plane
        Voxels behind it are substrate, never domains.
    sample : Resin
        Voxels outside of it are no domains either.
    """

    value: float
    config: ThresholdConfig
    plane: Plane
    sample: Resin


def fit_threshold(volume: Path, interface: Path, config: ThresholdConfig, out: Path) -> None:
    """Find Otsu's threshold of the smoothed grey values of the resin, streaming twice over the scan.

    Counts and extremes are exact sums over voxels, so the threshold does not depend on the size of shards.

    Parameters
    ----------
    volume : Path
        Store of grey values.
    interface : Path
        ``interface.json``; only voxels beyond the plane are resin. Without a substrate, those of the sample.
    config : ThresholdConfig
    out : Path
        ``threshold.json``.

    Raises
    ------
    StageError
        When the resin has a single grey value, or there is no resin.
    """
    store, plane = open_store(volume), Plane.load(interface)
    where = plane, Resin.of_sample(interface, plane)
    low, high = math.inf, -math.inf
    for values in _resin_values(store, where, config.smooth_voxels):
        low = min(low, float(values.min(initial=math.inf)))
        high = max(high, float(values.max(initial=-math.inf)))
    if not low < high:
        problem = "there is no resin with different grey values beyond the interface"
        raise StageError(Fault(str(volume), "", problem, "Correct the column `interface` of the sample sheet."))
    counts = np.zeros(BINS, np.int64)
    for values in _resin_values(store, where, config.smooth_voxels):
        counts += np.histogram(values, BINS, (low, high))[0]
    centres = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
    # Without a substrate there are no fringes of one. In a scan with little noise the range for them is narrower than
    # the contrast of the domains, and the threshold would lie on the edge of the matrix.
    bare = plane.has_recorded_sample
    value = float(threshold_otsu(hist=(counts, centres))) if bare else otsu(counts, centres, config.domains_are)
    record = {"threshold": value, "decision_level": 0.5}
    record |= config.model_dump(mode="json", exclude=OF_RESULTS)
    record |= {"interface": os.path.relpath(interface, out.parent)}
    write_record(out, record)
    LOG.info("Otsu's threshold: %.6g", value * store.grey.slope + store.grey.offset)


def otsu(counts: NDArray[np.int64], centres: NDArray[np.float64], domains_are: Literal["dark", "bright"]) -> float:
    """Return Otsu's threshold between the matrix, which is most of the histogram, and the domains.

    Grey values far from the matrix are clipped to the range above: otherwise the fringes of the substrate, a hundred
    times as strong as those of a domain, or the substrate itself would be the second class.

    Parameters
    ----------
    counts, centres : array
        Histogram of grey values.
    domains_are : {"dark", "bright"}
        Grey value of the domains relative to the matrix.
    """
    matrix = _weighted_median(counts, centres)
    distance = np.abs(centres - matrix)
    order = np.argsort(distance)
    spread = 1.4826 * _weighted_median(counts[order], distance[order])
    if spread == 0:  # noiseless, so without a scale for what is far
        spread = float(np.sqrt(np.average(distance**2, weights=counts)))
    below, above = (TOWARDS, AWAY) if domains_are == "dark" else (AWAY, TOWARDS)
    near = (centres >= matrix - below * spread) & (centres <= matrix + above * spread)
    first, last = np.flatnonzero(near)[[0, -1]]
    kept = counts[first : last + 1].copy()
    kept[0] += counts[:first].sum()
    kept[-1] += counts[last + 1 :].sum()
    return float(threshold_otsu(hist=(kept, centres[first : last + 1])))


def _weighted_median(counts: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    return float(values[np.searchsorted(np.cumsum(counts), counts.sum() / 2)])


def read_threshold(path: Path) -> Threshold:
    """Read ``threshold.json``."""
    record = read_record(path, _WHAT)
    try:
        keys = ThresholdConfig.model_fields.keys() - OF_RESULTS
        config = ThresholdConfig.model_validate({key: record[key] for key in keys})
        value, interface = float(record["threshold"]), path.parent / record["interface"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(not_what_is_expected(path, _WHAT, error)) from None
    plane = Plane.load(interface)
    return Threshold(value, config, plane, Resin.of_sample(interface, plane))


def predict_by_threshold(grey: Store, out: Store, segmenter: Path, start: int, stop: int) -> None:
    """Write 0 or 255 for slices ``[start, stop)``; a halo makes each shard independent of its borders."""
    threshold = read_threshold(segmenter)
    shards = grey.shards(start, stop)
    for first, end in progress(shards, len(shards), "shards segmented"):
        if threshold.config.method == "threshold_fill":
            mask = _filled(grey, threshold, first, end)
        else:
            mask = _mask(grey, threshold, first, end)
        out.write(first, mask.astype(np.uint8) * np.uint8(CERTAIN))


def _smooth(store: Store, sigma: float, first: int, end: int) -> NDArray[np.float32]:
    halo = math.ceil(REACH * sigma)
    values = store.read_padded(first - halo, end + halo).astype(np.float32)
    smooth = ndimage.gaussian_filter(values, sigma, truncate=REACH, mode="nearest") if sigma else values
    return smooth[halo : halo + end - first]


def _resin_values(store: Store, where: tuple[Plane, Resin], sigma: float) -> Iterator[NDArray[np.float32]]:
    """Yield the smoothed grey values of the resin, slice by slice."""
    shards = store.shards()
    for first, end in progress(shards, len(shards), "shards examined"):
        for z, smooth in enumerate(_smooth(store, sigma, first, end), start=first):
            yield smooth[_is_resin(store, where, z)]


def _is_resin(store: Store, where: tuple[Plane, Resin], z: int) -> NDArray[np.bool_]:
    plane, sample = where
    beyond = plane.resin(z, store.shape, store.voxel_size_um)
    return beyond if plane.has_depth else beyond & sample.in_slice(z, store.shape, store.voxel_size_um)


def _mask(store: Store, threshold: Threshold, first: int, end: int) -> NDArray[np.bool_]:
    mask = np.empty((end - first, *store.shape[1:]), bool)
    # In parts, because grey values and depths take many times the memory of a mask, and a halo may be long.
    for low in range(first, end, store.shard_slices):
        high = min(low + store.shard_slices, end)
        smooth = _smooth(store, threshold.config.smooth_voxels, low, high)
        dark = threshold.config.domains_are == "dark"
        part = smooth < threshold.value if dark else smooth > threshold.value
        for z in range(low, high):
            mask[z - first] = part[z - low] & _is_resin(store, (threshold.plane, threshold.sample), z)
    return mask


def _filled(store: Store, threshold: Threshold, first: int, end: int) -> NDArray[np.bool_]:
    """Fill holes: enclosed background, connected by faces, no longer than ``max_hole_um`` along z.

    A hole that reaches into the shard then lies within as many slices around it, so the block examined contains
    it completely, whatever the borders of shards; background that reaches its ends is longer and stays open.
    """
    reach = math.floor(threshold.config.max_hole_um / store.voxel_size_um[0] + 1e-6)
    low, high = max(first - reach - 1, 0), min(end + reach + 1, store.shape[0])
    mask = _mask(store, threshold, low, high)
    background, _ = ndimage.label(~mask)
    boxes = ndimage.find_objects(background)
    fill = np.zeros(len(boxes) + 1, bool)
    _, rows, columns = mask.shape
    for index, box in enumerate(boxes, start=1):
        z, y, x = box
        inside = (
            z.start > 0 and z.stop < high - low and y.start > 0 and y.stop < rows and x.start > 0 and x.stop < columns
        )
        fill[index] = inside and z.stop - z.start <= reach
    return (mask | fill[background])[first - low : end - low]
