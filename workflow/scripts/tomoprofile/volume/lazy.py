"""What images that are read lazily from one file have in common."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..errors import Fault, InputError


class LazyImage:
    """A 3-D image whose parts are read when they are asked for; see :class:`~tomoprofile.volume.readers.RawScan`."""

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
