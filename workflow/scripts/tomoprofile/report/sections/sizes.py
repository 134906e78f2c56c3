"""The number density by class of diameter, zone by zone."""

from __future__ import annotations

import html
import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...domains.objects import ObjectsMetadata
from ...tables import at_level
from ..figures import NEUTRAL, PALETTE, bare, intervals
from ..numbers import count, depth_range, smallest_kept_um
from .section import Content

_HEADING_PIXELS = 38.0  # above each histogram, for its name


def build(sizes: pd.DataFrame, zones: pd.DataFrame, levels: dict[str, ObjectsMetadata]) -> Content:
    """Return the histograms."""
    words = {"dropped_um": smallest_kept_um(levels["calibrated"])}
    return Content(words, {"sizes": sizes_figure(sizes, zones)}, {"sizes": sizes})


def sizes_figure(sizes: pd.DataFrame, zones: pd.DataFrame) -> go.Figure:
    """Return the number density by class of diameter for each zone, with 95 % intervals."""
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
            marker={"color": PALETTE[(number - 1) % 3], "line": {"width": 0}},
            error_y=intervals(density, *ends) | {"thickness": 1, "width": 0, "color": NEUTRAL},
            customdata=np.column_stack([low, high, *ends, here["n_domains"], 100 * here["volume_ratio_share"]]),
            hovertemplate="%{customdata[0]:.3g} to %{customdata[1]:.3g} µm: %{y:.3g} mm⁻³<br>95 % interval "
            "%{customdata[2]:.3g} to %{customdata[3]:.3g}<br>%{customdata[4]} domains, %{customdata[5]:.1f} % of the "
            "volume of all<extra></extra>",
        )
        figure.add_trace(bars, number, 1)
        whole, found = int(here["n_domains"].sum()), int(zone.n_domains)
        words = f"{count(whole)} whole domain{'' if whole == 1 else 's'}" if whole else "no whole domain was found"
        words += f" of {count(found)} found" * (0 < whole < found)
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
    return bare(figure, height + 80, bargap=0)
