"""Which datasets of an HDF5 file are scans: never raw projections, references or labels.

Files of beamlines hold everything of an experiment, and the largest dataset is usually what the scan was reconstructed
from. Names, what lies beside a dataset and, for labels, a few of its values tell what it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...errors import Fault, InputError
from ...logs import LOG
from ...units import text_of_header
from ..companions import PROJECTIONS as PROJECTED
from ..companions import REFERENCES, words_of
from .axes import axes_of
from .hdf5_axes import axis_names
from .hdf5_probe import require_openable
from .labelled import LABELLED, has_few_values

IMAGE, PROJECTIONS, LABELS = "image", "projections or references", "labels"
NUMBERS = "buif"  # kinds of NumPy
_RECONSTRUCTED = {"rec", "recon", "reconstruction", "reconstructed", "reconstructions", "volume", "tomoproc"}
_REFERRED = REFERENCES | {"background"}
_CORRECTED = {"corrected", "normalized", "normalised"}
_ANGLES = {"theta", "angle", "angles", "rotation_angle", "rotation_angles", "omega", "image_key"}
_DEEPEST, _MOST_GROUPS = 12, 10_000
_SAMPLED = 192  # voxels along an edge
_SHOWN = 5


@dataclass(frozen=True)
class Candidate:
    """A 3-D dataset.

    Attributes
    ----------
    name : str
        Its path in the file.
    shape : tuple of int
        Of the image.
    what : str
        :data:`IMAGE`, :data:`PROJECTIONS` or :data:`LABELS`.
    rank : int
        How clearly the file says that it is the image.
    """

    name: str
    shape: tuple[int, int, int]
    what: str
    rank: int


def candidates(path: Path, file: h5py.File) -> list[Candidate]:
    """Return all 3-D datasets of numbers in a file, the clearest first, then the largest."""
    found: dict[Any, Candidate] = {}
    for name, group, item in _datasets(file):
        try:
            shape = axes_of(name, item.shape, axis_names(item, group)).pick(item.shape)
        except InputError:
            continue
        if sorted(shape)[1] < 2:
            continue
        what = _what(path, file, name, group, item)
        one = Candidate(name, shape, what, _rank(name, group, item))
        key = _identity(item)
        if key not in found or one.rank > found[key].rank:
            found[key] = one
    return sorted(found.values(), key=lambda one: (-one.rank, -math.prod(one.shape), one.name))


def scans_among(path: Path, found: list[Candidate]) -> list[str]:
    """Return the datasets that may be the scan, the one to take first; others are named in the log.

    Raises
    ------
    InputError
        When the file holds projections alone.
    """
    images = [one.name for one in found if one.what == IMAGE]
    if not images and any(one.what == PROJECTIONS for one in found):
        raise InputError(refusal(path, found))
    rest = [one for one in found if one.what != IMAGE or one.name != images[0]]
    told = ", ".join(f"{one.name} ({'x'.join(map(str, one.shape))}, {one.what})" for one in rest[:_SHOWN])
    if images and rest:
        text = "%s: %s is taken for the scan. The file also holds %s; the column `dataset` chooses"
        LOG.warning(text, path, images[0], told)
    elif rest:
        text = "%s: %s is not taken for a scan, as it holds labels; name it in `mask`, or in `dataset` to use it anyway"
        LOG.warning(text, path, ", ".join(one.name for one in rest[:_SHOWN]))
    return images


def refusal(path: Path, found: list[Candidate]) -> Fault:
    """Return the fault of a file that holds projections and no image."""
    names = ", ".join(one.name for one in found if one.what == PROJECTIONS)
    problem = "the file holds raw projections, not a reconstructed scan"
    remedy = "Reconstruct it first; if it is a reconstruction, name it: its path in the column `dataset`."
    return Fault(str(path), names, problem, remedy)


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Group, h5py.Dataset]]:
    """Yield path, group and dataset of all that may be an image; links are followed, and lost ones left out."""
    seen = {_identity(file["/"])}
    waiting: list[tuple[str, Any, int]] = [("", file["/"], 0)]
    while waiting:
        name, group, depth = waiting.pop()
        for key in group:
            try:
                item = group.get(key)
            except (OSError, KeyError, RuntimeError):
                continue
            if isinstance(item, h5py.Dataset) and item.ndim >= 3 and _kind(item) in NUMBERS:
                yield f"{name}/{key}", group, item
            if not isinstance(item, h5py.Group) or depth == _DEEPEST or len(seen) == _MOST_GROUPS:
                continue
            if (identity := _identity(item)) not in seen:
                seen.add(identity)
                waiting.append((f"{name}/{key}", item, depth + 1))


def _identity(item: Any) -> tuple[int, int]:
    info = h5py.h5o.get_info(item.id)
    return int(info.fileno), int(info.addr)


def _kind(item: h5py.Dataset) -> str:
    try:
        return item.dtype.kind
    except TypeError:  # a type that NumPy does not have, so not an image
        return "-"


def _words(name: str) -> list[set[str]]:
    """Return the words in each part of a path."""
    return [words_of(part) for part in name.split("/") if part]


def _what(path: Path, file: h5py.File, name: str, group: h5py.Group, item: h5py.Dataset) -> str:
    words = _words(name)
    everything = set().union(*words)
    if not everything & _RECONSTRUCTED:
        if any(part & (PROJECTED | _REFERRED) and not (part & _REFERRED and part & _CORRECTED) for part in words[-2:]):
            return PROJECTIONS
        if _has_angles(group, item) or _is_tomography(file, name):
            return PROJECTIONS
    if words[-1] & LABELLED or (len(words) > 1 and words[-2] & LABELLED):
        return LABELS if item.dtype.kind in "bui" or _has_few_values(path, name, item) else IMAGE
    return LABELS if _has_few_values(path, name, item) else IMAGE


def _has_angles(group: h5py.Group, item: h5py.Dataset) -> bool:
    """Return whether angles lie beside a dataset, one for each of its images, or references of projections."""
    axes = item.attrs.get("axes", group.attrs.get("axes", ""))
    if any(_ANGLES & {text_of_header(part).split(":")[0].strip().lower()} for part in np.ravel(axes)[:1]):
        return True
    for key in group:
        beside = group.get(key) if key.lower() in _ANGLES else None
        if isinstance(beside, h5py.Dataset) and beside.size in item.shape:
            return True
    return any(_words(key)[0] & _REFERRED for key in group if _words(key)) and "data" in item.name.rsplit("/", 1)[-1]


def _is_tomography(file: h5py.File, name: str) -> bool:
    """Return whether a group around a dataset says that it holds the projections of a tomography (NXtomo)."""
    parts = name.split("/")[1:-1]
    for end in range(1, len(parts) + 1):
        group = file.get("/".join(parts[:end]))
        definition = group.get("definition") if isinstance(group, h5py.Group) else None
        if isinstance(definition, h5py.Dataset) and definition.size == 1 and definition.dtype.kind in "OS":
            return text_of_header(definition[()]).strip().lower() == "nxtomo"
    return False


def _has_few_values(path: Path, name: str, item: h5py.Dataset) -> bool:
    """Return whether voxels in the middle have few values, as labels have, and measured grey values never."""
    if item.external or item.dtype.itemsize > 8:
        return False
    try:
        require_openable(path, name)
        middle = tuple(slice(max(0, (n - _SAMPLED) // 2), (n + _SAMPLED) // 2) for n in item.shape)
        longest = int(np.argmax(item.shape))
        planes = []
        for part in (1, 2, 3):
            place = part * item.shape[longest] // 4
            planes.append(np.unique(item[(*middle[:longest], slice(place, place + 1), *middle[longest + 1 :])]))
        return has_few_values(np.concatenate(planes))
    except Exception:  # what a damaged file makes of it is told when it is read
        return False


def _rank(name: str, group: h5py.Group, item: h5py.Dataset) -> int:
    """Return how clearly a file says that a dataset is the image."""
    reconstructed = any(part & _RECONSTRUCTED for part in _words(name))
    default = text_of_header(group.attrs.get("signal", "")) == name.rsplit("/", 1)[-1] or "signal" in item.attrs
    return 2 * reconstructed + default
