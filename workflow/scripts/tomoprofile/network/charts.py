"""Small charts as images: axes with ticks and titles, lines, dots and bars, on white.

Drawn at three times the size and reduced, which smooths lines and letters. The font is the one built into Pillow, so
no machine lacks it; it is ASCII only, so micrometres are written um.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..files import whole_file

INK, SOFT, GRID = "#17202a", "#56626f", "#e4e8ec"
BLUE, ORANGE = "#3b82c4", "#d9661f"  # as in the reports
MOST_BYTES = 300_000
_ZOOM = 3
_TICK = 5
_COLOURS = (256, 96, 48, 24, 12)

Point = tuple[float, float]


class Canvas:
    """A white picture of ``width`` x ``height`` pixels; positions are from its upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self.image = Image.new("RGB", (width * _ZOOM, height * _ZOOM), "white")
        self._draw = ImageDraw.Draw(self.image)

    def text(self, at: Point, words: str, size: int = 13, colour: str = INK, anchor: str = "la") -> None:
        """Write words; ``anchor`` says which point of them is at ``at``, as Pillow has it."""
        self._draw.text((at[0] * _ZOOM, at[1] * _ZOOM), words, colour, ImageFont.load_default(size * _ZOOM), anchor)

    def upright(self, at: Point, words: str, size: int = 13, colour: str = INK) -> None:
        """Write words that read upwards, centred at ``at``."""
        font = ImageFont.load_default(size * _ZOOM)
        left, top, right, bottom = (round(value) for value in font.getbbox(words))
        mask = Image.new("L", (right - left + 4, bottom - top + 4))
        ImageDraw.Draw(mask).text((2 - left, 2 - top), words, 255, font)
        mask = mask.transpose(Image.Transpose.ROTATE_90)
        corner = (round(at[0] * _ZOOM - mask.width / 2), round(at[1] * _ZOOM - mask.height / 2))
        self.image.paste(Image.new("RGB", mask.size, colour), corner, mask)

    def line(self, points: Sequence[Point], colour: str, width: float = 1.0) -> None:
        """Draw a line through points."""
        scaled = [(x * _ZOOM, y * _ZOOM) for x, y in points]
        self._draw.line(scaled, colour, max(1, round(width * _ZOOM)), joint="curve")

    def dot(self, at: Point, radius: float, colour: str) -> None:
        """Draw a disc."""
        self._draw.circle((at[0] * _ZOOM, at[1] * _ZOOM), radius * _ZOOM, colour)

    def box(self, corner: Point, opposite: Point, fill: str | None = None, outline: str | None = None) -> None:
        """Draw a rectangle; an outline is two pixels wide."""
        ends = [value * _ZOOM for value in (*corner, *opposite)]
        self._draw.rectangle(ends, fill, outline, 2 * _ZOOM)

    def paste(self, picture: Image.Image, corner: Point) -> None:
        """Put a picture with its upper left corner at ``corner``; it keeps its pixels."""
        big = picture.resize((picture.width * _ZOOM, picture.height * _ZOOM), Image.Resampling.NEAREST)
        self.image.paste(big, (round(corner[0] * _ZOOM), round(corner[1] * _ZOOM)))

    def save(self, path: Path) -> None:
        """Write a PNG of less than :data:`MOST_BYTES`, with fewer colours where needed."""
        small = self.image.resize(self.size, Image.Resampling.BOX)
        for colours in _COLOURS:
            buffer = io.BytesIO()
            small.quantize(colours, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
            if buffer.tell() < MOST_BYTES:
                break
        with whole_file(path) as partial:
            partial.write_bytes(buffer.getvalue())


class Axes:
    """A frame on a canvas with linear axes.

    Parameters
    ----------
    canvas : Canvas
    corner, opposite : tuple of float
        Upper left and lower right corner of the frame.
    x, y : tuple of float
        Ends of the axes.
    """

    def __init__(self, canvas: Canvas, corner: Point, opposite: Point, x: Point, y: Point) -> None:
        self.canvas, self.corner, self.opposite, self.x, self.y = canvas, corner, opposite, x, y

    def at(self, x: float, y: float) -> Point:
        """Return where a point lies on the canvas."""
        (left, top), (right, bottom) = self.corner, self.opposite
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    def frame(self, x_title: str, y_title: str, y_ticks: Sequence[tuple[float, str]] | None = None) -> None:
        """Draw grid, ticks and titles; an empty title of x also omits its numbers."""
        (left, top), (right, bottom) = self.corner, self.opposite
        for value in ticks(*self.x):
            place = self.at(value, self.y[0])[0]
            self.canvas.line([(place, top), (place, bottom)], GRID)
            self.canvas.line([(place, bottom), (place, bottom + _TICK)], SOFT)
            if x_title:
                self.canvas.text((place, bottom + _TICK + 3), f"{value:g}", 12, SOFT, "ma")
        for value, words in y_ticks or [(value, f"{value:g}") for value in ticks(*self.y)]:
            place = self.at(self.x[0], value)[1]
            self.canvas.line([(left, place), (right, place)], GRID)
            self.canvas.line([(left - _TICK, place), (left, place)], SOFT)
            self.canvas.text((left - _TICK - 4, place), words, 12, SOFT, "rm")
        self.canvas.line([(left, top), (left, bottom), (right, bottom)], SOFT)
        self.canvas.text(((left + right) / 2, bottom + 28), x_title, 13, INK, "ma")
        self.canvas.upright((left - 52, (top + bottom) / 2), y_title)

    def line(self, points: Sequence[Point], colour: str, width: float = 2.0) -> None:
        """Draw a line through points of the axes."""
        if len(points) > 1:
            self.canvas.line([self.at(*point) for point in points], colour, width)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers from ``low`` to ``high``, steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]
