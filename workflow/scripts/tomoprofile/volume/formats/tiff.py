"""What both kinds of TIFF scans share: opening files, reading headers, and detecting damage.

Headers understood: ImageJ (resolution, spacing, unit) and the two layouts written at SPring-8: 8/16-bit files with
Artist ``SP-uCT`` and a tab-separated description ``nProj pixelWidth pixDiv pixBase center filter``, where the linear
attenuation is ``pixel / pixDiv + pixBase`` in 1/cm, and 32-bit ``rec?????.tif`` whose description begins with the
pixel width in micrometres.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ...errors import Fault
from ...logs import LOG
from ...units import micrometres
from ..grey import GreyScale
from .base import COPY_AGAIN, decoding, grey_of_header, voxel_size_of_header

_SUFFIXES = (".tif", ".tiff")


def is_named_tiff(path: Path) -> bool:
    """Return whether a path has the name of a TIFF file; damage is reported when the file is opened."""
    return path.name.lower().endswith(_SUFFIXES)


@contextmanager
def open_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file.

    Raises
    ------
    InputError
        When it cannot be read as TIFF.
    """
    with decoding(path, "TIFF"):
        tif = tifffile.TiffFile(path)
    with tif:
        with decoding(path, "TIFF"):
            _refuse_circles(tif)
        yield tif


def _refuse_circles(tif: tifffile.TiffFile) -> None:
    """Raise an error when pages, each of which names the next, come back or overlap: tifffile would go on for hours."""
    form, file = tif.tiff, tif.filehandle
    offset, taken = tif.pages[0].offset, 0
    while offset and offset < file.size and taken <= file.size:
        file.seek(offset)
        head = file.read(form.tagnosize)
        if len(head) < form.tagnosize:
            return
        length = form.tagnosize + struct.unpack(form.tagnoformat, head)[0] * form.tagsize
        file.seek(offset + length)
        following = file.read(form.offsetsize)
        if len(following) < form.offsetsize:
            return  # told by whoever reads the last page
        (offset,) = struct.unpack(form.offsetformat, following)
        taken += length + form.offsetsize
    if taken > file.size:
        raise ValueError("its list of pages comes back to a page that is already in it")


def truncation(path: Path, pages: Any) -> list[Fault]:
    """Return the faults of a file that ends before the pixels its header promises, or lacks parts of a page."""
    size = path.stat().st_size
    needed = 0
    with decoding(path, "TIFF"):
        for number, page in enumerate(pages, 1):
            key = page.keyframe
            parts = 1 if page.is_contiguous else math.prod(key.chunked)
            stored = [count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False) if offset]
            # tifffile reads a strip that is nowhere as zeros.
            if len(stored) < parts or not all(stored):
                problem = f"page {number} lacks {parts - sum(map(bool, stored))} of its {parts} strips or tiles"
                return [Fault(str(path), "", problem, COPY_AGAIN)]
            ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
            if page.is_contiguous:
                ends.append(page.dataoffsets[0] + page.nbytes)
            needed = max(needed, *ends)
    if needed <= size:
        return []
    return [Fault(str(path), f"{size} bytes", f"the file is truncated: its header promises {needed} bytes", COPY_AGAIN)]


def broken_chain(path: Path, tif: tifffile.TiffFile) -> list[Fault]:
    """Return the fault of a file whose pages, each of which names the next, end at one that is not there."""
    with decoding(path, "TIFF"):
        count, place = len(tif.pages), tif.pages.next_page_offset
        if not place or (tif.is_imagej and count == 1):  # beyond 4 GB ImageJ lists only the first page
            return []
        tif.filehandle.seek(place)
        (following,) = struct.unpack(tif.tiff.offsetformat, tif.filehandle.read(tif.tiff.offsetsize))
    if not following:
        return []
    problem = f"the pages of the file end at a page {count + 1} that is not where the one before says"
    return [Fault(str(path), f"{count} pages", problem, COPY_AGAIN)]


def header_of(tif: tifffile.TiffFile, path: Path) -> tuple[tuple[float, float, float] | None, GreyScale | None]:
    """Return voxel size and grey calibration of a TIFF header, each None when the header lacks it."""
    with decoding(path, "TIFF"):
        page = tif.pages[0]
        tags = page.tags
        text = str(tags["ImageDescription"].value) if "ImageDescription" in tags else ""
        artist = str(tags["Artist"].value) if "Artist" in tags else ""
        imagej = dict(tif.imagej_metadata or {})
        x, y = _edge(tags, "XResolution"), _edge(tags, "YResolution")
    numbers = _numbers(text)
    if artist.startswith("SP-uCT") and len(numbers) >= 4:
        _, width, divisor, base = numbers[:4]
        grey = grey_of_header(path, 1 / divisor if divisor else math.inf, base, "1/cm")
        return voxel_size_of_header(path, (width,) * 3), grey
    if page.dtype == np.float32 and len(numbers) >= 6 and numbers[0] > 0:
        return voxel_size_of_header(path, (numbers[0],) * 3), GreyScale(1.0, 0.0, "1/cm")
    factor = micrometres(imagej.get("unit", ""))
    if factor and x and y:
        z = _spacing(imagej.get("spacing", x), path)
        return voxel_size_of_header(path, (z * factor, y * factor, x * factor)), None
    return None, None


def _numbers(text: str) -> list[float]:
    numbers = []
    for part in text.split():
        try:
            numbers.append(float(part))
        except ValueError:
            break
    return numbers


def _spacing(value: Any, path: Path) -> float:
    """Return the distance of slices, NaN when it is no number."""
    try:
        spacing = float(value)
    except (TypeError, ValueError):
        return math.nan
    if spacing < 0:  # the direction of a stack, which some plugins of Fiji write
        LOG.warning("%s: the spacing of the header is negative (%g); its amount is used", path, spacing)
    return abs(spacing)


def _edge(tags: Any, name: str) -> float | None:
    if name not in tags:
        return None
    pixels, length = tags[name].value
    return length / pixels if pixels else None


def page_count(path: Path) -> int:
    """Return how many images a TIFF file holds.

    Raises
    ------
    InputError
        When it cannot be read as TIFF.
    """
    with open_tiff(path) as tif, decoding(path, "TIFF"):
        return len(tif.series[0]) if tif.series else 0
