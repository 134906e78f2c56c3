"""Where the slices of a scan lie in a TIFF file, or in the files of one OME-TIFF, and whether its description agrees.

Nothing is a slice by its place alone: pages of reduced resolution, masks and overviews are none, one page may hold many
slices (volumetric and planar pages), and one page may stand for all slices behind it (ImageJ stacks above 4 GB). What a
stack says about itself (ImageJ's ``images``, tifffile's ``shape``, OME's ``SizeZ``) must be what is there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from ...errors import Fault, InputError
from ...logs import LOG
from .base import COPY_AGAIN, decoding, refuse_impossible_shape
from .ome_companion import described_slices, ome_xml
from .tiff_pixels import Pixels, pixels_of

_MOST_CHANNELS = 4  # a header that says `channels` of more slices means slices
_SHOWN = 3  # page numbers in messages
_SAVE_ONE = "Save the scan alone as one stack z, y, x, in Fiji with File > Save As > Tiff."


@dataclass(frozen=True)
class Slices:
    """Where the slices of a scan are.

    Attributes
    ----------
    pages : list
        Pages in the order of slices; they know their files.
    pixels : Pixels
        What is in each page.
    count : int
        Number of slices. More than the pages hold when one page stands for all slices behind it.
    """

    pages: list[Any]
    pixels: Pixels
    count: int

    @property
    def files(self) -> set[Path]:
        """All files that hold a slice."""
        return {Path(page.parent.filehandle.path) for page in self.pages}


def full_pages(tif: tifffile.TiffFile) -> list[Any]:
    """Return the pages of a file that are neither masks nor of reduced resolution; call it inside ``decoding``."""
    return [page for page in tif.pages if not (page.is_reduced or page.is_mask)]


def slices_of(tif: tifffile.TiffFile, path: Path) -> Slices:
    """Find the slices of the scan in a TIFF file.

    Raises
    ------
    InputError
        When the file is damaged, holds more than one image or none, or contradicts its own description.
    """
    own = _whole_pages(tif, path)
    main = (
        [] if tif.is_ome or not own else _of_one_size(own, path)
    )  # before tifffile takes all pages for like the first
    with decoding(path, "TIFF"):
        series = [one for one in tif.series if own and not _is_reduced(one)]
    if not own or not series:
        raise InputError(Fault(str(path), "", "the file holds no image of full resolution", COPY_AGAIN))
    if series[0].kind == "ome":
        pages, count = _of_ome(series, path), None
        _refuse_more_pages(pages, own, path)
    else:
        pages = main or _of_one_size(own, path)
        count = _promised(tif, series, pages, path)
    first = pages[0]
    refuse_impossible_shape(path, first.shape)
    pixels = pixels_of(first.keyframe, path)
    _refuse_other_axes(series, path)
    if any(page.shaped != first.shaped or page.dtype != first.dtype for page in pages):
        raise InputError(Fault(str(path), "", "the pages of the image differ in size or type", _SAVE_ONE))
    there = pixels.planes * len(pages)
    if count is not None and count != len(pages):
        _refuse_contradiction(first.keyframe, path, count * pixels.planes, there, alone=len(own) == 1)
        there = count * pixels.planes
    if len(series) > 1 and series[0].kind != "ome":
        LOG.info("%s: %d images of one size are taken as one scan of %d slices", path, len(series), there)
    return Slices(pages, pixels, there)


def _whole_pages(tif: tifffile.TiffFile, path: Path) -> list[Any]:
    """Return :func:`full_pages`.

    Raises
    ------
    InputError
        When a page, of which each names the next, is not where the one before says.
    """
    count = 0
    pages = []
    try:
        for page in tif.pages:
            count += 1
            if not (page.is_reduced or page.is_mask):
                pages.append(page)
    except Exception as error:  # what tifffile makes of a page that is cut depends on the place
        problem = f"the file is truncated or damaged behind its page {count}: {error}"
        raise InputError(Fault(str(path), f"{count} whole pages", problem, COPY_AGAIN)) from error
    return pages


def _is_reduced(series: Any) -> bool:
    return bool(series.pages) and series.pages[0] is not None and bool(series.pages[0].is_reduced)


def _of_one_size(pages: Sequence[Any], path: Path) -> list[Any]:
    """Return the pages of the largest image; smaller ones are overviews, and others a fault."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    with decoding(path, "TIFF"):
        for page in pages:
            groups.setdefault((page.shaped, str(page.dtype), int(page.photometric)), []).append(page)
    main = max(groups.values(), key=lambda group: math.prod(group[0].shaped) * len(group))
    for group in groups.values():
        if group is main:
            continue
        told = f"{_listed(group)} of {'x'.join(map(str, group[0].shape))} {group[0].dtype}"
        if not _are_overviews(group, main):
            got = f"{_listed(main)} of {'x'.join(map(str, main[0].shape))} {main[0].dtype}; {told}"
            problem = "the file holds several kinds of pages, and it is not clear which are the slices of the scan"
            raise InputError(Fault(str(path), got, problem, _SAVE_ONE))
        LOG.warning("%s: taken for overviews, not for slices: %s", path, told)
    return main


def _are_overviews(group: Sequence[Any], main: Sequence[Any]) -> bool:
    """Return whether pages that do not say it are overviews: much smaller, and not in place of slices.

    They come before all slices or behind them, or there is one with each of them. A small page in the middle of a stack
    is a damaged slice.
    """
    (_, _, height, width, _), (_, _, rows, columns, _) = group[0].shaped, main[0].shaped
    own, others = [page.index for page in group], [page.index for page in main]
    apart = own[-1] < others[0] or own[0] > others[-1]
    return height * width * 2 <= rows * columns and (len(group) == len(main) or (apart and len(group) < len(main)))


def _listed(pages: Sequence[Any]) -> str:
    numbers = [str(page.index + 1) for page in pages]
    if len(numbers) == 1:
        return f"page {numbers[0]}"
    shown = ", ".join(numbers[:_SHOWN]) + (", ..." if len(numbers) > _SHOWN else "")
    return f"{len(numbers)} pages ({shown})"


def _of_ome(series: Sequence[Any], path: Path) -> list[Any]:
    """Return the pages of the only image of an OME-TIFF, or of all images when each is one slice of a stack."""
    largest = max(series, key=lambda one: math.prod(one.shape))
    named = [one for one in series if math.prod(one.shape[-2:]) * 2 > math.prod(largest.shape[-2:])]
    pages: list[Any] = []
    if len(named) > 1 and any(one.shape != largest.shape or len(one.pages) != 1 for one in named):
        told = "; ".join(f"{one.name} {'x'.join(map(str, one.shape))} in {len(one.pages)} pages" for one in named)
        problem = f"the file holds {len(named)} images, and it is not clear which one is the scan"
        raise InputError(Fault(str(path), told, problem, _SAVE_ONE))
    with decoding(path, "TIFF"):
        for one in named:
            pages += list(one.pages)
    _refuse_lost_files(path, pages)
    return pages


def _refuse_lost_files(path: Path, pages: list[Any]) -> None:
    """Raise an :class:`InputError` when slices of an image in several files are missing, or not beside this file.

    A header may name any file of the computer, and slices whose file is lost would be read as zeros.
    """
    remedy = "Copy all files of the image into one folder, or save it as one file."
    lost = [index for index, page in enumerate(pages) if page is None]
    if lost:
        problem = f"{len(lost)} slices of the image are in no file, the first is slice {lost[0]}"
        raise InputError(Fault(str(path), "", problem, remedy))
    near = {path.absolute().parent, path.resolve().parent}
    for file in sorted({Path(page.parent.filehandle.path) for page in pages}):
        if not near & {file.absolute().parent, file.resolve().parent}:
            raise InputError(Fault(str(path), str(file), "its header names a file in another folder", remedy))


def _refuse_more_pages(pages: Sequence[Any], own: Sequence[Any], path: Path) -> None:
    """Raise an :class:`InputError` when the file holds pages of the image's size that its OME-XML does not know."""
    known = {page.offset for page in pages}
    more = [page for page in own if page.offset not in known and page.shaped == pages[0].shaped]
    if more and any(page.offset in known for page in own):
        problem = f"its OME-XML describes {len(pages)} slices, but the file has {len(more)} pages more"
        raise InputError(Fault(str(path), "", problem, COPY_AGAIN))


def _promised(tif: tifffile.TiffFile, series: Sequence[Any], pages: Sequence[Any], path: Path) -> int | None:
    """Return how many pages the description of a stack promises, or None when it has none."""
    with decoding(path, "TIFF"):
        if tif.is_imagej:
            found = dict(tif.imagej_metadata or {})
            count = int(found.get("images", 1))
            return count if count > 1 or len(pages) == 1 else None  # saved by another program page by page
        if tif.is_shaped:
            return _promised_by_shapes(pages)
        if tif.is_ome and (text := ome_xml(tif, path)):  # in another file, which tifffile does not read
            return len(described_slices(text, pages[0].shaped[2:4], path) or pages)
        if series[0].kind in ("stk", "lsm"):
            return math.prod(series[0].shape) // math.prod(pages[0].shape)
    return None


def shaped_shape(page: Any) -> list[int]:
    """Return the shape that tifffile wrote into the description of a page; call it inside ``decoding``."""
    return [int(n) for n in json.loads(page.shaped_description)["shape"]]


def _promised_by_shapes(pages: Sequence[Any]) -> int | None:
    """Return how many pages tifffile's ``shape`` promises where that is not what is there: -1 for another size.

    Each description counts the pages from its own on; pages that were appended without one are not promised.
    """
    end = 0
    for index, page in enumerate(pages):
        if not page.is_shaped:
            continue
        count, rest = divmod(math.prod(shaped_shape(page)), math.prod(page.shape))
        if rest or index < end:
            return -1
        end = index + count
    if 0 < end < len(pages):
        text = "%s: its description counts %d of its %d pages; the others were appended, and all are taken"
        LOG.warning(text, pages[0].parent.filehandle.path, end, len(pages))
    return end if end > len(pages) else None


def _refuse_contradiction(page: Any, path: Path, promised: int, there: int, alone: bool) -> None:
    """Raise an :class:`InputError` unless one page stands for all slices, which lie behind it."""
    if alone and promised > there and page.is_final:
        size, start, each = path.stat().st_size, page.dataoffsets[0], page.nbytes // max(there, 1)
        if start + promised * each <= size:
            return
        problem = f"the description promises {promised} slices, but the file ends in slice {(size - start) // each}"
        raise InputError(Fault(str(path), f"{size} bytes", problem, COPY_AGAIN))
    told = f"{promised} slices" if promised >= 0 else "slices of another size"
    problem = f"the description of the stack promises {told}, but the file holds {there}"
    remedy = "Copy it again from its source, or save it again with File > Save As > Tiff in Fiji."
    raise InputError(Fault(str(path), "", problem, remedy))


def _refuse_other_axes(series: Sequence[Any], path: Path) -> None:
    """Raise an :class:`InputError` when an image has more axes than the three of a volume, or a few channels."""
    for one in series:
        axes = [(axis, n) for axis, n in zip(one.axes, one.shape, strict=True) if axis not in "YXS" and n > 1]
        if len(axes) > 1:
            problem = "this is not a 3-D grey image"
            remedy = "Save one channel and one time point as z, y, x."
            raise InputError(Fault(str(path), f"axes {one.axes}, {'x'.join(map(str, one.shape))}", problem, remedy))
        if axes and axes[0][0] == "C" and axes[0][1] <= _MOST_CHANNELS:
            problem = f"the header says that its {axes[0][1]} planes are channels, not slices"
            remedy = "Save one channel; if they are slices, say so in Fiji with Image > Properties."
            raise InputError(Fault(str(path), f"axes {one.axes}", problem, remedy))
