"""The surface of the substrate, a plane or a relief, and the depth of a point: the one definition of depth.

Positions are micrometres from the outer corner of voxel (0, 0, 0); the centre of voxel i lies at (i + 0.5) * edge.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..cells import FACE
from ..errors import InputError
from ..files import not_what_is_expected, read_record
from ..layout import ScanLayout
from .arrays import stored_arrays

_WHAT = "an interface file"


@dataclass(frozen=True)
class Plane:
    """The boundary between substrate and resin.

    Attributes
    ----------
    normal : tuple of float
        Unit vector (z, y, x) that points from the substrate into the resin.
    offset_um : float
        ``normal . p`` for points p (micrometres) on the plane.
    """

    normal: tuple[float, float, float]
    offset_um: float

    @classmethod
    def through(cls, normal: tuple[float, float, float], offset_um: float) -> Plane:
        """Return the plane with the given normal of any length, and its offset in units of that length."""
        length = math.hypot(*normal)
        nz, ny, nx = (part / length for part in normal)
        return cls((nz, ny, nx), offset_um / length)

    @property
    def axis(self) -> int | None:
        """Volume axis (0 z, 1 y, 2 x) nearest to the normal: the direction of depth; None where it has none."""
        return max(range(3), key=lambda i: abs(self.normal[i]))

    @property
    def has_depth(self) -> bool:
        """Whether there is anything from which depth is measured."""
        return True

    @property
    def has_recorded_sample(self) -> bool:
        """Whether `resin.npz` says before the segmentation what is sample; beyond a substrate all counts until then."""
        return False

    @property
    def tilt_deg(self) -> float:
        """Angle in degrees between the normal and that axis."""
        return math.degrees(math.acos(min(1.0, abs(self.normal[self.axis]))))

    def depth_um(self, z_um: Any, y_um: Any, x_um: Any) -> Any:
        """Return the signed distance to the plane, positive in the resin; scalars or arrays that broadcast."""
        nz, ny, nx = self.normal
        return nz * z_um + ny * y_um + nx * x_um - self.offset_um

    @property
    def nodes(self) -> NDArray[np.float32]:
        """Distances at the nodes of a grid, for compiled code that counts voxels; a plane has none."""
        return np.zeros((0, 0, 0), np.float32)

    @property
    def node_spacing_um(self) -> tuple[float, float, float]:
        """Spacing of these nodes along each axis, the first at the outer corner of voxel (0, 0, 0)."""
        return (1.0, 1.0, 1.0)

    def end_depths_um(
        self, shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return depths on the two faces of a scan that the depth axis crosses, the face of the substrate first.

        Taken at corners and nodes: no other point of a face is deeper, or less deep, than all of them.
        """
        counts = self.nodes.shape
        ends = [n * edge for n, edge in zip(shape, voxel_size_um, strict=True)]
        z, y, x = (
            np.linspace(0, end, 2 if axis == self.axis else max(2, counts[axis])) for axis, end in enumerate(ends)
        )
        depths = self.depth_um(z[:, None, None], y[None, :, None], x[None, None, :])
        first, last = (np.take(depths, end, axis=self.axis) for end in (0, 1))
        return (first, last) if self.normal[self.axis] > 0 else (last, first)

    def resin(
        self, index: int, shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]
    ) -> NDArray[np.bool_]:
        """Return which voxels (y, x) of slice ``index`` of a volume have their centre beyond the plane."""
        z, y, x = ((np.arange(n) + 0.5) * edge for n, edge in zip(shape, voxel_size_um, strict=True))
        return np.asarray(self.depth_um(z[index], y[:, None], x) > 0)

    def in_window(self, origin_um: NDArray[np.float64]) -> Plane:
        """Return the plane in the coordinates of a window of the scan that begins at ``origin_um`` (z, y, x)."""
        return Plane(self.normal, self.offset_um - float(np.dot(self.normal, origin_um)))

    def record(self) -> dict[str, Any]:
        """Return what ``interface.json`` says of the plane itself."""
        record = {"normal": list(self.normal), "offset_um": self.offset_um, "axis": "zyx"[self.axis]}
        return record | {"tilt_deg": self.tilt_deg}

    def save(self, path: str | Path, **how: Any) -> None:
        """Write ``interface.json``: the plane, its tilt, and ``how`` it was found."""
        # One line per key: a map of numbers would fill pages.
        lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in (self.record() | how).items())
        Path(path).write_text("{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def load(cls, path: str | Path) -> Plane:
        """Read ``interface.json``."""
        record = read_record(Path(path), _WHAT)
        if record.get("how") == WithoutSubstrate.HOW:
            return WithoutSubstrate()
        try:
            nz, ny, nx = (float(part) for part in record["normal"])
            offset_um = float(record["offset_um"])
            spacing = record.get("node_spacing_um")
            if spacing is None:
                flat = Face if str(record.get("how")).startswith(FACE) else Plane
                return flat((nz, ny, nx), offset_um)
            dz, dy, dx = (float(part) for part in spacing)
            file = ScanLayout(Path(path).parent).substrate_distance
            with stored_arrays(file, "the distances from a substrate") as stored:
                distances = stored.astype(np.float32)
            if distances.ndim != 3 or min(distances.shape) < 2 or not np.isfinite(distances).all():
                raise ValueError(f"{file.name} does not hold distances")
            kind = OwnSurface if record.get("how") == OwnSurface.HOW else Relief
            return kind((nz, ny, nx), offset_um, distances, (dz, dy, dx))
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise InputError(not_what_is_expected(Path(path), _WHAT, error)) from None


@dataclass(frozen=True)
class Face(Plane):
    """A face of a scan without a substrate, from which depth is measured."""

    @property
    def has_recorded_sample(self) -> bool:
        """See :class:`Plane`."""
        return True


@dataclass(frozen=True, eq=False)
class Relief(Plane):
    """A rough or curved substrate: the plane that fits it best, for directions, and the distance from its own surface.

    Attributes
    ----------
    distances_um : array (nodes along z, y, x) of float32
        Signed distance from the surface at the nodes of a grid, positive in the resin. Between nodes it is interpolated
        linearly along each axis; beyond the last ones it stays constant.
    spacing_um : tuple of float
        Spacing of the nodes along each axis.
    """

    distances_um: NDArray[np.float32]
    spacing_um: tuple[float, float, float]

    @property
    def nodes(self) -> NDArray[np.float32]:
        """See :class:`Plane`."""
        return self.distances_um

    @property
    def node_spacing_um(self) -> tuple[float, float, float]:
        """See :class:`Plane`."""
        return self.spacing_um

    def depth_um(self, z_um: Any, y_um: Any, x_um: Any) -> Any:
        """Return the signed distance to the surface, positive in the resin; scalars or arrays that broadcast."""
        points = np.broadcast_arrays(*(np.asarray(part, np.float64) for part in (z_um, y_um, x_um)))
        depth = _distances(self.nodes, *self.node_spacing_um, *(np.ravel(part) for part in points))
        return depth.reshape(points[0].shape)[()]


@dataclass(frozen=True, eq=False)
class OwnSurface(Relief):
    """The outer surface of a sample, with the distance from it into the sample; depth has no one direction."""

    HOW: ClassVar[str] = "surface"

    @property
    def axis(self) -> None:
        """See :class:`Plane`."""
        return None

    def end_depths_um(
        self,
        shape: tuple[int, int, int],  # noqa: ARG002
        voxel_size_um: tuple[float, float, float],  # noqa: ARG002
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the least and the largest depth of the sample: no face of the scan lies across the depth."""
        return np.zeros(1), np.array([self.distances_um.max()], np.float64)

    def in_window(self, origin_um: NDArray[np.float64]) -> Plane:  # noqa: ARG002
        """Return that there are no directions to keep."""
        return WithoutSubstrate()

    def record(self) -> dict[str, Any]:
        """See :class:`Plane`; there is no plane."""
        return {"normal": list(self.normal), "offset_um": self.offset_um}


@dataclass(frozen=True)
class WithoutSubstrate(Plane):
    """A scan without a substrate: there is no depth, and all of it may be sample."""

    HOW: ClassVar[str] = "none"

    normal: tuple[float, float, float] = (0.0, 0.0, 0.0)
    offset_um: float = 0.0

    @property
    def axis(self) -> None:
        """See :class:`Plane`."""
        return None

    @property
    def has_depth(self) -> bool:
        """See :class:`Plane`."""
        return False

    @property
    def has_recorded_sample(self) -> bool:
        """See :class:`Plane`."""
        return True

    def depth_um(self, z_um: Any, y_um: Any, x_um: Any) -> Any:
        """Return NaN for every point."""
        return np.full(np.broadcast_shapes(*(np.shape(part) for part in (z_um, y_um, x_um))), np.nan)[()]

    def resin(
        self,
        index: int,  # noqa: ARG002
        shape: tuple[int, int, int],
        voxel_size_um: tuple[float, float, float],  # noqa: ARG002
    ) -> NDArray[np.bool_]:
        """Return that all voxels (y, x) of a slice may be sample."""
        return np.ones(shape[1:], bool)

    def in_window(self, origin_um: NDArray[np.float64]) -> Plane:  # noqa: ARG002
        """See :class:`Plane`."""
        return self

    def record(self) -> dict[str, Any]:
        """Return that there is no plane."""
        return {"how": self.HOW}


@njit(cache=True, nogil=True)
def distance_at(nodes, dz, dy, dx, z, y, x):  # type: ignore[no-untyped-def]
    """Return the distance at one point, interpolated between nodes; all compiled code that needs depths calls this."""
    i, u = _cell(z / dz, nodes.shape[0])
    j, v = _cell(y / dy, nodes.shape[1])
    k, w = _cell(x / dx, nodes.shape[2])
    near = (nodes[i, j, k] * (1 - v) + nodes[i, j + 1, k] * v) * (1 - u) + (
        nodes[i + 1, j, k] * (1 - v) + nodes[i + 1, j + 1, k] * v
    ) * u
    far = (nodes[i, j, k + 1] * (1 - v) + nodes[i, j + 1, k + 1] * v) * (1 - u) + (
        nodes[i + 1, j, k + 1] * (1 - v) + nodes[i + 1, j + 1, k + 1] * v
    ) * u
    return near * (1 - w) + far * w


@njit(cache=True, nogil=True)
def _cell(place, n):  # type: ignore[no-untyped-def]
    place = min(max(place, 0.0), n - 1.0)
    first = min(int(place), n - 2)
    return first, place - first


@njit(cache=True, nogil=True)
def _distances(nodes, dz, dy, dx, z, y, x):  # type: ignore[no-untyped-def]
    found = np.empty(z.size)
    for point in range(z.size):
        found[point] = distance_at(nodes, dz, dy, dx, z[point], y[point], x[point])
    return found
