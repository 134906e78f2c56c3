"""Check whether a mask of a whole scan lies on it: mirrored, its axes exchanged, or of another scan.

A few of its slices are compared with grey values, as labels are (:mod:`~..labels.alignment`): where they should lie,
where they would lie if the mask were turned, and moved at random. A mask of another scan fits its place no better than
a place at random; a right one does even in noise that hides every domain from the eye.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels.alignment import LEAST_DOMAINS, Evidence, evidence_of, reconstructed, spread
from ..volume.circle import outside_of
from ..volume.readers import ScanReader

_SLICES = 6  # compared
_PLACES = 16  # at random
_MORE_SLICES = 24  # before anything is said
_LEAST_Z = 4.0  # standard deviations of places at random
_CERTAIN_Z, _LEAST_T, _LEAST_RATIO, _LEAST_GAIN = 6.0, 4.0, 2.0, 0.01  # to say how a mask is turned
_CLEAR = 0.15  # of the variance explained, beyond which axes need not be exchanged to see whether that is better
_SLAB = 16  # slices read at a time
_Planes = dict[int | str, NDArray[Any]]
_NAMES = "zyx"


class _Known:
    """A scan with NaN, which no comparison counts, outside of its reconstructed circle."""

    def __init__(self, reader: ScanReader) -> None:
        self._reader, self.shape, self.slice_axis = reader, reader.shape, reader.slice_axis
        middle = self.shape[0] // 2
        self._outside = outside_of(reader.read(middle, middle + 1)[0])

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return slices ``[start, stop)``."""
        return reconstructed(self._reader.read(start, stop), self._outside)


def mask_place(
    scan: ScanReader, masks: dict[int, NDArray[np.uint8]], measured: int, mask_of: Callable[[int], NDArray[np.uint8]]
) -> list[str]:
    """Return what is doubtful about the place of a mask.

    Parameters
    ----------
    scan : ScanReader
        The raw scan.
    masks : dict of int to uint8 array (y, x)
        Some slices of the mask.
    measured : int
        Their value inside.
    mask_of : callable
        Returns further slices.
    """
    reader = _Known(scan)
    some = {z: masks[z] for z in spread(masks, _SLICES)}
    last = reader.shape[0] - 1

    def near(z: int) -> _Planes:
        opposite = reader.read(last - z, last - z + 1)[0]
        return _here_and_moved(reader, z) | {
            f"mirrored along {axes}": turned for axes, turned in _mirrored(opposite, "z")
        }

    evidence = evidence_of(((mask, near, z) for z, mask in some.items()), measured)
    if evidence.domains < LEAST_DOMAINS:
        return []
    if best := _turned(evidence):
        return [_told(evidence, best)]
    own = evidence.explained[0]
    if own < _CLEAR and reader.slice_axis == 0 and (exchanged := _exchanged(reader, some)):
        turned = evidence_of(((mask, exchanged.__getitem__, z) for z, mask in some.items()), measured)
        if best := _turned(turned):
            return [_told(turned, best)]
    if _fits(evidence):
        return []
    # In strong noise more slices show what a few cannot.
    more = spread(range(reader.shape[0]), _MORE_SLICES)
    evidence = evidence_of(((mask_of(z), lambda z: _here_and_moved(reader, z), z) for z in more), measured)
    if _fits(evidence):
        return []
    by_chance = float(np.mean(_at_random(evidence)))
    return [
        f"the mask explains {100 * max(0.0, evidence.explained[0]):.1f} % of the grey variance near its boundaries, "
        f"and moved at random {100 * max(0.0, by_chance):.1f} %: is it of another scan, or mirrored, or are its axes "
        "in another order?"
    ]


def _fits(evidence: Evidence) -> bool:
    """Return whether masks fit their place better than places at random."""
    return evidence.explained[0] > _limit(evidence, _LEAST_Z)


def _limit(evidence: Evidence, deviations: float) -> float:
    places = _at_random(evidence)
    return float(np.mean(places) + deviations * np.std(places))


def _at_random(evidence: Evidence) -> list[float]:
    return [explained for key, explained in evidence.explained.items() if isinstance(key, int) and key]


def _here_and_moved(reader: _Known, z: int) -> _Planes:
    plane = reader.read(z, z + 1)[0]
    return {0: plane, **_moved(plane)}


def _told(evidence: Evidence, best: int | str) -> str:
    return (
        f"the mask fits the scan better when taken as {best}: in which order were its axes exported? (it explains "
        f"{100 * evidence.explained[best]:.0f} % of the grey variance near boundaries instead of "
        f"{100 * evidence.explained[0]:.0f} %, {evidence.domains} domains)"
    )


def _turned(evidence: Evidence) -> str:
    """Return how a mask must be turned to fit by far better than it does, and than at random places; else nothing."""
    turned = {key: explained for key, explained in evidence.explained.items() if isinstance(key, str)}
    best = max(turned, key=lambda key: turned[key], default="")
    if not best or evidence.domains < LEAST_DOMAINS:
        return ""
    least = max(_limit(evidence, _CERTAIN_Z), _LEAST_RATIO * evidence.explained[0]) + _LEAST_GAIN
    return best if turned[best] > least and evidence.t[best] > _LEAST_T else ""


def _moved(plane: NDArray[Any]) -> dict[int | str, NDArray[Any]]:
    """Return a plane moved by a quarter to three quarters of its edges, always alike."""
    rows, columns = plane.shape
    shares = np.random.default_rng(0).uniform(0.25, 0.75, (_PLACES, 2))
    steps = (shares * (rows, columns)).astype(int).tolist()
    return {number: np.roll(plane, step, (0, 1)) for number, step in enumerate(steps, 1)}


def _mirrored(plane: NDArray[Any], already: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield a plane (y, x) mirrored in every way, with the names of all axes that are then mirrored."""
    for down, across in itertools.product((False, True), repeat=2):
        axes = [*already, *("y" * down), *("x" * across)]
        yield " and ".join(axes), plane[:: -1 if down else 1, :: -1 if across else 1]


def _exchanged(reader: _Known, masks: dict[int, NDArray[np.uint8]]) -> dict[int, _Planes]:
    """Return the planes of a scan that slices of its mask would show if axes were exchanged, mirrored or not.

    The scan is read once, as slices along its other axes go through all of it.
    """
    depth = reader.shape[0]
    orders = [
        order
        for order in itertools.permutations(range(3))
        if order != (0, 1, 2) and tuple(reader.shape[axis] for axis in order) == reader.shape
    ]
    wanted = sorted({place for z in masks for place in (z, depth - 1 - z)})
    cuts: dict[int, list[NDArray[Any]]] = {1: [], 2: []}
    for start in range(0, depth if orders else 0, _SLAB):
        slab = reader.read(start, min(depth, start + _SLAB))
        for axis in {order[0] for order in orders} - {0}:
            cuts[axis].append(slab.take(wanted, axis))
    whole = {axis: np.concatenate(parts) for axis, parts in cuts.items() if parts}
    found: dict[int, _Planes] = {}
    for z in masks if orders else ():
        planes = _here_and_moved(reader, z)
        for order, mirrored in itertools.product(orders, (False, True)):
            place = depth - 1 - z if mirrored else z
            cut = (
                reader.read(place, place + 1)[0]
                if order[0] == 0
                else whole[order[0]].take(wanted.index(place), order[0])
            )
            # The rest of the axes, in their order, becomes y, x.
            cut = cut if order[1] < order[2] else cut.T
            name = f"with its axes in the order {', '.join(_NAMES[axis] for axis in order)} of the scan"
            for axes, turned in _mirrored(cut, "z" if mirrored else ""):
                planes[f"{name}, mirrored along {axes}" if axes else name] = turned
        found[z] = planes
    return found
