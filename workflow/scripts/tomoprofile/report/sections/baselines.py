"""Simple thresholds compared with the scan's own segmentation."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...baselines.block import OWN
from ..figures import LEGEND_ABOVE, MANY, QUANTITIES, bare
from ..numbers import length, short
from ..segmentation import Segmentation
from .section import Content

_NAMES = {"otsu": "Otsu's threshold", "threshold_fill": "a threshold with holes filled"}
_OWN = {"network": "the network", "threshold": "this scan's threshold"}
_GIVEN = "the given mask"
_COLOURS = dict(zip((OWN, "otsu", "threshold_fill"), MANY, strict=False))
_ROOM = 1.6  # times the scan's own largest value


def build(baselines: pd.DataFrame, block: dict[str, Any], segmentation: Segmentation) -> Content:
    """Return outlines, profiles and a sentence for each method; a threshold is not compared with itself."""
    itself = segmentation.facts.get("method", "") if segmentation.kind == "threshold" else ""
    own = {OWN: _OWN.get(segmentation.kind, _GIVEN)}
    names, record = own | {method: name for method, name in _NAMES.items() if method != itself}, block["outlines"]
    words = {
        "sentence": _sentence(baselines, names, block),
        "itself": _NAMES.get(itself, ""),
        "block": _block_in_words(block),
        **{name: record[name] for name in ("place", "view", "image", "substrate", "bar_um")},
        "pictures": [{"title": names[method], **record["outlines"][method]} for method in names],
    }
    has_depth = baselines["depth_lo_um"].notna().any()
    return Content(words, {"baselines": _figure(baselines, names)} if has_depth else {}, {"baselines": baselines})


def _sentence(rows: pd.DataFrame, names: dict[str, str], facts: dict[str, Any]) -> str:
    own, large = names[OWN], facts["large_found"]
    near = "near the substrate" if facts["near_um"] is not None else "at all"
    n = large[OWN][1]
    if n:
        those = "the one domain" if n == 1 else f"the {n} domains"
        found = ", ".join(f"{name} finds {large[method][0]}" for method, name in names.items() if method != OWN)
        text = f"of {those} over 10 µm that {own} finds {near}, those cut by a side of the scan among them, {found}."
    else:
        text = f"{own} finds no domain over 10 µm {near} here."
    whole = (
        rows.assign(domain=rows["volume_ratio"] * rows["resin_um3"]).groupby("method")[["domain", "resin_um3"]].sum()
    )
    ratios = {method: 100 * whole.at[method, "domain"] / whole.at[method, "resin_um3"] for method in names}
    parts = ", ".join(f"{short(ratios[method])} % for {names[method]}" for method in names)
    return f"{text[0].upper()}{text[1:]} The volume fraction of the block is {parts}."


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
    """Return the profile of each method: volume fraction, mean diameter and number density."""
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for method in names:
        chosen = rows[rows["method"] == method]
        middle = (chosen["depth_lo_um"] + chosen["depth_hi_um"]) / 2
        for row, (column, _, _, factor) in enumerate(QUANTITIES, start=1):
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
    for row, (column, title, unit, factor) in enumerate(QUANTITIES, start=1):
        # Thresholds take the dark rim of the substrate for one large domain, which would fill the axis.
        most = _ROOM * factor * own[column].max()
        axis = {"range": [0, most]} if most > 0 else {"rangemode": "tozero"}
        figure.update_yaxes(title={"text": f"{title} ({unit})", "font": {"size": 13}}, row=row, col=1, **axis)
    figure.update_xaxes(title={"text": "Distance from the substrate (µm)"}, row=3, col=1)
    figure.update_yaxes(exponentformat="power", showexponent="all", nticks=5, automargin=True)
    return bare(figure, 640, top=48, hovermode="closest", legend=LEGEND_ABOVE)
