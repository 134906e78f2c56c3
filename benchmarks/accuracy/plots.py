"""Figures of errors against size, as SVG."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tomoprofile.files import whole_file

from .methods import METHODS
from .summary import Errors

STYLES = {  # Okabe and Ito (2008), and a marker for each
    "tomoprofile": ("#0072B2", "o"),
    "scikit-image": ("#D55E00", "s"),
    "PoreSpy": ("#009E73", "^"),
    "SimpleITK": ("#E69F00", "D"),
}
PANELS = ("surface_um2", "sphericity", "axis_1_um", "axis_3_um", "feret_max_um", "feret_min_um")
SPAN = 20.0  # percent shown; larger errors are in the JSON file


def write_plot(path: Path, title: str, errors: Errors, shape: str) -> None:
    """Write mean and standard deviation of the errors of one shape of cubic voxels, one panel per column.

    Parameters
    ----------
    path : Path
        ``.svg``; the same numbers give the same bytes.
    title : str
    errors : Errors
    shape : str
    """
    with mpl.rc_context({"svg.hashsalt": path.name, "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(9, 5.4), layout="constrained")
        for axes, column in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
            for method in METHODS:
                line = errors.line(shape, method, column)
                if line:
                    radii, means, spreads = zip(*line, strict=True)
                    colour, marker = STYLES[method]
                    axes.errorbar(
                        [2 * radius for radius in radii], means, spreads,
                        color=colour, marker=marker, markersize=3.5, linewidth=1, capsize=2, label=method,
                    )  # fmt: skip
            axes.axhspan(-5, 5, color="#eeeeee", zorder=0)
            axes.axhline(0, color="#888888", linewidth=0.8, zorder=1)
            axes.set(
                title=column,
                xscale="log",
                xlim=(2.7, 45),
                ylim=(-SPAN, SPAN),
                xlabel="diameter / voxels",
                ylabel="error / %",
            )
            axes.set_xticks([3, 5, 10, 20, 40], ["3", "5", "10", "20", "40"])
            axes.minorticks_off()
        figure.suptitle(title)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    with whole_file(path) as partial:
        partial.write_text("\n".join(line.rstrip() for line in drawn.getvalue().splitlines()) + "\n")
