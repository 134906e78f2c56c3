"""What headers of several formats have in common: lengths in millimetres, and files that they name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...errors import Fault, InputError
from ...logs import LOG, SHARED
from .base import COPY_AGAIN, voxel_size_of_header

MILLIMETRE = 1e3  # in micrometres


def edges_of_header(path: Path, spacing: Sequence[float], unit_um: float | None) -> tuple[float, float, float] | None:
    """Return voxel edges in µm from spacings that a medical format gives.

    Parameters
    ----------
    path : Path
        The file, for messages.
    spacing : sequence of float
        Along (z, y, x).
    unit_um : float or None
        Micrometres of their unit. None where the header does not name it: then they are millimetres by convention,
        except that 1, 1, 1 is what programs write that know of no voxel size.

    Returns
    -------
    tuple of float or None
        None where the header does not say, or says what cannot be.
    """
    spacing = [abs(float(edge)) for edge in spacing]
    if unit_um is None and all(edge == 1 for edge in spacing):
        return None
    found = voxel_size_of_header(path, [edge * (unit_um or MILLIMETRE) for edge in spacing])
    if unit_um is None and found:
        told = ", ".join(f"{edge:g}" for edge in spacing)
        text = "%s: the spacing (%s) has no unit in the header and is taken as millimetres, as the format says"
        LOG.info(text, path, told, extra=SHARED)
    return found


def slices_in_each(path: Path, depth: int, files: Sequence[Path]) -> int:
    """Return how many slices lie in each of the files of an image, all of which have the same size.

    Raises
    ------
    InputError
        When ``depth`` slices cannot be divided among them.
    """
    if not files or depth % len(files):
        problem = f"{depth} slices cannot lie in {len(files)} files of the same size"
        raise InputError(Fault(str(path), f"{len(files)} files", problem, COPY_AGAIN))
    return depth // len(files)


def file_beside(path: Path, name: str) -> Path:
    """Return a file that a header names, which must lie in the folder of the header or below.

    Raises
    ------
    InputError
        When it is not there, or elsewhere: a header may name any file of the computer.
    """
    remedy = "Keep the header and the files that it names in one folder."
    if "\0" in name or not name:
        raise InputError(Fault(str(path), repr(name), "the header names a file that cannot be", remedy))
    file = Path(path.parent, name.replace("\\", "/"))
    ways = (Path(os.path.normpath(file.absolute())), file.resolve())
    folders = (path.absolute().parent, path.resolve().parent)
    if not any(way.is_relative_to(folder) for way in ways for folder in folders):
        raise InputError(Fault(str(path), name, "the header names a file that is not in its folder", remedy))
    if not file.is_file():
        raise InputError(Fault(str(path), name, "the file that the header names is not there", remedy))
    return file
