"""What was found in a finished scan, as labels for a person to correct."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domains.class_map import ClassMap
from ..errors import Fault, InputError
from ..files import seal
from ..labels.classes import Classes
from ..labels.files import PRELABEL, require_unchanged
from ..logs import LOG
from .images import Image, write_image
from .scan import FinishedScan

_ALL = slice(None)


@dataclass(frozen=True)
class _Labels:
    """A class map with the values of label files, the background included, along the stored axes (z, y, x)."""

    found: ClassMap
    background: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.found.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.min_scalar_type(max(self.background, *self.found.values.values())))

    def read(self, start: int, stop: int, rows: slice = _ALL) -> NDArray[Any]:
        values = self.found.read(start, stop, rows).astype(self.dtype)
        return np.where(values == 0, self.dtype.type(self.background), values)


def write_for_correction(scan: FinishedScan, classes: Classes, folder: Path) -> Path:
    """Write what was found in a scan as a label volume, where its labels would lie.

    It is called ``SCAN_prelabel``, and no label of that name trains a model. Scans with a place in space get NIfTI on
    the raw file, others TIFF with the slices in their order. One that was written before is replaced unless it was
    changed since.

    Parameters
    ----------
    scan : FinishedScan
    classes : Classes
        Define the values.
    folder : Path

    Raises
    ------
    InputError
        When the scan is not finished, or a file that would be replaced was changed.
    """
    values = {name: classes.value(name) for name in scan.classes if name in classes.names}
    if len(values) < len(scan.classes):
        problem = "the model has no class of that name"
        names = ", ".join(name for name in scan.classes if name not in values)
        raise InputError(Fault(scan.sample, names, problem, "Run the workflow again with these classes."))
    found = ClassMap(scan.files.objects_at("calibrated"), scan.chosen([]), scan.files.probability.path, values)
    labels = _Labels(found, classes.values[0])
    in_space = scan.volume.geometry is not None
    stem = folder / f"{scan.sample}{PRELABEL}"
    require_unchanged(stem.with_name(stem.name + (".nii.gz" if in_space else ".tif")))
    # Never 1 alone, which is a mask: programs for TIFF get those in black and white.
    largest = max(2, *values.values())
    image = Image.of(scan, labels, largest) if in_space else _as_stored(scan, labels, largest)
    out = write_image(image, "nifti" if in_space else "tiff", stem)
    seal(out)
    missing = ", ".join(name for name in classes.names[1:] if name not in values)
    if missing:
        LOG.warning("%s: not measured, and so not in it: %s", out, missing)
    return out


def _as_stored(scan: FinishedScan, labels: _Labels, largest: int) -> Image:
    """Return the image in the order in which labels without a place in space are read: slices first."""
    store = scan.volume
    return Image(labels, 0, store.shard_slices, scan.geometry, store.voxel_size_um, labels.shape, largest)
