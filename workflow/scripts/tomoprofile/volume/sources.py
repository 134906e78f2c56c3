"""In which state the files are that a slab comes from, so that one replaced in place is noticed.

Standard library and ground only: the Snakefile imports this. The time of a folder says nothing: it changes with every
note that somebody leaves in it, and stays when a slice is replaced by another one of the same name.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..errors import TomoprofileError
from ..files import digest_of, read_record
from .companions import without_companions

SLICE_SUFFIXES = (".tif", ".tiff")


class _State(NamedTuple):
    name: str
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path, name: str) -> _State:
        found = path.stat()
        return cls(name, found.st_size, found.st_mtime_ns)


def slice_number(stem: str) -> int | None:
    """Return the number in the name of a single file without its ending: the last one, None without any.

    Of a folder of slices :func:`slice_numbers` compares the names, and finds the right one of several.
    """
    digits = re.findall(r"\d+", stem)
    return int(digits[-1]) if digits else None


def slice_numbers(stems: Sequence[str]) -> list[int | None]:
    """Return the number of each slice of a folder: the one number in the names that varies from file to file.

    ``rec0001_8bit`` and ``rec0002_8bit`` are 1 and 2. Of several numbers that vary, such as a time beside a counter,
    the one that tells the files apart with the fewest gaps is taken, and the last one of equal ones.

    Parameters
    ----------
    stems : sequence of str
        Names without their endings.

    Returns
    -------
    list
        None for a name without a number, for one that is built differently from most, and for all names where two
        numbers count equally well and in different orders.
    """
    built = [re.sub(r"\d+", "#", stem) for stem in stems]
    common = Counter(form for form in built if "#" in form).most_common(1)
    if not common or len(stems) == 1:
        return [slice_number(stem) for stem in stems]
    form = common[0][0]
    alike = [[int(part) for part in re.findall(r"\d+", s)] for s, own in zip(stems, built, strict=True) if own == form]
    rated = []
    for place, column in enumerate(zip(*alike, strict=True)):
        if len(set(column)) > 1:
            doubles, span = len(alike) - len(set(column)), max(column) - min(column)
            rated.append((doubles, span, -place, sorted(range(len(column)), key=column.__getitem__)))
    rated.sort(key=lambda one: one[:3])
    if len(rated) > 1 and rated[0][:2] == rated[1][:2] and rated[0][3] != rated[1][3]:
        return [None] * len(stems)
    place = -rated[0][2] if rated else len(alike[0]) - 1
    numbers = iter([row[place] for row in alike])
    return [next(numbers) if own == form else None for own in built]


def is_hidden(path: Path) -> bool:
    """Return whether a file is hidden, such as the companions ``._*`` that a Mac leaves on other disks."""
    return path.name.startswith(".")


def slices_among(paths: Iterable[Path]) -> list[Path]:
    """Return the files that may be slices of a folder's scan, sorted by name: TIFF, not hidden, no companions."""
    named = sorted(path for path in paths if path.name.lower().endswith(SLICE_SUFFIXES) and not is_hidden(path))
    return [*without_companions(named)]


def state_of_slab(paths: Iterable[str], start: int, stop: int, slice_axis: int, record: Path, key: str) -> str:
    """Return a digest of name, size and time of every file on which a slab depends.

    Parameters
    ----------
    paths : iterable of str
        Files and folders that the slab is read from. Of a folder with a file per slice only those of the slab count.
    start, stop : int
        Slices of the slab.
    slice_axis : int
        Axis of the raw array that becomes z; files are slices along axis 0.
    record : Path
        Record of the slab. Files that have been archived since are in the state it names.
    key : str
        Where it names it.
    """
    places = [Path(path) for path in paths]
    if not all(place.exists() for place in places):
        try:
            return str(read_record(record).get(key, ""))
        except TomoprofileError:
            return ""
    return _digest([state for place in places for state in _files_of(place, start, stop, slice_axis)])


def content_of_files(paths: Iterable[str]) -> str:
    """Return a digest of name and content of small files: only what is in a label matters, not when it was copied."""
    return _digest([(Path(path).name, digest_of(Path(path))) for path in paths])


def _digest(states: Iterable[tuple[object, ...]]) -> str:
    return hashlib.sha256(repr([tuple(state) for state in states]).encode()).hexdigest()[:16]


def _files_of(place: Path, start: int, stop: int, slice_axis: int) -> list[_State]:
    slices, along_z = _slices(place)
    if not slices:
        return _states(place)
    if slice_axis or not along_z:
        return slices
    return [state for state, z in zip(slices, along_z, strict=True) if start <= z < stop]


@cache
def _slices(place: Path) -> tuple[list[_State], list[int]]:
    """Return the states of the slices in a folder, and where each lies along z; nowhere when numbers do not tell."""
    if not place.is_dir():
        return [], []
    known_names = {path.name for path in slices_among(path for path in place.iterdir() if path.is_file())}
    slices = [state for state in _states(place) if state.name in known_names]
    numbers = slice_numbers([Path(state.name).stem for state in slices])
    known = [number for number in numbers if number is not None]
    if not known or len(set(known)) < len(slices):
        return slices, []
    first = min(known)
    return slices, [number - first for number in known]


@cache
def _states(place: Path) -> list[_State]:
    """Return the states of a file, or of all files below a folder, sorted by name."""
    if place.is_file():
        return [_State.of(place, place.name)]
    files = (path for path in place.rglob("*") if path.is_file())
    return sorted(_State.of(path, path.relative_to(place).as_posix()) for path in files)
