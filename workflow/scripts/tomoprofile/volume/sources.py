"""In which state the files are that a slab comes from, so that one replaced in place is noticed.

Standard library and ground only: the Snakefile imports this. The time of a folder says nothing: it changes with every
note that somebody leaves in it, and stays when a slice is replaced by another one of the same name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..errors import TomoprofileError
from ..files import digest_of, read_record

_SLICES = (".tif", ".tiff")


class _State(NamedTuple):
    name: str
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path, name: str) -> _State:
        found = path.stat()
        return cls(name, found.st_size, found.st_mtime_ns)


def slice_number(stem: str) -> int | None:
    """Return the number of a slice by the name of its file without its ending: the last one in it."""
    digits = re.findall(r"\d+", stem)
    return int(digits[-1]) if digits else None


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
    slices = [state for state in _states(place) if state.name.lower().endswith(_SLICES) and "/" not in state.name]
    numbers = [slice_number(Path(state.name).stem) for state in slices]
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
