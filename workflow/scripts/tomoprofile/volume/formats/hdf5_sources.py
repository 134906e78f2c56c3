"""Files from which the voxels of an HDF5 dataset come, beside the file that names it.

A dataset may lie in another file (external link), be put together from several (virtual dataset), or name any file as
its bytes (external storage). The last would show every file of the computer as grey values, and is refused. The others
must lie in the folder of the file or below, as named; a part that is lost would be read as the fill value.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from ...errors import Fault, InputError
from .base import decoding

_REMEDY = "Keep all files of the image in one folder, or copy the image into one file."
_DEEPEST = 4  # virtual datasets of virtual datasets
_UNLIMITED = 2**62


def lost_link(path: Path, file: h5py.File, dataset: str) -> Fault | None:
    """Return the fault of a dataset that an external link seeks in a file that is not there, or None."""
    parts = [part for part in dataset.split("/") if part]
    for end in range(1, len(parts) + 1):
        with decoding(path, "HDF5"):
            link = file.get("/".join(parts[:end]), getlink=True)
        if isinstance(link, h5py.ExternalLink):
            place = Path(path.parent, link.filename)
            problem = f"the dataset lies in another file, {link.filename}, which "
            problem += f"has no {link.path}" if place.is_file() else "is not there"
            return Fault(str(path), repr(dataset), problem, _REMEDY)
    return None


def lost_links(path: Path, file: h5py.File) -> list[Fault]:
    """Return the faults of all external links of a file whose files are not there."""
    found: list[Fault] = []

    def look(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink) and not Path(path.parent, link.filename).is_file():
            found.extend(filter(None, [lost_link(path, file, name)]))

    file.visititems_links(look)
    return found


def source_files(path: Path, item: h5py.Dataset) -> Iterator[Path]:
    """Yield the other files from which the voxels of a dataset come; they are no scans by themselves."""
    home = Path(item.file.filename)
    if home.resolve() != path.resolve():
        yield home
    for source in item.virtual_sources() if item.is_virtual else ():
        yield from (file for file in _files(home.absolute(), source.file_name) if file.resolve() != path.resolve())


def refuse_foreign_sources(path: Path, item: h5py.Dataset) -> None:
    """Raise an :class:`InputError` when voxels come from a lost file or from one that is not the scan's.

    Parameters
    ----------
    path : Path
        The file that the user named.
    item : h5py.Dataset
        Found in it, or through its links.
    """
    folders = {path.absolute().parent, path.resolve().parent}
    with decoding(path, "HDF5"):
        home = Path(item.file.filename)
    _require_near(path, home, folders)
    _refuse(path, item, folders, depth=0)


def _refuse(path: Path, item: h5py.Dataset, folders: set[Path], depth: int) -> None:
    with decoding(path, "HDF5"):
        external, sources = item.external, item.virtual_sources() if item.is_virtual else []
        home = Path(item.file.filename).absolute()
    if external:
        problem = "the dataset takes its bytes from another file, whatever that holds (external storage)"
        raise InputError(Fault(str(path), str(external[0][0]), problem, "Copy the image into the HDF5 file itself."))
    if sources and depth == _DEEPEST:
        problem = "virtual datasets are made of virtual datasets without an end"
        raise InputError(Fault(str(path), item.name, problem, "Copy the image into one file."))
    for name, dataset, voxels in sorted({(s.file_name, s.dset_name, _voxels(s)) for s in sources}):
        for source in _files(home, name):
            _require_near(path, source, folders)
            if not source.is_file():
                problem = f"a part of the image lies in {name}, which is not there and would be read as a fill value"
                raise InputError(Fault(str(path), name, problem, _REMEDY))
            with decoding(path, "HDF5", f"the part in {name}"), h5py.File(source, "r") as file:
                found = file.get(dataset) if "%" not in dataset else None
                if "%" not in dataset and not isinstance(found, h5py.Dataset):
                    raise InputError(Fault(str(path), f"{name}:{dataset}", "the part of the image is lost", _REMEDY))
                if found is not None and voxels is not None and found.size < voxels:
                    problem = f"the part of the image has {found.size} of {voxels} voxels; the rest would be filled"
                    raise InputError(Fault(str(path), f"{name}:{dataset}", problem, _REMEDY))
                if found is not None:
                    _refuse(path, found, folders, depth + 1)


def _voxels(source: Any) -> int | None:
    """Return how many voxels a source gives, or None when that is not limited."""
    count = int(source.vspace.get_select_npoints())
    return count if 0 <= count < _UNLIMITED else None


def _files(home: Path, name: str) -> Iterator[Path]:
    """Yield the files that a virtual dataset means by a name, as HDF5 looks for them; ``%b`` counts blocks."""
    if name == ".":
        yield home
        return
    place = Path(home.parent, name)
    if "%b" in name:
        yield from sorted(place.parent.glob(place.name.replace("%b", "*"))) or [place]
        return
    beside = home.parent / place.name
    yield beside if not place.is_file() and Path(name).is_absolute() and beside.is_file() else place


def _require_near(path: Path, source: Path, folders: set[Path]) -> None:
    # As named: whoever put a symbolic link into the folder meant it.
    ways = (Path(os.path.normpath(source.absolute())), source.resolve())
    if not any(way.is_relative_to(folder) for way in ways for folder in folders):
        problem = "the image lies in a file that is not in the folder of this one"
        raise InputError(Fault(str(path), str(source), problem, _REMEDY))
