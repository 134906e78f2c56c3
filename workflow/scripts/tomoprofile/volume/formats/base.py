"""The definition of a format, and the base class of images that are read lazily from one file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError, TomoprofileError
from ...logs import LOG
from ...samples import MOST_EDGE
from ..geometry import Geometry
from ..grey import GreyScale

HEAD = 4096  # bytes by which a format is told
COPY_AGAIN = "Copy it again from its source."
TO_GREY = "Save it as grey, in Fiji with Image > Type > 8-bit, 16-bit or 32-bit."
_LEAST_EDGE_UM, _MOST_EDGE_UM = 1e-4, 1e5  # of a voxel
_PERPENDICULAR = 0.01  # cosine of an angle between axes, up to which they are
_SHOWN = 300  # characters of a decoder's own message
_UNEVEN = 0.1  # of a step, by which a single one may differ from their mean; stages and rounding give less


class RawScan(Protocol):
    """What each format provides: a 3-D array in file order, its header, and its faults.

    Grey values are returned as they are in the file; their meaning is given by a :class:`GreyScale`.

    Attributes
    ----------
    shape : tuple of int
        In file order.
    dtype : numpy.dtype
    voxel_size_um : tuple of float or None
        Edges along the axes of ``shape``; None when the file does not say.
    grey : GreyScale or None
        None when the file does not say what its grey values mean.
    geometry : Geometry or None
        Where the voxels lie in space, axes in file order; None when the file does not say.
    stored_bytes : int or None
        Bytes from which all voxels are decoded; None when that is not known.
    indexed : bool
        Whether values are places in a table of colours, which may be a mask and is no scan.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    voxel_size_um: tuple[float, float, float] | None
    grey: GreyScale | None
    geometry: Geometry | None
    stored_bytes: int | None
    indexed: bool

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``, axes in file order."""
        ...

    def step(self, axis: int) -> int:
        """Return how many layers along ``axis`` are decoded together: parts of them cost as much as the whole."""
        ...

    def place(self, index: int) -> str:
        """Return where the part with that index along the first axis is, for messages."""
        ...

    def faults(self) -> list[Fault]:
        """Return the problems in the data behind the header (truncated files, ...)."""
        ...

    def doubts(self) -> list[str]:
        """Return what may be wrong with the data and cannot be decided from the file alone."""
        ...


@dataclass(frozen=True)
class Format:
    """One way in which scans or masks are stored on disk.

    Attributes
    ----------
    name : str
        Its name in the column ``format`` of the sample sheet.
    what : str
        Its name in lists of formats.
    remarks : str
        What a user must know about it, in Markdown.
    matches : callable
        Whether a path is in this format, judged by its name and, for folders, by their content. A damaged file with a
        matching name does match: opening it then reports the damage.
    signature : callable or None
        Whether a file is in this format, judged by its first :data:`HEAD` bytes, whatever its name; None where files of
        the format begin with nothing of their own.
    open : callable
        Opens the 3-D image at a path; the second argument is the dataset, empty when none was named.

        Raises InputError when the image is damaged or not 3-D.
    datasets : callable
        What `tomoprofile scan` considers to be scans: the datasets of a path, largest first. A format without datasets
        has a single one with an empty name.
    files : callable
        Other files that belong to the scan at a path and are not scans by themselves.
    named_datasets : bool
        Whether a path may be followed by the name of a dataset.
    each_dataset : bool
        Whether each dataset of a path is a scan of its own; else the first is taken.
    of_scans : bool
        Whether raw scans may have this format; masks may have any.
    """

    name: str
    what: str
    remarks: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, str], RawScan]
    signature: Callable[[bytes], bool] | None = None
    datasets: Callable[[Path], list[str]] = lambda _: [""]
    files: Callable[[Path], Iterable[Path]] = lambda _: ()
    named_datasets: bool = False
    each_dataset: bool = False
    of_scans: bool = True


@contextmanager
def decoding(path: Path | str, form: str, part: str = "the file", remedy: str = COPY_AGAIN) -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into a fault that names the file.

    Decoders raise what their C code or their own bugs make of bytes nobody foresaw, so every exception counts. Only
    calls of the decoder belong inside: a bug of ours must stay visible. Faults pass, and so does an exhausted memory,
    which is no property of the file.

    Parameters
    ----------
    path : Path or str
        The file, for messages.
    form : str
        What it should be (``TIFF``).
    part : str
        What of it is read (``page 12``).
    remedy : str
        What to do about it.

    Raises
    ------
    InputError
        In place of the decoder's exception, which is its cause.
    """
    try:
        yield
    except (TomoprofileError, MemoryError):
        raise
    except Exception as error:
        told = " ".join(str(error).split())[:_SHOWN] or type(error).__name__
        raise InputError(Fault(str(path), "", f"{part} cannot be read as {form}: {told}", remedy)) from error


def refuse_impossible_shape(path: Path | str, shape: Sequence[int]) -> None:
    """Raise an :class:`InputError` when edges of an image are not possible, before anything is sized by them."""
    # A damaged header may give a text for a number.
    if not all(isinstance(edge, int | np.integer) and 0 < edge <= MOST_EDGE for edge in shape):
        got = "x".join(map(str, shape))
        problem = f"the header gives an impossible size; edges have 1 to {MOST_EDGE} voxels"
        raise InputError(Fault(str(path), got if len(got) < _SHOWN else f"{got[:_SHOWN]}...", problem, COPY_AGAIN))


def unlike_first(file: Path, got: str, expected: str) -> Fault:
    """Return the fault of a slice that has another size or type than the first one of its scan."""
    remedy = "All slices of a scan must have the same size and type: remove or replace this one."
    return Fault(str(file), got, f"this slice differs from the first one ({expected})", remedy)


def step_of_axis(path: Path | str, name: str, positions: Any) -> float | None:
    """Return the distance of voxels along an axis whose positions a file lists, judged over the whole list.

    Parameters
    ----------
    path : Path or str
        The file, for messages.
    name : str
        The axis, for messages.
    positions : array (n,)
        In any unit; ascending or descending.

    Returns
    -------
    float or None
        In the unit of the list, positive, or 0 when all positions are the same; None for less than two positions.

    Raises
    ------
    InputError
        When positions are not numbers, go back, or have steps that differ by more than a tenth: voxels of different
        sizes have no volume profile.
    """
    try:
        listed = np.asarray(positions)
        where = listed.astype(np.float64).ravel()
    except (TypeError, ValueError):
        listed = where = np.full(2, math.nan)
    if where.size < 2:
        return None
    remedy = "Give the voxel size with `--voxel-size-um`, or resample the scan to equal steps."
    if not np.isfinite(where).all():
        raise InputError(Fault(str(path), f"axis {name}", "positions along the axis are not numbers", remedy))
    steps = np.diff(where)
    step = float(where[-1] - where[0]) / (where.size - 1)
    rounding = 2 * np.abs(where).max() * (np.finfo(listed.dtype).eps if listed.dtype.kind == "f" else 0)
    straight = where[0] + step * np.arange(where.size)
    if not where.any() or (steps == 0).all():
        return 0.0
    if (np.abs(steps - step) > _UNEVEN * abs(step) + rounding).any() or (
        np.abs(where - straight) > 0.5 * abs(step) + rounding
    ).any():
        got = f"axis {name}, steps of {steps.min():g} to {steps.max():g}"
        raise InputError(Fault(str(path), got, "the voxels along the axis are not equally far apart", remedy))
    return abs(step)


def voxel_size_of_header(path: Path | str, edges_um: Sequence[float]) -> tuple[float, float, float] | None:
    """Return voxel edges (z, y, x) from a header, or None with a warning where they cannot be.

    Negative ones give a direction; their amount counts, with a warning.
    """
    if any(edge < 0 for edge in edges_um):
        told = ", ".join(f"{edge:g}" for edge in edges_um)
        LOG.warning("%s: the voxel size of the header is negative (%s um); its amount is used", path, told)
    z, y, x = (abs(float(edge)) for edge in edges_um)
    if all(_LEAST_EDGE_UM <= edge < _MOST_EDGE_UM for edge in (z, y, x)):
        return z, y, x
    LOG.warning("%s: the voxel size of the header cannot be (%g, %g, %g um) and is not used", path, z, y, x)
    return None


def grey_of_header(path: Path | str, slope: float, offset: float, unit: str) -> GreyScale | None:
    """Return the meaning of grey values from a header, or None with a warning where it cannot be."""
    if math.isfinite(slope) and math.isfinite(offset) and slope:
        return GreyScale(slope, offset, unit)
    LOG.warning("%s: the grey scale of the header cannot be (%g * grey + %g) and is not used", path, slope, offset)
    return None


def geometry_of_header(path: Path | str, make: Callable[[], Geometry], told: bool = False) -> Geometry | None:
    """Return a geometry from a header, or None with a warning where it cannot be.

    Axes that are not perpendicular are warned about, unless ``told`` says that the format does: voxels are no boxes.
    """
    try:
        found = make()
        directions = np.array(found.lps.direction)
        most = float(np.abs(directions.T @ directions - np.eye(3)).max())
        if most > _PERPENDICULAR and not told:
            degrees = 90 - math.degrees(math.acos(min(1.0, most)))
            text = "%s: the axes of the image are not perpendicular (by %.1f degrees): shapes are sheared"
            LOG.warning(text, path, degrees)
        return found
    except (TypeError, ValueError) as error:
        LOG.warning("%s: the position of the image in the header is not used: %s", path, error)
        return None


class LazyImage:
    """A 3-D image whose parts are read on request; see :class:`RawScan`."""

    path: Path
    shape: tuple[int, int, int]
    geometry: Geometry | None = None
    stored_bytes: int | None = None
    indexed: bool = False

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` of (z, y, x)."""
        raise NotImplementedError

    def step(self, axis: int) -> int:
        """Return how many layers along ``axis`` are decoded together: slices one by one, across them all."""
        return 1 if axis == 0 else self.shape[axis]

    def place(self, index: int) -> str:
        """Return where the part with that index along the first axis is, for messages."""
        return f"{self.path} slice {index}"

    def doubts(self) -> list[str]:
        """Return nothing: most formats are whole or damaged."""
        return []

    def faults(self) -> list[Fault]:
        """Look for damage behind the header, and read the last slice, which a truncated file lacks."""
        try:
            found = self.damage()
            if not found:
                self.read(0, self.shape[0] - 1, self.shape[0])
        except InputError as error:
            return list(error.faults)
        return found

    def damage(self) -> list[Fault]:
        """Return what is found without reading voxels."""
        return []


def window(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    """Return the index of the part ``[start, stop)`` along an axis of three."""
    return tuple(slice(start, stop) if which == axis else slice(None) for which in range(3))
