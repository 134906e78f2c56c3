"""Voxel size and meaning of grey values in the header of a TIFF file.

Understood are, in the order in which they are believed: two layouts written at SPring-8 (8/16-bit files with Artist
``SP-uCT`` and a tab-separated description ``nProj pixelWidth pixDiv pixBase center filter``, where the linear
attenuation is ``pixel / pixDiv + pixBase`` in 1/cm, and 32-bit ``rec?????.tif`` whose description begins with the pixel
width in micrometres), OME-XML, ImageJ's description, and the resolution per inch or centimetre.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ...logs import LOG
from ...units import micrometres
from ..grey import GreyScale
from .base import decoding, grey_of_header, voxel_size_of_header
from .ome_companion import ome_xml, pixels_in

Edges = tuple[float | None, float | None, float | None]  # z, y, x in micrometres
_AGREE = 0.01  # relative, of two voxel sizes of one file
_OF_RESOLUTION = {2: 25400.0, 3: 10000.0}  # micrometres in the unit of the tag
# Dots per inch that programs write without having measured anything.
_DEFAULT_DPI = {1, 72, 75, 90, 96, 120, 144, 180, 220, 240, 254, 360, 720, 1440, 2540}
_ONE = (1e3, 1e4, 25400.0)  # um: a pixel of 1 mm, 1 cm or 1 inch is what programs write that know of no size
_MOST_PIXEL_UM = 2000.0  # for a resolution that stands alone to be believed


def header_of(
    tif: tifffile.TiffFile, path: Path, page: Any, slices: int
) -> tuple[tuple[float, float, float] | None, GreyScale | None]:
    """Return voxel size and grey calibration of a TIFF header, each None when the header lacks it.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The opened file.
    path : Path
        The file, for messages.
    page : tifffile.TiffPage
        First slice; a thumbnail may come before it.
    slices : int
        Slices of the scan: of a single one nobody measures a distance.
    """
    described = ome_xml(tif, path)
    with decoding(path, "TIFF"):
        tags, first = page.tags, tif.pages[0].tags  # which has the description of all
        text = str(first["ImageDescription"].value) if "ImageDescription" in first else ""
        artist = str(tags["Artist"].value) if "Artist" in tags else ""
        imagej = dict(tif.imagej_metadata or {})
        told = {
            "OME-XML": _of_ome(described, (page.imagelength, page.imagewidth)),
            "ImageJ's description": _of_imagej(imagej, tags),
            "the resolution tags": _of_resolution(tags) if not micrometres(imagej.get("unit", "")) else (None,) * 3,
        }
        floats = page.dtype == np.float32
    numbers = _numbers(text)
    if artist.startswith("SP-uCT") and len(numbers) >= 4:
        _, width, divisor, base = numbers[:4]
        grey = grey_of_header(path, 1 / divisor if divisor else math.inf, base, "1/cm")
        return voxel_size_of_header(path, (width,) * 3), grey
    if floats and len(numbers) >= 6 and numbers[0] > 0:
        return voxel_size_of_header(path, (numbers[0],) * 3), GreyScale(1.0, 0.0, "1/cm")
    return _voxel_size(told, path, slices), _grey_of_imagej(imagej, path)


def _voxel_size(told: Mapping[str, Edges], path: Path, slices: int) -> tuple[float, float, float] | None:
    """Return the voxel size from the first source that knows it, and say where another one disagrees."""
    known = {source: edges for source, edges in told.items() if edges[1] is not None and edges[2] is not None}
    if not known:
        return None
    source, (z, y, x) = next(iter(known.items()))
    assert y is not None
    assert x is not None
    for other, edges in known.items():
        differ = [mine for mine, its in zip((z, y, x), edges, strict=True) if mine and its and _differ(mine, its)]
        if differ:
            shown = " x ".join(f"{edge:g}" if edge is not None else "?" for edge in edges)
            mine = " x ".join(f"{edge:g}" if edge is not None else "?" for edge in (z, y, x))
            LOG.warning(
                "%s: the voxel size is %s um by %s and %s um by %s; the first is used", path, mine, source, shown, other
            )
    if z is None:
        if slices > 1:
            LOG.warning("%s: no distance of slices in %s; the edge of a pixel, %g um, is taken", path, source, x)
        z = x
    return voxel_size_of_header(path, (z, y, x))


def _differ(one: float, other: float) -> bool:
    return not math.isclose(abs(one), abs(other), rel_tol=_AGREE)


def _of_ome(text: str, size: tuple[int, int]) -> Edges:
    """Return what OME-XML says of the first image of this size. Its units are micrometres unless it says otherwise."""
    for pixels in pixels_in(text, size):
        edges = [
            _length(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "um")) for axis in "ZYX"
        ]
        return edges[0], edges[1], edges[2]
    return None, None, None


def _length(value: Any, unit: Any) -> float | None:
    """Return a length in micrometres; NaN when it is no number, None when there is none or its unit is no length."""
    factor = micrometres(unit)
    if value is None or factor is None:
        return None
    try:
        return float(value) * factor
    except (TypeError, ValueError):
        return math.nan


def _of_imagej(imagej: Mapping[str, Any], tags: Any) -> Edges:
    unit = imagej.get("unit", "")
    x, y = _edge(tags, "XResolution"), _edge(tags, "YResolution")
    return _length(imagej.get("spacing"), unit), _length(y, imagej.get("yunit", unit)), _length(x, unit)


def _of_resolution(tags: Any) -> Edges:
    factor = _OF_RESOLUTION.get(int(tags["ResolutionUnit"].value)) if "ResolutionUnit" in tags else None
    x, y = _edge(tags, "XResolution"), _edge(tags, "YResolution")
    if not factor or not x or not y or any(_is_default(edge * factor) for edge in (x, y)):
        return None, None, None
    return None, y * factor, x * factor


def _is_default(edge_um: float) -> bool:
    """Return whether a pixel is as large as those of screens and printers."""
    dpi = 25400 / edge_um
    near = round(dpi)
    if any(math.isclose(edge_um, one, rel_tol=1e-4) for one in _ONE):
        return True
    return edge_um > _MOST_PIXEL_UM or (
        abs(dpi - near) < 1e-3 * near and (near in _DEFAULT_DPI or (near % 50 == 0 and near <= 4800))
    )


def _edge(tags: Any, name: str) -> float | None:
    if name not in tags:
        return None
    pixels, length = tags[name].value
    return length / pixels if pixels else None


def _grey_of_imagej(imagej: Mapping[str, Any], path: Path) -> GreyScale | None:
    """Return ImageJ's straight-line calibration (``cf=0``), as it writes for signed 16-bit images."""
    if imagej.get("cf") != 0 or not {"c0", "c1"} <= imagej.keys():
        return None
    unit = str(imagej.get("vunit", ""))
    try:
        return grey_of_header(path, float(imagej["c1"]), float(imagej["c0"]), "" if unit == "Gray Value" else unit)
    except (TypeError, ValueError):
        return None


def _numbers(text: str) -> list[float]:
    numbers = []
    for part in text.split():
        try:
            numbers.append(float(part))
        except ValueError:
            break
    return numbers
