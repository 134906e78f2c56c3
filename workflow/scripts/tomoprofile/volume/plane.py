"""The substrate plane and the depth of a point.

Positions are micrometres from the outer corner of voxel (0, 0, 0); the centre of voxel i lies at (i + 0.5) * edge.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError


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
    def axis(self) -> int:
        """Volume axis (0 z, 1 y, 2 x) nearest to the normal: the direction of depth."""
        return max(range(3), key=lambda i: abs(self.normal[i]))

    @property
    def tilt_deg(self) -> float:
        """Angle in degrees between the normal and that axis."""
        return math.degrees(math.acos(min(1.0, abs(self.normal[self.axis]))))

    def depth_um(self, z_um: Any, y_um: Any, x_um: Any) -> Any:
        """Return the signed distance to the plane, positive in the resin; scalars or arrays that broadcast."""
        nz, ny, nx = self.normal
        return nz * z_um + ny * y_um + nx * x_um - self.offset_um

    def resin(
        self, index: int, shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]
    ) -> NDArray[np.bool_]:
        """Return which voxels (y, x) of slice ``index`` of a volume have their centre beyond the plane."""
        z, y, x = ((np.arange(n) + 0.5) * edge for n, edge in zip(shape, voxel_size_um, strict=True))
        return np.asarray(self.depth_um(z[index], y[:, None], x) > 0)

    def save(self, path: str | Path, **how: Any) -> None:
        """Write ``interface.json``: the plane, its tilt, and ``how`` it was found."""
        record = {"normal": list(self.normal), "offset_um": self.offset_um, "axis": "zyx"[self.axis]}
        record |= {"tilt_deg": self.tilt_deg, **how}
        Path(path).write_text(json.dumps(record, indent=2) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Plane:
        """Read ``interface.json``."""
        try:
            record = json.loads(Path(path).read_text())
            nz, ny, nx = record["normal"]
            return cls((float(nz), float(ny), float(nx)), float(record["offset_um"]))
        except (OSError, KeyError, ValueError, TypeError) as error:
            problem = f"this is no interface file: {error}"
            raise InputError(Fault(str(path), "", problem, "Remove it and run the workflow again.")) from None
