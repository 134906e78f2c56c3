"""OME-XML that lies in a file of its own (``NAME.companion.ome``), or in another file of the same OME-TIFF set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from ...errors import Fault, InputError
from ...logs import LOG
from .base import decoding
from .headers import file_beside

_MOST_BYTES = 2**26
_TIFF = (".tif", ".tiff")


def ome_xml(tif: tifffile.TiffFile, path: Path) -> str:
    """Return the OME-XML that describes a TIFF file, wherever it lies; empty where there is none.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The opened file.
    path : Path
        The file.
    """
    with decoding(path, "TIFF"):
        text = str(tif.pages[0].description) if tif.is_ome else ""
    root = parsed(text)
    if root is None or (named := next((_of(root, "BinaryOnly")), None)) is None:
        return text
    try:
        file = file_beside(path, str(named.get("MetadataFile", "")))
    except InputError as error:
        LOG.warning("%s: its OME-XML is not read, so nothing says its voxel size and how many slices it has", error)
        return ""
    if file.name.lower().endswith(_TIFF):
        with decoding(file, "TIFF"), tifffile.TiffFile(file) as other:
            return str(other.pages[0].description)
    with decoding(file, "OME-XML"), file.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError("it is longer than any description")
        return content.decode("utf-8-sig")


def parsed(text: str) -> ElementTree.Element | None:
    """Return the root of OME-XML, or None where it is none or may expand into more than there is."""
    if not text or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        return ElementTree.fromstring(text.encode("utf-8"))
    except (ElementTree.ParseError, ValueError):
        return None


def pixels_in(text: str, size: tuple[int, int]) -> Iterator[ElementTree.Element]:
    """Yield the images of this size (rows, columns) in OME-XML."""
    root = parsed(text)
    for pixels in _of(root, "Pixels") if root is not None else ():
        if (pixels.get("SizeY"), pixels.get("SizeX")) == tuple(map(str, size)):
            yield pixels


def described_slices(text: str, size: tuple[int, int], path: Path) -> list[str] | None:
    """Return the name of the file of each slice of the only image of a size; empty names where the XML does not say.

    Returns
    -------
    list of str or None
        None where OME-XML describes no such image.

    Raises
    ------
    InputError
        When there are several such images, channels or time points.
    """
    found = [*pixels_in(text, size)]
    if not found:
        return None
    with decoding(path, "OME-XML"):
        axes = [int(found[0].get(f"Size{axis}", "1")) for axis in "ZCT"]
    if len(found) > 1 or axes[1:] != [1, 1]:
        got = f"{len(found)} images" if len(found) > 1 else f"{axes[1]} channels, {axes[2]} time points"
        problem = "its OME-XML does not describe one 3-D image"
        raise InputError(Fault(str(path), got, problem, "Save one channel and one time point as z, y, x."))
    names = [""] * axes[0]
    for data in _of(found[0], "TiffData"):
        file = next((str(one.get("FileName", "")) for one in _of(data, "UUID")), "")
        with decoding(path, "OME-XML"):
            first, count = int(data.get("FirstZ", "0")), int(data.get("PlaneCount", "1"))
        for z in range(max(0, first), min(first + count, axes[0])):
            names[z] = file
    return names


def _of(root: Any, name: str) -> Iterator[ElementTree.Element]:
    return (element for element in root.iter() if element.tag.rpartition("}")[2] == name)
