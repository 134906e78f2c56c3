"""The plots of a beamtime: profiles of all scans on top of each other, and series in time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from ..profile.comparison import Replicates
from .figures import DASHES, LEGEND_ABOVE, MANY, NEUTRAL, QUANTITIES, bare, intervals, stretches

# Sequential, in the same order with any colour vision; without its ends, which vanish on a black or white page.
_SCALE = sample_colorscale("Cividis", np.linspace(0.15, 0.85, 12))
_SHADES = 24  # of the scale of time: curves of one shade are one trace, so that hundreds of scans stay light
_MOST_BANDS = 6  # intervals shown as areas; more would hide each other
_MOST_NAMED = 12  # lone scans with a name of their own
_MOST_IN_LEGEND = 24


@dataclass(frozen=True)
class _Family:
    """Curves that look alike and share an entry of the legend."""

    name: str
    colour: str
    dash: str
    sets: tuple[Replicates, ...]


def overlay_figure(sets: Sequence[Replicates], table: pd.DataFrame) -> go.Figure:
    """Return the profiles of all scans on top of each other.

    Thick lines are means over the scans of a group, areas their 95 % intervals between scans, thin lines the scans. A
    scan that stands alone is a line with its own interval. Scans of a series are coloured by time.

    Parameters
    ----------
    sets : sequence of Replicates
    table : DataFrame
        Of :func:`tomoprofile.profile.comparison.compare_scans`.
    """
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.045)
    families = list(_families(sets))
    bins = dict(list(table[table["kind"] == "bin"].groupby(["samples", "quantity"], sort=False)))
    banded = len(sets) <= _MOST_BANDS
    for row, (column, title, unit, factor) in enumerate(QUANTITIES, start=1):
        highest = 0.0
        for number, family in enumerate(families):
            style = {"legendgroup": str(number), "name": family.name}
            curves = [bins[samples_of(one), column] for one in family.sets]
            for one, curve in zip(family.sets, curves, strict=True):
                if banded:
                    figure.add_trace(_area(curve, factor, family.colour, style), row, 1)
                if len(one.scans) > 1:
                    figure.add_trace(_thin(one, column, factor, family, style), row, 1)
            line = _mean(curves, factor, title, unit, family, style)
            shown = row == 1 and number < _MOST_IN_LEGEND
            figure.add_trace(line.update(showlegend=shown), row, 1)
            highest = np.nanmax([highest, *(factor * float(curve["value"].max()) for curve in curves)])
        figure.update_yaxes(title={"text": f"{title} ({unit})", "font": {"size": 13}}, row=row, col=1)
        figure.update_yaxes(range=[0, 1.25 * highest or 1.0], row=row, col=1)
    times = [one.time_h for one in sets if math.isfinite(one.time_h)]
    if len(set(times)) > 1:
        figure.add_trace(_colour_bar(min(times), max(times)), 1, 1)
    figure.update_xaxes(rangemode="tozero")
    figure.update_xaxes(title={"text": "Distance from the substrate (µm)"}, row=3, col=1)
    figure.update_yaxes(exponentformat="power", showexponent="all", nticks=6, automargin=True)
    return bare(figure, 820, top=64, hovermode="closest", legend=LEGEND_ABOVE)


def series_figure(sets: Sequence[Replicates], rows: pd.DataFrame) -> go.Figure:
    """Return the headline numbers against time, with 95 % intervals, one line a group.

    Parameters
    ----------
    sets : sequence of Replicates
    rows : DataFrame
        Rows of the headline's zone.
    """
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    timed = [one for one in sets if math.isfinite(one.time_h)]
    groups = list(dict.fromkeys(one.group for one in timed))
    values = {(row.samples, row.quantity): row for row in rows[rows["kind"] == "zone"].itertuples()}
    for number, group in enumerate(groups):
        name = escape(group) or "scans without a group"  # Plotly reads tags in names
        colour = MANY[number % len(MANY)]
        chosen = sorted((one for one in timed if one.group == group), key=lambda one: one.time_h)
        for row, (column, title, unit, factor) in enumerate(QUANTITIES, start=1):
            found = [values.get((samples_of(one), column)) for one in chosen]
            known = [(one, hit) for one, hit in zip(chosen, found, strict=True) if hit is not None]
            value, low, high = (
                np.array([factor * getattr(hit, end) for _, hit in known]) for end in ("value", "lo", "hi")
            )
            points = go.Scatter(
                x=[one.time_h for one, _ in known],
                y=value,
                mode="lines+markers",
                name=name,
                legendgroup=name,
                showlegend=row == 1,
                line={"color": colour, "width": 1.6, "dash": DASHES[number // len(MANY) % len(DASHES)]},
                marker={"size": 7, "color": colour},
                customdata=[[hit.n_scans, bottom, top] for (_, hit), bottom, top in zip(known, low, high, strict=True)],
                hovertemplate=f"{name}, %{{x:g}} h: {title.lower()} %{{y:.4g}} {unit}<br>95 % interval "
                "%{customdata[1]:.4g} to %{customdata[2]:.4g}, scans: %{customdata[0]}<extra></extra>",
            )
            points.update(error_y=intervals(value, low, high) | {"thickness": 1.4, "width": 3})
            figure.add_trace(points, row, 1)
            figure.update_yaxes(title={"text": f"{title} ({unit})", "font": {"size": 13}}, row=row, col=1)
    figure.update_xaxes(title={"text": "Time (h)"}, row=3, col=1)
    figure.update_yaxes(rangemode="tozero", exponentformat="power", showexponent="all", nticks=5, automargin=True)
    return bare(figure, 640, top=64, hovermode="closest", legend=LEGEND_ABOVE)


def _families(sets: Sequence[Replicates]) -> Iterator[_Family]:
    """Yield curves with their looks: by time along a scale, else each group its own; too many lone scans share one."""
    groups = list(dict.fromkeys(one.group for one in sets if one.group))
    times = [one.time_h for one in sets if math.isfinite(one.time_h)]
    dashes = dict(zip(groups, cycle(DASHES), strict=False))
    if len(set(times)) > 1:
        shades: dict[tuple[str, int], list[Replicates]] = {}
        for one in sets:
            if math.isfinite(one.time_h):
                share = (one.time_h - min(times)) / (max(times) - min(times))
                shades.setdefault((one.group, round(share * (_SHADES - 1))), []).append(one)
        for (group, shade), chosen in shades.items():
            hours = sorted({one.time_h for one in chosen})
            when = f"{hours[0]:g} h" if len(hours) == 1 else f"{hours[0]:g}–{hours[-1]:g} h"
            (colour,) = sample_colorscale(_SCALE, [shade / (_SHADES - 1)], colortype="rgb")
            yield _Family(f"{escape(chosen[0].name)}, {when}", colour, dashes.get(group, "solid"), tuple(chosen))
        sets = [one for one in sets if not math.isfinite(one.time_h)]
    looks = ((colour, dash) for dash in cycle(DASHES) for colour in MANY)
    alone = [one for one in sets if not one.group]
    for group in groups:
        chosen = [one for one in sets if one.group == group]
        if chosen:
            yield _Family(escape(group), *next(looks), tuple(chosen))
    if len(alone) <= _MOST_NAMED:
        for one in alone:
            yield _Family(escape(one.name), *next(looks), (one,))
    else:
        yield _Family(f"{len(alone)} scans without a group", NEUTRAL, "solid", tuple(alone))


def _mean(
    curves: Sequence[pd.DataFrame], factor: float, title: str, unit: str, family: _Family, style: dict[str, Any]
) -> go.Scatter:
    x, y = _joined([(_middle(curve), factor * curve["value"].to_numpy()) for curve in curves])
    known = len(curves) <= _MOST_NAMED  # hover texts would otherwise be most of the page
    details = np.concatenate(
        [
            np.vstack([curve[["n_scans", "lo", "hi"]].to_numpy(float) * (1, factor, factor), [[np.nan] * 3]])
            for curve in curves
        ]
    ).astype(np.float32)
    thick = any(len(one.scans) > 1 for one in family.sets)
    line = go.Scatter(
        x=x, y=y, mode="lines", line={"width": 2.6 if thick else 1.5, "color": family.colour, "dash": family.dash}
    )
    if not known:
        return line.update(**style, hoverinfo="name", opacity=0.6)
    return line.update(
        **style,
        customdata=details,
        hovertemplate=f"{family.name}, %{{x:.4g}} µm: {title.lower()} %{{y:.4g}} {unit}<br>95 % interval "
        "%{customdata[1]:.4g} to %{customdata[2]:.4g}, scans: %{customdata[0]}<extra></extra>",
    )


def _thin(one: Replicates, column: str, factor: float, family: _Family, style: dict[str, Any]) -> go.Scatter:
    curves = [
        (scan.profile["depth_um"].to_numpy(), factor * scan.profile[column].to_numpy(float)) for scan in one.scans
    ]
    x, y = _joined(curves)
    thin = go.Scatter(x=x, y=y, mode="lines", line={"width": 0.8, "color": family.colour}, opacity=0.45)
    return thin.update(**style, showlegend=False, hoverinfo="skip")


def _area(curve: pd.DataFrame, factor: float, colour: str, style: dict[str, Any]) -> go.Scatter:
    """Return the interval as an area, broken where it is unknown."""
    known = np.isfinite(curve["lo"].to_numpy()) & np.isfinite(curve["hi"].to_numpy())
    pieces = []
    for run in stretches(known):
        part = curve.iloc[run]
        depths = part[["from_um", "to_um"]].to_numpy().ravel()
        low, high = (np.repeat(factor * part[end].to_numpy(), 2) for end in ("lo", "hi"))
        pieces.append((np.concatenate([depths, depths[::-1]]), np.concatenate([high, low[::-1]])))
    x, y = _joined(pieces)
    area = go.Scatter(x=x, y=y, mode="lines", line={"width": 0}, fill="toself", fillcolor=colour, opacity=0.18)
    return area.update(**style, showlegend=False, hoverinfo="skip")


def _joined(curves: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return curves one after another with gaps between them, as a single trace needs them."""
    parts = [[np.append(values, np.nan) for values in curve] for curve in curves] or [[np.array([np.nan])] * 2]
    x, y = (np.concatenate(values).astype(np.float32) for values in zip(*parts, strict=True))
    return x, y


def _middle(curve: pd.DataFrame) -> NDArray[np.float64]:
    return curve[["from_um", "to_um"]].to_numpy().mean(axis=1)


def _colour_bar(first: float, last: float) -> go.Scatter:
    bar = {"title": {"text": "Time (h)"}, "orientation": "h", "thickness": 10, "len": 0.5, "y": -0.13, "yanchor": "top"}
    marker = {"color": [first, last], "cmin": first, "cmax": last, "colorscale": _SCALE, "colorbar": bar, "size": 0.1}
    return go.Scatter(x=[None, None], y=[None, None], mode="markers", marker=marker, showlegend=False, hoverinfo="skip")


def samples_of(one: Replicates) -> str:
    """Return the names of replicates as the table of the comparison has them."""
    return ";".join(scan.sample for scan in one.scans)
