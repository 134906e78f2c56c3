"""The plots of the page (P24, P28, P43) as Plotly figures; colours of text and grid come from the page's theme."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from ..tables import ESTIMATES, LEVELS, at_level
from .headline import depth_range

_BLUE, _ORANGE, _GREEN = "#3b82c4", "#d9661f", "#2a9d7c"  # told apart with any colour vision, on white and on black
_PURPLE = "#a35cb8"
_NEUTRAL = "#7c8797"
_PALETTE = (_ORANGE, _GREEN, _BLUE)
_DASHES = ("solid", "dash", "dot", "dashdot")  # zones are told apart without colour, too
_TITLES = ("Volume ratio (%)", "Mean diameter (µm)", "Number density (mm⁻³)")
_FACTORS = (100.0, 1.0, 1.0)
_HEADING_PIXELS = 38.0  # above each histogram, for its name


def profile_figure(profile: pd.DataFrame, zones: pd.DataFrame, breakpoints: pd.DataFrame) -> go.Figure:
    """Return volume ratio, mean diameter and number density against the distance from the substrate.

    Points are the calibrated level with 95 % intervals, the area behind them is the boundary band, hollow points are
    flagged bins, dotted lines the borders of zones, dashed lines breakpoints in the interval that is shaded
    (P28, P43). What a reader may add to the diameters is hidden; its ``meta`` is the name of the box that shows it.
    """
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.045)
    bins = at_level(profile, "calibrated")
    flagged = bins["flag"] != ""
    for row, (name, title, factor, colour) in enumerate(
        zip(ESTIMATES, _TITLES, _FACTORS, (_BLUE, _ORANGE, _GREEN), strict=True), start=1
    ):
        x, y = _band(profile, name, factor)
        band = go.Scatter(x=x, y=y, fill="toself", mode="lines", line={"width": 0}, fillcolor=_faint(colour))
        figure.add_trace(band.update(hoverinfo="skip", showlegend=False), row, 1)
        if row == 2:
            figure.add_traces(_distribution(bins), 2, 1)
        figure.add_trace(_points(bins, flagged, name, title, factor, colour), row, 1)
        _mark_breaks(figure, breakpoints[breakpoints["quantity"] == name], row)
        figure.update_yaxes(title={"text": title, "font": {"size": 13}}, row=row, col=1)
        figure.update_yaxes(range=[0, _top(bins, flagged, y, name, factor)], row=row, col=1)
    _legend(
        figure, banded=bool(_band(profile, ESTIMATES[0], 1.0)[0]), broken=bool(breakpoints["depth_um"].notna().any())
    )
    _zone_borders(figure, zones)
    figure.update_xaxes(range=[min(0.0, float(bins["depth_lo_um"].min())), float(bins["depth_hi_um"].max())])
    figure.update_xaxes(title={"text": "Distance from the substrate (µm)"}, row=3, col=1)
    figure.update_yaxes(exponentformat="power", showexponent="all", nticks=6, automargin=True)
    return _bare(figure, 780, hovermode="closest", margin={"l": 64, "r": 16, "t": 84, "b": 48})


def sizes_figure(sizes: pd.DataFrame, zones: pd.DataFrame) -> go.Figure:
    """Return the number density by class of diameter for each zone, with 95 % intervals (P24)."""
    rows = at_level(zones, "calibrated")
    height = 190 * len(rows)
    figure = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=_HEADING_PIXELS / height)
    last = sizes.loc[sizes["n_domains"] > 0, "diameter_hi_um"].max()
    for number, zone in enumerate(rows.itertuples(), start=1):
        here = sizes[sizes["zone"] == zone.zone]
        low, high = here["diameter_lo_um"].to_numpy(float), here["diameter_hi_um"].to_numpy(float)
        density = here["number_density_per_mm3"].to_numpy(float)
        ends = [here[f"number_density_per_mm3_{end}"].to_numpy(float) for end in ("lo", "hi")]
        bars = go.Bar(x=(low + high) / 2, y=density, width=high - low, name=zone.zone, showlegend=False)
        bars.update(
            marker={"color": _PALETTE[(number - 1) % 3], "line": {"width": 0}},
            error_y={"type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": _NEUTRAL}
            | {"array": np.nan_to_num(ends[1] - density), "arrayminus": np.nan_to_num(density - ends[0])},
            customdata=np.column_stack([low, high, *ends, here["n_domains"], 100 * here["volume_ratio_share"]]),
            hovertemplate="%{customdata[0]:.3g} to %{customdata[1]:.3g} µm: %{y:.3g} mm⁻³<br>95 % interval "
            "%{customdata[2]:.3g} to %{customdata[3]:.3g}<br>%{customdata[4]} domains, %{customdata[5]:.1f} % of the "
            "volume of all<extra></extra>",
        )
        figure.add_trace(bars, number, 1)
        found = int(here["n_domains"].sum())
        words = f"{found:,} whole domains".replace(",", " ") if found else "no whole domain was found"
        figure.add_annotation(
            text=f"<b>{html.escape(zone.zone)}</b>, {depth_range(zone.from_um, zone.to_um)}: {words}",
            **{"xref": "x domain", "yref": "y domain", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"},
            showarrow=False,
            row=number,
            col=1,
        )
    figure.update_xaxes(range=[0, 1.02 * last if math.isfinite(last) else 1.0])
    figure.update_xaxes(title={"text": "Equivalent diameter (µm)"}, row=len(rows), col=1)
    figure.update_yaxes(title={"text": "Number density<br>(mm⁻³)", "font": {"size": 13}}, rangemode="tozero", nticks=5)
    figure.update_yaxes(exponentformat="power", showexponent="all", automargin=True)
    return _bare(figure, height + 80, bargap=0, margin={"l": 64, "r": 16, "t": 32, "b": 48})


def correlation_figure(correlation: pd.DataFrame) -> go.Figure:
    """Return the two-point correlation S2 with 95 % intervals and the autocovariance against the lag, by zone.

    Zones in which it is not known have no line; the page says so.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    known = correlation[correlation["s2"].notna()]
    for number, (zone, rows) in enumerate(known.groupby("zone", sort=False)):
        colour, dash = _PALETTE[number % 3], _DASHES[number % len(_DASHES)]
        lag, low, high = (rows[name].to_numpy(float) for name in ("lag_um", "s2_lo", "s2_hi"))
        area = go.Scatter(x=[*lag, *lag[::-1]], y=[*high, *low[::-1]], fill="toself", fillcolor=_faint(colour))
        figure.add_trace(area.update(mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=False), 1, 1)
        line = {"mode": "lines", "line": {"width": 1.8, "color": colour, "dash": dash}, "name": str(zone)}
        s2 = go.Scatter(x=lag, y=rows["s2"].to_numpy(float), legendgroup=str(zone), **line)
        s2.update(
            customdata=np.column_stack([low, high, rows["pairs"]]),
            hovertemplate="lag %{x:.3g} µm: S2 %{y:.3g}<br>95 % interval %{customdata[0]:.3g} to %{customdata[1]:.3g}"
            "<br>%{customdata[2]:.3g} pairs of voxels<extra></extra>",
        )
        figure.add_trace(s2, 1, 1)
        covariance = go.Scatter(x=lag, y=rows["autocovariance"].to_numpy(float), showlegend=False, **line)
        covariance.update(legendgroup=str(zone), hovertemplate="lag %{x:.3g} µm: %{y:.3g}<extra></extra>")
        figure.add_trace(covariance, 2, 1)
    figure.add_hline(y=0, line={"width": 1, "color": _NEUTRAL}, row=2, col=1)
    figure.update_yaxes(title={"text": "S2"}, row=1, col=1)
    figure.update_yaxes(title={"text": "Autocovariance"}, row=2, col=1)
    figure.update_yaxes(nticks=6, automargin=True, exponentformat="power")
    figure.update_xaxes(title={"text": "Lag (µm)"}, row=2, col=1)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"})
    return _bare(figure, 480, margin={"l": 64, "r": 16, "t": 48, "b": 48})


def learning_figure(curve: Sequence[tuple[int, float]]) -> go.Figure:
    """Return the loss of training against the step."""
    steps, losses = ([point[i] for point in curve] for i in (0, 1))
    figure = go.Figure(go.Scatter(x=steps, y=losses, mode="lines", line={"width": 1.6, "color": _BLUE}))
    figure.update_xaxes(title={"text": "Training step"})
    figure.update_yaxes(title={"text": "Loss"}, rangemode="tozero", nticks=5, automargin=True)
    return _bare(figure, 240, margin={"l": 64, "r": 16, "t": 32, "b": 48})


def _points(bins: pd.DataFrame, flagged: pd.Series, name: str, title: str, factor: float, colour: str) -> go.Scatter:
    value, low, high = (bins[f"{name}{end}"].to_numpy(float) * factor for end in ("", "_lo", "_hi"))
    points = go.Scatter(x=bins["depth_um"], y=value, mode="lines+markers", line={"width": 1.4, "color": colour})
    symbols = np.where(flagged, "circle-open", "circle")
    points.update(marker={"size": 7, "color": colour, "symbol": symbols, "line": {"width": 1.5, "color": colour}})
    error = {"type": "data", "symmetric": False, "array": np.nan_to_num(high - value)}
    points.update(error_y={**error, "arrayminus": np.nan_to_num(value - low), "thickness": 1.4, "width": 3})
    what, unit = title.removesuffix(")").split(" (")
    details = np.column_stack([bins["n_domains"], low, high, bins["flag"].replace("", "none")])
    points.update(
        customdata=details,
        name=what,
        showlegend=False,
        hovertemplate=f"%{{x:.4g}} µm: {what.lower()} %{{y:.4g}} {unit}<br>95 % interval %{{customdata[1]:.4g}} to "
        "%{customdata[2]:.4g}<br>%{customdata[0]} domains, flags: %{customdata[3]}<extra></extra>",
    )
    return points


def _distribution(bins: pd.DataFrame) -> list[go.Scatter]:
    """Return what else is known about the diameters of each bin; the page shows it when asked."""
    x = bins["depth_um"]
    low, high = (bins[f"diameter_{end}_um"].to_numpy(float) for end in ("p10", "p90"))
    around: list[float | None] = []
    between: list[float | None] = []
    for run in _stretches(np.isfinite(low) & np.isfinite(high)):
        around += [*x[run], *x[run][::-1], None]
        between += [*high[run], *low[run][::-1], None]
    area = go.Scatter(
        x=around[:-1],
        y=between[:-1],
        fill="toself",
        fillcolor=_faint(_NEUTRAL),
        mode="lines",
        line={"width": 1, "color": _NEUTRAL},
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
            line={"width": 1.4, "color": _NEUTRAL, "dash": dash},
            marker={"size": 6, "symbol": "diamond" if meta == "median" else "square", "color": _NEUTRAL},
            error_y={"type": "data", "symmetric": False, "thickness": 1, "width": 2}
            | {"array": np.nan_to_num(highest - value), "arrayminus": np.nan_to_num(value - lowest)},
            hovertemplate=f"%{{x:.4g}} µm: {words} %{{y:.4g}} µm<extra></extra>",
        )
        lines.append(line)
    return lines


def _mark_breaks(figure: go.Figure, breakpoints: pd.DataFrame, row: int) -> None:
    for found in breakpoints[breakpoints["depth_um"].notna()].itertuples():
        if math.isfinite(found.depth_um_lo) and math.isfinite(found.depth_um_hi):
            band = {"fillcolor": _PURPLE, "opacity": 0.16, "line_width": 0, "layer": "below"}
            figure.add_vrect(x0=found.depth_um_lo, x1=found.depth_um_hi, row=row, col=1, **band)
        figure.add_vline(x=found.depth_um, line={"dash": "dash", "width": 1.6, "color": _PURPLE}, row=row, col=1)


def _band(profile: pd.DataFrame, name: str, factor: float) -> tuple[list[float | None], list[float | None]]:
    """Return the outlines of the boundary band, stepped at the ends of bins and broken where it is unknown."""
    levels = [at_level(profile, level).set_index("depth_um")[name] * factor for level in LEVELS]
    table = pd.concat(levels, axis=1, keys=LEVELS).sort_index()
    bins = at_level(profile, "calibrated").set_index("depth_um").reindex(table.index)
    known = table.notna().all(axis=1).to_numpy()
    x: list[float | None] = []
    y: list[float | None] = []
    for run in _stretches(known):
        depths = bins.iloc[run][["depth_lo_um", "depth_hi_um"]].to_numpy().ravel()
        upper = np.repeat(table.iloc[run].max(axis=1).to_numpy(), 2)
        lower = np.repeat(table.iloc[run].min(axis=1).to_numpy(), 2)
        x += [*depths, *depths[::-1], None]
        y += [*upper, *lower[::-1], None]
    return x[:-1], y[:-1]


def _stretches(known: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Return the indices of each unbroken stretch of bins in which something is known."""
    runs = np.split(np.arange(len(known)), np.flatnonzero(np.diff(known.astype(int))) + 1)
    return [run for run in runs if run.size and known[run[0]]]


def _top(bins: pd.DataFrame, flagged: pd.Series, band: list[float | None], name: str, factor: float) -> float:
    """Return the upper end of an axis: intervals of flagged bins may leave the picture, values never."""
    values = [*(bins[name] * factor), *(bins.loc[~flagged, f"{name}_hi"] * factor), *filter(None, band)]
    return 1.08 * max((value for value in values if math.isfinite(value)), default=1.0) or 1.0


def _legend(figure: go.Figure, banded: bool, broken: bool) -> None:
    marker = {"size": 8, "color": _NEUTRAL, "line": {"width": 1.5, "color": _NEUTRAL}}
    keys: list[tuple[str, dict[str, Any]]] = [
        ("calibrated level, 95 % interval", {"mode": "lines+markers", "marker": marker, "line": {"color": _NEUTRAL}}),
        ("boundary band", {"mode": "markers", "marker": {"size": 13, "symbol": "square", "color": _faint(_NEUTRAL)}}),
        ("flagged bin", {"mode": "markers", "marker": {**marker, "symbol": "circle-open"}}),
    ]
    if not banded:  # a given mask has no levels either
        keys = [("95 % interval", keys[0][1]), keys[2]]
    if broken:
        keys.append(("breakpoint, 95 % interval", {"mode": "lines", "line": {"dash": "dash", "color": _PURPLE}}))
    for name, style in keys:
        figure.add_trace(go.Scatter(x=[None], y=[None], name=name, hoverinfo="skip", **style), 1, 1)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.05, "yanchor": "bottom", "itemclick": False})


def _zone_borders(figure: go.Figure, zones: pd.DataFrame) -> None:
    for row in at_level(zones, "calibrated").itertuples():
        if row.from_um > 0:
            figure.add_vline(x=row.from_um, line={"dash": "dot", "width": 1.2, "color": _NEUTRAL})
        label = {"xref": "x", "yref": "paper", "x": row.from_um, "y": 1.0, "xanchor": "left", "yanchor": "bottom"}
        figure.add_annotation(text=html.escape(row.zone), showarrow=False, font={"size": 12}, **label)


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.24)"


def _bare(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """Take away the library's own look; the page gives text and grid the colours of its theme."""
    figure.update_layout(
        template=go.layout.Template(), height=height, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)"
    )
    return figure.update_layout(**layout)
