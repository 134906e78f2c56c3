"""How likely two points a distance apart both lie in domains, zone by zone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...tables import at_level
from ..figures import DASHES, LEGEND_ABOVE, NEUTRAL, PALETTE, bare, faint
from .section import Content


def build(correlation: pd.DataFrame, zones: pd.DataFrame) -> Content:
    """Return two-point correlation and autocovariance, and the zones in which they are not known."""
    known = set(correlation.loc[correlation["s2"].notna(), "zone"])
    names = at_level(zones, "calibrated")["zone"]
    figures = {"correlation": correlation_figure(correlation)} if known else {}
    return Content({"unknown": [name for name in names if name not in known]}, figures, {"correlation": correlation})


def correlation_figure(correlation: pd.DataFrame) -> go.Figure:
    """Return the two-point correlation S2 with 95 % intervals and the autocovariance against the lag, by zone.

    Zones in which it is not known have no line; the page says so.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    known = correlation[correlation["s2"].notna()]
    for number, (zone, rows) in enumerate(known.groupby("zone", sort=False)):
        colour, dash = PALETTE[number % 3], DASHES[number % len(DASHES)]
        lag, low, high = (rows[name].to_numpy(float) for name in ("lag_um", "s2_lo", "s2_hi"))
        area = go.Scatter(x=[*lag, *lag[::-1]], y=[*high, *low[::-1]], fill="toself", fillcolor=faint(colour))
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
    figure.add_hline(y=0, line={"width": 1, "color": NEUTRAL}, row=2, col=1)
    figure.update_yaxes(title={"text": "S2"}, row=1, col=1)
    figure.update_yaxes(title={"text": "Autocovariance"}, row=2, col=1)
    figure.update_yaxes(nticks=6, automargin=True, exponentformat="power")
    figure.update_xaxes(title={"text": "Lag (µm)"}, row=2, col=1)
    return bare(figure, 480, top=48, legend=LEGEND_ABOVE)
