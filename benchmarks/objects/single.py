"""Make one measurement in this process and print it: the last line of the output is JSON."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

from . import stores
from .measure import measure
from .methods import METHODS, Mask, Work
from .plan import Cell

PACKAGES = {
    "cc3d": ("connected-components-3d",),
    "SimpleITK": ("SimpleITK",),
    "porespy": ("porespy",),
    "dask_image": ("dask-image",),
}


def run_cell(cell: Cell, inputs: Path) -> None:
    """Measure one cell.

    Parameters
    ----------
    cell : Cell
    inputs : Path
        Folder with ``mask.npy`` and ``grey.npy``, or with the stores.
    """
    facts: dict[str, object] = {"python": platform.python_version(), "machine": platform.machine()}
    if cell.section == "peers":
        method = METHODS[cell.method]
        work = method.make()
        _warm(work)
        mask, grey = (_load(inputs / name, method.part) for name in ("mask.npy", "grey.npy"))
        found = measure(lambda: work(mask, grey))
        facts |= {"voxels": mask.size, "whole_voxels": int(np.load(inputs / "mask.npy", mmap_mode="r").size)}
        packages = ("numba", "scikit-image", *(name for need in method.needs for name in PACKAGES[need]))
        facts["versions"] = {name: version(name) for name in packages}
    else:
        found = measure(stores.make(cell.method, inputs, cell.threads))
        facts |= {"voxels": cell.depth * cell.side**2, "versions": {name: version(name) for name in ("numba", "zarr")}}
    print(json.dumps(vars(cell) | found | facts))


def _warm(work: Work) -> None:
    """Let a method compile and allocate on a few objects."""
    mask: Mask = np.zeros((32, 32, 32), np.uint8)
    mask[4:12, 4:12, 4:12] = mask[20:24, 16:28, 20:22] = 255
    work(mask, mask.astype(np.uint16) + np.uint16(7))


def _load(path: Path, part: int) -> np.ndarray:
    """Return an array, or its central cube."""
    if not part:
        return np.load(path)
    stored = np.load(path, mmap_mode="r")
    begins = [max(0, (n - part) // 2) for n in stored.shape]
    return np.array(stored[tuple(slice(begin, begin + part) for begin in begins)])
