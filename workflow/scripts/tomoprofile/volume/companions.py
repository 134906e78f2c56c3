"""What lies beside scans and is none, told by the words in its name: projections, references, small pictures.

Standard library only: the Snakefile imports this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_PROJECTIONS = "proj projs projection projections sino sinos sinogram sinograms radiograph radiographs"
_REFERENCES = (
    "flat flats flatfield flatfields dark darks darkfield darkfields white whites whitefield whitefields bright "
    "brights brightfield brightfields"
)
_PICTURES = (
    "thumb thumbs thumbnail thumbnails overview overviews preview previews screenshot screenshots snapshot snapshots "
    "scout icon spr prelabel"
)
PROJECTIONS, REFERENCES, PICTURES = (frozenset(words.split()) for words in (_PROJECTIONS, _REFERENCES, _PICTURES))
# Beside slices they are references; alone they may be a sample that others are compared with.
_BESIDE = {"ref", "refs", "refhst", "reference", "references", "darkend", "gain", "background"}
_COMPANIONS = PROJECTIONS | REFERENCES | PICTURES | _BESIDE
# Words that add nothing to the name of a folder of projections or references: `raw_projections`, `dark_before`.
_NEUTRAL = {*"raw tomo field fields image images data before after pre post start end tif tiff edf".split()}  # noqa: SIM905
_PICTURED = ("thumb", "preview", "overview", "screenshot", "snapshot")


def words_of(name: str) -> set[str]:
    """Return the words in the name of a file or dataset, in small letters."""
    return set(re.findall(r"[a-z]+", name.lower()))


def is_companion(name: str) -> bool:
    """Return whether a word in the name of a file says that it lies beside the slices of a scan and is none of them."""
    return bool(words_of(name) & _COMPANIONS)


def is_companion_folder(name: str) -> bool:
    """Return whether the name of a folder says that its images are no scan, and nothing else.

    ``flat_glass`` or ``projection_3_rec`` may be a sample: what is in a folder is not looked at, so all words count.
    """
    words, companions = words_of(name), PROJECTIONS | REFERENCES | PICTURES
    return bool(words & companions) and words <= companions | _NEUTRAL


def is_small_picture(name: str) -> bool:
    """Return whether the name of a file says that it is a small picture of a scan."""
    return any(part in name.lower() for part in _PICTURED)


def without_companions(paths: Sequence[Path]) -> Sequence[Path]:
    """Return files without what lies beside slices; or all, where the same word in all names says so: flat films.

    Where several words do, as in a folder of flat and dark fields, there is no slice among them.
    """
    slices = [path for path in paths if not is_companion(path.stem)]
    words = [words_of(path.stem) & _COMPANIONS for path in paths]
    return paths if not slices and words and set.intersection(*words) else slices
