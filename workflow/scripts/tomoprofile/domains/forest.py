"""Union-find: a forest of equivalent labels in an array, whose roots are the smallest labels of their trees."""

from __future__ import annotations

from typing import Any

from numba import njit


@njit(cache=True, nogil=True)
def root(parent: Any, label: Any) -> Any:
    """Return the root of a label, and halve the path to it."""
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@njit(cache=True, nogil=True)
def unite(parent: Any, one: Any, other: Any) -> Any:
    """Make two labels equivalent; return their root."""
    one, other = root(parent, one), root(parent, other)
    if one < other:
        parent[other] = one
        return one
    parent[one] = other
    return other


@njit(cache=True, nogil=True)
def number_roots(parent: Any) -> Any:
    """Replace each label by the rank of its root among roots; return how many roots there are.

    Roots are smaller than the labels below them, so one pass is enough.
    """
    n_roots = 0
    for label in range(len(parent)):
        if parent[label] == label:
            parent[label] = n_roots
            n_roots += 1
        else:
            parent[label] = parent[parent[label]]
    return n_roots


@njit(cache=True, nogil=True)
def renumber(labels: Any, numbers: Any) -> None:
    """Replace each label by its number, in place: there are many runs, and a second array would cost memory."""
    for i in range(len(labels)):
        labels[i] = numbers[labels[i]]
