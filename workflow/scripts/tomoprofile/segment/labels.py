"""Label masks as people save them: one 2-D TIFF a slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..errors import Fault, InputError

BACKGROUND, DOMAIN, IGNORE = 0, 1, 255


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
