"""Label masks as people save them: one 2-D TIFF a slice."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..errors import Fault, InputError
from .label_files import find_label_files

BACKGROUND, DOMAIN, IGNORE = 0, 1, 255


def read_labels(folder: str | Path, shape: tuple[int, int, int]) -> dict[int, NDArray[np.uint8]]:
    """Return the masks of a scan by slice index; none when the folder is missing or holds none.

    Parameters
    ----------
    folder : str or Path
        Masks ``*_z00123.tif``.
    shape : tuple of int
        Voxels of the scan along (z, y, x).

    Raises
    ------
    InputError
        With every fault of every file: two masks of one slice, a slice outside the scan, or a mask that
        :func:`read_label` refuses.
    """
    files = find_label_files(folder)
    faults: list[Fault] = []
    for file, other in pairwise(files):
        if file.z == other.z:
            problem = f"slice {file.z} has two label files, this one and {other.path.name}"
            faults.append(Fault(str(file.path), f"z{file.z:05d}", problem, "Keep one of them in the folder."))
    masks: dict[int, NDArray[np.uint8]] = {}
    for file in files:
        if file.z >= shape[0]:
            problem = f"slice {file.z} is outside the scan (0..{shape[0] - 1})"
            faults.append(Fault(str(file.path), f"z{file.z:05d}", problem, "Correct the number in the file name."))
            continue
        try:
            masks[file.z] = read_label(file.path, shape[1:])
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(*faults)
    return masks


def read_label(path: str | Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask: 0 background, 1 domain, 255 ignore.

    Parameters
    ----------
    path : str or Path
        TIFF file.
    shape : tuple of int
        Rows and columns the slice has.

    Raises
    ------
    InputError
        When it is unreadable, not 2-D, of another size, or holds other values.
    """
    try:
        mask = tifffile.imread(path)
    except Exception as error:
        remedy = "Save the mask again as an 8-bit TIFF."
        raise InputError(Fault(str(path), "", f"the label file cannot be read as TIFF: {error}", remedy)) from None
    if mask.ndim == 3 and mask.shape[0] == 1:  # one page of a stack
        mask = mask[0]
    if mask.shape != tuple(shape):
        got = "x".join(map(str, mask.shape))
        problem = f"the label file has another size than the slices of the scan ({shape[0]}x{shape[1]})"
        raise InputError(Fault(str(path), got, problem, "Export the mask at the size of the slice that was proposed."))
    strange = np.setdiff1d(np.unique(mask), [BACKGROUND, DOMAIN, IGNORE])
    if strange.size:
        got = ", ".join(map(str, strange[:5].tolist()))
        problem = "a label file may hold only 0 (background), 1 (domain) and 255 (ignore)"
        raise InputError(Fault(str(path), got, problem, "Save the mask with these values."))
    return mask.astype(np.uint8)
