"""Images of labels, one slice or a whole scan, in any format: values of slices, one in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ..errors import Fault, InputError
from ..samples import MaskImage
from ..volume.formats.base import RawScan, decoding
from ..volume.formats.tiff import broken_chain, open_tiff, truncation
from ..volume.geometry import Geometry
from ..volume.orientation import Turned, in_axes_of, refuse_turned
from ..volume.readers import open_mask
from .classes import Classes
from .colours import values_of_colours
from .files import LabelFile

_CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4}
_AS_THEY_ARE = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")
_PART = 2**28  # bytes of a volume that are in memory where its slices cannot be read one by one


class Page(NamedTuple):
    """The values of a slice.

    Attributes
    ----------
    z : int
    values : array (y, x)
        As in the file.
    told : str
        How the file was understood where that is not plain, for messages; else empty.
    """

    z: int
    values: NDArray[Any]
    told: str = ""


def read_pages(
    file: LabelFile, shape: tuple[int, int, int], classes: Classes, geometry: Geometry | None = None
) -> Iterator[Page]:
    """Yield the labelled slices of a file: the one its name gives, or those of a label volume that are not all 0.

    Parameters
    ----------
    file : LabelFile
    shape : tuple of int
        Voxels of the scan along (z, y, x).
    classes : Classes
    geometry : Geometry, optional
        Where the voxels of the scan lie in space: a label volume that says where its own lie may be turned against it.

    Raises
    ------
    InputError
        When the file cannot be read, does not fit the scan, or does not say which slice it shows.
    """
    with _OPEN[file.form](file.path, classes) as image:
        if image.volume is not None and file.z is None:
            image = _slices_of(in_axes_of(image.volume, geometry, shape, str(file.path)))
        elif image.volume is not None:
            refuse_turned(image.volume, geometry, str(file.path))
        sides, told = image.sides, ""
        while len(sides) > 2 and sides[0] == 1 and shape[0] != 1:  # one page of a stack
            sides = sides[1:]
        if file.z is None and image.sides == tuple(shape):
            for z in range(shape[0]):
                page = image.read(z)
                if page.values.any():
                    yield page
            return
        z = file.z
        if z is None and len(sides) == 2 and file.number is not None:
            z, told = file.number, f"the number in the name of {file.path.name} is taken as its slice, counted from 0"
        if z is None:
            raise InputError(_no_volume(file, sides, shape))
        require_inside(file.path, z, shape, "Correct the number in the file name.")
        if sides != tuple(shape[1:]) and sides != (1, *shape[1:]):
            got = "x".join(map(str, sides))
            problem = f"the label file differs in size from the slices of the scan ({shape[1]}x{shape[2]})"
            remedy = "Export the mask at the size of the slice that was proposed."
            raise InputError(Fault(str(file.path), got, problem, remedy))
        page = image.read(0)
        yield Page(z, page.values.reshape(shape[1:]), "; ".join(part for part in (told, page.told) if part))


def require_inside(path: Path, z: int, shape: tuple[int, int, int], remedy: str) -> None:
    """Raise an :class:`InputError` when a scan has no such slice."""
    if z >= shape[0]:
        problem = f"slice {z} is outside the scan (0..{shape[0] - 1})"
        raise InputError(Fault(str(path), f"z{z:05d}", problem, remedy))


class _Image(NamedTuple):
    """An opened image: its sides, without channels, how to read a slice, and the volume that it is."""

    sides: tuple[int, ...]
    read: Callable[[int], Page]
    volume: RawScan | None = None


@contextmanager
def _tiff(path: Path, classes: Classes) -> Iterator[_Image]:
    with open_tiff(path) as tif:
        with _decoding(path):
            page, series = tif.pages[0], tif.series[0]
            _require_no_palette(page, path)
            sides = series.shape
            colour = page.samplesperpixel > 1 and len(sides) == 3 and sides[-1] == page.samplesperpixel
            stacked = len(sides) > 2 and not colour

        @cache
        def pages() -> Any:
            if faults := truncation(path, tif.pages if stacked else [page]) or (stacked and broken_chain(path, tif)):
                raise InputError(*faults)
            with _decoding(path):
                if stacked and series.dataoffset is not None:
                    return tifffile.memmap(path, series=0, mode="r")
                return series.pages if stacked and len(series.pages) == sides[0] else series.asarray()

        def read(z: int) -> Page:
            found = pages()
            with _decoding(path, f"page {z + 1} of the label file" if stacked else "the label file"):
                part = found[z] if stacked else found
                values = part.asarray() if hasattr(part, "asarray") else np.array(part)
            return Page(z, *(values_of_colours(values, classes, path) if colour else (values,)))

        yield _Image(sides[:2] if colour else sides, read)


@contextmanager
def _picture(path: Path, classes: Classes) -> Iterator[_Image]:
    with _any_size(), _decoding(path), Image.open(path) as picture:
        sides = (picture.height, picture.width)

        def read(z: int) -> Page:
            with _any_size(), _decoding(path):
                shown = picture.convert("RGBA") if picture.mode in ("P", "PA") else picture
                values = np.asarray(shown)
            if shown.mode in _CHANNELS:
                return Page(z, *values_of_colours(values, classes, path))
            if shown.mode not in _AS_THEY_ARE:
                raise InputError(Fault(str(path), shown.mode, "not a grey or colour image", "Save it as 8-bit PNG."))
            return Page(z, values.astype(np.uint8) if shown.mode == "1" else values)

        yield _Image(sides, read)


@contextmanager
def _array(path: Path, _: Classes) -> Iterator[_Image]:
    with decoding(path, "NumPy", "the label file", "Save it with `numpy.save`."):
        # Never unpickled; a header that promises more than there is, is refused.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    yield _Image(values.shape, lambda z: Page(z, np.array(values[z] if values.ndim > 2 else values)))


@contextmanager
def _volume(path: Path, _: Classes) -> Iterator[_Image]:
    raw = open_mask(MaskImage(str(path)))
    if faults := raw.faults():
        raise InputError(*faults)
    yield _slices_of(raw)


def _slices_of(raw: RawScan) -> _Image:
    """Return the slices of a volume; where several are decoded together, as many as may be are read at once."""
    depth, rows, columns = raw.shape
    fit = max(1, _PART // (rows * columns * raw.dtype.itemsize))
    size = min(fit, max(1, raw.step(0)))
    told = raw.told if isinstance(raw, Turned) else ""

    @lru_cache(1)
    def part(number: int) -> NDArray[Any]:
        return raw.read(0, number * size, min(depth, (number + 1) * size))

    return _Image(raw.shape, lambda z: Page(z, part(z // size)[z % size], told), raw)


_OPEN: dict[str, Callable[[Path, Classes], AbstractContextManager[_Image]]] = {
    "tiff": _tiff,
    "picture": _picture,
    "array": _array,
    "other": _volume,
}


@contextmanager
def _any_size() -> Iterator[None]:
    """Let Pillow open large slices: their size is compared with the scan's before they are decoded."""
    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = most


def _decoding(path: Path, part: str = "the label file") -> AbstractContextManager[None]:
    form = "TIFF" if path.suffix.lower().startswith(".tif") else "picture"
    return decoding(path, form, part, "Save the mask again as an 8-bit TIFF.")


def _require_no_palette(page: Any, path: Path) -> None:
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        problem = "a label file must be a grey image whose values are the classes; this one has a lookup table"
        remedy = (
            "In Fiji choose Image > Lookup Tables > Grays, then Image > Type > 8-bit; check the values; save again."
        )
        raise InputError(Fault(str(path), "palette colours", problem, remedy))


def _no_volume(file: LabelFile, got: tuple[int, ...], shape: tuple[int, int, int]) -> Fault:
    size, path = "x".join(map(str, got)), file.path
    if len(got) < 3 or set(got[:-2]) == {1}:
        remedy = f"End its name with the slice index: NAME_z00123{path.suffix}."
        return Fault(str(path), size, "the name of the mask does not say which slice it shows", remedy)
    problem = f"the label volume differs in size from the scan ({'x'.join(map(str, shape))}; slices x rows x columns)"
    return Fault(str(path), size, problem, "Save labels of the whole scan, or one mask per slice: NAME_z00123.tif.")
