"""Scans compared: groups of replicates, differences between groups, and series in time.

The unit is the scan, never the domain: domains of one scan share its sample, its mounting and its segmentation, so ten
thousand of them in two scans are still two samples. Means are therefore means over scans, and their intervals come from
the spread between scans.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats

from ..tables import COMPARISON, ESTIMATES
from .estimators import COVERAGE, Floats

FEW_SCANS = 3  # with fewer in a group, its spread is poorly known
_DEPTH_DIGITS = 6  # of a micrometre: bins of one configuration agree to rounding


@dataclass(frozen=True)
class ScanResult:
    """The results of one class in one scan.

    Attributes
    ----------
    sample : str
    group : str
        Empty for a scan that stands alone.
    time_h : float
        Hours; NaN for none.
    profile, zones : DataFrame
        Rows of the calibrated level of ``profile.parquet`` and ``zones.parquet``.
    n_blocks : int
        Lateral blocks behind the scan's own intervals.
    conditions : dict of str to hashable
        What must agree for numbers to be comparable, such as ``{"voxel size": ...}``.
    """

    sample: str
    group: str
    time_h: float
    profile: pd.DataFrame
    zones: pd.DataFrame
    n_blocks: int
    conditions: dict[str, Hashable] = field(default_factory=dict)

    @property
    def set_name(self) -> tuple[str, float]:
        """Scans with the same group and time are replicates; without a group each scan is alone."""
        return (self.group or f"\0{self.sample}", self.time_h if math.isfinite(self.time_h) else -math.inf)


@dataclass(frozen=True)
class Replicates:
    """Scans that repeat each other: of one group, at one time; or a single one."""

    scans: tuple[ScanResult, ...]

    @property
    def group(self) -> str:
        """Name of the group; empty for a scan that stands alone."""
        return self.scans[0].group

    @property
    def time_h(self) -> float:
        """Hours; NaN for none."""
        return self.scans[0].time_h

    @property
    def name(self) -> str:
        """The group, or the scan that stands alone."""
        return self.group or self.scans[0].sample

    def differing(self) -> list[str]:
        """Return the conditions in which these scans differ."""
        return differing(self.scans)


def differing(scans: Sequence[ScanResult]) -> list[str]:
    """Return the conditions in which scans differ."""
    names = dict.fromkeys(name for scan in scans for name in scan.conditions)
    return [name for name in names if len({scan.conditions.get(name) for scan in scans}) > 1]


def replicates(scans: Sequence[ScanResult]) -> list[Replicates]:
    """Return the sets of replicates: groups in the order of the sheet, each in the order of time."""
    groups = list(dict.fromkeys(scan.set_name[0] for scan in scans))
    sets: dict[tuple[str, float], list[ScanResult]] = {}
    for scan in scans:
        sets.setdefault(scan.set_name, []).append(scan)
    ordered = sorted(sets, key=lambda name: (groups.index(name[0]), name[1]))
    return [Replicates(tuple(sets[name])) for name in ordered]


def compare_scans(classes: Mapping[str, Sequence[ScanResult]]) -> pd.DataFrame:
    """Return the table of ``comparison.parquet``: zones and bins of sets of replicates, and differences of zones.

    Parameters
    ----------
    classes : dict of sequence of ScanResult
        For each measured class, the scans in which it was measured; only those with results.

    Returns
    -------
    DataFrame
        Columns as in docs/outputs.md, one class after the other; no rows without scans.

    Notes
    -----
    For n >= 2 scans with values x: mean ± t(n - 1) s / √n, with s their standard deviation. It assumes that scans are
    independent and roughly normally distributed; it holds for any amount of noise within scans, which s includes. A
    single scan has the interval of its own block bootstrap, which does not cover other samples. The difference of two
    groups has Welch's interval (Biometrika 34 (1947) 28) with the degrees of freedom of Satterthwaite.
    Bins are matched by their depths; a scan that does not reach one contributes none, and ``n_scans`` says so.
    """
    return _table([{"class": name} | block for name, scans in classes.items() for block in _rows(scans)])


def comparable(sets: Sequence[Replicates]) -> list[tuple[Replicates, Replicates]]:
    """Return the pairs of groups whose difference is meaningful: both named, and at the same time or without one."""

    def time(one: Replicates) -> float:
        return one.time_h if math.isfinite(one.time_h) else -math.inf

    named = [one for one in sets if one.group]
    return [(a, b) for a, b in combinations(named, 2) if a.group != b.group and time(a) == time(b)]


def mean_interval(values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return mean, standard deviation and the ends of the t interval over scans.

    Parameters
    ----------
    values : array (scans, places)
        NaN where a scan has no value; it does not count there.

    Returns
    -------
    mean, sd, low, high : arrays (places,)
        NaN where there are too few scans: the mean needs one, the others two.
    """
    n, mean, variance = _moments(values)
    half = stats.t.ppf(0.5 + COVERAGE / 2, np.maximum(n - 1, 1)) * np.sqrt(variance / np.maximum(n, 1))
    return mean, np.sqrt(variance), mean - half, mean + half


def welch_interval(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the difference of means, ``b`` minus ``a``, and the ends of Welch's interval; NaN with one scan on a side.

    Parameters
    ----------
    a, b : arrays (scans, places)
    """
    (n_a, mean_a, variance_a), (n_b, mean_b, variance_b) = _moments(a), _moments(b)
    difference = mean_b - mean_a
    of_a, of_b = variance_a / np.maximum(n_a, 1), variance_b / np.maximum(n_b, 1)
    spread = of_a**2 / np.maximum(n_a - 1, 1) + of_b**2 / np.maximum(n_b - 1, 1)
    # Scans that are all equal leave nothing to divide by, and an interval without width whatever t is.
    freedom = np.divide((of_a + of_b) ** 2, spread, out=np.ones_like(spread), where=spread > 0)
    half = stats.t.ppf(0.5 + COVERAGE / 2, freedom) * np.sqrt(of_a + of_b)
    return difference, difference - half, difference + half


def within_variance(low: Floats, high: Floats, n_blocks: NDArray[np.int64]) -> Floats:
    """Return the mean sampling variance within scans, from the intervals of their block bootstrap; NaN for none.

    Those intervals are as wide as t intervals over blocks, so half of one is t(blocks - 1) standard errors.

    Parameters
    ----------
    low, high : arrays (scans, places)
    n_blocks : array (scans,)
    """
    factor = stats.t.ppf(0.5 + COVERAGE / 2, np.maximum(n_blocks - 1, 1))[:, None]
    variance = np.where(n_blocks[:, None] > 1, ((high - low) / 2 / factor) ** 2, np.nan)
    return _moments(variance)[1]


def _moments(values: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return how many scans have a value at each place, their mean and their variance."""
    known = np.isfinite(values)
    n = known.sum(axis=0)
    mean = np.divide(np.where(known, values, 0).sum(axis=0), n, out=np.full(n.shape, np.nan), where=n > 0)
    squares = (np.where(known, values - mean, 0) ** 2).sum(axis=0)
    return n, mean, np.divide(squares, n - 1, out=np.full(n.shape, np.nan), where=n > 1)


@dataclass(frozen=True)
class _Aligned:
    """Zones or bins of all scans, aligned so that equal places are in one column.

    Attributes
    ----------
    kind : {"zone", "bin"}
    zone, from_um, to_um : arrays (places,)
        ``to_um`` is NaN for a zone without an end, or whose end differs between scans; both are without depth.
    row : dict
        Row of a scan in the arrays, by its name.
    has : array (scans, places) of bool
    columns : dict of arrays (scans, places)
        NaN where a scan has no value.
    """

    kind: str
    zone: NDArray[np.str_]
    from_um: Floats
    to_um: Floats
    row: dict[str, int]
    has: NDArray[np.bool_]
    columns: dict[str, Floats]

    @classmethod
    def of(cls, scans: Sequence[ScanResult], kind: str) -> _Aligned:
        """Align the tables of scans; places come in their order in the tables, bins by depth."""
        ends: dict[tuple[str, float], set[float]] = {}
        places = []
        for scan in scans:
            table, start, stop = (
                (scan.zones, "from_um", "to_um") if kind == "zone" else (scan.profile, "depth_lo_um", "depth_hi_um")
            )
            names = table["zone"].astype(str) if kind == "zone" else [""] * len(table)
            starts = np.nan_to_num(table[start].to_numpy(float), nan=-math.inf).round(_DEPTH_DIGITS)
            places.append(list(zip(names, starts.tolist(), strict=True)))
            stops = np.nan_to_num(table[stop].to_numpy(float), nan=math.inf).round(_DEPTH_DIGITS)
            for place, end in zip(places[-1], stops.tolist(), strict=True):
                ends.setdefault(place, set()).add(end)
        ordered = list(ends) if kind == "zone" else sorted(ends)
        at = {place: number for number, place in enumerate(ordered)}
        has = np.zeros((len(scans), len(at)), bool)
        columns = {f"{name}{end}": np.full(has.shape, np.nan) for name in ESTIMATES for end in ("", "_lo", "_hi")}
        for number, (scan, found) in enumerate(zip(scans, places, strict=True)):
            where = [at[place] for place in found]
            has[number, where] = True
            for name, values in columns.items():
                values[number, where] = (scan.zones if kind == "zone" else scan.profile)[name].to_numpy(float)
        stops = np.array([max(ends[place]) if len(ends[place]) == 1 else math.inf for place in ordered])
        return cls(
            kind,
            np.array([zone for zone, _ in ordered], dtype=str),
            np.array([start if math.isfinite(start) else math.nan for _, start in ordered]),
            np.where(np.isfinite(stops), stops, np.nan),
            {scan.sample: number for number, scan in enumerate(scans)},
            has,
            columns,
        )

    def rows_of(self, scans: Sequence[ScanResult]) -> list[int]:
        """Return the rows of some of the scans."""
        return [self.row[scan.sample] for scan in scans]


_Columns = dict[str, Any]


def _rows(scans: Sequence[ScanResult]) -> list[_Columns]:
    """Return the blocks of rows of a class."""
    sets = replicates(scans)
    zones, bins = (_Aligned.of(scans, kind) for kind in ("zone", "bin"))
    rows = [block for one in sets for aligned in (zones, bins) for block in _group_rows(one, aligned)]
    return rows + [block for pair in comparable(sets) for block in _difference_rows(*pair, zones)]


def _group_rows(one: Replicates, aligned: _Aligned) -> list[_Columns]:
    chosen = aligned.rows_of(one.scans)
    places = aligned.has[chosen].any(axis=0)
    n_blocks = np.array([scan.n_blocks for scan in one.scans])
    rows = []
    for quantity in ESTIMATES:
        values, low, high = (aligned.columns[f"{quantity}{end}"][chosen][:, places] for end in ("", "_lo", "_hi"))
        n = np.isfinite(values).sum(axis=0)
        mean, sd, *ends = mean_interval(values)
        # The interval of the only scan.
        own = [_moments(np.where(np.isfinite(values), bound, np.nan))[1] for bound in (low, high)]
        lo, hi = (np.where(n == 1, *pair) for pair in zip(own, ends, strict=True))
        within = within_variance(low, high, n_blocks)
        ratio = np.divide(sd**2, within, out=np.full(len(n), np.nan), where=within > 0)
        columns = {"quantity": quantity, "n_scans": n, "n_other": 0, "value": mean, "lo": lo, "hi": hi}
        columns |= {"sd_between": sd, "sd_within": np.sqrt(within), "variance_ratio": ratio}
        columns |= _labels(aligned, places, aligned.kind, (one,), np.where(n == 1, "one_scan", ""))
        rows.append(columns)
    return rows


def _difference_rows(a: Replicates, b: Replicates, zones: _Aligned) -> list[_Columns]:
    chosen = [zones.rows_of(one.scans) for one in (a, b)]
    places = np.all([zones.has[rows].any(axis=0) for rows in chosen], axis=0)
    rows = []
    for quantity in ESTIMATES:
        pair = [zones.columns[quantity][scans][:, places] for scans in chosen]
        n, n_other = (np.isfinite(values).sum(axis=0) for values in pair)
        difference, lo, hi = welch_interval(*pair)
        columns = {"quantity": quantity, "n_scans": n, "n_other": n_other, "value": difference, "lo": lo, "hi": hi}
        columns |= dict.fromkeys(("sd_between", "sd_within", "variance_ratio"), np.nan)
        few = np.minimum(n, n_other) < FEW_SCANS
        columns |= _labels(zones, places, "difference", (a, b), np.where(few, "few_scans", ""))
        rows.append(columns)
    return rows


def _labels(
    aligned: _Aligned, places: NDArray[np.bool_], kind: str, sets: tuple[Replicates, ...], flags: NDArray[np.str_]
) -> _Columns:
    scans = [scan for one in sets for scan in one.scans]
    mixed = ";".join(f"differ_in_{name.replace(' ', '_')}" for name in differing(scans))
    return {
        "kind": kind,
        "group": sets[0].group,
        "other_group": sets[1].group if len(sets) > 1 else "",
        "time_h": sets[0].time_h,
        "samples": ";".join(scan.sample for scan in scans),
        "zone": aligned.zone[places],
        "from_um": aligned.from_um[places],
        "to_um": aligned.to_um[places],
        "flag": [";".join(filter(None, [mixed, flag])) for flag in flags],
    }


def _table(rows: list[_Columns]) -> pd.DataFrame:
    """Return a table of blocks of rows; a single value stands for all rows of its block."""
    kinds = {
        field.name: "string" if pa.types.is_large_string(field.type) else field.type.to_pandas_dtype()
        for field in COMPARISON.schema
    }
    if not rows:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    lengths = [len(block["from_um"]) for block in rows]
    columns = {
        name: np.concatenate(
            [
                block[name] if np.ndim(block[name]) else np.full(n, block[name])
                for block, n in zip(rows, lengths, strict=True)
            ]
        )
        for name in kinds
    }
    return pd.DataFrame(columns).astype(kinds)
