"""The part of a scan's page that shows simple thresholds beside its own segmentation."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..baselines.block import METHODS, OWN, Block
from ..errors import Fault, InputError
from ..tables import BASELINES, of_class, read_facts
from ..volume.plane import Plane
from ..volume.store import open_store
from .headline import length
from .images import exact, grey_window
from .overlays import choose_box, crop, draw_contours, read_section, scale_bar_um, substrate_line

_NAMES = {"otsu": "Otsu's threshold", "threshold_fill": "a threshold with holes filled"}
_OWN = {"network": "the network", "threshold": "this scan's threshold"}
_GIVEN = "the mask that was given"
_COLOURS = {OWN: "#0072b2", "otsu": "#d55e00", "threshold_fill": "#009e73"}  # Okabe and Ito (2008)
_SHOWN = (
    ("volume_ratio", "Volume ratio (%)", 100.0),
    ("mean_equivalent_diameter_um", "Mean diameter (µm)", 1.0),
    ("number_density_per_mm3", "Number density (mm⁻³)", 1.0),
)
_ROOM = 1.6  # of the scan's own largest value
_FACTS = ("large_found", "outlines", "domains_are", "whole_scan", "block", "voxel_size_um", "near_um")
_REMEDY = "Remove it and run the workflow again."


def draw_outlines(block: Block, name: str, near_um: float | None) -> dict[str, Any]:
    """Return what all methods find of a class as outlines on one zoom at the substrate: of :func:`baselines_section`.

    The section goes through the largest of the scan's own domains near the substrate; where it has none, through the
    largest one of a threshold.

    Parameters
    ----------
    block : Block
        Segmented and measured.
    name : str
        The class.
    near_um : float or None
        Depths nearer than this are near the substrate; None: all.
    """
    plane, volume = Plane.load(block.interface), open_store(block.volume)
    axis = 1 if plane.axis == 0 else 0
    depths = (0.0, math.inf if near_um is None else near_um)
    index = _section(block, name, axis, volume.shape[axis], volume.voxel_size_um[axis], depths)
    box, record = None, {}
    for method in METHODS:
        found = block.found(method, name)
        runs = found.runs_in(axis, index)
        cut = read_section(volume, found.image(), runs, axis, index, found.level, plane)
        if box is None:  # the scan's own domains come first, and choose it
            box = choose_box(cut, runs, plane, depths, True)
            record = {
                "place": f"{'zyx'[axis]} = {index + block.window[axis].start}",
                "view": [box.x, box.y, box.width, box.height],
                "image": exact(crop(cut.grey, box, cut.edges), grey_window(cut.grey, cut.depth_um > 0)),
                "substrate": substrate_line(cut, plane, box),
                "bar_um": scale_bar_um(box.width),
                "outlines": {},
            }
        path, step_um, _ = draw_contours(cut, found.level, box)
        record["outlines"][method] = {"path": path, "step_um": step_um}
    return record


def baselines_section(
    table: Path, name: str, kind: Literal["network", "threshold", "mask", "instances"]
) -> dict[str, Any]:
    """Return what ``baselines.html.j2`` shows, under the name ``baselines``.

    Parameters
    ----------
    table : Path
        ``baselines.parquet``.
    name : str
        The class.
    kind : str
        What made the scan's own segmentation.

    Raises
    ------
    InputError
        When a file cannot be read.
    """
    rows, facts = of_class(BASELINES.read(table), name), read_facts(table)
    facts |= facts.get("classes", {}).get(name, {})
    missing = [name for name in _FACTS if name not in facts]
    if missing:
        raise InputError(Fault(str(table), "", f"the metadata lack {', '.join(missing)}", _REMEDY))
    record = facts["outlines"]
    names = {OWN: _OWN.get(kind, _GIVEN), **_NAMES}
    return {
        "sentence": _sentence(rows, names, facts),
        "block": _block_in_words(facts),
        "place": record["place"],
        "view": record["view"],
        "image": record["image"],
        "substrate": record["substrate"],
        "bar_um": record["bar_um"],
        "pictures": [{"title": names[method], **record["outlines"][method]} for method in METHODS],
        "figure": json.loads(_figure(rows, names).to_json()),
        "csv": base64.b64encode(rows.to_csv(index=False).encode()).decode("ascii"),
    }


def _section(block: Block, name: str, axis: int, n: int, edge: float, depths: tuple[float, float]) -> int:
    """Return the index of the section through the largest domain near the substrate; without any the middle one."""
    centroid = f"centroid_{'zyx'[axis]}_um"
    for method in METHODS:
        found = block.found(method, name).domains((centroid, "depth_um", "equivalent_diameter_um"))
        near = found[(found["depth_um"] >= depths[0]) & (found["depth_um"] < depths[1])]
        if len(near):
            return min(int(near.loc[near["equivalent_diameter_um"].idxmax(), centroid] / edge), n - 1)
    return n // 2


def _sentence(rows: pd.DataFrame, names: dict[str, str], facts: dict[str, Any]) -> str:
    own, large = names[OWN], facts["large_found"]
    near = "near the substrate" if facts["near_um"] is not None else "at all"
    n = large[OWN][1]
    if n:
        those = "the one domain" if n == 1 else f"the {n} domains"
        found = ", ".join(f"{names[method]} finds {large[method][0]}" for method in METHODS[1:])
        text = f"of {those} over 10 µm that {own} finds {near}, {found}."
    else:
        text = f"{own} finds no domain over 10 µm {near} here."
    whole = (
        rows.assign(domain=rows["volume_ratio"] * rows["resin_um3"]).groupby("method")[["domain", "resin_um3"]].sum()
    )
    ratios = {method: 100 * whole.at[method, "domain"] / whole.at[method, "resin_um3"] for method in METHODS}
    parts = ", ".join(f"{ratios[method]:.3g} % for {names[method]}" for method in METHODS)
    return f"{text[0].upper()}{text[1:]} The volume ratio of the block is {parts}."


def _block_in_words(facts: dict[str, Any]) -> str:
    grey = f"Domains are taken to be {facts['domains_are']}, as those of the scan's own segmentation are on average."
    if facts["whole_scan"]:
        return f"The whole scan was compared. {grey}"
    sides = [
        length((stop - start) * edge)
        for (start, stop), edge in zip(facts["block"].values(), facts["voxel_size_um"], strict=True)
    ]
    return f"One block of the scan was compared, {' × '.join(sides)} µm (z × y × x). {grey}"


def _figure(rows: pd.DataFrame, names: dict[str, str]) -> go.Figure:
    """Return volume ratio, mean diameter and number density of each method against the distance from the substrate."""
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for method in METHODS:
        chosen = rows[rows["method"] == method]
        middle = (chosen["depth_lo_um"] + chosen["depth_hi_um"]) / 2
        for row, (column, _, factor) in enumerate(_SHOWN, start=1):
            line = go.Scatter(x=middle, y=factor * chosen[column], mode="lines+markers", name=names[method])
            line.update(line={"width": 2.4 if method == OWN else 1.5, "color": _COLOURS[method]}, marker={"size": 5})
            line.update(legendgroup=method, showlegend=row == 1, customdata=chosen[["n_domains", "n_over_10um"]])
            line.update(
                hovertemplate=f"{names[method]}, %{{x:.4g}} µm: %{{y:.4g}}<br>%{{customdata[0]}} domains, "
                "%{customdata[1]} over 10 µm<extra></extra>"
            )
            figure.add_trace(line, row, 1)
    figure.update_xaxes(rangemode="tozero")
    own = rows[rows["method"] == OWN]
    for row, (column, title, factor) in enumerate(_SHOWN, start=1):
        # Thresholds take the dark rim of the substrate for one large domain, which would fill the axis.
        most = _ROOM * factor * own[column].max()
        axis = {"range": [0, most]} if most > 0 else {"rangemode": "tozero"}
        figure.update_yaxes(title={"text": title, "font": {"size": 13}}, row=row, col=1, **axis)
    figure.update_xaxes(title={"text": "Distance from the substrate (µm)"}, row=3, col=1)
    figure.update_yaxes(exponentformat="power", showexponent="all", nticks=5, automargin=True)
    clear = "rgba(0,0,0,0)"
    figure.update_layout(template=go.layout.Template(), height=640, paper_bgcolor=clear, plot_bgcolor=clear)
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return figure.update_layout(hovermode="closest", legend=legend, margin={"l": 64, "r": 16, "t": 48, "b": 48})
