"""A mask that came with a scan: of domains, objects, classes, or its substrate. What its values may be, and mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from ..logs import LOG
from ..samples import MaskImage, Scan
from .geometry import Geometry
from .orientation import Turned, in_axes_of
from .readers import ScanReader, open_mask, open_raw

MOST_ID = 2**32 - 1
_VALUES_SHOWN = 5
_IGNORED = 255  # in labels


def read_mask(scan: Scan, mask: MaskImage, geometry: Geometry | None = None) -> ScanReader:
    """Open an image that belongs to a scan, its slice axis made z as that of the scan.

    Where both say where their voxels lie in space, that decides which voxel is which, whatever the order of axes.

    Parameters
    ----------
    scan : Scan
    mask : MaskImage
    geometry : Geometry, optional
        Of the stored scan; by default what its raw file says, while it is there.

    Raises
    ------
    InputError
        When it cannot be read, its shape is not that of the scan, or it lies elsewhere in space.
    """
    raw = open_mask(mask)
    if raw.geometry is not None and (geometry := geometry or _geometry_of(scan)):
        turned = in_axes_of(raw, geometry, scan.shape, mask.place)
        if isinstance(turned, Turned):
            LOG.info("%s: %s", mask.place, turned.told)
            return ScanReader(turned)
    reader = ScanReader(raw, scan.slice_axis)
    if reader.shape != scan.shape:
        got, expected = ("x".join(map(str, shape)) for shape in (reader.shape, scan.shape))
        problem = f"the shape of the mask differs from that of its scan, {expected} (slices x rows x columns)"
        remedy = "Export the mask of the whole scan, uncropped and not resampled"
        if sorted(reader.shape) == sorted(scan.shape):
            remedy += ", and with its axes in the order of the scan's files"
        raise InputError(Fault(mask.place, got, problem, f"{remedy}."))
    return reader


def _geometry_of(scan: Scan) -> Geometry | None:
    if not Path(scan.path).exists():
        return None
    return ScanReader(open_raw(scan.path, scan.format, scan.dataset), scan.slice_axis).geometry


def foreground(plane: NDArray[Any], where: str, z: int, value: float | None = None) -> tuple[NDArray[np.bool_], Any]:
    """Return which voxels of a slice are in a binary mask.

    Parameters
    ----------
    plane : array (y, x)
    where : str
        The mask, for messages.
    z : int
        The slice, for messages.
    value : number, optional
        Foreground value of the earlier slices.

    Returns
    -------
    inside : array (y, x) of bool
    value : number or None
        The one value other than 0; None when no slice so far has any.

    Raises
    ------
    InputError
        When there is a value other than 0 and this one, or a voxel is NaN or infinite.
    """
    inside = not_zero(plane, where, z)
    if not inside.any():
        return inside, value
    value = plane[inside][0].item() if value is None else value
    if (plane[inside] != value).any():
        raise InputError(several_values(where, {0, value, *np.unique(plane).tolist()}, f"slice {z}"))
    return inside, value


def not_zero(plane: NDArray[Any], where: str, z: int) -> NDArray[np.bool_]:
    """Return which voxels of a slice are not 0.

    Raises
    ------
    InputError
        When a voxel is NaN or infinite.
    """
    _refuse_no_numbers(plane, where, z)
    return plane != 0


def several_values(where: str, values: set[float], place: str) -> Fault:
    """Return the fault of a mask that holds more than 0 and one other value."""
    more = ", ..." if len(values) > _VALUES_SHOWN else ""
    got = ", ".join(f"{value:g}" for value in sorted(values)[:_VALUES_SHOWN]) + more
    remedy = (
        f"When each value is an object, write `instances:{where}` in the column `mask`; when values are classes, "
        f"`classes:{where}`."
    )
    return Fault(where, got, f"a mask must hold 0 and one other value; this one has more, as in {place}", remedy)


def instance_ids(plane: NDArray[Any], where: str, z: int) -> NDArray[np.uint32]:
    """Return the numbers of the objects in a slice of a label volume; 0 is background.

    Parameters
    ----------
    plane : array (y, x)
    where, z
        The label volume and the slice, for messages.

    Raises
    ------
    InputError
        When a value is not a whole number from 0 to 2^32 - 1.
    """
    _refuse_no_numbers(plane, where, z)
    wrong = plane < 0
    if plane.dtype.itemsize >= 4:
        wrong = wrong | (plane > np.float64(MOST_ID))  # as float32, 2^32 - 1 would be 2^32
    if plane.dtype.kind == "f":
        wrong = wrong | (plane != np.trunc(plane))
    if wrong.any():
        got = f"{plane[wrong][0].item()!r} in slice {z}"
        problem = f"object numbers must be whole numbers from 0 (background) to {MOST_ID}"
        raise InputError(Fault(where, got, problem, "Export the label volume as 16- or 32-bit unsigned integers."))
    return plane.astype(np.uint32)


def classes_in(
    plane: NDArray[Any],
    where: str,
    z: int,
    classes: Mapping[str, int],
    wanted: Sequence[str],
    others_are_background: bool = False,
) -> dict[str, NDArray[np.bool_]]:
    """Return which voxels of a slice are of each class that is wanted.

    Parameters
    ----------
    plane : array (y, x)
    where, z
        The map of classes and the slice, for messages.
    classes : mapping
        Value of each class.
    wanted : sequence of str
    others_are_background : bool
        Whether values of no class are background.

    Raises
    ------
    InputError
        When a value is that of no class.
    """
    _refuse_no_numbers(plane, where, z)
    known = np.isin(plane, [*classes.values()])
    if not known.all() and not others_are_background:
        strange = np.unique(plane[~known])
        more = ", ..." if strange.size > _VALUES_SHOWN else ""
        got = ", ".join(f"{value:g}" for value in strange[:_VALUES_SHOWN].tolist()) + f"{more} in slice {z}"
        allowed = ", ".join(f"{value} ({name})" for name, value in classes.items())
        problem = f"a map of classes may hold only {allowed}"
        remedy = "Export it with these values, or name the value in `classes` or set `other_values` of the model."
        if _IGNORED in strange:
            remedy = "255 leaves voxels without a class, which only labels may do: give each voxel of the map a class."
        raise InputError(Fault(where, got, problem, remedy))
    return {name: plane == classes[name] for name in wanted}


def refuse_objects_of_two_classes(
    ids: NDArray[np.uint32], plane: NDArray[Any], where: str, z: int, classes: Mapping[str, int]
) -> None:
    """Raise an :class:`InputError` when voxels of one object have several values in a map of classes.

    Parameters
    ----------
    ids : array (y, x)
        Numbers of objects.
    plane : array (y, x)
        The map, whose values are those of classes.
    where, z
        The label volume and the slice, for messages.
    classes : mapping
        Value of each class.
    """
    inside = ids > 0
    # One number for both: values of classes need 16 bits.
    pairs = np.unique((ids[inside].astype(np.int64) << 16) | plane[inside].astype(np.int64))
    twice = np.flatnonzero(np.diff(pairs >> 16) == 0)
    if twice.size:
        number = int(pairs[twice[0]] >> 16)
        values = (pairs[twice[0] : twice[0] + 2] & 0xFFFF).tolist()
        one, another = (next((name for name in classes if classes[name] == value), str(value)) for value in values)
        problem = f"the object lies in the classes {one} and {another} of the map"
        remedy = "Export label volume and map from one segmentation, so that each object has one class."
        raise InputError(Fault(where, f"object {number} in slice {z}", problem, remedy))


def _refuse_no_numbers(plane: NDArray[Any], where: str, z: int) -> None:
    if plane.dtype.kind == "f" and not np.isfinite(plane).all():
        count = int((~np.isfinite(plane)).sum())
        remedy = "Export it again with 0 there."
        raise InputError(Fault(where, f"{count} voxels", f"slice {z} holds NaN or infinite values", remedy))
