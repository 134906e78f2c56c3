"""Panels of lines with error bars as SVG: colours that colour-blind people tell apart, and a marker for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from tomoprofile.files import whole_file

ACROSS = {"dashes": "7 4", "dots": "2 3"}  # lines of methods that need no labels
Styles = Mapping[str, tuple[str, str]]  # colour and marker of each line
LONG = ' stroke-dasharray="12 3"'  # of our base before any label
WIDTH, HEIGHT, LEFT, TOP, GAP_X, GAP_Y, PER_ROW = 250, 190, 62, 54, 66, 74, 3
NAME_WIDTH, NAME_HEIGHT = 316, 18
NICE = (1, 2, 2.5, 5, 10)

Point = tuple[float, float, float, float]


@dataclass
class Panel:
    """One task.

    Attributes
    ----------
    title : str
    lines : dict
        By method: points (x, mean, least, most).
    levels : dict
        By method without labels: a height, drawn across.
    """

    title: str
    lines: dict[str, list[Point]] = field(default_factory=dict)
    levels: dict[str, float] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Methods that are drawn."""
        return {*self.lines, *self.levels}

    def add(self, method: str, x: float, values: list[float]) -> None:
        """Add the mean and the range of values at a place, if there are any, in the order of places."""
        if values:
            point = (x, sum(values) / len(values), min(values), max(values))
            self.lines[method] = sorted([*self.lines.get(method, []), point])


def ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    """Return round numbers between two values: about five, or on a logarithmic axis 1, 2, 5, 10, ..."""
    if logarithmic:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p * 1.0001 and m * 10.0**p <= high]
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(n * power for n in NICE if n * power >= rough * 0.999)
    return [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Look:
    """How all panels of a figure look.

    Attributes
    ----------
    title, x_title, y_title : str
        With units.
    styles : mapping
        Colour and marker of each line.
    log_x : bool
        Logarithmic abscissa.
    """

    title: str
    x_title: str
    y_title: str
    styles: Styles
    log_x: bool = False


def write_plot(path: Path, look: Look, panels: list[Panel], names: dict[str, str]) -> None:
    """Write the panels beside one another with one legend.

    Parameters
    ----------
    path : Path
        ``.svg``.
    look : Look
    panels : list of Panel
    names : dict
        What the legend calls each line.
    """
    rows, columns = -(-len(panels) // PER_ROW), min(PER_ROW, max(len(panels), 1))
    width = LEFT + columns * (WIDTH + GAP_X)
    top = TOP + -(-len(names) // columns) * NAME_HEIGHT  # below the legend
    height = top + rows * (HEIGHT + GAP_Y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="18" font-size="14" font-weight="bold">{escape(look.title)}</text>',
        *_legend(names, columns, look.styles),
    ]
    for index, panel in enumerate(panels):
        x, y = LEFT + index % PER_ROW * (WIDTH + GAP_X), top + index // PER_ROW * (HEIGHT + GAP_Y)
        parts += [f'<g transform="translate({x},{y})">', *_panel(panel, look), "</g>"]
    with whole_file(path) as partial:
        partial.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _legend(names: dict[str, str], columns: int, styles: Styles) -> list[str]:
    parts = []
    for index, (method, name) in enumerate(names.items()):
        x, y = LEFT + index % columns * NAME_WIDTH, 38 + index // columns * NAME_HEIGHT
        colour, marker = styles[method]
        parts.append(f'<path d="M{x} {y}h26" stroke="{colour}" stroke-width="2"{_dash(marker)}/>')
        parts += [_marker(marker, x + 13, y, colour), f'<text x="{x + 32}" y="{y + 4}">{escape(name)}</text>']
    return parts


def _panel(panel: Panel, look: Look) -> list[str]:
    log_x, styles = look.log_x, look.styles
    points = [point for line in panel.lines.values() for point in line]
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#888"/>',
        f'<text x="{WIDTH / 2}" y="-8" text-anchor="middle" font-weight="bold">{escape(panel.title)}</text>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT + 34}" text-anchor="middle">{escape(look.x_title)}</text>',
        f'<text transform="translate(-44,{HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(look.y_title)}</text>',
    ]
    xs = sorted({point[0] for point in points})
    heights = [*(value for point in points for value in point[1:]), *panel.levels.values()]
    low, high = min(heights), max(heights)
    margin = max((high - low) * 0.06, 1e-3)
    low, high = low - margin, high + margin
    left, right = (xs[0] / 1.25, xs[-1] * 1.25) if log_x else (xs[0] - 0.5, xs[-1] + 0.5)

    def across(x: float) -> float:
        share = math.log(x / left) / math.log(right / left) if log_x else (x - left) / (right - left)
        return share * WIDTH

    def up(y: float) -> float:
        return HEIGHT * (high - y) / (high - low)

    for y in ticks(low, high, False):
        parts.append(f'<path d="M0 {up(y):.1f}h{WIDTH}" stroke="#e2e2e2"/>')
        parts.append(f'<text x="-6" y="{up(y) + 4:.1f}" text-anchor="end">{y:.4g}</text>')
    for x in ticks(left, right, True) if log_x else xs:
        parts.append(f'<path d="M{across(x):.1f} {HEIGHT}v5" stroke="#888"/>')
        parts.append(f'<text x="{across(x):.1f}" y="{HEIGHT + 18}" text-anchor="middle">{x:.4g}</text>')
    for method, y in panel.levels.items():
        colour, marker = styles[method]
        parts.append(f'<path d="M0 {up(y):.1f}h{WIDTH}" stroke="{colour}" stroke-width="1.5"{_dash(marker) or LONG}/>')
    for method, line in panel.lines.items():
        colour, marker = styles[method]
        path = " L".join(f"{across(x):.1f} {up(y):.1f}" for x, y, _, _ in line)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for x, y, least, most in line:
            bar = f"M{across(x):.1f} {up(least):.1f}V{up(most):.1f}"
            parts.append(f'<path d="{bar}" stroke="{colour}" stroke-width="1"/>')
            parts.append(_marker(marker, across(x), up(y), colour))
    return parts


def _dash(marker: str) -> str:
    return f' stroke-dasharray="{ACROSS[marker]}"' if marker in ACROSS else ""


def _marker(marker: str, x: float, y: float, colour: str) -> str:
    shapes = {
        "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
        "square": "M-3.5 -3.5h7v7h-7z",
        "triangle": "M0 -4.5L4.2 3.2H-4.2z",
        "diamond": "M0 -5L4.5 0L0 5L-4.5 0z",
        "ring": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0zM-2 0a2 2 0 1 1 4 0a2 2 0 1 1 -4 0z",
        "cross": "M-4 -1.2h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8z",
        "bar": "M-1.5 -5h3v10h-3z",
    }
    if marker not in shapes:
        return ""
    return f'<path d="{shapes[marker]}" transform="translate({x:.1f},{y:.1f})" fill="{colour}"/>'
