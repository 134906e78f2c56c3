"""How the substrate's surface was found, and where it deviates from a plane: how far to trust depths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ...substrate.given import face_in_words
from ...volume.plane import Plane
from ...volume.store import Store
from ..figures import bare
from .section import Content

_MOST_PIXELS = (760, 300)  # of the map, along its columns and rows
_AROUND_PIXELS = (170, 80)  # axes, and the colour bar, which stands right beside the map
_LEAST_UM = 1e-3  # of the colour scale: a substrate without any deviation still has one
_SYSTEMATIC_VOXELS = 0.25  # the fit finds simulated substrates to this; steps of a mask are as small on average


def build(interface: dict[str, Any], plane: Plane, volume: Store) -> Content:
    """Return facts of the substrate's surface, and a map of its deviation from the plane if there is one."""
    size_z, size_y, size_x = (n * edge for n, edge in zip(volume.shape, volume.voxel_size_um, strict=True))
    figure = deviation_figure(interface, (size_z, size_y, size_x))
    along = min(volume.voxel_size_um) if plane.axis is None else volume.voxel_size_um[plane.axis]
    words = surface(interface, along)
    if words["kind"] == "slice":
        words["face"] = face_in_words(interface["how"], volume.shape[0], volume.voxel_size_um[0])
    if figure is None:
        return Content(words)
    words["width"] = figure.layout.meta["width"]
    return Content(words, {"interface": figure}, {"interface": pd.DataFrame(interface["residual_map_um"])})


def surface(record: dict[str, Any], voxel_um: float) -> dict[str, Any]:
    """Return how the surface of the substrate was found and how far to trust it.

    Parameters
    ----------
    record : dict
        ``interface.json``.
    voxel_um : float
        Voxel edge along the depth.

    Returns
    -------
    dict
        ``kind`` (auto, mask, slice, plane, face or surface), ``columns``, ``agree_percent``, ``tilt_deg``,
        ``residual_um``, ``trust_um`` (None when it is unknown), ``air_percent`` and ``radius_um`` (None when all is
        resin).
    """
    kind = str(record.get("how", "")).partition(":")[0]
    residual, share = record.get("residual_um"), record.get("inlier_fraction")
    systematic = _SYSTEMATIC_VOXELS * voxel_um
    known = {"auto": max(residual or 0.0, systematic), "mask": systematic, "surface": record.get("accuracy_um")}
    trust = known.get(kind)
    air = record.get("air")
    return {
        "kind": kind,
        "columns": record.get("n_columns", 0),
        "agree_percent": None if share is None else 100 * share,
        "tilt_deg": record.get("tilt_deg"),
        "residual_um": residual,
        "trust_um": trust,
        "air_percent": 100 * air["share"] if air else None,
        "radius_um": record.get("reconstructed_radius_um"),
    }


def deviation_figure(record: dict[str, Any], size_um: tuple[float, float, float]) -> go.Figure | None:
    """Return the deviation of the substrate's edge from the plane as a map; None when there is no map.

    Blue and red stay apart with any colour vision; white is the plane, and the scale is the same to both sides.
    """
    if not record.get("residual_map_um"):
        return None
    deviation = np.array(record["residual_map_um"], float)
    if not np.isfinite(deviation).any():
        return None
    first, second = (axis for axis in range(3) if "zyx"[axis] != record["axis"])
    most = max(float(np.nanmax(np.abs(deviation))), _LEAST_UM)
    at = [(np.arange(n) + 0.5) * size_um[axis] / n for n, axis in zip(deviation.shape, (first, second), strict=True)]
    names = "zyx"[first], "zyx"[second]
    shown = [[None if math.isnan(value) else value for value in row] for row in deviation.tolist()]
    heat = go.Heatmap(
        x=at[1],
        y=at[0],
        z=shown,
        zmin=-most,
        zmax=most,
        colorscale="RdBu",
        hoverongaps=False,
        colorbar={"title": {"text": "Deviation (µm)", "side": "right"}, "thickness": 12},
        hovertemplate=f"{names[1]} %{{x:.4g}} µm, {names[0]} %{{y:.4g}} µm: %{{z:.3f}} µm<extra></extra>",
    )
    figure = go.Figure(heat)
    figure.update_xaxes(title={"text": f"{names[1]} (µm)"}, constrain="domain")
    # Rows point down, as in the pictures.
    figure.update_yaxes(title={"text": f"{names[0]} (µm)"}, autorange="reversed", scaleanchor="x", constrain="domain")
    width, height = _pixels(at[1][-1] + at[1][0], at[0][-1] + at[0][0])
    return bare(figure, height, meta={"width": width})


def _pixels(wide_um: float, high_um: float) -> tuple[int, int]:
    """Return width and height of the figure in which the map reaches its colour bar."""
    scale = min(most / um for most, um in zip(_MOST_PIXELS, (wide_um, high_um), strict=True))
    width, height = (round(scale * um) + around for um, around in zip((wide_um, high_um), _AROUND_PIXELS, strict=True))
    return width, max(height, 200)
