"""Which axes of an array are z, y and x; others, such as time and channel, must have length 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from ...errors import Fault, InputError

SPACE = "zyx"
_Value = TypeVar("_Value")
_REMEDY = "Save one channel and one time point as z, y, x."


@dataclass(frozen=True)
class Axes:
    """Where z, y and x are among the axes of an array.

    Attributes
    ----------
    order : tuple of int
        Positions of z, y, x.
    count : int
        Axes of the array.
    """

    order: tuple[int, int, int]
    count: int

    def pick(self, values: Sequence[_Value]) -> tuple[_Value, _Value, _Value]:
        """Return what belongs to z, y, x of something that is given for each axis of the array."""
        z, y, x = (values[axis] for axis in self.order)
        return z, y, x

    def index(self, part: Sequence[Any], other: Any = 0) -> tuple[Any, ...]:
        """Return an index of the array from one of (z, y, x); the other axes get ``other``."""
        found = [other] * self.count
        for axis, value in zip(self.order, part, strict=True):
            found[axis] = value
        return tuple(found)

    def turned(self, part: NDArray[Any]) -> NDArray[Any]:
        """Return what the array gives for an :meth:`index` as (z, y, x)."""
        left = sorted(self.order)
        return part.transpose([left.index(axis) for axis in self.order])


def axes_of(where: str, shape: Sequence[int], names: Sequence[str] = ()) -> Axes:
    """Return which axes of an array are those of the image.

    Parameters
    ----------
    where : str
        The array, for messages.
    shape : sequence of int
    names : sequence of str, optional
        Of all axes, if they are known; ``x``, ``y`` and ``z`` are those of space.

    Raises
    ------
    InputError
        When the array is not one 3-D image.
    """
    names = [name.lower() for name in names]
    got = "x".join(map(str, shape))
    if len(names) != len(shape) or len(set(names)) < len(names) or not set("yx") <= set(names):
        return _by_length(where, shape)
    long = [f"{name} has {n}" for name, n in zip(names, shape, strict=True) if name not in SPACE and n != 1]
    if long:
        raise InputError(
            Fault(where, got, f"the array is not one 3-D image: its axis {', '.join(long)} entries", _REMEDY)
        )
    others = [axis for axis, name in enumerate(names) if name not in SPACE]
    if "z" not in names and not others:
        raise InputError(Fault(where, got, "the array is not a 3-D image", _REMEDY))
    first = names.index("z") if "z" in names else others[-1]
    return Axes((first, names.index("y"), names.index("x")), len(shape))


def _by_length(where: str, shape: Sequence[int]) -> Axes:
    """Leave out axes of length 1 until three are left: first behind the image, where some keep a channel."""
    left = list(range(len(shape)))
    while len(left) > 3 and shape[left[-1]] == 1:
        left.pop()
    for axis in [axis for axis in left if shape[axis] == 1]:
        if len(left) > 3:
            left.remove(axis)
    if len(left) != 3:
        raise InputError(Fault(where, "x".join(map(str, shape)), "the array is not a 3-D image", _REMEDY))
    return Axes((left[0], left[1], left[2]), len(shape))
