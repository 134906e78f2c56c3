"""Domain shift: has the model ever seen a scan like this one? The alarm that asks for a label.

A network returns probabilities for anything it is shown. So each scan is compared with those whose labels trained the
model: voxel size, contrast, rims and noise of its resin (:mod:`~tomoprofile.shift.appearance`), and the network's own
uncertainty.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import not_what_is_expected, read_record, write_record
from ..volume.probability import CERTAIN
from .appearance import FEATURES, Appearance
from .seen import Seen, SeenScan

_WHAT = "a comparison of a scan with a model"

# In spreads between tiles of the training scans. On simulated scans the volume fraction was within 5 % below 2 without
# a new label, and wrong by up to a third beyond 3 (docs/decisions.md).
EDGE, OUTSIDE = 2.0, 3.0
DOUBT_EDGE, DOUBT_OUTSIDE = 1.4, 1.7  # times the uncertainty on slices of the labelled scans
DOUBT_FLOOR = 0.02
VOXELS_EDGE, VOXELS_OUTSIDE = 1.1, 1.3
LEAST_SPREAD = 0.1
TAIL = 1.28  # spreads between the middle and the 90th percentile of a normal distribution
LEAST_TILES = 8
PARTS = {"low": 10, "middle": 50, "high": 90}  # percentiles over tiles: what only a few tiles show also counts
MEANING = {
    "power_0.03_0.08": "contrast of coarse structures",
    "power_0.08_0.14": "contrast of domains",
    "power_0.14_0.22": "strength of rims",
    "power_0.22_0.32": "sharpness",
    "power_0.32_0.5": "fine noise",
    "dark": "darkest voxels",
    "low": "dark voxels",
    "high": "bright voxels",
    "bright": "brightest voxels",
}
NO_LABEL = "no label was used: the model learned from simulated scans alone"
Status = Literal["inside", "edge", "outside", "unknown"]
UNLIKE: dict[Status, str] = {"outside": "unlike", "edge": "somewhat unlike"}  # how such a scan looks, in words


@dataclass(frozen=True)
class Familiarity:
    """How well a model knows scans like this one.

    Attributes
    ----------
    status : {"inside", "edge", "outside", "unknown"}
        ``outside``: do not trust the result before a slice of this scan is labelled.
    reasons : list of str
        What differs, the worst first.
    departure : float or None
        The largest difference, in spreads between tiles of the training scans; None when those are not known.
    doubt, doubt_seen : float or None
        Expected fraction of wrong voxels among those found, here and on unlabelled slices of the scans it learned from.
    label_slice : int
        The slice whose label would help most: where the network is least certain, or the scan differs most.
    """

    status: Status
    reasons: list[str]
    departure: float | None
    doubt: float | None
    doubt_seen: float | None
    label_slice: int

    @property
    def flag(self) -> str:
        """The flag for it in tables; empty when the scan is inside, or could not be compared."""
        return {"outside": "outside_model", "edge": "edge_of_model"}.get(self.status, "")

    def save(self, path: Path, **more: Any) -> None:
        """Write ``familiarity.json``."""
        write_record(path, asdict(self) | more)

    @classmethod
    def load(cls, path: Path) -> Familiarity:
        """Read ``familiarity.json``."""
        record = read_record(path, _WHAT)
        try:
            return cls(**{name: record[name] for name in cls.__dataclass_fields__})
        except (KeyError, TypeError) as error:
            raise InputError(not_what_is_expected(path, _WHAT, error)) from None


class Difference(NamedTuple):
    """One thing in which a scan was compared: how serious it is, what it is, and the figure for it."""

    grade: Status
    what: str
    figure: str

    def __str__(self) -> str:
        return f"{self.what} ({self.figure})"


def remember(seen: dict[str, Appearance], probability: list[NDArray[np.uint8]]) -> Seen:
    """Return what a model remembers of the scans it learned from.

    Parameters
    ----------
    seen : dict
        Appearance of each scan that was labelled.
    probability : list of array of uint8
        Probability of slices of these scans that nobody labelled.
    """
    scans = {}
    for sample, appearance in seen.items():
        if not len(appearance.features):
            continue
        middle = np.median(appearance.features, 0)
        spread = 1.4826 * np.median(np.abs(appearance.features - middle), 0)
        parts = {name: np.percentile(appearance.features, at, 0) for name, at in PARTS.items()}
        scans[sample] = SeenScan(
            centre=appearance.centre,
            spread=appearance.spread,
            voxel_size_um=appearance.voxel_size_um,
            tiles=len(appearance.features),
            tile_spread=np.round(spread, 4).tolist(),
            **{name: np.round(values, 4).tolist() for name, values in parts.items()},
        )
    return Seen(features=FEATURES, scans=scans, doubt=doubt_of(probability))


def doubt_of(probability: list[NDArray[np.uint8]]) -> float | None:
    """Return the expected fraction of wrong voxels among those found: sum of min(p, 1 - p) over sum of p."""
    found = sum(float(part.sum(dtype=np.int64)) for part in probability)
    wrong = sum(float(np.minimum(part, CERTAIN - part).sum(dtype=np.int64)) for part in probability)
    return wrong / found if found else None


def compare(seen: Seen, appearance: Appearance, doubt: float | None, least_sure: int | None = None) -> Familiarity:
    """Compare a scan with those a model has seen.

    Parameters
    ----------
    seen : Seen
        What its bundle remembers.
    appearance : Appearance
        Appearance of the scan.
    doubt : float or None
        Uncertainty of the network on some of its slices; None when it was not computed.
    least_sure : int, optional
        The slice where the network is least certain.

    Returns
    -------
    Familiarity
        Compared with the labelled scan it resembles most.
    """
    slice_ = least_sure if least_sure is not None else appearance.slices[len(appearance.slices) // 2]
    if seen.simulated:  # whatever the scan looks like, nothing says how good the model is on it
        return Familiarity("outside", [NO_LABEL], None, doubt, None, slice_)
    compared = differences(seen, appearance, doubt)
    if compared is None:
        reason = "too little resin to compare this scan with those the model has seen"
        return Familiarity("unknown", [reason], None, doubt, seen.doubt, slice_)
    found, departure = compared
    reasons = [str(one) for one in found if one.grade != "inside"]
    return Familiarity(worst_of(found), reasons, departure, doubt, seen.doubt, slice_)


def differences(seen: Seen, appearance: Appearance, doubt: float | None) -> tuple[list[Difference], float] | None:
    """Return in what a scan differs from the labelled scan it resembles most, and the largest departure.

    None when there is too little resin to tell. Parameters as in :func:`compare`.
    """
    same = seen.features == FEATURES
    scans = [scan for scan in seen.scans.values() if same and scan.tiles >= LEAST_TILES]
    if not scans or len(appearance.features) < LEAST_TILES:
        return None
    departures = min((_departures(scan, appearance) for scan in scans), key=lambda found: max(found.values()))
    found = [
        Difference(_grade(away, EDGE, OUTSIDE), MEANING[name], f"{away:.1f} spreads")
        for name, away in sorted(departures.items(), key=lambda item: -item[1])
    ]
    times = min(_voxel_ratio(scan, appearance) for scan in scans)
    found.append(Difference(_grade(times, VOXELS_EDGE, VOXELS_OUTSIDE), "voxel size", f"{times:.2f} times"))
    known = seen.doubt
    if doubt is not None and known is not None:
        times = (doubt + DOUBT_FLOOR) / (known + DOUBT_FLOOR)
        figure = f"{100 * doubt:.0f} % of what it finds, {100 * known:.0f} % where it learned"
        found.append(Difference(_grade(times, DOUBT_EDGE, DOUBT_OUTSIDE), "the network's uncertainty", figure))
    return found, max(departures.values())


def worst_of(found: list[Difference]) -> Status:
    """Return the status of a scan with these differences."""
    grades = {one.grade for one in found}
    return "outside" if "outside" in grades else "edge" if "edge" in grades else "inside"


def _grade(value: float, edge: float, outside: float) -> Status:
    return "outside" if value >= outside else "edge" if value >= edge else "inside"


def _voxel_ratio(scan: SeenScan, appearance: Appearance) -> float:
    pairs = zip(appearance.voxel_size_um, scan.voxel_size_um, strict=True)
    return max(max(here / there, there / here) for here, there in pairs)


def _departures(scan: SeenScan, appearance: Appearance) -> dict[str, float]:
    spread = np.maximum(scan.tile_spread, LEAST_SPREAD)
    worst = np.zeros(len(FEATURES))
    for name, at in PARTS.items():
        away = np.abs(np.percentile(appearance.features, at, 0) - np.asarray(getattr(scan, name)))
        # The tails over few tiles are less certain than the middle, the more so the longer they are: voids.
        tail = np.abs(np.asarray(getattr(scan, name)) - np.asarray(scan.middle)) / TAIL
        worst = np.maximum(worst, away / np.maximum(spread, tail) / (1 if name == "middle" else 2))
    return dict(zip(FEATURES, worst.tolist(), strict=True))
