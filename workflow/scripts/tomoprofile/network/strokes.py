"""A few strokes of a person change the base's opinion as far as they contradict it, and no further.

Each class has a score in every voxel: that of the base, plus a weighted sum of its feature maps. The weights are those
that bring every stroke to the right side (a squared hinge loss, all classes counting alike) while the scores of the
slice as a whole change least. Where the strokes agree with the base, its mask stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from .feature_maps import FeatureMaps

Floats = NDArray[np.float64]
NOT_DRAWN = 255
_MARGIN = 1.0  # a stroke is on the right side when its score exceeds zero by that
_MOST_VOXELS = 20_000  # of the strokes, and of the slice, that are looked at
_TRUST, _DISTRUST = 0.3, 0.003  # weight of leaving the scores as they are, with the base's opinion and without one
_BY_CHANCE = 0.45  # about the share of strokes, each class counting alike, that a base gets wrong that sees nothing
# Strokes that correct a mask lie where the base is wrong, so many of them say little about the rest of the slice. Only
# where it is no better than chance and wrong about that much of a class it sees something else than what is meant.
_OPPOSITE = 0.75
_FLOOR = 0.1  # of the variance of each feature, so that what hardly varies in the slice may not change at will


@dataclass(frozen=True)
class Drawn:
    """The voxels of the strokes.

    Attributes
    ----------
    rows, columns : array (voxels,)
    classes : array (voxels,)
        Index of the class of each.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    classes: NDArray[np.intp]

    @classmethod
    def of(cls, strokes: NDArray[np.uint8]) -> Drawn:
        """Return the voxels of an image (y, x) of class indices and 255; evenly fewer of each class if too many."""
        places = []
        present = [index for index in np.unique(strokes) if index != NOT_DRAWN]
        for index in present:
            mine = np.flatnonzero(strokes == index)
            places.append(mine[:: -(-len(mine) * len(present) // _MOST_VOXELS)])
        rows, columns = np.unravel_index(np.concatenate(places), strokes.shape)
        return cls(rows, columns, strokes[rows, columns].astype(np.intp))


def best_reduction(seen: Iterable[FeatureMaps], drawn: Drawn, domain: int) -> FeatureMaps:
    """Return the maps of the slice as it is; where the base sees nothing in it, those that say most of the strokes.

    Parameters
    ----------
    seen : iterable of FeatureMaps
        The finest first; no more are taken than needed.
    drawn : Drawn
    domain : int
        Index of the class that the base takes for domains.
    """
    best, least = None, _BY_CHANCE
    side = np.where(drawn.classes == domain, 1.0, -1.0)
    for maps in seen:
        error = float(np.mean(_errors(side, maps.at(drawn.rows, drawn.columns)[:, -1])))
        if best is None and error < _BY_CHANCE:
            return maps
        if best is None or error < least:
            best, least = maps, min(error, least)
    assert best is not None
    return best


def is_opposite(maps: FeatureMaps, drawn: Drawn, domain: int) -> bool:
    """Return whether the base sees something else than what the strokes mean, or nothing."""
    side = np.where(drawn.classes == domain, 1.0, -1.0)
    errors = _errors(side, maps.at(drawn.rows, drawn.columns)[:, -1])
    return bool(np.mean(errors) >= _BY_CHANCE and max(errors) >= _OPPOSITE)


def segment(maps: FeatureMaps, drawn: Drawn, domain: int) -> NDArray[np.uint8]:
    """Return the class index of each voxel of a slice.

    Parameters
    ----------
    maps : FeatureMaps
    drawn : Drawn
        Of two classes at least.
    domain : int
        Index of the class that the base takes for domains; of all others, 0 is what it takes for background.
    """
    fit = _Fit(maps, drawn)
    opinion = {} if is_opposite(maps, drawn, domain) else {domain: 1.0, 0: -1.0}
    classes = np.unique(drawn.classes)
    others = [index for index in classes if index != classes[0]] if len(classes) == 2 else list(classes)
    best = np.full(maps.shape, classes[0], np.uint8)
    highest = np.full(maps.shape, 0.0 if len(classes) == 2 else -np.inf, np.float32)
    for index in others:
        weights, constant = fit.weights(int(index), opinion.get(int(index), 0.0))
        score = maps.weighted(weights[None])[0] + np.float32(constant)
        higher = score > highest
        best[higher] = index
        highest[higher] = score[higher]
    return best


class _Fit:
    """Finds the weights of the features for one class after the other."""

    def __init__(self, maps: FeatureMaps, drawn: Drawn) -> None:
        flat = maps.values.reshape(len(maps.values), -1)
        some = flat[:, :: -(-flat.shape[1] // _MOST_VOXELS)].T.astype(float)
        self.mean, self.spread = some.mean(0), some.std(0) + 1e-3
        slice_wide = self._standard(some)
        change = slice_wide.T @ slice_wide / len(slice_wide) + _FLOOR * np.eye(slice_wide.shape[1])
        # In these coordinates the square of the weights is the mean change of the scores in the slice.
        self.whitening = np.linalg.inv(np.linalg.cholesky(change)).T
        self.features = maps.at(drawn.rows, drawn.columns).astype(float)
        self.classes = drawn.classes

    def _standard(self, features: Floats) -> Floats:
        return np.c_[(features - self.mean) / self.spread, np.ones(len(features))]

    def weights(self, index: int, sign: float) -> tuple[Floats, float]:
        """Return the weights of the features and a constant.

        Parameters
        ----------
        index : int
            The class.
        sign : float
            What the logit of the base means for it: 1, -1, or 0 for nothing.
        """
        side = np.where(self.classes == index, 1.0, -1.0)
        before, trust = sign * self.features[:, -1], _TRUST if sign else _DISTRUST
        weight, seen = _alike(side), self._standard(self.features) @ self.whitening

        def loss(change: Floats) -> tuple[float, Floats]:
            short = np.maximum(0, _MARGIN - side * (before + seen @ change))
            slope = -2 * seen.T @ (weight * side * short) + 2 * trust * change
            return float((weight * short**2).sum() + trust * change @ change), slope

        found = self.whitening @ minimize(loss, np.zeros(seen.shape[1]), jac=True, method="L-BFGS-B").x
        scaled = found[:-1] / self.spread
        constant = float(found[-1] - scaled @ self.mean)
        scaled[-1] += sign
        return scaled, constant


def _alike(side: Floats) -> Floats:
    """Return weights of voxels with which both sides count alike, one in all."""
    return np.where(side > 0, 0.5 / max((side > 0).sum(), 1), 0.5 / max((side < 0).sum(), 1))


def _errors(side: Floats, score: NDArray[np.floating]) -> tuple[float, float]:
    """Return the shares of the voxels on either side that are on the wrong one; of none, none are."""
    wrong = side * score <= 0
    return tuple(float(wrong[mine].sum() / max(mine.sum(), 1)) for mine in (side > 0, side < 0))
