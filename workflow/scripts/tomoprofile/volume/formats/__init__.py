"""The formats of raw scans and masks, one module each, and the registry of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from . import (
    dicom,
    edf,
    hdf5,
    metaimage,
    nifti,
    nrrd,
    numpy_file,
    picture_folder,
    raw_file,
    tiff_folder,
    tiff_stack,
    zarr_image,
)
from .base import HEAD, Format

# The first match is taken; Zarr comes first because such a folder may hold files of any name.
FORMATS: tuple[Format, ...] = (
    zarr_image.FORMAT,
    dicom.FORMAT,
    tiff_folder.FORMAT,
    tiff_stack.FORMAT,
    hdf5.FORMAT,
    nifti.FORMAT,
    nrrd.FORMAT,
    metaimage.FORMAT,
    numpy_file.FORMAT,
    edf.FORMAT,
    raw_file.FORMAT,
    picture_folder.FORMAT,
)
OF_SCANS = {form.name: form for form in FORMATS if form.of_scans}


def format_of(path: Path, formats: Collection[Format] = FORMATS) -> Format | None:
    """Return the format in which something is stored, or None when it is none of these.

    A file is judged by its content where the format has a mark for it: names lie, and some have none.
    """
    head = _head(path)
    marked = next((form for form in FORMATS if head and form.signature and form.signature(head)), None)
    if marked:
        return marked if marked in formats else None
    return next((form for form in formats if form.matches(path)), None)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:  # a folder, or told when it is opened
        return b""


def listed(formats: Collection[Format]) -> str:
    """Return the names of formats as text, for messages."""
    return ", ".join(form.what for form in formats)
