"""The depths at which a profile bends: a continuous line of straight pieces, their number tested.

Neighbouring layers share objects, so their errors correlate, and criteria such as BIC find bends in a flat profile.
Here the lateral blocks show how errors vary with depth: resamples of blocks are profiles with the errors of this one,
and a bend counts only when they rarely need it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from .estimators import LEAST_BLOCKS, SURE_BLOCKS, Floats, Ints, Tallies, interval

MOST_BREAKS = 3
SIGNIFICANCE = 0.01  # of each test; docs/decisions.md: with 16 blocks a flat profile then bends in less than 5 %
_WORDS = {-1: "falling", 0: "flat", 1: "rising"}  # with the depth
_COARSE = 48  # places tried in all combinations; neighbours of the best ones follow
_ALIKE = 1e-10  # hinges with no layer between them are identical
_ROUNDING = 1e-12  # of the sum of squares
_LEAST_EXPOSURE = 0.01  # of the largest layer, as for bins


@dataclass(frozen=True)
class Bends:
    """The bends of one profile.

    Attributes
    ----------
    depth_um, low_um, high_um : array (breaks,)
        Where it bends, ascending, with 95 % intervals.
    slopes : array (breaks + 1,)
        Slopes of the pieces, per um.
    signs : array (breaks + 1,) of int
        Signs of the slopes; 0 where the 95 % interval of a slope includes 0.
    """

    depth_um: Floats
    low_um: Floats
    high_um: Floats
    slopes: Floats
    signs: Ints


def breakpoints_table(
    layers: Tallies, borders_um: Floats, separation_um: float, voxel_um3: float, draws: Floats, of_model: str
) -> pd.DataFrame:
    """Return breakpoints of volume fraction, mean diameter and number density; a row without depth for none.

    Parameters
    ----------
    layers : Tallies
        By layer and block.
    borders_um : array (layers + 1,)
        Borders of the layers.
    separation_um : float
        Least length of a piece.
    voxel_um3 : float
        Volume of a voxel.
    draws : array (resamples, blocks)
        Draws of the bootstrap.
    of_model : str
        Flag that applies to the whole scan; empty when there is none.
    """
    rows = []
    n_blocks = int((layers.resin.sum(axis=0) > 0).sum())
    for quantity, (top, bottom, factor) in layers.quantities(voxel_um3).items():
        reasons = [of_model] if of_model else []
        if n_blocks < SURE_BLOCKS:
            reasons.append("few_blocks")
        found = None
        if n_blocks >= LEAST_BLOCKS:
            found = find_bends(top * factor, bottom, borders_um, separation_um, draws)
            if found is None:
                reasons.append("too_short")
        row = {"quantity": quantity, "flag": ";".join(reasons)}
        if found is None or not len(found.depth_um):
            empty = ("depth_um", "depth_um_lo", "depth_um_hi", "slope_before", "slope_after")
            rows.append(row | dict.fromkeys(empty, np.nan) | {"change": "unknown" if found is None else "none"})
            continue
        words = [_WORDS[sign] for sign in found.signs]
        for bend, depth in enumerate(found.depth_um):
            place = {"depth_um": depth, "depth_um_lo": found.low_um[bend], "depth_um_hi": found.high_um[bend]}
            slopes = {"slope_before": found.slopes[bend], "slope_after": found.slopes[bend + 1]}
            rows.append(row | place | slopes | {"change": f"{words[bend]} to {words[bend + 1]}"})
    order = ["quantity", "depth_um", "depth_um_lo", "depth_um_hi", "change", "slope_before", "slope_after", "flag"]
    return pd.DataFrame(rows)[order]


def find_bends(top: Floats, bottom: Floats, borders_um: Floats, separation_um: float, draws: Floats) -> Bends | None:
    """Fit a continuous line of up to four straight pieces to the ratio ``top / bottom`` in layers.

    Least squares, weighted by ``bottom``; bends lie at borders of layers. The number of bends is the smallest with
    which three do not fit significantly better: the ratio of what three add to what they leave is compared with that of
    resamples, the fit plus the errors of resampled blocks.

    Parameters
    ----------
    top, bottom : array (layers, blocks)
        Terms of the sums.
    borders_um : array (layers + 1,)
    separation_um : float
        Least distance between bends, and from the ends.
    draws : array (resamples, blocks)

    Returns
    -------
    Bends or None
        None when the profile is too short for a single bend.
    """
    exposure = bottom.sum(axis=1)
    kept = exposure > _LEAST_EXPOSURE * exposure.max(initial=0.0)
    if kept.sum() < MOST_BREAKS + 3:
        return None
    depth = ((borders_um[:-1] + borders_um[1:]) / 2)[kept]
    first, last = borders_um[:-1][kept][0], borders_um[1:][kept][-1]
    places = borders_um[(borders_um >= first + separation_um) & (borders_um <= last - separation_um)]
    if not len(places):
        return None
    top, bottom, exposure = top[kept], bottom[kept], exposure[kept]
    ratio = top.sum(axis=1) / exposure
    # Resampled ratios to first order, which also exist where a resample lacks a layer's objects. Blocks vary less
    # about their own mean than about the truth, by 1 - 1/n.
    n_blocks = (bottom.sum(axis=0) > 0).sum()
    errors = draws @ (top - ratio[:, None] * bottom).T / exposure * np.sqrt(n_blocks / max(n_blocks - 1, 1))
    search = _Search.of(depth, exposure, places, separation_um)
    value, chosen = search.best(ratio[None, :])
    breaks = 0
    while breaks < search.most:
        fitted, _ = search.fit(ratio[None, :], chosen[:, breaks, :breaks])
        null, _ = search.best(fitted + errors)
        if (1 + (null[:, breaks] >= value[0, breaks]).sum()) / (1 + len(null)) > SIGNIFICANCE:
            break
        breaks += 1
    _, again = search.best(ratio + errors)
    _, resampled = search.fit(ratio + errors, again[:, breaks, :breaks])
    low, high = np.array([interval(slope, int(n_blocks)) for slope in resampled.T]).T
    ends = [interval(place, int(n_blocks)) for place in places[again[:, breaks, :breaks]].T]
    low_um, high_um = np.array(ends).reshape(-1, 2).T
    _, slopes = search.fit(ratio[None, :], chosen[:, breaks, :breaks])
    signs = (low > 0).astype(np.int64) - (high < 0)
    return Bends(places[chosen[0, breaks, :breaks]], low_um, high_um, slopes[0], signs)


@dataclass(frozen=True)
class _Search:
    """Sums of squares of hinge functions, from which any set of bends is fitted with a few products.

    Attributes
    ----------
    depth_um, root : array (layers,)
        Middles of layers, and square roots of weights.
    places_um : array (places,)
        Where bends may lie.
    line, hinges : array (layers, 2), (layers, places)
        Orthonormal basis of straight lines, and hinges with their projection on it removed; all times ``root``.
    products : array (places, places)
        Products of the hinges.
    separation_um : float
        Least distance from one bend to the next.
    """

    depth_um: Floats
    root: Floats
    places_um: Floats
    line: Floats
    hinges: Floats
    products: Floats
    separation_um: float

    @classmethod
    def of(cls, depth_um: Floats, exposure: Floats, places_um: Floats, separation_um: float) -> _Search:
        root = np.sqrt(exposure / exposure.mean())
        line, _ = np.linalg.qr(np.column_stack([root, root * (depth_um - depth_um.mean())]))
        hinges = root[:, None] * np.maximum(depth_um[:, None] - places_um, 0)
        hinges -= line @ (line.T @ hinges)
        return cls(depth_um, root, places_um, line, hinges, hinges.T @ hinges, separation_um)

    @property
    def most(self) -> int:
        """Return how many bends fit into the profile."""
        room = int((self.places_um[-1] - self.places_um[0]) / self.separation_um + 1e-9) + 1
        return min(MOST_BREAKS, room)

    def best(self, profiles: Floats) -> tuple[Floats, Ints]:
        """Return for each profile (profiles, layers) the best bends of every number.

        Returns
        -------
        improvement : array (profiles, bends + 1)
            Sum of squares that the largest number of bends fits beyond 0, 1, ... bends, over what they leave.
        chosen : array (profiles, bends + 1, bends) of int
            Their places.
        """
        weighted = profiles * self.root
        rounding = _ROUNDING * (weighted**2).sum(axis=1, keepdims=True)
        weighted -= weighted @ self.line @ self.line.T
        projected = weighted @ self.hinges
        step = max(1, -(-len(self.places_um) // _COARSE))
        gains = np.zeros((len(profiles), MOST_BREAKS + 1))
        chosen = np.zeros((len(profiles), MOST_BREAKS + 1, MOST_BREAKS), np.int64)
        _search(self.products, projected, self.places_um, self.separation_um * (1 - 1e-9), step, gains, chosen)
        left = (weighted**2).sum(axis=1, keepdims=True) - gains[:, -1:]
        beyond = gains[:, -1:] - gains
        # Below rounding there is nothing to fit, and nothing to divide by.
        return np.where(beyond > rounding, beyond, 0.0) / np.maximum(left, np.maximum(rounding, 1e-300)), chosen

    def fit(self, profiles: Floats, chosen: Ints) -> tuple[Floats, Floats]:
        """Return the fitted profiles (profiles, layers) for their bends, and the slopes of the pieces."""
        first, span = self.depth_um[0], self.depth_um[-1] - self.depth_um[0]  # lengths of about 1 keep all digits
        depth, places = (self.depth_um - first) / span, (self.places_um[chosen] - first) / span
        hinges = np.maximum(depth[None, :, None] - places[:, None, :], 0)
        ones = np.ones((len(chosen), len(depth), 1))
        design = np.concatenate([ones, ones * depth[:, None], hinges], axis=2)
        weighted = (design * self.root[:, None] ** 2).transpose(0, 2, 1)
        coefficients = np.linalg.pinv(weighted @ design, hermitian=True) @ (weighted @ profiles[:, :, None])
        return (design @ coefficients)[..., 0], np.cumsum(coefficients[:, 1:, 0], axis=1) / span


@njit(cache=True, nogil=True)
def _search(products, projected, places, apart, step, gains, chosen):  # type: ignore[no-untyped-def]
    n = places.size
    trial = np.zeros(3, np.int64)
    for p in range(projected.shape[0]):
        b = projected[p]
        # All combinations of some places; a set of fewer bends is the beginning of a larger one.
        for i in range(0, n, step):
            gii = products[i, i]
            if gii <= 0:
                continue
            one = b[i] * b[i] / gii
            if one > gains[p, 1]:
                gains[p, 1], chosen[p, 1, 0] = one, i
            for j in range(i + step, n, step):
                if places[j] - places[i] < apart:
                    continue
                rij = products[i, j] / gii
                gjj = products[j, j] - rij * products[i, j]
                if gjj <= _ALIKE * products[j, j]:
                    continue
                bj = b[j] - rij * b[i]
                two = one + bj * bj / gjj
                if two > gains[p, 2]:
                    gains[p, 2], chosen[p, 2, 0], chosen[p, 2, 1] = two, i, j
                for k in range(j + step, n, step):
                    if places[k] - places[j] < apart:
                        continue
                    rik = products[i, k] / gii
                    gjk = (products[j, k] - rij * products[i, k]) / gjj
                    gkk = products[k, k] - rik * products[i, k] - gjk * gjk * gjj
                    if gkk <= _ALIKE * products[k, k]:
                        continue
                    bk = b[k] - rik * b[i] - gjk * bj
                    three = two + bk * bk / gkk
                    if three > gains[p, 3]:
                        gains[p, 3] = three
                        chosen[p, 3, 0], chosen[p, 3, 1], chosen[p, 3, 2] = i, j, k
        # Then each bend in turn moves to the best place near it.
        for breaks in range(1, 4):
            if gains[p, breaks] == 0.0:
                gains[p, breaks] = gains[p, breaks - 1]  # no room for so many
                continue
            moved = True
            while moved:
                moved = False
                for bend in range(breaks):
                    trial[:breaks] = chosen[p, breaks, :breaks]
                    at = trial[bend]
                    for place in range(max(at - 2 * step, 0), min(at + 2 * step + 1, n)):
                        trial[bend] = place
                        if bend > 0 and places[place] - places[trial[bend - 1]] < apart:
                            continue
                        if bend < breaks - 1 and places[trial[bend + 1]] - places[place] < apart:
                            continue
                        gain = _gain(products, b, trial, breaks)
                        if gain > gains[p, breaks] * (1 + 1e-12):
                            gains[p, breaks] = gain
                            chosen[p, breaks, :breaks] = trial[:breaks]
                            moved = True


@njit(cache=True, nogil=True)
def _gain(products, b, trial, breaks):  # type: ignore[no-untyped-def]
    """Return the sum of squares that the hinges at these places fit: elimination, one place after another."""
    reduced = np.zeros((3, 4))
    for row in range(breaks):
        for column in range(breaks):
            reduced[row, column] = products[trial[row], trial[column]]
        reduced[row, 3] = b[trial[row]]
    gain = 0.0
    for row in range(breaks):
        if reduced[row, row] <= _ALIKE * products[trial[row], trial[row]]:
            return 0.0
        gain += reduced[row, 3] ** 2 / reduced[row, row]
        for below in range(row + 1, breaks):
            share = reduced[below, row] / reduced[row, row]
            for column in range(row, 4):
                reduced[below, column] -= share * reduced[row, column]
    return gain
