"""The plots of the page (P24, P28, P29, P43) as Plotly figures; colours of text and grid come from the page's theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from ..volume.plane import Plane
from .headline import depth_range
from .tables import ESTIMATES, LEVELS, at_level

MOST_MARKERS = 20_000
_BLUE, _ORANGE, _GREEN = "#3b82c4", "#d9661f", "#2a9d7c"  # told apart with any colour vision, on white and on black
_NEUTRAL = "#7c8797"
_TITLES = ("Volume ratio (%)", "Mean diameter (µm)", "Number density (mm⁻³)")
_FACTORS = (100.0, 1.0, 1.0)
_SCENE_PIXELS = 560.0  # height of the scene on the page
_BINS = 60
_HEADING_PIXELS = 38.0  # above each histogram, for its name


def profile_figure(profile: pd.DataFrame, zones: pd.DataFrame) -> go.Figure:
    """Return volume ratio, mean diameter and number density against the distance from the substrate.

    Points are the calibrated level with 95 % intervals, the area behind them is the boundary band, hollow points are
    flagged bins, dotted lines the borders of zones (P28, P43).
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
        figure.add_trace(_points(bins, flagged, name, title, factor, colour), row, 1)
        top = _top(bins, flagged, y, name, factor)
        figure.update_yaxes(title={"text": title, "font": {"size": 13}}, range=[0, top], row=row, col=1)
    _legend(figure, banded=bool(_band(profile, ESTIMATES[0], 1.0)[0]))
    _zone_borders(figure, zones)
    figure.update_xaxes(range=[min(0.0, float(bins["depth_lo_um"].min())), float(bins["depth_hi_um"].max())])
    figure.update_xaxes(title={"text": "Distance from the substrate (µm)"}, row=3, col=1)
    figure.update_yaxes(exponentformat="power", showexponent="all", nticks=6, automargin=True)
    return _bare(figure, 780, hovermode="closest", margin={"l": 64, "r": 16, "t": 64, "b": 48})


def diameter_figure(domains: pd.DataFrame, zones: pd.DataFrame) -> go.Figure:
    """Return a histogram of equivalent diameters for each zone, of domains the scan's sides do not cut (P24)."""
    rows = at_level(zones, "calibrated")
    whole = domains[domains["edge_weight"] > 0]
    last = float(whole["equivalent_diameter_um"].max()) if len(whole) else 1.0
    edges = np.linspace(0.0, last * 1.02, _BINS + 1)
    height = 170 * len(rows)
    figure = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=_HEADING_PIXELS / height)
    palette = (_ORANGE, _GREEN, _BLUE)
    for number, row in enumerate(rows.itertuples(), start=1):
        stop = row.to_um if row.to_um is not None and math.isfinite(row.to_um) else math.inf
        inside = whole[(whole["depth_um"] >= row.from_um) & (whole["depth_um"] < stop)]
        heights, _ = np.histogram(inside["equivalent_diameter_um"], edges)
        bars = go.Bar(x=(edges[1:] + edges[:-1]) / 2, y=heights, width=np.diff(edges), name=row.zone)
        bars.update(marker={"color": palette[(number - 1) % 3], "line": {"width": 0}}, showlegend=False)
        bars.update(hovertemplate="%{x:.2f} µm: %{y} domains<extra></extra>")
        figure.add_trace(bars, number, 1)
        figure.update_yaxes(title={"text": "Domains"}, rangemode="tozero", nticks=5, automargin=True, row=number, col=1)
        figure.add_annotation(
            text=f"<b>{row.zone}</b>, {depth_range(row.from_um, row.to_um)}: {len(inside):,} domains".replace(",", " "),
            **{"xref": "x domain", "yref": "y domain", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"},
            showarrow=False,
            row=number,
            col=1,
        )
    figure.update_xaxes(range=[0, edges[-1]])
    figure.update_xaxes(title={"text": "Equivalent diameter (µm)"}, row=len(rows), col=1)
    return _bare(figure, height + 80, bargap=0, margin={"l": 64, "r": 16, "t": 32, "b": 48})


def scene_figure(domains: pd.DataFrame, plane: Plane, size_um: tuple[float, float, float]) -> go.Figure:
    """Return domains as spheres above the substrate, turnable in a browser (P29).

    Parameters
    ----------
    domains : DataFrame
        Only the largest :data:`MOST_MARKERS` are drawn.
    plane : Plane
        The substrate, drawn as a translucent surface where it lies inside the scan.
    size_um : tuple of float
        Extent of the scan along (z, y, x).
    """
    drawn = domains.nlargest(MOST_MARKERS, "equivalent_diameter_um", keep="first")
    diameter = drawn["equivalent_diameter_um"].to_numpy(np.float32)
    points = [drawn[f"centroid_{axis}_um"].to_numpy(np.float32) for axis in "xyz"]
    # Plotly's markers are sized in pixels: this is about their true size in the first view.
    pixels_per_um = _SCENE_PIXELS / (1.5 * math.hypot(*size_um))
    spheres = go.Scatter3d(
        x=points[0],
        y=points[1],
        z=points[2],
        mode="markers",
        marker={
            "size": np.maximum(diameter * pixels_per_um, 1.0),
            "sizemode": "diameter",
            "color": drawn["depth_um"].to_numpy(np.float32),
            "colorscale": "Viridis",
            "opacity": 1.0,
            "line": {"width": 0},
            "colorbar": {"title": {"text": "Depth (µm)"}, "orientation": "h", "thickness": 10, "len": 0.6, "y": -0.08},
        },
        customdata=diameter,
        hovertemplate="diameter %{customdata:.2f} µm<br>depth %{marker.color:.1f} µm<extra></extra>",
        name="domains",
    )
    figure = go.Figure(spheres)
    figure.add_trace(_substrate(plane, size_um))
    axes = {
        f"{axis}axis": {"title": {"text": f"{axis} (µm)"}, "range": [0, size]}
        for axis, size in zip("zyx", size_um, strict=True)
    }
    figure.update_layout(scene={**axes, "aspectmode": "data", "camera": _camera(plane), "dragmode": "orbit"})
    return _bare(figure, int(_SCENE_PIXELS), margin={"l": 0, "r": 0, "t": 0, "b": 56}, showlegend=False)


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


def _band(profile: pd.DataFrame, name: str, factor: float) -> tuple[list[float | None], list[float | None]]:
    """Return the outlines of the boundary band, stepped at the ends of bins and broken where it is unknown."""
    levels = [at_level(profile, level).set_index("depth_um")[name] * factor for level in LEVELS]
    table = pd.concat(levels, axis=1, keys=LEVELS).sort_index()
    bins = at_level(profile, "calibrated").set_index("depth_um").reindex(table.index)
    known = table.notna().all(axis=1).to_numpy()
    x: list[float | None] = []
    y: list[float | None] = []
    for run in np.split(np.arange(len(table)), np.flatnonzero(np.diff(known.astype(int))) + 1):
        if not run.size or not known[run[0]]:
            continue
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


def _legend(figure: go.Figure, banded: bool) -> None:
    marker = {"size": 8, "color": _NEUTRAL, "line": {"width": 1.5, "color": _NEUTRAL}}
    keys: list[tuple[str, dict[str, Any]]] = [
        ("calibrated level, 95 % interval", {"mode": "lines+markers", "marker": marker, "line": {"color": _NEUTRAL}}),
        ("boundary band", {"mode": "markers", "marker": {"size": 13, "symbol": "square", "color": _faint(_NEUTRAL)}}),
        ("flagged bin", {"mode": "markers", "marker": {**marker, "symbol": "circle-open"}}),
    ]
    if not banded:  # a given mask has no levels either
        keys = [("95 % interval", keys[0][1]), keys[2]]
    for name, style in keys:
        figure.add_trace(go.Scatter(x=[None], y=[None], name=name, hoverinfo="skip", **style), 1, 1)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.05, "yanchor": "bottom", "itemclick": False})


def _zone_borders(figure: go.Figure, zones: pd.DataFrame) -> None:
    for row in at_level(zones, "calibrated").itertuples():
        if row.from_um > 0:
            figure.add_vline(x=row.from_um, line={"dash": "dot", "width": 1.2, "color": _NEUTRAL})
        label = {"xref": "x", "yref": "paper", "x": row.from_um, "y": 1.0, "xanchor": "left", "yanchor": "bottom"}
        figure.add_annotation(text=row.zone, showarrow=False, font={"size": 12}, **label)


def _substrate(plane: Plane, size_um: tuple[float, float, float]) -> go.Surface:
    """Return the plane over the whole lateral extent of the scan."""
    lateral = [axis for axis in range(3) if axis != plane.axis]
    first, second = np.meshgrid(*[[0.0, size_um[axis]] for axis in lateral], indexing="ij")
    along = plane.offset_um - plane.normal[lateral[0]] * first - plane.normal[lateral[1]] * second
    positions: list[NDArray[Any]] = [first, first, first]
    positions[lateral[0]], positions[lateral[1]] = first, second
    positions[plane.axis] = along / plane.normal[plane.axis]
    z, y, x = positions
    flat = [[0, _NEUTRAL], [1, _NEUTRAL]]
    surface = go.Surface(x=x, y=y, z=z, surfacecolor=np.zeros_like(first), colorscale=flat, showscale=False)
    return surface.update(opacity=0.45, name="substrate", hovertemplate="substrate<extra></extra>")


def _camera(plane: Plane) -> dict[str, dict[str, float]]:
    """Return the first view: the substrate lies at the bottom, seen from a little above."""
    sign = math.copysign(1.0, plane.normal[plane.axis])
    depth = "zyx"[plane.axis]
    eye = dict(zip("zyx".replace(depth, ""), (1.75, 1.4), strict=True))
    # Axis titles take room below the scene, so it is moved up a little.
    center = dict.fromkeys("xyz", 0.0) | {depth: -0.18 * sign}
    return {"up": dict.fromkeys("xyz", 0.0) | {depth: sign}, "eye": {**eye, depth: 0.6 * sign}, "center": center}


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.24)"


def _bare(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """Take away the library's own look; the page gives text and grid the colours of its theme."""
    figure.update_layout(
        template=go.layout.Template(), height=height, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)"
    )
    return figure.update_layout(**layout)
