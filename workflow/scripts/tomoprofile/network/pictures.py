"""Pictures of the model card: learning curve, reliability, and labelled slices with correct and wrong voxels.

Labelled is amber and found is magenta, as in the reports; colour-blind people can distinguish them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.measure import find_contours

from ..labels.classes import DOMAIN, IGNORE
from ..volume.probability import threshold_of
from .charts import BLUE, GRID, INK, ORANGE, SOFT, Axes, Canvas
from .facts import CurvePoint, Reliability

LABELLED, FOUND, RIGHT, UNKNOWN = "#f59b00", "#ff00ff", "#6b7f94", "#a8d5ef"
_PANEL = 352
_WINDOW_VOXELS = 176  # side of the enlarged part
_GREYS = 48  # more would only store noise, in a large file
_PERCENTILES = (0.5, 99.5)
_SMOOTH_POINTS = 9


@dataclass(frozen=True)
class HeldOutSlice:
    """A labelled slice, found by a model that did not train on it.

    Attributes
    ----------
    name : str
        Scan and slice.
    grey : float array (y, x)
    label : uint8 array (y, x)
        1 in a domain of the class that is drawn, 0 outside, 255 not known.
    probability : uint8 array (y, x)
        255 = 1.
    """

    name: str
    grey: NDArray[Any]
    label: NDArray[np.uint8]
    probability: NDArray[np.uint8]


def draw_learning_curve(curve: Sequence[CurvePoint], out: Path) -> None:
    """Draw the loss against the step and, where it is known, the Dice of the labels.

    Parameters
    ----------
    curve : sequence of CurvePoint
    out : Path
        PNG to write.
    """
    loss = [(float(point.step), point.loss) for point in curve]
    looks = [(float(point.step), point.held_out_dice or point.labels_dice) for point in curve]
    dice = [(step, value) for step, value in looks if value is not None]
    last = max(1.0, *(step for step, _ in loss))
    canvas = Canvas(680, 470 if dice else 300)
    top = max(value for _, value in loss) * 1.05 or 1.0
    upper = Axes(canvas, (76, 36), (660, 246), (0.0, last), (0.0, top))
    upper.frame("" if dice else "training step", "loss")
    upper.line(loss, "#b9d3eb", 1.4)
    smooth = ndimage.median_filter(np.array([value for _, value in loss]), _SMOOTH_POINTS, mode="nearest")
    upper.line([(step, float(value)) for (step, _), value in zip(loss, smooth, strict=True)], BLUE, 2.4)
    canvas.text((76, 12), "Loss of each batch, and its running median", 13, INK)
    if dice:
        least = max(0.0, math.floor(min(value for _, value in dice) * 10 - 1e-9) / 10)
        lower = Axes(canvas, (76, 282), (660, 412), (0.0, last), (least if least < 1 else 0.9, 1.0))
        lower.frame("training step", "Dice")
        lower.line(dice, ORANGE, 2.4)
        for point in dice:
            canvas.dot(lower.at(*point), 3, ORANGE)
        canvas.text((76, 260), "Dice of labelled slices", 13, INK)
    canvas.save(out)


def draw_reliability(reliability: Reliability, out: Path) -> None:
    """Draw the labelled share of voxels against their predicted probability, and the number of voxels.

    Parameters
    ----------
    reliability : Reliability
    out : Path
        PNG to write.
    """
    rows = [row for row in reliability.deciles if row.n]
    canvas = Canvas(460, 580)
    upper = Axes(canvas, (76, 36), (440, 386), (0.0, 1.0), (0.0, 1.0))
    upper.frame("", "labelled share of voxels")
    upper.line([(0.0, 0.0), (1.0, 1.0)], "#9aa6b2", 1.4)
    points = [(row.probability, row.labelled) for row in rows]
    upper.line(points, BLUE, 2.4)
    for point in points:
        canvas.dot(upper.at(*point), 4, BLUE)
    canvas.text((76, 12), "On the diagonal, probabilities are calibrated", 13, INK)
    top = max(1, math.ceil(math.log10(max((row.n for row in rows), default=10))))
    lower = Axes(canvas, (76, 412), (440, 522), (0.0, 1.0), (0.0, float(top)))
    step = max(1, math.ceil(top / 4))
    lower.frame("probability", "voxels (log)", [(float(n), f"1e{n}") for n in range(0, top + 1, step)])
    for row in rows:
        high = max(math.log10(row.n), 0.04 * top)  # so that a single voxel is visible
        left, up = lower.at(row.from_, high)
        right, down = lower.at(row.to, 0.0)
        canvas.box((left + 2, up), (right - 2, down), fill=BLUE)
    canvas.save(out)


def draw_slice(item: HeldOutSlice, level: float, edges: tuple[float, float], out: Path) -> str:
    """Draw a slice, and its worst part with labelled outlines, found outlines, and correct and wrong voxels.

    Parameters
    ----------
    item : HeldOutSlice
    level : float
        Voxels with this probability or more are found.
    edges : tuple of float
        Voxel edges along (y, x) in micrometres.
    out : Path
        PNG to write.

    Returns
    -------
    str
        Caption, Markdown.
    """
    stored = threshold_of(level)
    known, truth, found = item.label != IGNORE, item.label == DOMAIN, item.probability >= stored
    rows, columns = _worst_window(known & (truth != found), edges)
    black, white = np.percentile(item.grey[rows, columns], _PERCENTILES)  # the substrate would dominate the grey scale
    grey = np.clip((item.grey - black) / (white - black if white > black else 1.0), 0, 1)
    part = (rows, columns)
    high, wide = (rows.stop - rows.start) * edges[0], (columns.stop - columns.start) * edges[1]
    panel = _fit(high, wide)
    canvas = Canvas(2 * _PANEL + 36, 2 * panel[1] + 118)
    places = [(12 + column * (_PANEL + 12), 34 + row * (panel[1] + 34)) for row in range(2) for column in range(2)]
    whole = _fit(*(n * edge for n, edge in zip(grey.shape, edges, strict=True)), panel[1])
    _title(canvas, places[0], f"(a) slice, {grey.shape[1] * edges[1]:.0f} um wide; box: the part enlarged")
    canvas.paste(_image(grey, whole), places[0])
    scale = whole[0] / grey.shape[1], whole[1] / grey.shape[0]
    x, y = places[0]
    canvas.box(
        (x + columns.start * scale[0], y + rows.start * scale[1]),
        (x + columns.stop * scale[0], y + rows.stop * scale[1]),
        outline="#00a2c8",
    )
    zoomed = _image(grey[part], panel)
    for place, words, colour, image, edge in (
        (places[1], "(b) labelled outlines", LABELLED, truth[part] * 1.0, 0.5),
        (places[2], "(c) found outlines", FOUND, item.probability[part].astype(float), stored - 0.5),
    ):
        _title(canvas, place, words)
        canvas.paste(zoomed, place)
        for outline in find_contours(np.pad(image, 1), edge):
            points = (outline - 0.5) / image.shape * panel[::-1]
            canvas.line([(place[0] + x, place[1] + y) for y, x in points.tolist()], colour, 1.6)
    _title(canvas, places[3], "(d) correct and wrong")
    canvas.paste(_verdict(grey[part], known[part], truth[part], found[part], panel), places[3])
    bar = _bar(wide)
    left, low = places[1][0] + 10, places[1][1] + panel[1] - 12
    canvas.box((left - 5, low - 24), (left + max(bar / wide * panel[0], 40) + 5, low + 6), fill="#ffffff")
    canvas.line([(left, low), (left + bar / wide * panel[0], low)], INK, 3)
    canvas.text((left, low - 20), f"{bar:g} um", 13, INK)
    _legend(canvas, 2 * panel[1] + 34 * 2 + 16)
    canvas.save(out)
    wrong = int(np.count_nonzero((known & (truth != found))[part]))
    return (
        f"{item.name}. The box is where most voxels are wrong, {wrong} in {high:.0f} x {wide:.0f} µm: the worst part, "
        "not a typical one."
    )


def _worst_window(wrong: NDArray[np.bool_], edges: tuple[float, float]) -> tuple[slice, slice]:
    """Return the window with the most wrong voxels, a square in micrometres where the slice is large enough."""
    side = _WINDOW_VOXELS * min(edges)
    size = [min(n, max(1, round(side / edge))) for n, edge in zip(wrong.shape, edges, strict=True)]
    sums = np.pad(wrong.astype(np.int64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    h, w = size
    inside = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    best = np.argwhere(inside == inside.max())
    row, column = best[len(best) // 2]  # of many windows with the same voxels, the middle one
    return slice(int(row), int(row) + h), slice(int(column), int(column) + w)


def _fit(high: float, wide: float, tallest: int = _PANEL) -> tuple[int, int]:
    """Return width and height in pixels of what fits into a panel."""
    factor = min(_PANEL / wide, tallest / high)
    return max(1, round(wide * factor)), max(1, round(high * factor))


def _image(grey: NDArray[Any], size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(np.round(grey * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    steps = np.round(np.asarray(picture) / 255 * (_GREYS - 1)) * 255 / (_GREYS - 1)
    return Image.fromarray(np.round(steps).astype(np.uint8)).convert("RGB")


def _verdict(
    grey: NDArray[Any], known: NDArray[np.bool_], truth: NDArray[np.bool_], found: NDArray[np.bool_], size: Any
) -> Image.Image:
    """Return the faded slice with correct, missed, false and unlabelled voxels in their colours."""
    picture = np.asarray(_image(0.75 + 0.25 * grey, size)).copy()
    for mask, colour in (
        (truth & found, RIGHT),
        (truth & ~found, LABELLED),
        (found & ~truth, FOUND),
        (~known, UNKNOWN),
    ):
        where = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
        picture[np.asarray(where) > 0] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return Image.fromarray(picture)


def _title(canvas: Canvas, place: tuple[float, float], words: str) -> None:
    canvas.text((place[0], place[1] - 20), words, 14, INK)


def _legend(canvas: Canvas, y: float) -> None:
    x = 12.0
    for words, colour in (
        ("right", RIGHT),
        ("labelled, not found", LABELLED),
        ("found, not labelled", FOUND),
        ("unlabelled, not counted", UNKNOWN),
    ):
        canvas.box((x, y), (x + 14, y + 14), fill=colour)
        canvas.text((x + 20, y + 7), words, 13, SOFT, "lm")
        x += 50 + 7.2 * len(words)
    canvas.line([(12, y - 10), (canvas.size[0] - 12, y - 10)], GRID)


def _bar(width_um: float) -> float:
    """Return a scale bar of 1, 2 or 5 times a power of ten, about a fifth of the width."""
    power = 10.0 ** math.floor(math.log10(width_um / 4))
    return max(step * power for step in (1, 2, 5) if step * power <= width_um / 4)
