"""What both kinds of TIFF scans share: opening files, reading headers, and detecting damage.

Headers understood: ImageJ (resolution, spacing, unit) and the two layouts written at SPring-8: 8/16-bit files with
Artist ``SP-uCT`` and a tab-separated description ``nProj pixelWidth pixDiv pixBase center filter``, where the linear
attenuation is ``pixel / pixDiv + pixBase`` in 1/cm, and 32-bit ``rec?????.tif`` whose description begins with the
pixel width in micrometres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ...errors import Fault, InputError
from ...units import MICROMETRES
from ..grey import GreyScale

_SUFFIXES = (".tif", ".tiff")


def is_named_tiff(path: Path) -> bool:
    """Return whether a path has the name of a TIFF file; damage is reported when the file is opened."""
    return path.name.lower().endswith(_SUFFIXES)


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF file.

    Raises
    ------
    InputError
        When it cannot be read as TIFF.
    """
    try:
        return tifffile.TiffFile(path)
    except Exception as error:
        raise InputError(damaged(path, error)) from None


def damaged(path: Path, error: Exception) -> Fault:
    """Return the fault of a file that cannot be decoded."""
    return Fault(str(path), "", f"the file cannot be read as TIFF: {error}", "Copy it again from its source.")


def truncation(path: Path, pages: Any) -> list[Fault]:
    """Return the fault of a file that ends before the pixels its header promises."""
    size = path.stat().st_size
    needed = 0
    for page in pages:
        ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False))
        needed = max(needed, *ends) if page.dataoffsets else needed
    if needed <= size:
        return []
    remedy = "Copy it again from its source."
    return [Fault(str(path), f"{size} bytes", f"the file is truncated: its header promises {needed} bytes", remedy)]


def header_of(tif: tifffile.TiffFile) -> tuple[tuple[float, float, float] | None, GreyScale | None]:
    """Return voxel size and grey calibration of a TIFF header, each None when the header lacks it."""
    page = tif.pages[0]
    tags = page.tags
    text = str(tags["ImageDescription"].value) if "ImageDescription" in tags else ""
    artist = str(tags["Artist"].value) if "Artist" in tags else ""
    numbers = _numbers(text)
    if artist.startswith("SP-uCT") and len(numbers) >= 4:
        _, width, divisor, base = numbers[:4]
        return (width, width, width), GreyScale(1 / divisor, base, "1/cm")
    if page.dtype == np.float32 and len(numbers) >= 6 and numbers[0] > 0:
        return (numbers[0],) * 3, GreyScale(1.0, 0.0, "1/cm")
    if tif.imagej_metadata:
        factor = MICROMETRES.get(str(tif.imagej_metadata.get("unit", "")))
        x, y = _edge(tags, "XResolution"), _edge(tags, "YResolution")
        if factor and x and y:
            z = float(tif.imagej_metadata.get("spacing", x))
            return (z * factor, y * factor, x * factor), None
    return None, None


def _numbers(text: str) -> list[float]:
    numbers = []
    for part in text.split():
        try:
            numbers.append(float(part))
        except ValueError:
            break
    return numbers


def _edge(tags: Any, name: str) -> float | None:
    if name not in tags:
        return None
    pixels, length = tags[name].value
    return length / pixels if pixels else None


def page_count(path: Path) -> int:
    """Return how many images a TIFF file holds."""
    with open_tiff(path) as tif:
        return len(tif.series[0]) if tif.series else 0
