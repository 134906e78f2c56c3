"""From raw grey values to stored ones: exactly, or not at all.

The type of the stored values follows from that of the raw ones, so that all can be planned from headers
(:attr:`~..samples.Scan.stored_dtype`). Whether each value fits is looked at when it is read. Voxels that are NaN
outside of the circle of a reconstruction become 0, the constant that most reconstruction programs write there.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..logs import LOG
from ..samples import STORED_AS
from .readers import ScanReader

OUTSIDE = 0.0  # stored where the reconstruction ends
_MOST_EXACT = 2**24  # float32 holds all integers up to here
_FILLED = 0.5  # of a ring of voxels, for the ring to lie outside the reconstruction
_RIM = 2  # voxels by which the circle of a slice may differ from that of the middle one


class GreyReader(ScanReader):
    """A raw scan whose grey values are given as they are stored; see :class:`ScanReader`."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        return np.dtype(STORED_AS[self.raw.dtype.name])

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return slices ``[start, stop)`` as a contiguous array (z, y, x).

        Raises
        ------
        InputError
            When a value does not fit the stored type, or is NaN or infinite inside the reconstruction.
        """
        slices = super().read(start, stop)
        if slices.dtype.kind == "f":
            slices = self._with_outside(start, slices)
        if slices.dtype == self.dtype:
            return slices
        if slices.dtype.kind in "iu" and self.dtype.kind == "f":
            self._refuse(start, (slices > _MOST_EXACT) | (slices < -_MOST_EXACT) if _exceeds(slices) else None)
            return slices.astype(self.dtype)
        with np.errstate(over="ignore"):
            stored = slices.astype(self.dtype)
        if slices.dtype.kind == "f":
            self._refuse(start, None if np.array_equal(stored, slices) else stored != slices)
        return stored

    def _refuse(self, start: int, wrong: NDArray[np.bool_] | None) -> None:
        """Raise an :class:`InputError` when there are voxels whose values do not fit."""
        if wrong is None:
            return
        z = start + int(np.flatnonzero(wrong.any(axis=(1, 2)))[0])
        kind = self.raw.dtype.name
        problem = f"values of type {kind} do not fit {self.dtype} exactly, first in slice {z}"
        if self.raw.dtype.kind == "f":
            remedy = (
                "Round them yourself: in Fiji Image > Type > 32-bit and save again, in Python "
                "`tifffile.imwrite('scan32.tif', image.astype('float32'))`."
            )
        else:
            remedy = (
                f"Subtract an offset or divide, so that all lie within {_MOST_EXACT}: in Fiji Process > Math, in "
                "Python `tifffile.imwrite('scan32.tif', (image - image.mean()).astype('float32'))`."
            )
        raise InputError(Fault(str(self._where), f"{int(wrong.sum())} voxels", problem, remedy))

    @property
    def _where(self) -> Any:
        return getattr(self.raw, "path", "the scan")

    def _with_outside(self, start: int, slices: NDArray[Any]) -> NDArray[Any]:
        """Return slices with :data:`OUTSIDE` in place of what is not finite outside of the reconstructed circle."""
        missing = ~np.isfinite(slices)
        if not missing.any():
            return slices
        ring, radius = self._rings, self._radius
        if self.slice_axis:
            ring = np.moveaxis(np.broadcast_to(ring, self.raw.shape), self.slice_axis, 0)[start : start + len(slices)]
        inside = missing & (ring <= radius - _RIM)
        if inside.any():
            z = start + int(np.flatnonzero(inside.any(axis=(1, 2)))[0])
            problem = f"grey values are NaN or infinite, first in slice {z}"
            if radius < self._rings.max():
                problem += f", and not only outside of a circle of {radius} voxels"
            remedy = (
                "Replace them before conversion, for instance by the grey value of air; tomoprofile does not guess."
            )
            raise InputError(Fault(str(self._where), f"{int(inside.sum())} voxels", problem, remedy))
        LOG.info("%s: %d voxels outside of the reconstruction are NaN and are stored as 0", self._where, missing.sum())
        return np.where(missing, slices.dtype.type(OUTSIDE), slices)

    @cached_property
    def _rings(self) -> NDArray[np.int64]:
        """Distance of each voxel of a raw slice from its middle, where programs put the axis of rotation, in voxels."""
        y, x = (np.arange(n) + 0.5 - n / 2 for n in self.raw.shape[1:])
        return np.hypot(y[:, None], x[None, :]).astype(np.int64)

    @cached_property
    def _radius(self) -> int:
        """Radius of the reconstructed circle in the middle of the scan; beyond all rings when there is none."""
        middle = self.raw.shape[0] // 2
        missing = ~np.isfinite(self.raw.read(0, middle, middle + 1)[0])
        voxels = np.bincount(self._rings.ravel())
        share = np.bincount(self._rings.ravel(), weights=missing.ravel()) / np.maximum(voxels, 1)
        inside = np.flatnonzero((share < _FILLED) & (voxels > 0))
        last = int(inside[-1]) if inside.size else len(share)
        return last if last < len(share) - 1 else len(share) + _RIM


def _exceeds(slices: NDArray[Any]) -> bool:
    return bool(slices.size) and (int(slices.max()) > _MOST_EXACT or int(slices.min()) < -_MOST_EXACT)
