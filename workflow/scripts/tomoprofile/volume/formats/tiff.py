"""What both kinds of TIFF scans share: opening files and detecting damage."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tifffile

from ...errors import Fault
from ..sources import SLICE_SUFFIXES
from .base import COPY_AGAIN, decoding

# What it complains of becomes a fault or is harmless; beside our messages its own only confuse.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def is_named_tiff(path: Path) -> bool:
    """Return whether a path has the name of a TIFF file; damage is reported when the file is opened."""
    return path.name.lower().endswith(SLICE_SUFFIXES)


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
        for page in pages:
            number, key = page.index + 1, page.keyframe
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
