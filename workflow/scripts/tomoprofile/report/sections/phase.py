"""A class as one phase: surface, connectivity, thickness and anisotropy, and the distribution of the thickness."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...tables import CALIBRATED, FLAGS, LEVELS, at_level
from ..figures import DASHES, LEGEND_ABOVE, PALETTE, bare, faint
from ..numbers import Estimate, depth_range
from .section import Content

_SPACES = {"phase": "Share of the phase", "rest": "Share of the rest"}


def build(phase: pd.DataFrame | None, thickness: pd.DataFrame | None) -> Content:
    """Return a row for the whole scan and each zone, and the distributions; nothing where they were not measured."""
    if phase is None or thickness is None:
        return Content({"rows": []})
    figures = {} if thickness.empty else {"thickness": thickness_figure(thickness)}
    calibrated, *ends = (at_level(phase, level) for level in (CALIBRATED, "low", "high"))
    flags = sorted({name for flag in calibrated["flag"] for name in flag.split(";") if name.startswith("thick")})
    levels = (table.to_dict("records") for table in (calibrated, *ends))
    rows = [_row(*of_zone) for of_zone in zip(*levels, strict=True)]
    words = {
        "rows": rows,
        "has_band": any(number.band for row in rows for number in row["estimates"]),
        "doubts": [FLAGS[name] for name in flags],
    }
    return Content(words, figures, {"phase": phase, "thickness": thickness})


def _row(row: dict[str, Any], *ends: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a zone; those of a threshold, the same at all levels, have no boundary band."""
    moved = any(end["phase_um3"] != row["phase_um3"] for end in ends)

    def estimate(name: str, factor: float = 1.0) -> Estimate:
        known = [float(one[name]) * factor for one in (row, *ends) if math.isfinite(one[name])]
        band = (min(known), max(known)) if moved and len(known) == len(LEVELS) else ()
        return Estimate(*(float(row[name + end]) * factor for end in ("", "_lo", "_hi")), *band)

    return {
        "zone": row["zone"],
        "depths": "" if pd.isna(row["from_um"]) else depth_range(row["from_um"], row["to_um"]),
        "estimates": (
            estimate("volume_ratio", 100),
            estimate("surface_density_per_mm"),
            estimate("euler_density_per_mm3"),
            estimate("thickness_mean_um"),
            estimate("separation_mean_um"),
            estimate("anisotropy"),
        ),
        "direction": "–" if pd.isna(row["long_z"]) else ", ".join(f"{row[f'long_{axis}']:.2f}" for axis in "zyx"),
    }


def thickness_figure(thickness: pd.DataFrame) -> go.Figure:
    """Return the share of phase and rest that is at least as thick as each diameter, with 95 % intervals, by zone."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    zones = list(thickness["zone"].unique())
    for number, (space, title) in enumerate(_SPACES.items(), start=1):
        for index, zone in enumerate(zones):
            rows = thickness[(thickness["zone"] == zone) & (thickness["space"] == space)]
            across, share, low, high = (
                rows[name].to_numpy(float)
                for name in ("thickness_um", "share_thicker", "share_thicker_lo", "share_thicker_hi")
            )
            colour, dash = PALETTE[index % 3], DASHES[index % len(DASHES)]
            area = go.Scatter(x=[*across, *across[::-1]], y=[*high, *low[::-1]], fill="toself", fillcolor=faint(colour))
            figure.add_trace(
                area.update(mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=False), number, 1
            )
            line = go.Scatter(x=across, y=share, mode="lines", line={"width": 1.8, "color": colour, "dash": dash})
            line.update(name=str(zone), legendgroup=str(zone), showlegend=number == 1)
            figure.add_trace(line.update(hovertemplate="at least %{x:.3g} µm: %{y:.3g}<extra></extra>"), number, 1)
        figure.update_yaxes(title={"text": title}, row=number, col=1)
    there = thickness.loc[thickness["share_thicker"] > 0, "thickness_um"].max()
    figure.update_xaxes(range=[0, 1.1 * there])
    figure.update_xaxes(title={"text": "Local thickness (µm)"}, row=2, col=1)
    figure.update_yaxes(rangemode="tozero", nticks=6, automargin=True)
    return bare(figure, 480, top=48, legend=LEGEND_ABOVE)
