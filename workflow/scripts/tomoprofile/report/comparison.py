"""The part of the beamtime's page that compares scans: what differs, groups, their differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

from ..profile.comparison import FEW_SCANS, Replicates, ScanResult, differing, replicates
from .comparison_figures import overlay_figure, samples_of, series_figure
from .figures import QUANTITIES
from .numbers import Estimate, depth_range, short
from .rendering import embedded, in_words
from .words import Terms

_MOST_ROWS = 60  # of a table on the page; the file has them all
_LIKELY = 0.95


@dataclass(frozen=True)
class GroupRow:
    """One quantity of a set of replicates in the zone of the headline."""

    name: str
    time: str
    quantity: str
    n_scans: int
    number: Estimate
    sd: str
    spread: str


@dataclass(frozen=True)
class DifferenceRow:
    """The difference of two groups in one quantity."""

    names: str
    time: str
    quantity: str
    counts: str
    value: str
    interval: str
    verdict: str


def comparison_section(scans: Sequence[ScanResult], table: pd.DataFrame, terms: Terms | None = None) -> dict[str, Any]:
    """Return what ``comparison.html.j2`` shows.

    Parameters
    ----------
    scans : sequence of ScanResult
        Those with results, in the order of the sheet.
    table : DataFrame
        Of :func:`tomoprofile.profile.comparison.compare_scans`.
    terms : Terms, optional
        What the parts of the samples are called.
    """
    sets = replicates(scans)
    section: dict[str, Any] = {
        "n_compared": len(scans),
        "remarks": _remarks(scans, sets),
        "figures": {},
        "groups": [],
        "differences": [],
        "few_scans": FEW_SCANS,
        "cut": [],
    }
    if not scans:
        return section
    zone = _headline_zone(scans)
    rows = table[table["zone"] == zone["zone"]]
    groups, differences = list(_group_rows(rows, sets)), list(_difference_rows(rows))
    for name, found in (("groups", groups), ("differences", differences)):
        section[name] = found[:_MOST_ROWS]
        if len(found) > _MOST_ROWS:
            section["cut"].append(f"The table of {name} shows the first {_MOST_ROWS} of {len(found)} rows.")
    section["zone"] = f"{zone['zone']}, {depth_range(zone['from_um'], zone['to_um'])}"
    if len(scans) > 1 and any(scan.profile["depth_um"].notna().any() for scan in scans):
        section["figures"]["overlay"] = embedded(in_words(overlay_figure(sets, table), terms or Terms()))
    times = {one.time_h for one in sets if math.isfinite(one.time_h)}
    if len(times) > 1:
        section["figures"]["series"] = embedded(series_figure(sets, rows))
    return section


def spread_in_words(ratio: float, n_scans: int) -> str:
    """Compare in words the variance between scans with the sampling variance within them.

    Without any difference between samples the ratio is distributed as chi-squared over its n - 1 degrees of freedom.
    """
    if n_scans < 2:
        return "one scan: the spread between samples is unknown"
    if not math.isfinite(ratio):
        return "the sampling variance within scans is unknown"
    limit = float(stats.chi2.ppf(_LIKELY, n_scans - 1)) / (n_scans - 1)
    times = f"{short(ratio, 2)} times the sampling variance within a scan"
    if ratio > limit:
        return f"samples differ: {times}; the interval of a single scan is too narrow for the group"
    return f"no more than sampling explains: {times}"


def _remarks(scans: Sequence[ScanResult], sets: Sequence[Replicates]) -> list[str]:
    if not scans:
        return ["No scan has results, so there is nothing to compare."]
    if len(scans) == 1:
        return ["Only one scan has results, so there is nothing to compare. Its own page has its profile."]
    remarks = []
    for name in differing(scans):
        kinds: dict[Any, list[str]] = {}
        for scan in scans:
            kinds.setdefault(scan.conditions.get(name), []).append(scan.sample)
        parts = "; ".join(f"{kind or 'unknown'}: {_names(samples)}" for kind, samples in kinds.items())
        remarks.append(
            f"These scans differ in their {name} ({parts}). A difference between them "
            "may come from this and not from the samples."
        )
    if not any(one.group for one in sets):
        remarks.append(
            "No scan names a group, so each stands alone with its own interval, and the spread between samples is "
            "unknown. Name replicates in the column `group` of the sample sheet."
        )
    elif all(len(one.scans) == 1 for one in sets if one.group):
        remarks.append(
            "Every group has a single scan at a time: intervals are those within a scan and say nothing about other "
            "samples."
        )
    bins = {tuple(scan.profile["depth_lo_um"].dropna().round(6)) for scan in scans}
    zones = {tuple(scan.zones[["from_um", "to_um"]].fillna(-1).round(6).to_numpy().ravel()) for scan in scans}
    if len(zones) > 1:
        remarks.append(
            "Zones or depths differ between these scans: with `zones: auto` each has thirds of its own depth. State "
            "`profile.zones` to compare them in the same depths."
        )
    elif len(bins) > 1:
        remarks.append(
            "Not all scans reach the same depths. A mean covers the scans that have the bin; hover over it to see how "
            "many."
        )
    return remarks


def _names(samples: Sequence[str]) -> str:
    more = len(samples) - 3
    return ", ".join(samples[:3]) + (f" and {more} more" if more > 0 else "")


def _headline_zone(scans: Sequence[ScanResult]) -> dict[str, Any]:
    """Return the zone that most scans reach; of several the farthest."""
    zones = pd.concat([scan.zones[scan.zones["volume_ratio"].notna()] for scan in scans])
    if zones.empty:
        zones = scans[0].zones
    counts = zones.fillna({"from_um": -1.0}).groupby("zone", sort=False)["from_um"].agg(["size", "first"])
    best = counts.sort_values(["size", "first"]).index[-1]
    return dict(zones[zones["zone"] == best].iloc[0][["zone", "from_um", "to_um"]])


def _group_rows(rows: pd.DataFrame, sets: Sequence[Replicates]) -> Iterator[GroupRow]:
    found = {(row.samples, row.quantity): row for row in rows[rows["kind"] == "zone"].itertuples()}
    for one in sets:
        if not one.group:
            continue
        for column, title, unit, factor in QUANTITIES:
            row = found.get((samples_of(one), column))
            if row is None:
                continue
            number = Estimate(factor * row.value, factor * row.lo, factor * row.hi)
            sd = Estimate(factor * row.sd_between).text if math.isfinite(row.sd_between) else "–"
            spread = spread_in_words(row.variance_ratio, row.n_scans)
            if row.n_scans == 0:
                spread = "no scan reaches this zone"
            yield GroupRow(one.group, _time(one.time_h), f"{title} ({unit})", row.n_scans, number, sd, spread)


def _difference_rows(rows: pd.DataFrame) -> Iterator[DifferenceRow]:
    units = {column: (title, unit, factor) for column, title, unit, factor in QUANTITIES}
    for row in rows[rows["kind"] == "difference"].itertuples():
        title, unit, factor = units[row.quantity]
        number = Estimate(factor * row.value, factor * row.lo, factor * row.hi)
        if min(row.n_scans, row.n_other) < 2:
            verdict = "not a test: a group of one scan has no known spread"
        elif min(row.n_scans, row.n_other) < FEW_SCANS:
            verdict = f"not a test: fewer than {FEW_SCANS} scans in a group"
        else:
            verdict = "the interval excludes zero" if row.lo > 0 or row.hi < 0 else "the interval includes zero"
        if "differ_in" in row.flag:
            verdict += "; the groups differ in more than their samples, see above"
        yield DifferenceRow(
            f"{row.other_group} − {row.group}",
            _time(row.time_h),
            f"{title} ({unit})",
            f"{row.n_other} and {row.n_scans}",
            number.text,
            number.interval.replace("–", " to "),
            verdict,
        )


def _time(hours: float) -> str:
    return f"{hours:g}" if math.isfinite(hours) else "–"
