"""The definition of a format, and the base class of images that are read lazily from one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ..grey import GreyScale


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
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    voxel_size_um: tuple[float, float, float] | None
    grey: GreyScale | None

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``, axes in file order."""
        ...

    def faults(self) -> list[Fault]:
        """Return the problems in the data behind the header (truncated files, ...)."""
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
    of_scans : bool
        Whether raw scans may have this format; masks may have any.
    """

    name: str
    what: str
    remarks: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, str], RawScan]
    datasets: Callable[[Path], list[str]] = lambda _: [""]
    files: Callable[[Path], Iterable[Path]] = lambda _: ()
    named_datasets: bool = False
    of_scans: bool = True


class LazyImage:
    """A 3-D image whose parts are read on request; see :class:`RawScan`."""

    shape: tuple[int, int, int]

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` of (z, y, x)."""
        raise NotImplementedError

    def faults(self) -> list[Fault]:
        """Read the last slice, which a truncated file lacks."""
        try:
            self.read(0, self.shape[0] - 1, self.shape[0])
        except InputError as error:
            return list(error.faults)
        return []


def window(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    """Return the index of the part ``[start, stop)`` along an axis of three."""
    return tuple(slice(start, stop) if which == axis else slice(None) for which in range(3))
