"""Images of one scan that have their axes in another order or direction, brought together by where they lie in space.

Programs save labels as they like: mirrored, or with axes exchanged, with a matrix that says so. The matrices decide
which voxel is which; voxels are never resampled, so an image on another grid is refused.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from .formats.base import LazyImage, RawScan
from .geometry import Geometry

_OFF = 0.25  # voxels by which a corner may lie off its place: matrices are stored with 32 bits, positions rounded
_UNIT = 1e-6


def in_axes_of(raw: RawScan, scan: Geometry | None, shape: tuple[int, int, int], where: str) -> RawScan:
    """Return an image with its axes in the order and direction of those of a scan.

    Parameters
    ----------
    raw : RawScan
        An image of the whole scan.
    scan : Geometry or None
        Where the voxels of the scan lie.
    shape : tuple of int
        Voxels of the scan, axes in the order of its geometry.
    where : str
        The image, for messages.

    Returns
    -------
    RawScan
        The image itself where its axes are those of the scan, and where either says nothing about space.

    Raises
    ------
    InputError
        When its voxels lie elsewhere than those of the scan.
    """
    if scan is None or raw.geometry is None or sorted(raw.shape) != sorted(shape) or _says_nothing(raw.geometry):
        return raw
    # From indices of the image to indices of the scan.
    matrix = np.linalg.solve(np.asarray(scan.affine), np.asarray(raw.geometry.affine))
    turn = np.rint(matrix[:3, :3])
    axes = np.abs(turn).argmax(axis=1)  # of the image, one for each of the scan
    order = tuple(int(axis) for axis in axes)
    flips = tuple(bool(turn[row, axis] < 0) for row, axis in enumerate(order))
    fits = sorted(order) == [0, 1, 2] and tuple(raw.shape[axis] for axis in order) == tuple(shape)
    if not fits or _farthest(matrix, order, flips, raw.shape) > _OFF:
        raise InputError(_elsewhere(raw, scan, where))
    return raw if order == (0, 1, 2) and not any(flips) else Turned(raw, order, flips, scan)


def refuse_turned(raw: RawScan, scan: Geometry | None, where: str) -> None:
    """Raise an :class:`InputError` when an image of one slice has its axes in another order or direction than the scan.

    It is read as its voxels lie, since which slice it shows is told by its name.
    """
    if scan is None or raw.geometry is None or _says_nothing(raw.geometry):
        return
    turn = np.linalg.solve(np.asarray(scan.affine), np.asarray(raw.geometry.affine))[:3, :3]
    order, rises = np.abs(turn).argmax(axis=1), np.diag(turn) > 0
    if order[1:].tolist() != [1, 2] or not rises[1:].all():
        problem = "its matrix says that the slice is mirrored, or has its axes in another order than the scan"
        remedy = "Save labels of the whole scan, which are turned as matrices say; or save the slice as TIFF or PNG."
        raise InputError(Fault(where, "", problem, remedy))


class Turned(LazyImage):
    """An image whose axes are exchanged or mirrored as it is read; see :class:`~.formats.base.RawScan`.

    Parameters
    ----------
    raw : RawScan
    order : tuple of int
        Which axis of the image each of the new axes is.
    flips : tuple of bool
        Which of the new axes run against those of the image.
    geometry : Geometry
        Of the result.
    """

    def __init__(self, raw: RawScan, order: tuple[int, ...], flips: tuple[bool, ...], geometry: Geometry) -> None:
        self._raw, self._order, self._flips, self.geometry = raw, order, flips, geometry
        z, y, x = (raw.shape[axis] for axis in order)
        self.path, self.shape, self.dtype, self.grey = Path(raw.place(0)), (z, y, x), raw.dtype, raw.grey
        edges = raw.voxel_size_um
        self.voxel_size_um = (edges[order[0]], edges[order[1]], edges[order[2]]) if edges else None

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis``."""
        if self._flips[axis]:
            start, stop = self.shape[axis] - stop, self.shape[axis] - start
        part = self._raw.read(self._order[axis], start, stop).transpose(self._order)
        return part[tuple(slice(None, None, -1) if flip else slice(None) for flip in self._flips)]

    def step(self, axis: int) -> int:
        """Return how many layers are decoded together; all of them backwards, as a stream must be wound back."""
        step = self._raw.step(self._order[axis])
        return self.shape[axis] if self._flips[axis] else step

    def doubts(self) -> list[str]:
        """Return those of the image."""
        return self._raw.doubts()

    def faults(self) -> list[Fault]:
        """Return those of the image."""
        return self._raw.faults()

    @property
    def told(self) -> str:
        """How it was turned, in words."""
        mirrored = [name for name, flip in zip("zyx", self._flips, strict=True) if flip]
        parts = []
        if self._order != (0, 1, 2):
            parts.append(f"its axes are {', '.join('zyx'[axis] for axis in self._order)} of the scan's z, y, x")
        if mirrored:
            parts.append(f"it runs the other way along {' and '.join(mirrored)}")
        return f"{' and '.join(parts)}, as its matrix says; it is read in the order of the scan"


def _says_nothing(geometry: Geometry) -> bool:
    """Return whether it is what programs write that know nothing of space, edges of 1 included."""
    return geometry.is_default and np.allclose(geometry.lps.spacing, 1.0, atol=_UNIT)


def _farthest(
    matrix: NDArray[np.float64], order: tuple[int, ...], flips: tuple[bool, ...], shape: tuple[int, int, int]
) -> float:
    """Return by how many voxels a corner of the image lies off its place in the scan."""
    most = 0.0
    for corner in itertools.product(*((0, n - 1) for n in shape)):
        expected = [
            shape[axis] - 1 - corner[axis] if flip else corner[axis] for axis, flip in zip(order, flips, strict=True)
        ]
        most = max(most, float(np.abs(matrix[:3] @ [*corner, 1] - expected).max()))
    return most


def _elsewhere(raw: RawScan, scan: Geometry, where: str) -> Fault:
    assert raw.geometry is not None
    told = [
        "corner at ({:.5g}, {:.5g}, {:.5g}) mm, voxels of {:.4g} x {:.4g} x {:.4g} mm".format(*one.origin, *one.spacing)
        for one in (raw.geometry.lps, scan.lps)
    ]
    problem = f"its voxels lie elsewhere in space than those of the scan ({told[1]}, in LPS)"
    remedy = (
        "Resample it to the voxels of the scan, in 3D Slicer with Resample Scalar/Vector/DWI Volume and nearest "
        "neighbours; or, where its header is wrong, save it as TIFF in the order of the scan's slices."
    )
    return Fault(where, told[0], problem, remedy)
