"""Numbers in words, never with more digits than their interval supports."""

from __future__ import annotations

import math
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


def count(number: float) -> str:
    """Return a count with its thousands set apart."""
    return f"{int(number):,}".replace(",", _THIN)


def depth_range(start: float, stop: float | None) -> str:
    """Return a range of distances from the substrate in words; without depth, NaN, what takes its place."""
    if math.isnan(start):
        return "whole sample"
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


def smallest_kept_um(objects: ObjectsMetadata) -> float:
    """Return the equivalent diameter of the smallest object that was kept, in micrometres."""
    return float((6 * objects.min_voxels * np.prod(objects.voxel_size_um) / math.pi) ** (1 / 3))
