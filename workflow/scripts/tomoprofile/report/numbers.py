"""Numbers in words, never with more digits than their interval supports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..domains.objects import ObjectsMetadata
from ..tables import LEVELS

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
        Ends of the 95 % interval: the effect of sampling. NaN when unknown.
    band_lo, band_hi : float
        Least and greatest value over the boundary levels: the effect of the boundary convention. NaN when unknown.
    """

    value: float
    lo: float = math.nan
    hi: float = math.nan
    band_lo: float = math.nan
    band_hi: float = math.nan

    @property
    def power(self) -> int:
        """Power of ten that is written separately; 0 for numbers that read well as they are."""
        if not math.isfinite(self.value) or 1e-3 <= abs(self.value) < 1e5 or self.value == 0:
            return 0
        return math.floor(math.log10(abs(self.value)))

    @property
    def decimals(self) -> int:
        """Digits after the point: those of half the interval that count, or three digits of the value without one.

        Negative where digits before the point do not count, either: -2 rounds to hundreds.
        """
        scale = 10.0**self.power
        half = (self.hi - self.lo) / 2 / scale
        if math.isfinite(half) and half > 0:
            # One digit, two when it would be a 1 or 2: rounding then costs at most a fifth of the uncertainty.
            return min(6, -math.floor(math.log10(half / 3)))
        value = abs(self.value) / scale
        return min(6, 2 - math.floor(math.log10(value))) if math.isfinite(value) and value > 0 else 1

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
        rounded = round(value / 10.0**self.power, self.decimals)
        return f"{rounded:,.{max(0, self.decimals)}f}".replace(",", _THIN)

    def _times(self, digits: str) -> str:
        if not self.power:
            return digits
        return f"{digits} × 10{str(self.power).translate(_SUPERSCRIPT)}"


def count(number: float) -> str:
    """Return a count with its thousands set apart."""
    return f"{int(number):,}".replace(",", _THIN)


def whole_of(whole: int, found: float, has_depth: bool = True) -> str:
    """Return how many domains a size was taken from, and why that may be fewer than were found."""
    found = int(found)
    if not found:
        return "no domain has its centre there"
    if whole >= found:
        return "1 domain" if found == 1 else f"{count(found)} domains"
    those = "1 whole domain" if whole == 1 else f"{count(whole)} whole domains"
    return f"{those} ({count(found)} were found; {_left_out(found - whole, has_depth)})"


def _left_out(number: int, has_depth: bool) -> str:
    be, them, they = ("is", "it", "it lies") if number == 1 else ("are", "them", "they lie")
    far = f", or {they} at its far end" if has_depth else ""
    return f"{count(number)} {be} left out: a side of the scan cuts {them}{far}"


def depth_range(start: float, stop: float | None) -> str:
    """Return a range of distances from the substrate in words; without depth, NaN, what takes its place."""
    if math.isnan(start):
        return "whole sample"
    if stop is None or not math.isfinite(stop):
        return f"beyond {length(start)} µm"
    return f"{length(start)}–{length(stop)} µm"


def length(um: float) -> str:
    """Return a length: to a tenth of a micrometre from 10 µm on, below that with three digits that count."""
    return short(round(um, 1), 9) if abs(um) >= 10 else short(um)


def percent(share: float | None) -> str:
    """Return a share in whole per cent, without the sign; a dash when it is unknown."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.0f}"


def short(value: float | None, digits: int = 3) -> str:
    """Return a number that has no interval: with so many digits that count, without zeros at the end."""
    if value is None or not math.isfinite(value):
        return "–"
    power = math.floor(math.log10(abs(value))) if value else 0
    if not -4 <= power < max(5, digits):
        return f"{_plain(value / 10.0**power, digits - 1)} × 10{str(power).translate(_SUPERSCRIPT)}"
    return _plain(value, max(0, digits - 1 - power))


def _plain(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


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


def scan_size(shape: Sequence[int], voxel_size_um: Sequence[float]) -> tuple[str, str]:
    """Return the voxels of a scan and its voxel size in words, along (z, y, x)."""
    edges = voxel_size_um[:1] if len(set(voxel_size_um)) == 1 else voxel_size_um
    return " × ".join(map(count, shape)), f"{' × '.join(short(edge, 4) for edge in edges)} µm"


def is_the_filter(smallest_um: float, kept_um: float) -> bool:
    """Return whether a smallest diameter is that of the size filter and no finding: within a third of its volume."""
    return smallest_um**3 < 4 / 3 * kept_um**3


def smallest_kept_um(objects: ObjectsMetadata) -> float:
    """Return the equivalent diameter of the smallest object that was kept, in micrometres."""
    return float((6 * objects.min_voxels * np.prod(objects.voxel_size_um) / math.pi) ** (1 / 3))
