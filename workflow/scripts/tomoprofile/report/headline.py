"""The few numbers a reader takes home, in words, never with more digits than their interval supports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..domains.objects import ObjectsMetadata
from ..tables import LEVELS, at_level
from .zones import plateau

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_THIN = "\N{NARROW NO-BREAK SPACE}"
NOT_AVAILABLE = "not available"


@dataclass(frozen=True)
class Estimate:
    """A number with its two kinds of uncertainty, in the unit it is shown in.

    Attributes
    ----------
    value : float
        At the calibrated level; NaN when there is none.
    lo, hi : float
        Ends of the 95 % interval: what sampling can change. NaN when unknown.
    band_lo, band_hi : float
        Least and greatest value over the boundary levels: what the boundary convention can change. NaN when unknown.
    """

    value: float
    lo: float = math.nan
    hi: float = math.nan
    band_lo: float = math.nan
    band_hi: float = math.nan

    @property
    def power(self) -> int:
        """Power of ten that is written apart; 0 for numbers that read well as they are."""
        if not math.isfinite(self.value) or 1e-3 <= abs(self.value) < 1e5 or self.value == 0:
            return 0
        return math.floor(math.log10(abs(self.value)))

    @property
    def decimals(self) -> int:
        """Digits after the point: those of half the interval that count, or three digits of the value without one."""
        scale = 10.0**self.power
        half = (self.hi - self.lo) / 2 / scale
        if math.isfinite(half) and half > 0:
            # One digit, two when it would be a 1 or 2: rounding then costs at most a fifth of the uncertainty.
            return min(6, max(0, -math.floor(math.log10(half / 3))))
        value = abs(self.value) / scale
        return min(6, max(0, 2 - math.floor(math.log10(value)))) if math.isfinite(value) and value > 0 else 1

    @property
    def text(self) -> str:
        """The value."""
        return self._times(self._digits(self.value)) if math.isfinite(self.value) else NOT_AVAILABLE

    @property
    def interval(self) -> str:
        """The 95 % interval, or an empty string."""
        return self._range(self.lo, self.hi)

    @property
    def band(self) -> str:
        """The boundary band, or an empty string."""
        return self._range(self.band_lo, self.band_hi)

    @property
    def boundary_dominates(self) -> bool:
        """Whether the boundary convention can change the number more than sampling can."""
        return self.band_hi - self.band_lo > self.hi - self.lo

    def _range(self, low: float, high: float) -> str:
        if not (math.isfinite(low) and math.isfinite(high)):
            return ""
        return self._times(f"{self._digits(low)}–{self._digits(high)}")

    def _digits(self, value: float) -> str:
        return f"{value / 10.0**self.power:.{self.decimals}f}"

    def _times(self, digits: str) -> str:
        if not self.power:
            return digits
        return f"{digits} × 10{str(self.power).translate(_SUPERSCRIPT)}"


@dataclass(frozen=True)
class Card:
    """One headline number with what a reader must know about it."""

    title: str
    place: str
    value: str
    unit: str
    interval: str
    band: str
    caveat: str


def count(number: float) -> str:
    """Return a count with its thousands set apart."""
    return f"{int(number):,}".replace(",", _THIN)


def depth_range(start: float, stop: float | None) -> str:
    """Return a range of distances from the substrate in words."""
    if stop is None or not math.isfinite(stop):
        return f"beyond {length(start)} µm"
    return f"{length(start)}–{length(stop)} µm"


def length(um: float) -> str:
    """Return a length to a tenth of a micrometre, without a zero after the point."""
    return f"{um:.1f}".removesuffix(".0")


def estimate(zones: pd.DataFrame, zone: Any, column: str, factor: float = 1.0) -> Estimate:
    """Return one quantity of one zone with interval and boundary band.

    Parameters
    ----------
    zones : DataFrame
        ``zones.parquet``.
    zone : str
        Name of the zone.
    column : str
        Name of the quantity; its interval is taken from ``_lo`` and ``_hi`` where they exist.
    factor : float
        From the unit of the column to the unit shown.
    """
    rows = zones[zones["zone"] == zone].set_index("level")
    values = [float(rows.at[level, column]) * factor for level in LEVELS if level in rows.index]
    known = [value for value in values if math.isfinite(value)]
    ends = [
        float(rows.at["calibrated", f"{column}{end}"]) * factor if f"{column}{end}" in rows else math.nan
        for end in ("_lo", "_hi")
    ]
    band = (min(known), max(known)) if len(known) == len(LEVELS) else (math.nan, math.nan)
    return Estimate(float(rows.at["calibrated", column]) * factor, *ends, *band)


def cards(zones: pd.DataFrame, objects: ObjectsMetadata) -> list[Card]:
    """Return the headline: the plateau, which is the last zone reached, and the smallest domain near the substrate.

    Parameters
    ----------
    zones : DataFrame
        ``zones.parquet``.
    objects : ObjectsMetadata
        Conditions of the calibrated level.

    """
    calibrated = at_level(zones, "calibrated")
    first, last = calibrated.iloc[0], calibrated.iloc[plateau(zones)]
    place = depth_range(last["from_um"], last["to_um"])
    ratio = estimate(zones, last["zone"], "volume_ratio", 100)
    diameter = estimate(zones, last["zone"], "mean_equivalent_diameter_um")
    density = estimate(zones, last["zone"], "number_density_per_mm3")
    smallest = estimate(zones, first["zone"], "diameter_min_um")
    levels = [int(n) for n in zones.loc[zones["zone"] == last["zone"], "n_domains"].dropna()]
    dropped = smallest_kept_um(objects)
    return [
        _card("Volume ratio", place, ratio, "%", _convention(ratio, "Share of the resin that is domain.")),
        _card("Mean diameter", place, diameter, "µm", _convention(diameter, "Of the sphere of equal volume.")),
        _card(
            "Number density",
            place,
            density,
            "per mm³",
            "Domains in a cubic millimetre of resin; those cut by the sides of the scan are corrected for.",
        ),
        Card(
            "Domains counted",
            place,
            count(last["n_domains"]),
            "",
            "",
            f"{count(min(levels))}–{count(max(levels))}" if max(levels) > min(levels) else "",
            f"{count(calibrated['n_domains'].sum())} in all zones together.",
        ),
        _card(
            "Smallest domain near the substrate",
            depth_range(first["from_um"], first["to_um"]),
            smallest,
            "µm",
            _of_smallest(int(first["n_domains"]), dropped),
        ),
    ]


def summary(zones: pd.DataFrame) -> str:
    """Return the finding in two sentences for readers who stop there."""
    calibrated = at_level(zones, "calibrated")
    first, last = calibrated.iloc[0], calibrated.iloc[plateau(zones)]
    ratio = estimate(zones, last["zone"], "volume_ratio", 100)
    diameter = estimate(zones, last["zone"], "mean_equivalent_diameter_um")
    text = f"At {_from(last)} from the substrate, domains take up {ratio.text} % of the resin"
    text += f"; they are {diameter.text} µm across on average." if math.isfinite(diameter.value) else "."
    if len(calibrated) > 1:
        near = estimate(zones, first["zone"], "diameter_min_um")
        text += f" Nearest to the substrate ({depth_range(first['from_um'], first['to_um'])}), "
        text += (
            f"the smallest of {count(first['n_domains'])} domains is {near.text} µm across."
            if math.isfinite(near.value)
            else "no whole domain was found."
        )
    return text


def smallest_kept_um(objects: ObjectsMetadata) -> float:
    """Return the equivalent diameter of the smallest object that was kept, in micrometres."""
    return float((6 * objects.min_voxels * np.prod(objects.voxel_size_um) / math.pi) ** (1 / 3))


def _from(zone: pd.Series) -> str:
    stop = zone["to_um"]
    open_end = stop is None or not math.isfinite(stop)
    return f"{length(zone['from_um'])} µm and more" if open_end else f"{length(zone['from_um'])} to {length(stop)} µm"


def _card(title: str, place: str, number: Estimate, unit: str, caveat: str) -> Card:
    known = math.isfinite(number.value)
    return Card(title, place, number.text, unit if known else "", number.interval, number.band, caveat)


def _of_smallest(n_domains: int, dropped_um: float) -> str:
    if not n_domains:
        return "No domain has its centre there."
    return (
        f"One of {count(n_domains)} domains decides this number: see 10 % and median in the table of zones. Objects "
        f"under {dropped_um:.1f} µm were dropped as noise."
    )


def _convention(number: Estimate, text: str) -> str:
    if number.boundary_dominates:
        return f"{text} Where the boundary is drawn matters more here than how much was sampled."
    return text
