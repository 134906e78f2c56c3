"""Reading the next part of an image while the last one is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from itertools import zip_longest
from typing import Any

from numpy.typing import NDArray


def read_ahead(
    read: Callable[[int, int], NDArray[Any]],
    parts: Sequence[tuple[int, int]],
    beside: Executor,
    most: int | None = None,
) -> Iterator[NDArray[Any]]:
    """Yield the slices of each part.

    Whoever takes a part must forget it before the next one is taken: nothing else keeps it in memory.

    Parameters
    ----------
    read : callable
        Returns slices ``[start, stop)``; it runs in ``beside``, one call after the other.
    parts : sequence of tuple
        First slice of each part and one past its last.
    beside : Executor
        Where parts are read.
    most : int, optional
        Slices that two parts may have together; larger ones are read when they are asked for.
    """
    ahead: Future[NDArray[Any]] | None = None
    for part, following in zip_longest(parts, parts[1:]):
        now = ahead or beside.submit(read, *part)
        found = [now.result()]
        now = ahead = None
        if following and (most is None or sum(stop - start for start, stop in (part, following)) <= most):
            ahead = beside.submit(read, *following)
        yield found.pop()
