"""Find label files, and what they contain from their names. Standard library only: the Snakefile imports this."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import Fault, InputError
from ..files import digest_of, recorded_digest

Form = Literal["tiff", "picture", "array", "rois", "other"]

_PICTURES = (".png", ".bmp")
_TIFF, _ARRAYS = (".tif", ".tiff"), (".npy",)
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".h5", ".hdf5", ".hdf")
_ROIS = (".zip", ".roi")
_FORMS: dict[tuple[str, ...], Form] = {_TIFF: "tiff", _PICTURES: "picture", _ARRAYS: "array", _ROIS: "rois"}
_USED = (*_PICTURES, *_TIFF, *_ARRAYS, *_VOLUMES, *_ROIS)
# What lies beside labels and is none: notes, the data of a header, what a system leaves.
_NOTES = re.compile(r"\.(txt|md|log|csv|tsv|xml|ya?ml|ini|db|lnk|sha256|bak|raw|zraw)?", re.IGNORECASE)
_LOSSY = (".jpg", ".jpeg", ".webp")
_NO_LABELS = "notes"
_SHOWN = 3
PRELABEL = "_prelabel"  # in the names of masks that nobody has corrected
_SHOWS_OTHER = re.compile(r"overlay|preview|overview|thumb|screenshot", re.IGNORECASE)

_AT_THE_END = re.compile(r"_z(\d+)$", re.IGNORECASE)  # as proposed slices are named
_ANYWHERE = (
    re.compile(r"(?<![a-z])z[-_ ]?(\d+)", re.IGNORECASE),
    re.compile(r"(?<![a-z])(?:slice|slc|sl)[-_ ]?(\d+)", re.IGNORECASE),
)


@dataclass(frozen=True)
class LabelFile:
    """A file with labels of one slice or of several.

    Attributes
    ----------
    z : int or None
        Slice index, read from the name, never from the order of files. None: the file itself names its slices.
    path : Path
        A file, or the folder of a Zarr image.
    annotator : str
        Name of the folder below the labels folder; empty for files of the labels folder itself.
    number : int or None
        The only number in a name that does not call it a slice: the slice, if the image has only one.
    """

    z: int | None
    path: Path
    annotator: str = ""
    number: int | None = None

    @property
    def kind(self) -> Literal["mask", "volume", "rois"]:
        """A mask of one slice, a label volume of the whole scan, or ImageJ outlines."""
        if _ending(self.path) in _ROIS:
            return "rois"
        return "volume" if self.z is None and _ending(self.path) not in _PICTURES else "mask"

    @property
    def form(self) -> Form:
        """How it is stored; ``other`` is any format of masks."""
        return next((form for endings, form in _FORMS.items() if _ending(self.path) in endings), "other")

    @property
    def files(self) -> list[Path]:
        """The file itself, or all files of a folder."""
        if not self.path.is_dir():
            return [self.path]
        return sorted(path for path in self.path.rglob("*") if path.is_file())


def find_label_files(folder: str | Path) -> list[LabelFile]:
    """Return the label files of a folder and its subfolders, one per annotator; none if it does not exist.

    A slice index belongs to one slice, as in ``*_z00123.tif``; other names to the whole scan. Sorted by annotator and
    slice; files of the whole scan come last.

    Raises
    ------
    InputError
        When a folder cannot be listed.
    """
    found = [label_file(path, annotator, Path(folder)) for path, annotator in _entries(folder) if not _unused(path)]
    return sorted(found, key=lambda file: (file.annotator, file.z is None, file.z or 0, file.path))


def unused_files(folder: str | Path) -> dict[str, list[Path]]:
    """Return what lies in a folder of labels, looks like labels and is not read, by what to do about it.

    Raises
    ------
    InputError
        When a folder cannot be listed.
    """
    unused: dict[str, list[Path]] = {}
    for path, _ in _entries(folder):
        if remedy := _unused(path):
            unused.setdefault(remedy, []).append(path)
    unused.pop(_NO_LABELS, None)
    return unused


def unused_in_words(folder: str | Path) -> list[str]:
    """Return one sentence for each kind of file that looks like labels and is not read."""
    told = []
    for remedy, paths in unused_files(folder).items():
        names = ", ".join(path.name for path in paths[:_SHOWN]) + (", ..." if len(paths) > _SHOWN else "")
        files = "1 file is" if len(paths) == 1 else f"{len(paths)} files are"
        told.append(f"{files} not read as labels ({names}). {remedy}")
    return told


def require_unchanged(*prelabels: Path) -> None:
    """Refuse to replace masks that are not as they were written: somebody may have corrected them in place.

    Raises
    ------
    InputError
    """
    changed = [path for path in prelabels if path.exists() and recorded_digest(path) != digest_of(path)]
    remedy = f"If it is your label, save it without `{PRELABEL}` in its name; then remove it here, and run this again."
    if changed:
        raise InputError(*(Fault(str(path), "", "the file exists and was changed by hand", remedy) for path in changed))


def _entries(folder: str | Path) -> Iterator[tuple[Path, str]]:
    """Yield the visible files of a folder and of those in it, and Zarr folders, each with its annotator."""
    folder = Path(folder)
    try:
        if folder.is_file():
            remedy = "Name the folder that holds it."
            raise InputError(Fault(str(folder), "", "the column `labels` names a file, not a folder", remedy))
        if not folder.is_dir():
            return
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_dir() and not _is_zarr(path):
                yield from ((part, path.name) for part in sorted(path.iterdir()) if not part.name.startswith("."))
            else:
                yield path, ""
    except (OSError, ValueError) as error:
        remedy = "May you read this folder? Correct the column `labels` of the sample sheet."
        raise InputError(Fault(str(folder), "", f"the folder of labels cannot be listed: {error}", remedy)) from None


def _unused(path: Path) -> str:
    """Return what to do with something that is not read, or nothing for a label file."""
    if path.is_dir() and not _is_zarr(path):
        return "Move the files up: one folder for each person is read, and none inside it."
    ending = _ending(path)
    if _NOTES.fullmatch(ending) and not path.is_dir():
        return _NO_LABELS
    if PRELABEL in path.stem.lower():
        return f"Correct these masks by hand, then save them without `{PRELABEL}` in their names."
    if _SHOWS_OTHER.search(path.stem):
        return "Their names say that they are pictures of labels; rename them if they are labels."
    if path.is_dir() or ending in _USED:
        return ""
    if ending in _LOSSY:
        return "JPEG changes values along the boundaries, which is what is learned: save the masks as PNG or TIFF."
    return f"Save labels as masks or outlines: {', '.join(_USED)} or Zarr."


def label_file(path: Path, annotator: str, folder: Path) -> LabelFile:
    """Return a label file with the slice that its name gives, wherever in the name that is without doubt.

    Parameters
    ----------
    path : Path
    annotator : str
        Who made it; may be empty.
    folder : Path
        Folder of the labels, whose name may begin that of the file.
    """
    stem = path.name[: -len(_ending(path))] if _ending(path) else path.name
    if match := _AT_THE_END.search(stem):
        return LabelFile(int(match[1]), path, annotator)
    for form in _ANYWHERE:
        numbers = {int(number) for number in form.findall(stem)}
        if numbers:
            return LabelFile(numbers.pop() if len(numbers) == 1 else None, path, annotator)
    # The name of a scan may hold numbers, too.
    own = stem[len(folder.name) :] if stem.lower().startswith(folder.name.lower()) else stem
    numbers = {int(number) for number in re.findall(r"\d+", own)}
    return LabelFile(None, path, annotator, numbers.pop() if len(numbers) == 1 else None)


def _ending(path: Path) -> str:
    name = path.name.lower()
    return next((ending for ending in _USED if name.endswith(ending)), path.suffix.lower())


def _is_zarr(path: Path) -> bool:
    return any((path / mark).is_file() for mark in ("zarr.json", ".zgroup", ".zarray"))
