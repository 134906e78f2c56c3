"""Find label files, and what they contain from their names. Standard library only: the Snakefile imports this."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import Fault, InputError

_SLICE = re.compile(r"_z(\d+)$", re.IGNORECASE)
_MASKS = (".tif", ".tiff")
_ROIS = (".zip", ".roi")


@dataclass(frozen=True)
class LabelFile:
    """A file with labels of one slice or of several.

    Attributes
    ----------
    z : int or None
        Slice index, read from the name, never from the order of files. None: the file itself names its slices.
    path : Path
    annotator : str
        Name of the folder below the labels folder; empty for files of the labels folder itself.
    """

    z: int | None
    path: Path
    annotator: str = ""

    @property
    def kind(self) -> Literal["mask", "volume", "rois"]:
        """A mask of one slice, a label volume of the whole scan, or ImageJ outlines."""
        if self.path.suffix.lower() in _ROIS:
            return "rois"
        return "volume" if self.z is None else "mask"


def find_label_files(folder: str | Path) -> list[LabelFile]:
    """Return the label files of a folder and its subfolders, one per annotator; none if it does not exist.

    ``*_z00123.tif``, ``.zip`` and ``.roi`` belong to one slice, other names to the whole scan. Hidden files and other
    endings are left out. Sorted by annotator and slice; files of the whole scan come last.

    Raises
    ------
    InputError
        When a folder cannot be listed.
    """
    folder = Path(folder)
    try:
        if not folder.is_dir():
            return []
        found = _in_one(folder, "")
        for part in folder.iterdir():
            if part.is_dir() and not part.name.startswith("."):
                found += _in_one(part, part.name)
    except (OSError, ValueError) as error:
        remedy = "May you read this folder? Correct the column `labels` of the sample sheet."
        raise InputError(Fault(str(folder), "", f"the folder of labels cannot be listed: {error}", remedy)) from None
    return sorted(found, key=lambda file: (file.annotator, file.z is None, file.z or 0, file.path))


def _in_one(folder: Path, annotator: str) -> list[LabelFile]:
    files = []
    for path in folder.iterdir():
        if path.suffix.lower() in (*_MASKS, *_ROIS) and path.is_file() and not path.name.startswith("."):
            match = _SLICE.search(path.stem)
            files.append(LabelFile(int(match[1]) if match else None, path, annotator))
    return files
