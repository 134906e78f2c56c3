"""Where a scan lies in space: from voxel indices to millimetres, as its file says.

Micrometres from the outer corner of a volume are the positions of every table. A geometry is used only to give results
back in the space of the file they came from, so that they lie on it in other programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from RAS+ to LPS+ and back
_LEAST, _MOST = 1e-12, 1e9  # millimetres
_UNSHIFTED = 1e-6  # millimetres


class LPS(NamedTuple):
    """A geometry as ITK and DICOM give it: axes to the left, posterior and superior, indices in the order x, y, z.

    Attributes
    ----------
    origin : tuple of float
        Centre of voxel (0, 0, 0) in millimetres.
    direction : tuple of 3 tuples of 3 float
        Matrix whose columns are the unit vectors along x, y, z.
    spacing : tuple of float
        Millimetres between voxels along x, y, z.
    """

    origin: tuple[float, float, float]
    direction: tuple[tuple[float, float, float], ...]
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class Geometry:
    """The position of each voxel of a 3-D image.

    Attributes
    ----------
    affine : tuple of 4 tuples of 4 float
        From voxel indices (z, y, x, 1), in the order of the stored axes, to (right, anterior, superior, 1) in
        millimetres (RAS+, as in NIfTI) of the centre of the voxel.

    Raises
    ------
    ValueError
        When the matrix cannot be that of an image: not finite, or with axes of no length or in one plane.
    """

    affine: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        matrix = np.asarray(self.affine, np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or np.abs(matrix).max() > _MOST:
            raise ValueError("an affine matrix must be 4 x 4 finite numbers")
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if lengths.min() < _LEAST or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
            raise ValueError("the axes of an image must have a length and span the space")
        object.__setattr__(self, "affine", tuple(tuple(float(part) for part in row) for row in matrix))

    @classmethod
    def from_nifti(cls, affine: ArrayLike) -> Geometry:
        """Return the geometry of an image by the affine of a NIfTI header, whose indices are in the order x, y, z."""
        return cls(_rows(np.asarray(affine, np.float64)[:, [2, 1, 0, 3]]))

    @classmethod
    def from_lps(cls, origin: ArrayLike, direction: ArrayLike, spacing: ArrayLike) -> Geometry:
        """Return the geometry of an image by what ITK or DICOM say of it; see :class:`LPS`."""
        affine = np.eye(4)
        affine[:3, :3] = np.asarray(direction, np.float64).reshape(3, 3) * np.asarray(spacing, np.float64)
        affine[:3, 3] = np.asarray(origin, np.float64)
        return cls.from_nifti(_LPS @ affine)

    @property
    def nifti(self) -> NDArray[np.float64]:
        """The affine of a NIfTI header, for indices in the order x, y, z."""
        return np.asarray(self.affine)[:, [2, 1, 0, 3]]

    @property
    def lps(self) -> LPS:
        """Origin, direction and spacing as ITK and DICOM give them."""
        affine = _LPS @ self.nifti
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        direction = affine[:3, :3] / spacing + 0.0  # no negative zeros in the headers of others
        x, y, z = (affine[:3, 3] + 0.0).tolist()
        dx, dy, dz = spacing.tolist()
        return LPS((x, y, z), _rows(direction), (dx, dy, dz))

    @property
    def is_default(self) -> bool:
        """Whether it is what programs write that know nothing of space: no shift, and the axes of NIfTI or of ITK."""
        affine = self.nifti
        edges = np.diag(affine)[:3]
        plain = np.allclose(affine, np.diag([*edges, 1.0]), atol=_UNSHIFTED)
        return plain and bool((edges > 0).all() or (edges * (-1, -1, 1) > 0).all())

    def reordered(self, slice_axis: int) -> Geometry:
        """Return the geometry after an axis (0, 1, 2) has become the first; the order of the others is kept."""
        order = [slice_axis, *(axis for axis in range(3) if axis != slice_axis), 3]
        return Geometry(_rows(np.asarray(self.affine)[:, order]))


def geometry_of_record(record: Any) -> Geometry | None:
    """Return the geometry that a file of ours holds as a list of rows, or None where it holds none.

    Raises
    ------
    ValueError, TypeError
        When what it holds cannot be one.
    """
    return None if record is None else Geometry(_rows(np.asarray(record, np.float64)))


def _rows(matrix: NDArray[np.float64] | Sequence[Sequence[float]]) -> Any:
    return tuple(tuple(float(part) for part in row) for row in matrix)
