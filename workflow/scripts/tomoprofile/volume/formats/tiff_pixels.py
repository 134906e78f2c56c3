"""What the pixels of a TIFF page mean: grey values as they are or inverted, places in a table, or grey saved as RGB.

ImageJ writes inverting and coloured look-up tables without touching the pixels, which stay the measured values. In
files of other programs MinIsWhite says that 0 is white, and a palette that a pixel is a place in a table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ...errors import Fault, InputError
from .base import COPY_AGAIN, TO_GREY

_PHOTOMETRIC = tifffile.PHOTOMETRIC
_MOST_COLOURS = 4  # samples of a pixel: R, G, B and alpha


@dataclass(frozen=True)
class Pixels:
    """How the planes of a page are stored.

    Attributes
    ----------
    planes : int
        Slices in one page: more than one in volumetric pages, and in planar ones, where a sample is a slice.
    size : tuple of int
        Rows and columns.
    dtype : numpy.dtype
        Of grey values, in native byte order.
    grey : callable or None
        Makes grey values (plane, y, x) of the pixels of a page; None when they are that already.
    indexed : bool
        Whether they are places in a table of colours: good for a mask, not for a scan.
    """

    planes: int
    size: tuple[int, int]
    dtype: np.dtype[Any]
    grey: Callable[[NDArray[Any]], NDArray[Any]] | None
    indexed: bool = False

    @property
    def kind(self) -> tuple[Any, ...]:
        """What all slices of a scan must have in common."""
        return self.size, self.dtype, self.grey is None, self.indexed


def pixels_of(page: Any, path: Path) -> Pixels:
    """Return how the planes of a page are stored.

    Raises
    ------
    InputError
        When its pixels are no grey values.
    """
    if page.dtype is None:
        problem = "the header does not say what its grey values are"
        raise InputError(Fault(str(path), "", problem, COPY_AGAIN))
    separate, depth, rows, columns, samples = page.shaped
    if samples > 1 or (separate > 1 and (separate <= _MOST_COLOURS or page.photometric == _PHOTOMETRIC.RGB)):
        values = max(samples, separate)
        if depth > 1 or values > _MOST_COLOURS or (values == 2 and not _has_alpha(page)):
            got = f"{values} values in each pixel"
            raise InputError(Fault(str(path), got, "this is not a grey image", TO_GREY))
        return Pixels(1, (rows, columns), page.dtype.newbyteorder("="), _grey_of_colours(path, samples > 1))
    planes, size, dtype = separate * depth, (rows, columns), page.dtype.newbyteorder("=")
    if page.photometric == _PHOTOMETRIC.PALETTE and not page.parent.is_imagej:
        table = _greys_of_palette(page)
        rising = table is not None and bool((table == np.arange(len(table))).all())
        return Pixels(
            planes, size, dtype, None if table is None or rising else lambda pixels: table[pixels], table is None
        )
    return Pixels(planes, size, dtype, _grey_of_one_sample(page, path))


def losses_of(page: Any) -> list[str]:
    """Return what is doubtful about pages in JPEG, which keeps the look of a picture and not its values."""
    if page.compression not in (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG):
        return []
    return ["its pages are compressed as JPEG, with losses: grey values are not those that were reconstructed"]


def _has_alpha(page: Any) -> bool:
    return bool({*page.extrasamples} & {tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA})


def _grey_of_colours(path: Path, inner: bool) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def grey(pixels: NDArray[Any]) -> NDArray[Any]:
        channels = np.moveaxis(pixels, -1 if inner else -3, 0)
        red, *others = channels[: 3 if len(channels) > 2 else 1]  # the rest is alpha
        if not all(np.array_equal(red, other) for other in others):
            raise InputError(Fault(str(path), "RGB", "the image is in colours, not in grey", TO_GREY))
        return red.reshape(-1, *red.shape[-2:])

    return grey


def _grey_of_one_sample(page: Any, path: Path) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    photometric = page.photometric
    # tifffile calls every bilevel image MinIsWhite, and writes its ones as ones.
    ones_are_ones = page.bitspersample == 1 and page.software.startswith("tifffile")
    if photometric == _PHOTOMETRIC.MINISBLACK or page.parent.is_imagej or ones_are_ones:
        return None
    if photometric == _PHOTOMETRIC.MINISWHITE:
        if page.dtype.kind not in "ub":
            problem = "the page says that small values are white, which has a meaning for unsigned integers alone"
            raise InputError(Fault(str(path), page.dtype.name, problem, "Save it with small values as black."))
        top = np.array(2**page.bitspersample - 1).astype(page.dtype.newbyteorder("="))
        return lambda pixels: ~pixels if pixels.dtype == bool else top - pixels
    problem = f"its pixels are not grey values but {getattr(photometric, 'name', photometric)}"
    raise InputError(Fault(str(path), "", problem, TO_GREY))


def _greys_of_palette(page: Any) -> NDArray[Any] | None:
    """Return the grey of each place in a table of 256 greys from black to white or back; None for any other table."""
    colours = np.asarray(page.colormap) if page.colormap is not None else np.zeros((3, 0))
    if colours.shape != (3, 256) or (colours != colours[0]).any():
        return None
    # 255 is written as 65535, 65280 or, against the standard, as 255.
    greys = colours[0].astype(np.int64) >> (8 if colours.max() > 255 else 0)
    ramp = np.arange(256)
    return greys.astype(page.dtype) if (greys == ramp).all() or (greys == ramp[::-1]).all() else None
