"""Slices that were drawn from labelled ones: they train, and never judge."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DrawnSlice:
    """One slice of a drawn pair.

    Attributes
    ----------
    pair : int
        Number of the pair, whose record tells how it was drawn.
    kind : str
        Where its shape came from: ``elastic`` or ``deformation``.
    sample : str
        The labelled scan it was drawn from.
    z : int
        Where it lies in the drawn case, which has the slices of its source.
    groups : tuple of int
        Groups of all labelled slices that it may show parts of; only those of other groups can be judged by what it
        trained.
    image : array (2 k + 1, y, x) of float32
        As of a labelled slice.
    label : array (y, x) of uint8
        Class indices, 255 ignored.
    """

    pair: int
    kind: str
    sample: str
    z: int
    groups: tuple[int, ...]
    image: NDArray[np.float32]
    label: NDArray[np.uint8]


def apart_from(drawn: Sequence[DrawnSlice], judged: Collection[int]) -> list[DrawnSlice]:
    """Return the drawn slices that show nothing of the groups which are judged."""
    return [item for item in drawn if not {*item.groups} & {*judged}]


def record_of(drawn: Sequence[DrawnSlice]) -> list[dict[str, Any]]:
    """Return all but the arrays as plain values for JSON."""
    return [
        {"pair": item.pair, "kind": item.kind, "sample": item.sample, "z": item.z, "groups": list(item.groups)}
        for item in drawn
    ]


def arrays_of(drawn: Sequence[DrawnSlice]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays by name."""
    for n, item in enumerate(drawn):
        yield f"drawn_image_{n}", item.image
        yield f"drawn_label_{n}", item.label


def drawn_of(records: Sequence[dict[str, Any]], arrays: Mapping[str, NDArray[Any]]) -> list[DrawnSlice]:
    """Return drawn slices from what :func:`record_of` and :func:`arrays_of` gave."""
    return [
        DrawnSlice(
            item["pair"],
            item["kind"],
            item["sample"],
            item["z"],
            tuple(item["groups"]),
            arrays[f"drawn_image_{n}"],
            arrays[f"drawn_label_{n}"],
        )
        for n, item in enumerate(records)
    ]
