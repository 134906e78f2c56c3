"""How the domains were found, under which conditions, and how well on labels that training never saw."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from ...domains.objects import ObjectsMetadata
from ...tables import CALIBRATED
from ..figures import BLUE, bare
from ..links import Links
from ..segmentation import Segmentation
from .section import Content


def build(segmentation: Segmentation, links: Links, levels: dict[str, dict[str, ObjectsMetadata]]) -> Content:
    """Return the facts of the segmentation, with those of each class, and how training went."""
    words = {
        "segmentation": segmentation,
        "card": links.card,
        "levels": {name: of_class[CALIBRATED].level for name, of_class in levels.items()},
    }
    curve = segmentation.learning_curve
    if not curve:
        return Content(words)
    table = pd.DataFrame(curve, columns=["step", "loss"])
    return Content(words, {"learning": learning_figure(curve)}, {"learning": table})


def learning_figure(curve: Sequence[tuple[int, float]]) -> go.Figure:
    """Return the loss of training against the step."""
    steps, losses = ([point[i] for point in curve] for i in (0, 1))
    figure = go.Figure(go.Scatter(x=steps, y=losses, mode="lines", line={"width": 1.6, "color": BLUE}))
    figure.update_xaxes(title={"text": "Training step"})
    figure.update_yaxes(title={"text": "Loss"}, rangemode="tozero", nticks=5, automargin=True)
    return bare(figure, 240)
