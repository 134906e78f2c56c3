"""Slices that hold one value: never written, or lost.

Detectors and reconstructions have noise, so a slice of one value among others is missing. Whole slices of air, clipped
or padded with a constant, are common at the ends of a scan and where that value fills most of the slices around; of
them only a word is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..logs import LOG
from .readers import ScanReader

_PROBES = 8  # slices that are looked at on either side
_COMMON = 0.5  # of a slice, for a value to be its background


class Blanks:
    """Looks for slices of one value among the slices that pass by.

    Parameters
    ----------
    reader : ScanReader
        The scan, from which slices beyond are read where something was found.
    """

    def __init__(self, reader: ScanReader) -> None:
        self._reader = reader
        self._blank: set[int] = set()  # of the slices that were looked at
        self._varied: int | None = None  # the last of them with more than one value
        self._padding: tuple[int, int, Any] | None = None  # first, one past last, value: not yet told, as it may go on

    def refuse(self, first: int, slices: NDArray[Any]) -> None:
        """Look at slices, the first of which has the index ``first``.

        Raises
        ------
        InputError
            When slices of one value lie between others that do not consist of it.
        """
        blank = [first + i for i, image in enumerate(slices) if is_blank(image)]
        self._blank.update(blank)
        for start, stop in _stretches(blank):
            if start > first:
                self._varied = start - 1
            if self._padding is not None and self._padding[1] == start:
                self._padding = (self._padding[0], stop, self._padding[2])
                continue
            self.tell()
            self._refuse_between(start, stop, slices[start - first].flat[0])
        last = first + len(slices) - 1
        if last not in self._blank:
            self._varied = last

    def tell(self) -> None:
        """Say which slices of one value were passed last; to be called at the end, too."""
        if self._padding is not None:
            start, stop, value = self._padding
            LOG.warning("%s: %s: is this padding or air, or is something lost?", *self._told(start, stop, value))
        self._padding = None

    def _refuse_between(self, start: int, stop: int, value: Any) -> None:
        """Raise an :class:`InputError` when slices ``[start, stop)`` of one value lie between other ones."""
        before, after = self._varying(range(start)), self._varying(range(self._reader.shape[0] - 1, stop - 1, -1))
        if before is None or after is None or any((near == value).mean() >= _COMMON for near in (before, after)):
            self._padding = (start, stop, value)
            return
        problem = "the slice holds one value, between slices that do not: it was never written, or is lost"
        remedy = "Copy or reconstruct the scan again; a scan of fewer slices can be given by itself."
        raise InputError(Fault(*self._told(start, stop, value), problem, remedy))

    def _told(self, start: int, stop: int, value: Any) -> tuple[str, str]:
        """Return where slices of one value are, and which they are."""
        told = f"slice {start} holds one value, {value:g}"
        if stop - start > 1:
            told = f"{stop - start} slices from {start} to {stop - 1} hold one value each, the first {value:g}"
        return self._place(start), told

    def _place(self, z: int) -> str:
        return self._reader.raw.place(z) if self._reader.slice_axis == 0 else f"slice {z} along the slice axis"

    def _varying(self, nearby: range) -> NDArray[Any] | None:
        """Return a slice with more than one value among some of these, the nearest one (the last of them) first."""
        if not len(nearby):
            return None
        places = np.unique(np.r_[len(nearby) - 1, np.linspace(0, len(nearby) - 1, _PROBES).astype(int)])[::-1]
        known = [self._varied] if self._varied in nearby else []
        for z in [*known, *(nearby[int(place)] for place in places)]:
            if z in self._blank:
                continue
            image = self._reader.read(z, z + 1)[0]
            if not is_blank(image):
                return image
            self._blank.add(z)
        return None


def _stretches(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield first and one past last of each stretch of consecutive indices."""
    start = 0
    for i in range(1, len(indices) + 1):
        if i == len(indices) or indices[i] != indices[i - 1] + 1:
            yield indices[start], indices[i - 1] + 1
            start = i


def is_blank(image: NDArray[Any]) -> bool:
    """Return whether all values of a slice are the same; most slices are told by one row."""
    value = image[0, 0]
    return bool((image[len(image) // 2] == value).all() and (image == value).all())
