"""Volume fraction, mean diameter and number density against the distance from the substrate, and where they bend."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...domains.objects import ObjectsMetadata
from ...tables import LEVELS, at_level
from ..divisions import Divisions
from ..figures import BLUE, GREEN, NEUTRAL, ORANGE, PURPLE, QUANTITIES, bare, faint, intervals, stretches
from ..numbers import Estimate, short
from ..segmentation import Segmentation
from .section import Content


def build(
    profile: pd.DataFrame,
    zones: pd.DataFrame,
    breakpoints: pd.DataFrame,
    levels: dict[str, ObjectsMetadata],
    segmentation: Segmentation,
    divisions: Divisions,
) -> Content:
    """Return the profile, the table of breakpoints, and into what the scan was divided."""
    words = {
        "breaks": list(_breaks(breakpoints)),
        "one_bin": int((at_level(profile, "calibrated")["n_domains"] > 0).sum()) == 1,
        "levels": levels,
        "segmentation": segmentation,
        "divisions": divisions.told(has_depth=True),
    }
    figures = {"profile": profile_figure(profile, zones, breakpoints)}
    return Content(words, figures, {"profile": profile, "breakpoints": breakpoints})


def profile_figure(profile: pd.DataFrame, zones: pd.DataFrame, breakpoints: pd.DataFrame) -> go.Figure:
    """Return volume fraction, mean diameter and number density against the distance from the substrate.

    Points are the calibrated level with 95 % intervals, the area behind them is the boundary band, hollow points are
    flagged bins, dotted lines the borders of zones, dashed lines breakpoints in the interval that is shaded.
    What a reader may add to the diameters is hidden; its ``meta`` is the name of the box that shows it.
    """
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.045)
    bins = at_level(profile, "calibrated")
    flagged = bins["flag"] != ""
    for row, ((name, title, unit, factor), colour) in enumerate(
        zip(QUANTITIES, (BLUE, ORANGE, GREEN), strict=True), start=1
    ):
        x, y = _band(profile, name, factor)
        band = go.Scatter(x=x, y=y, fill="toself", mode="lines", fillcolor=faint(colour))
        band.update(line={"width": 1, "color": faint(colour)})  # or a band thinner than a pixel would not be seen
        figure.add_trace(band.update(hoverinfo="skip", showlegend=False), row, 1)
        if row == 2:
            figure.add_traces(_distribution(bins), 2, 1)
        figure.add_trace(_points(bins, flagged, name, title, unit, factor, colour), row, 1)
        _mark_breaks(figure, breakpoints[breakpoints["quantity"] == name], row)
        figure.update_yaxes(title={"text": f"{title} ({unit})", "font": {"size": 13}}, row=row, col=1)
        figure.update_yaxes(range=[0, _top(bins, flagged, y, name, factor)], row=row, col=1)
    banded, broken = bool(_band(profile, QUANTITIES[0][0], 1.0)[0]), bool(breakpoints["depth_um"].notna().any())
    _legend(figure, banded, broken)
    _zone_borders(figure, zones)
    figure.update_xaxes(range=[min(0.0, float(bins["depth_lo_um"].min())), float(bins["depth_hi_um"].max())])
    figure.update_xaxes(title={"text": "Distance from the substrate (µm)"}, row=3, col=1)
    figure.update_yaxes(exponentformat="power", showexponent="all", nticks=6, automargin=True)
    return bare(figure, 780, top=84, hovermode="closest")


def _points(
    bins: pd.DataFrame, flagged: pd.Series, name: str, title: str, unit: str, factor: float, colour: str
) -> go.Scatter:
    value, low, high = (bins[f"{name}{end}"].to_numpy(float) * factor for end in ("", "_lo", "_hi"))
    points = go.Scatter(x=bins["depth_um"], y=value, mode="lines+markers", line={"width": 1.4, "color": colour})
    symbols = np.where(flagged, "circle-open", "circle")
    points.update(marker={"size": 7, "color": colour, "symbol": symbols, "line": {"width": 1.5, "color": colour}})
    points.update(error_y=intervals(value, low, high) | {"thickness": 1.4, "width": 3})
    details = np.column_stack([bins["n_domains"], low, high, bins["flag"].replace("", "none")])
    points.update(
        customdata=details,
        name=title,
        showlegend=False,
        hovertemplate=f"%{{x:.4g}} µm: {title.lower()} %{{y:.4g}} {unit}<br>95 % interval %{{customdata[1]:.4g}} to "
        "%{customdata[2]:.4g}<br>%{customdata[0]} domains, flags: %{customdata[3]}<extra></extra>",
    )
    return points


def _distribution(bins: pd.DataFrame) -> list[go.Scatter]:
    """Return what else is known about the diameters of each bin; the page shows it when asked."""
    x = bins["depth_um"]
    low, high = (bins[f"diameter_{end}_um"].to_numpy(float) for end in ("p10", "p90"))
    around: list[float | None] = []
    between: list[float | None] = []
    for run in stretches(np.isfinite(low) & np.isfinite(high)):
        around += [*x[run], *x[run][::-1], None]
        between += [*high[run], *low[run][::-1], None]
    area = go.Scatter(
        x=around[:-1],
        y=between[:-1],
        fill="toself",
        fillcolor=faint(NEUTRAL),
        mode="lines",
        line={"width": 1, "color": NEUTRAL},
        name="10 to 90 % of the domains",
        meta="percentiles",
    )
    lines = [area.update(hoverinfo="skip", visible=False, showlegend=False)]
    for name, words, meta, dash in (
        ("diameter_median_um", "median", "median", "dash"),
        ("volume_weighted_diameter_um", "volume-weighted mean", "weighted", "dot"),
    ):
        value, lowest, highest = (bins[f"{name}{end}"].to_numpy(float) for end in ("", "_lo", "_hi"))
        line = go.Scatter(x=x, y=value, mode="lines+markers", name=words, meta=meta, visible=False, showlegend=False)
        line.update(
            line={"width": 1.4, "color": NEUTRAL, "dash": dash},
            marker={"size": 6, "symbol": "diamond" if meta == "median" else "square", "color": NEUTRAL},
            error_y=intervals(value, lowest, highest) | {"thickness": 1, "width": 2},
            hovertemplate=f"%{{x:.4g}} µm: {words} %{{y:.4g}} µm<extra></extra>",
        )
        lines.append(line)
    return lines


def _mark_breaks(figure: go.Figure, breakpoints: pd.DataFrame, row: int) -> None:
    for found in breakpoints[breakpoints["depth_um"].notna()].itertuples():
        if math.isfinite(found.depth_um_lo) and math.isfinite(found.depth_um_hi):
            band = {"fillcolor": PURPLE, "opacity": 0.16, "line_width": 0, "layer": "below"}
            figure.add_vrect(x0=found.depth_um_lo, x1=found.depth_um_hi, row=row, col=1, **band)
        figure.add_vline(x=found.depth_um, line={"dash": "dash", "width": 1.6, "color": PURPLE}, row=row, col=1)


def _band(profile: pd.DataFrame, name: str, factor: float) -> tuple[list[float | None], list[float | None]]:
    """Return the outlines of the boundary band, stepped at the ends of bins and broken where it is unknown."""
    levels = [at_level(profile, level).set_index("depth_um")[name] * factor for level in LEVELS]
    table = pd.concat(levels, axis=1, keys=LEVELS).sort_index()
    bins = at_level(profile, "calibrated").set_index("depth_um").reindex(table.index)
    known = table.notna().all(axis=1).to_numpy()
    x: list[float | None] = []
    y: list[float | None] = []
    for run in stretches(known):
        depths = bins.iloc[run][["depth_lo_um", "depth_hi_um"]].to_numpy().ravel()
        upper = np.repeat(table.iloc[run].max(axis=1).to_numpy(), 2)
        lower = np.repeat(table.iloc[run].min(axis=1).to_numpy(), 2)
        x += [*depths, *depths[::-1], None]
        y += [*upper, *lower[::-1], None]
    return x[:-1], y[:-1]


def _top(bins: pd.DataFrame, flagged: pd.Series, band: list[float | None], name: str, factor: float) -> float:
    """Return the upper end of an axis: intervals of flagged bins may leave the picture, values never."""
    values = [*(bins[name] * factor), *(bins.loc[~flagged, f"{name}_hi"] * factor), *filter(None, band)]
    return 1.08 * max((value for value in values if math.isfinite(value)), default=1.0) or 1.0


def _legend(figure: go.Figure, banded: bool, broken: bool) -> None:
    marker = {"size": 8, "color": NEUTRAL, "line": {"width": 1.5, "color": NEUTRAL}}
    keys: list[tuple[str, dict[str, Any]]] = [
        ("calibrated level, 95 % interval", {"mode": "lines+markers", "marker": marker, "line": {"color": NEUTRAL}}),
        ("boundary band", {"mode": "markers", "marker": {"size": 13, "symbol": "square", "color": faint(NEUTRAL)}}),
        ("flagged bin", {"mode": "markers", "marker": {**marker, "symbol": "circle-open"}}),
    ]
    if not banded:  # a given mask has no levels either
        keys = [("95 % interval", keys[0][1]), keys[2]]
    if broken:
        keys.append(("breakpoint, 95 % interval", {"mode": "lines", "line": {"dash": "dash", "color": PURPLE}}))
    for name, style in keys:
        figure.add_trace(go.Scatter(x=[None], y=[None], name=name, hoverinfo="skip", **style), 1, 1)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.05, "yanchor": "bottom", "itemclick": False})


def _zone_borders(figure: go.Figure, zones: pd.DataFrame) -> None:
    for row in at_level(zones, "calibrated").itertuples():
        if row.from_um > 0:
            figure.add_vline(x=row.from_um, line={"dash": "dot", "width": 1.2, "color": NEUTRAL})
        label = {"xref": "x", "yref": "paper", "x": row.from_um, "y": 1.0, "xanchor": "left", "yanchor": "bottom"}
        figure.add_annotation(text=html.escape(row.zone), showarrow=False, font={"size": 12}, **label)


def _breaks(breakpoints: pd.DataFrame) -> Iterator[dict[str, str]]:
    for row in breakpoints.to_dict("records"):
        place = Estimate(row["depth_um"], row["depth_um_lo"], row["depth_um_hi"])
        slopes = {name: short(row[name]) for name in ("slope_before", "slope_after")}
        yield {
            "quantity": row["quantity"],
            "change": row["change"],
            "place": place.text if math.isfinite(place.value) else "–",
            "interval": place.interval,
            "flag": row["flag"],
            **slopes,
        }
