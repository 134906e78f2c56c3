"""A forest of labels that are one: union-find in an array whose roots are the smallest labels of their trees."""

from __future__ import annotations

from typing import Any

from numba import njit


@njit(cache=True, nogil=True)
def root(parent: Any, label: Any) -> Any:
    """Return the root of a label; the way to it is halved."""
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@njit(cache=True, nogil=True)
def unite(parent: Any, one: Any, other: Any) -> Any:
    """Make two labels one; return their root."""
    one, other = root(parent, one), root(parent, other)
    if one < other:
        parent[other] = one
        return one
    parent[one] = other
    return other


@njit(cache=True, nogil=True)
def number_roots(parent: Any) -> Any:
    """Replace each label by the rank of its root among roots; return how many roots there are.

    Roots are smaller than what depends on them, so one pass does.
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
    """Replace each label by its number, in place: runs are many, and a second array of them would cost memory."""
    for i in range(len(labels)):
        labels[i] = numbers[labels[i]]
