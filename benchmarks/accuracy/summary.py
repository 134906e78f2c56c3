"""Errors by shape, method and column, and the size from which a column can be trusted."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from .shapes import SHAPES
from .trials import CUBIC, OBLONG, OBLONG_SHAPES

LIMIT = 5.0  # percent
ELLIPSOIDS = tuple(name for name in SHAPES if name.startswith("ellipsoid"))
CYLINDERS = tuple(name for name in SHAPES if name.startswith("cylinder"))
# What a user may have: shapes, the worst of which counts, and voxel edges.
GROUPS = {
    "spheres": (("sphere",), CUBIC),
    "ellipsoids up to 1:3": (ELLIPSOIDS, CUBIC),
    "cylinders": (CYLINDERS, CUBIC),
    "cubes": (("cube",), CUBIC),
    "voxels 2:1:1, round": (OBLONG_SHAPES, OBLONG),
}
Line = list[tuple[float, float, float]]  # radius, mean, standard deviation


class Errors:
    """The records, looked up by shape, method, column and voxel edges.

    Attributes
    ----------
    largest : float
        Largest radius tried, in voxels.
    """

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self._lines: dict[tuple[Any, ...], Line] = defaultdict(list)
        for record in records:
            place = (record["shape"], record["method"], record["column"], tuple(record["edges"]))
            self._lines[place].append((record["radius"], record["mean"], record["sd"]))
        self.largest = max((record["radius"] for record in records), default=0.0)

    def line(self, shape: str, method: str, column: str, edges: tuple[float, ...] = CUBIC) -> Line:
        """Return (radius, mean, standard deviation) in order of size."""
        return sorted(self._lines.get((shape, method, column, tuple(edges)), []))

    def trusted_from(self, group: str, method: str, column: str) -> float | None:
        """Return the smallest diameter in voxels from which |mean| + standard deviation stays below :data:`LIMIT`.

        The worst shape of the group counts. Infinity when it never does; None when a shape was not measured.
        """
        shapes, edges = GROUPS[group]
        worst = 0.0
        for shape in shapes:
            line = self.line(shape, method, column, edges)
            if not line:
                return None
            smallest = float("inf")
            for radius, mean, spread in reversed(line):
                if abs(mean) + spread >= LIMIT:
                    break
                smallest = 2 * radius
            worst = max(worst, smallest)
        return worst
