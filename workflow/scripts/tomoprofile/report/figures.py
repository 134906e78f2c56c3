"""The look that figures share; colours of text and grid come from the theme of the page."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

BLUE, ORANGE, GREEN = "#3b82c4", "#d9661f", "#2a9d7c"  # told apart with any colour vision, on white and on black
PURPLE = "#a35cb8"
NEUTRAL = "#7c8797"
FAINT = 0.42  # opacity of areas: seen on white and on the dark page alike
PALETTE = (ORANGE, GREEN, BLUE)
DASHES = ("solid", "dash", "dot", "dashdot")  # curves are told apart without colour, too
# Okabe and Ito (2008), without yellow and black, for what has more colours.
MANY = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# (column, title, unit, factor to the unit) of the three quantities that every profile has
QUANTITIES = (
    ("volume_ratio", "Volume fraction", "%", 100.0),
    ("mean_equivalent_diameter_um", "Mean diameter", "µm", 1.0),
    ("number_density_per_mm3", "Number density", "mm⁻³", 1.0),
)
LEGEND_ABOVE = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}


def bare(figure: go.Figure, height: int, top: int = 32, **layout: Any) -> go.Figure:
    """Take away the library's own look; the page gives text and grid the colours of its theme.

    Parameters
    ----------
    figure : Figure
    height : int
        In pixels.
    top : int
        Pixels above the axes.
    **layout
        Anything else of the layout.
    """
    clear = "rgba(0,0,0,0)"
    figure.update_layout(template=go.layout.Template(), height=height, paper_bgcolor=clear, plot_bgcolor=clear)
    return figure.update_layout(margin={"l": 64, "r": 16, "t": top, "b": 48}, **layout)


def faint(colour: str) -> str:
    """Return a colour for areas behind curves."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{FAINT})"


def intervals(value: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> dict[str, Any]:
    """Return the error bars of points; without an interval a point has none."""
    return {
        "type": "data",
        "symmetric": False,
        "array": np.nan_to_num(high - value),
        "arrayminus": np.nan_to_num(value - low),
    }


def stretches(known: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Return the indices of each unbroken stretch in which something is known."""
    runs = np.split(np.arange(len(known)), np.flatnonzero(np.diff(known.astype(int))) + 1)
    return [run for run in runs if run.size and known[run[0]]]
