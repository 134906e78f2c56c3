"""The page on accuracy: first the size from which each column can be trusted, then the errors."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from tomoprofile.files import whole_file

from .methods import COLUMNS, METHODS, OURS
from .phases import section
from .shapes import SHAPES
from .summary import GROUPS, LIMIT, Errors
from .trials import CUBIC, OBLONG, OBLONG_SHAPES, RADII

INTRODUCTION = """# Accuracy of the measures

`make bench-accuracy`. Errors against shapes whose true values are known: spheres, ellipsoids, cylinders and cubes at
random positions and, except for spheres, in random orientations; a voxel is inside when its centre is. The size of a
shape is the diameter of the sphere of equal volume in voxels (for oblong voxels: in units of their short edge). Each
number is from 200 realisations up to 6 voxels, 100 up to 12, 40 up to 20, and 20 beyond. Errors that a scan adds
(noise, blur, a wrong threshold) are not included; docs/outputs.md says how to see the effect of the threshold.

Columns in voxels and counts have no entry: they are exact. The true axes are those of the ellipsoid of equal second
moments; the true smallest Feret diameter is the least width.
"""
FIGURES = {"sphere": "accuracy-sphere.svg", "ellipsoid 1:2:3": "accuracy-ellipsoid.svg"}
NEVER = float("inf")


def write_report(results: dict[str, Any], page: Path) -> None:
    """Write the Markdown page and, where matplotlib is installed, its figures beside it.

    Parameters
    ----------
    results : dict
        As :func:`~.trials.read_results` returns them.
    page : Path
    """
    errors = Errors(results["records"])
    told = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    text = [INTRODUCTION, f"Compared with {told}.\n" if told else "", _trust(errors), _beside(errors)]
    if importlib.util.find_spec("matplotlib"):
        from .plots import write_plot

        for shape, name in FIGURES.items():
            title = f"{shape}: mean error and standard deviation; grey: {LIMIT:g} %"
            write_plot(page.parent / "images" / name, title, errors, shape)
            text.append(f"![Errors of {shape} against size](images/{name})\n")
    text.append(_details(errors))
    if results.get("phases"):
        text.append(section(results["phases"]))
    with whole_file(page) as partial:
        partial.write_text("\n".join(text))


def _trust(errors: Errors) -> str:
    rows = [
        [f"`{column}`", *(_size(errors.trusted_from(group, OURS, column)) for group in GROUPS)]
        for column in COLUMNS
        if errors.line("sphere", OURS, column)
    ]
    text = (
        f"## Size from which a column can be trusted\n\nDiameter in voxels from which |mean error| + standard deviation"
        f" stays below {LIMIT:g} %; the worst shape of a group counts. Smaller objects are still right on average where"
        " the mean error is small: see the tables below. `no size`: not even at the largest size tried,"
        f" {2 * errors.largest:g} voxels.\n"
    )
    return f"{text}\n{_table(['column', *GROUPS], rows)}"


def _size(diameter: float | None) -> str:
    if diameter is None:
        return "-"
    return "no size" if diameter == NEVER else f"{diameter:g}"


def _beside(errors: Errors) -> str:
    groups = ("spheres", "ellipsoids up to 1:3")
    rows = [
        [
            f"`{column}`",
            *(_size(errors.trusted_from(group, method, column)) for group in groups for method in METHODS),
        ]
        for column in COLUMNS
    ]
    head = ["column", *(f"{group}: {method}" for group in groups for method in METHODS)]
    text = "The same for other programs; `-` where they lack the measure.\n"
    return f"{text}\n{_table(head, rows)}"


def _details(errors: Errors) -> str:
    parts = ["## Errors by size\n", "Mean error ± standard deviation in percent, by diameter in voxels.\n"]
    for title, shapes, edges in (
        ("Cubic voxels", tuple(SHAPES), CUBIC),
        ("Voxels of 2:1:1", OBLONG_SHAPES, OBLONG),
    ):
        parts.append(f"### {title}\n")
        for shape in shapes:
            rows = []
            for column in COLUMNS:
                for method in METHODS:
                    line = {radius: (mean, sd) for radius, mean, sd in errors.line(shape, method, column, edges)}
                    if line:
                        cells = (_error(line.get(radius)) for radius in RADII)
                        rows.append([f"`{column}`", method, *cells])
            head = ["column", "by", *(f"{2 * radius:g}" for radius in RADII)]
            parts.append(f"#### {shape}\n\n{_table(head, rows)}")
    return "\n".join(parts)


def _error(value: tuple[float, float] | None) -> str:
    return "-" if value is None else f"{value[0]:+.1f} ± {value[1]:.1f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
