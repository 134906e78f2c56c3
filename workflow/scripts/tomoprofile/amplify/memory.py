"""How many voxels memory suffices for; with fewer than wished, the log says so."""

from __future__ import annotations

import math

import psutil
import torch

from ..errors import Fault, StageError
from ..logs import LOG

_STEP_BYTES = 1200  # of a voxel of the fine level: twelve squarings and their gradients
_WHOLE_BYTES = 200  # of a voxel of the template: maps both ways and their determinants
_SHARE = 0.8  # of what is free
_FEWEST = 16**3


def affordable_voxels(wished: int, whole: tuple[int, ...], memory_mb: float | None, device: str) -> int:
    """Return of how many voxels the fine level may be.

    Parameters
    ----------
    wished : int
    whole : tuple of int
        Shape of the template.
    memory_mb : float, or None
        What may be used; None: what is free on the device.
    device : str
    """
    free = memory_mb * 1e6 if memory_mb is not None else _SHARE * _free_bytes(device)
    wished = min(wished, math.prod(whole))
    voxels = int((free - _WHOLE_BYTES * math.prod(whole)) / _STEP_BYTES)
    if voxels >= wished:
        return wished
    voxels = max(voxels, min(_FEWEST, wished))
    LOG.warning("memory for %.0f MB: registration at %d voxels in place of %d", free / 1e6, voxels, wished)
    return voxels


def _free_bytes(device: str) -> float:
    if torch.device(device).type == "cuda":
        return float(torch.cuda.mem_get_info(torch.device(device))[0])
    return float(psutil.virtual_memory().available)


def out_of_memory(error: BaseException, voxels: int, device: str) -> int:
    """Return half of the voxels after memory ran out; raise any other error again.

    Raises
    ------
    StageError
        When even few voxels were too many.
    """
    words = ("out of memory", "not enough memory", "can't allocate memory")
    if not isinstance(error, MemoryError) and not any(word in str(error).lower() for word in words):
        raise error
    if voxels <= _FEWEST:
        fault = Fault(
            device, f"{voxels} voxels", "memory does not suffice for a registration", "Give the job more memory."
        )
        raise StageError(fault) from error
    LOG.warning("memory ran out: registration again at %d voxels in place of %d", voxels // 2, voxels)
    return voxels // 2
