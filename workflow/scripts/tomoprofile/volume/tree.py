"""What lies below a folder: places that may be scans, and what is left out, each kind said once."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ..errors import Fault
from ..layout import Layout
from .companions import is_companion_folder, is_small_picture

# Files that operating systems, editors and instruments put beside scans.
_NOTES = re.compile(
    r"txt|log|xml|json|csv|tsv|ya?ml|md|pdf|html?|ini|cfg|conf|par|prm|py|sh|m|ipynb|db|sha256|md5|docx?|xlsx?|ods|pptx?"
    r"|ome|lnk|url|bak|tmp|lock|avi|mp4|mov|zip|roi"
)
_NOTES_BY_NAME = {"thumbs.db", "desktop.ini", "readme", "makefile"}
_OF_SYSTEMS = {"__macosx", "$recycle.bin", "system volume information", "lost+found", "@eadir"}
_SHOWN = 3


class Tree:
    """The visible files and folders below a folder, sorted.

    Parameters
    ----------
    folder : Path
        Where to look, at any depth; links are followed.
    aside : collection of Path
        Folders and files that are known to be something else, such as labels.

    Attributes
    ----------
    ignored : dict of str to list of Path
        What was left out, by the reason.
    faults : list of Fault
        Of folders that cannot be listed.
    """

    def __init__(self, folder: Path, aside: Collection[Path] = ()) -> None:
        self.folder = folder
        self.ignored: dict[str, list[Path]] = {}
        self.faults: list[Fault] = []
        self._aside = {os.path.realpath(path) for path in aside}
        self._visited: set[str] = set()

    def __iter__(self) -> Iterator[Path]:
        """Yield the folder itself and everything in it; what lies in a Zarr folder belongs to it."""
        yield self.folder
        if self.folder.is_dir() and not is_zarr(self.folder):
            yield from self._inside(self.folder)

    def _inside(self, folder: Path) -> Iterator[Path]:
        real = os.path.realpath(folder)
        if real in self._visited:  # a link back
            return
        self._visited.add(real)
        try:
            paths = sorted(folder.iterdir())
            folders = {path for path in paths if path.is_dir()}
        except OSError as error:
            remedy = "May you read this folder?"
            self.faults.append(Fault(str(folder), "", f"the folder cannot be listed: {error.strerror}", remedy))
            return
        for path in paths:
            if path.name.startswith(".") or path.name.lower() in _OF_SYSTEMS:
                continue
            if reason := self._reason(path, path in folders):
                self.ignored.setdefault(reason, []).append(path)
                continue
            yield path
            if path in folders and not is_zarr(path):
                yield from self._inside(path)

    def _reason(self, path: Path, is_folder: bool) -> str:
        """Return why something is no scan whatever it holds, or nothing."""
        if os.path.realpath(path) in self._aside:
            return "labels or masks"
        if path.is_symlink() and self._is_seen(path):
            return "links to what lies here, too"
        if is_folder and is_companion_folder(path.name):
            return "named as projections, references or small pictures"
        if is_folder and any((path / record).is_file() for record in _records_of_results()):
            return "results of tomoprofile"
        if not is_folder and not is_note(path) and is_small_picture(path.stem):
            return "small pictures by their names"
        return ""

    def _is_seen(self, link: Path) -> bool:
        """Return whether a link names something visible in the folder, which is found there."""
        inside = os.path.relpath(os.path.realpath(link), os.path.realpath(self.folder))
        parts = Path(inside).parts
        return bool(parts) and not any(part.startswith(".") for part in parts)


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr store, by its name or its metadata."""
    return path.name.lower().endswith((".zarr", ".n5")) or any(
        (path / mark).is_file() for mark in ("zarr.json", ".zgroup", ".zarray")
    )


def is_note(path: Path) -> bool:
    """Return whether a file is usually beside scans and holds none."""
    return bool(_NOTES.fullmatch(path.suffix.lower()[1:])) or path.name.lower() in _NOTES_BY_NAME


def said_once(kinds: Mapping[str, Collection[Path]], folder: Path, told: str) -> Iterator[str]:
    """Yield one sentence for each kind of file, with the first few names."""
    for kind, paths in sorted(kinds.items()):
        files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
        yield f"{files} {kind} {told}: {names_of(paths, folder)}"


def kind_of(path: Path) -> str:
    """Return the kind of a file by its ending, for messages: ``*.vol``."""
    endings = path.suffixes[-2:] if path.suffix.lower() in (".gz", ".bz2", ".xz") else path.suffixes[-1:]
    return f"*{''.join(endings).lower()}" if endings else "without an ending"


def names_of(paths: Collection[Path], folder: Path) -> str:
    """Return the names of the first few files, for messages."""
    names = [str(path.relative_to(folder)) if path != folder else path.name for path in [*paths][:_SHOWN]]
    return ", ".join(names) + (", ..." if len(paths) > _SHOWN else "")


def _records_of_results() -> list[str]:
    layout = Layout("results")
    return [path.name for path in (layout.run, layout.check)]
