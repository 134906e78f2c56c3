"""What a format is, and what images that are read lazily from one file have in common."""

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
    """What each format offers: a 3-D array in file order, its header, and its faults.

    Grey values leave as they lie in the file, and what they mean travels as :class:`GreyScale`.

    Attributes
    ----------
    shape : tuple of int
        In file order.
    dtype : numpy.dtype
    voxel_size_um : tuple of float or None
        Edges along the axes of ``shape``; None when the file does not say.
    grey : GreyScale or None
        None when the file does not say what grey values mean.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    voxel_size_um: tuple[float, float, float] | None
    grey: GreyScale | None

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``, axes in file order."""
        ...

    def faults(self) -> list[Fault]:
        """Return what is wrong with the data behind the header (truncated files, ...)."""
        ...


@dataclass(frozen=True)
class Format:
    """One way in which scans or masks lie on disk.

    Attributes
    ----------
    name : str
        In the column ``format`` of the sample sheet.
    what : str
        For lists of formats.
    remarks : str
        What a user must know of it, in Markdown.
    matches : callable
        Whether something is stored in this format, told by its name and, for folders, by what lies in them. A file that
        has the name and is damaged matches: opening it tells what is wrong.
    open : callable
        Opens the 3-D image at a path; the second argument is the dataset, empty when nobody named one.

        Raises InputError when it is damaged or holds no 3-D image.
    datasets : callable
        What `tomoprofile scan` takes for scans: the datasets of a path, largest first. A format without datasets has
        one with the empty name.
    files : callable
        Other files that belong to the scan at a path, and are no scans by themselves.
    named_datasets : bool
        Whether a path may be followed by the name of a dataset.
    of_scans : bool
        Whether a raw scan may come in it; a mask may come in all.
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
    """A 3-D image whose parts are read when they are asked for; see :class:`RawScan`."""

    shape: tuple[int, int, int]

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` of (z, y, x)."""
        raise NotImplementedError

    def faults(self) -> list[Fault]:
        """Read the last slice: a file that was cut short has none."""
        try:
            self.read(0, self.shape[0] - 1, self.shape[0])
        except InputError as error:
            return list(error.faults)
        return []


def window(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    """Return the index of the part ``[start, stop)`` along an axis of three."""
    return tuple(slice(start, stop) if which == axis else slice(None) for which in range(3))
