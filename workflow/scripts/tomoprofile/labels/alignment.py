"""Check whether labels fit the slices they claim to show, from grey values alone, so before any training.

In refraction contrast the interior of a domain looks like the matrix. But grey values depend on the distance from a
true boundary, rims and all: bands of signed distance explain 0.6-0.75 of their variance for the right slice of the
simulated scans A and B (inside and outside alone: 0.5-0.56), and a fifth to a third less one slice away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..volume.circle import outside_of
from .classes import DOMAIN, IGNORE

REACH = 3  # slices on either side
SLICES = 12  # most labelled slices used, spread evenly
_BAND = 6  # voxels on either side of a boundary
_VOXELS = 200_000  # a slice with more voxels near boundaries is subsampled regularly, to save memory
LEAST_DOMAINS = 8
_LEAST_EXPLAINED = 0.15
_LEAST_GAIN = 0.05
_LEAST_T = 3.0

Flip = Callable[[NDArray[Any]], NDArray[Any]]
_FLIPS: dict[str, Flip] = {
    "mirrored left to right": lambda image: image[:, ::-1],
    "mirrored top to bottom": lambda image: image[::-1],
    "rotated by 180 degrees": lambda image: image[::-1, ::-1],
}
_SQUARE_FLIPS: dict[str, Flip] = {
    "transposed (x and y exchanged)": lambda image: image.T,
    "rotated by 90 degrees to the left": lambda image: np.rot90(image, 1),
    "rotated by 90 degrees to the right": lambda image: np.rot90(image, -1),
    "transposed along the other diagonal": lambda image: image[::-1, ::-1].T,
}


@dataclass(frozen=True)
class Evidence:
    """What grey values say about the position of labels.

    Attributes
    ----------
    explained : dict
        Share of the grey variance near boundaries that the signed distance explains, 0 to 1; by offset in slices, and
        by name for mirrored and rotated labels.
    t : dict
        Mean gain per domain over the labels as they are, in standard errors over domains, by the same keys.
    domains : int
        Number of domains used.
    """

    explained: dict[int | str, float]
    t: dict[int | str, float]
    domains: int


def spread(slices: Iterable[int], most: int = SLICES) -> list[int]:
    """Return at most ``most`` of the slices, spread evenly."""
    order = sorted(slices)
    places = np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int))
    return [order[place] for place in places]


def slice_offset(
    read: Callable[[int, int], NDArray[Any]],
    depth: int,
    masks: dict[int, NDArray[np.uint8]],
    measured: int = DOMAIN,
    most: int = SLICES,
) -> tuple[int | str, Evidence]:
    """Return where labels fit best: how many slices further along z, or how they are mirrored or rotated; 0 is correct.

    For each candidate the grey values within 6 voxels of the labelled boundaries are explained by their mean in bands
    of signed distance, one profile for all labelled slices. A candidate is preferred to the labels as they are only
    when it explains most, at least 0.15 of the variance and 0.05 more, and when the gain of a domain is at least 3
    standard errors above 0. With fewer than 8 domains there is too little evidence, and the answer is 0. Domains that
    touch ignored voxels have no known boundary and do not count; so scribbles give no evidence. What lies outside the
    reconstructed circle is left out.

    Parameters
    ----------
    read : callable
        Returns the slices [start, stop) as an array (z, y, x).
    depth : int
        Slices of the scan.
    masks : dict
        Class indices by slice index.
    measured : int
        Index of the class whose boundaries are used.
    most : int
        Most labelled slices to use, spread evenly.

    Returns
    -------
    offset : int or str
        Slice ``z + offset`` is what the label of slice z shows; or the name of the symmetry.
    Evidence
    """
    outside = outside_of(read(depth // 2, depth // 2 + 1)[0])

    def planes(z: int) -> dict[int | str, NDArray[Any]]:
        start = max(0, z - REACH)
        stack = reconstructed(read(start, min(depth, z + REACH + 1)), outside)
        found: dict[int | str, NDArray[Any]] = {start + place - z: plane for place, plane in enumerate(stack)}
        flips = _FLIPS | (_SQUARE_FLIPS if stack.shape[1] == stack.shape[2] else {})
        return found | {name: flip(stack[z - start]) for name, flip in flips.items()}

    evidence = evidence_of(((masks[z], planes, z) for z in spread(masks, most)), measured)
    return best_of(evidence), evidence


def reconstructed(slices: NDArray[Any], outside: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Return slices (..., y, x) with NaN, which no comparison counts, in place of what is outside the reconstruction.

    A constant there has more contrast to the sample than any boundary, and is the same in every slice.
    """
    return slices if outside is None else np.where(outside, np.float32(np.nan), slices)


def evidence_of(
    compared: Iterable[tuple[NDArray[np.uint8], Callable[[int], dict[int | str, NDArray[Any]]], int]], measured: int
) -> Evidence:
    """Return what grey values say of masks of slices.

    Parameters
    ----------
    compared : iterable of (array, callable, int)
        A mask (y, x) of class indices; what returns the planes (y, x) of grey values that it may show, by name, 0 for
        that which it should show; and the slice to call that with.
    measured : int
        Index of the class whose boundaries are used.
    """
    samples: dict[int | str, list[_Sample]] = {}
    domains = 0
    for mask, planes, z in compared:
        near = _near_boundaries(mask, measured, domains)
        if near is None:
            continue
        domains = near.domains
        for key, plane in planes(z).items():
            samples.setdefault(key, []).append(near.sample(plane))
    if not domains:
        return Evidence({}, {}, 0)
    left = {key: _unexplained(parts, domains) for key, parts in samples.items()}
    explained = {key: float(1 - rest.sum() / max(total.sum(), 1e-30)) for key, (rest, total) in left.items()}
    shares = {key: rest / np.where(total > 0, total, np.nan) for key, (rest, total) in left.items()}
    t = {key: _t(shares[0] - share) for key, share in shares.items() if key != 0}
    return Evidence(explained, t, int(np.isfinite(shares[0]).sum()))


def best_of(evidence: Evidence) -> int | str:
    """Return what the masks show by far the best; 0, what they should show, where that is not certain."""
    if evidence.domains < LEAST_DOMAINS:
        return 0
    best = max(evidence.explained, key=lambda key: evidence.explained[key])
    certain = (
        best != 0
        and evidence.explained[best] >= max(_LEAST_EXPLAINED, evidence.explained[0] + _LEAST_GAIN)
        and evidence.t[best] >= _LEAST_T
    )
    return best if certain else 0


@dataclass(frozen=True)
class _Sample:
    """Grey values near boundaries, the band of each and its domain."""

    grey: NDArray[np.float64]
    band: NDArray[np.intp]
    domain: NDArray[np.intp]


@dataclass(frozen=True)
class _Near:
    """Voxels near the boundaries of a slice; ``domains`` includes those of earlier slices."""

    at: tuple[NDArray[np.intp], ...]
    band: NDArray[np.intp]
    domain: NDArray[np.intp]
    domains: int

    def sample(self, plane: NDArray[Any]) -> _Sample:
        grey = plane[self.at].astype(float)
        known = np.isfinite(grey)
        if not known.any():
            return _Sample(grey[known], self.band[known], self.domain[known])
        # The fringes of a substrate are a hundred times as strong as those of a domain.
        limits = np.percentile(grey[known], (2, 98))
        return _Sample(np.clip(grey[known], *limits), self.band[known], self.domain[known])


def _near_boundaries(mask: NDArray[np.uint8], measured: int, before: int) -> _Near | None:
    inside = mask == measured
    number, count = ndimage.label(inside, np.ones((3, 3)))
    ignored = mask == IGNORE
    unknown = np.unique(number[ndimage.binary_dilation(ignored, np.ones((3, 3)))])
    if not set(range(1, count + 1)) - set(unknown.tolist()):
        return None
    outward, nearest = ndimage.distance_transform_edt(~inside, return_indices=True)
    distance = np.where(inside, 0.5 - ndimage.distance_transform_edt(inside), outward - 0.5)
    owner = number[tuple(nearest)]
    near = (np.abs(distance) < _BAND) & ~ignored & ~np.isin(owner, unknown[unknown > 0])
    y, x = np.nonzero(near)
    some = slice(None, None, 1 + len(y) // _VOXELS)
    at = y[some], x[some]
    return _Near(at, _bands(distance[at]), owner[at].astype(np.intp) - 1 + before, before + count)


def _bands(distance: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the band of each signed distance, one voxel wide; the first is the innermost."""
    return np.floor(distance).astype(np.intp) + _BAND


def _unexplained(samples: list[_Sample], domains: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the residual and the total sum of squares of each domain; the profile is that of all domains."""
    band = np.concatenate([part.band for part in samples])
    grey = np.concatenate([part.grey for part in samples])
    domain = np.concatenate([part.domain for part in samples])
    profile = np.bincount(band, grey, 2 * _BAND) / np.maximum(np.bincount(band, minlength=2 * _BAND), 1)
    mean = np.concatenate([np.full(part.grey.size, part.grey.mean() if part.grey.size else 0.0) for part in samples])
    rest = np.bincount(domain, (grey - profile[band]) ** 2, domains)
    return rest, np.bincount(domain, (grey - mean) ** 2, domains)


def _t(gains: NDArray[np.float64]) -> float:
    gains = gains[np.isfinite(gains)]
    if len(gains) < 2 or not gains.std():
        return 0.0
    return float(gains.mean() / (gains.std(ddof=1) / np.sqrt(len(gains))))
