"""Find labelled slices by the slice index in their names. Standard library only: the Snakefile imports this."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"_z(\d+)\.tiff?$", re.IGNORECASE)


@dataclass(frozen=True)
class LabelFile:
    """A mask of one slice.

    Attributes
    ----------
    z : int
        Slice index, read from the name: never from the order of files.
    path : Path
    """

    z: int
    path: Path


def find_label_files(folder: str | Path) -> list[LabelFile]:
    """Return the masks ``*_z00123.tif`` of a folder by slice index; none when the folder does not exist."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    named = ((_NAME.search(path.name), path) for path in folder.iterdir())
    return sorted(
        (LabelFile(int(match[1]), path) for match, path in named if match), key=lambda file: (file.z, file.path)
    )
