"""Cells of the sample sheet that need more than one look: masks, interfaces, and numbers from spreadsheets.

Standard library only: the Snakefile imports this.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

INTERFACE_FORMS = (
    "`auto`, `slice:INDEX`, `slice:INDEX:below`, `plane:nz,ny,nx,offset_um`, `mask:PATH`, `mask:FILE.h5:/DATASET`, or, "
    "without a substrate, `none`, `surface`, `face:AXIS=0` or `face:AXIS=end`"
)
MASK_FORMS = (
    "`PATH`, `instances:PATH`, `classes:PATH`, or `instances:PATH;classes:PATH`, each with `FILE.h5:/DATASET` for PATH "
    "where an HDF5 file needs it"
)
AXES = ("z", "y", "x")
NO_PLANE = ("none", "surface")  # forms without a plane
FACE = "face:"
_ENDS = {"0": 1.0, "end": -1.0}
_LENGTHS = (1e-6, 1e6)  # of the normal of a plane, in the unit it is written in
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_DATASET = re.compile(r"(.+\.\w+):(/.+)")
_PARTS = re.compile(r";(?=instances:|classes:)")  # any other semicolon belongs to a path


class MaskImage(NamedTuple):
    """An image that came with a scan.

    Attributes
    ----------
    path : str
        File or folder.
    dataset : str
        Path of the dataset inside an HDF5 file; empty when the cell does not say.
    """

    path: str
    dataset: str = ""

    @property
    def place(self) -> str:
        """Where it lies, as the sheet has it."""
        return f"{self.path}:{self.dataset}" if self.dataset else self.path


class OwnMask(NamedTuple):
    """A cell of the column ``mask``.

    Attributes
    ----------
    binary : MaskImage or None
        It has 0 and one other value; the only image where there is one.
    instances : MaskImage or None
        Every value but 0 is an object of its own.
    classes : MaskImage or None
        Values are those of the classes of a model; beside ``instances`` it says of which class each object is.
    """

    binary: MaskImage | None = None
    instances: MaskImage | None = None
    classes: MaskImage | None = None

    @property
    def images(self) -> list[MaskImage]:
        """The one or two images it names."""
        return [image for image in self if image]

    @property
    def place(self) -> str:
        """Where they lie, as the sheet has it."""
        return ";".join(image.place for image in self.images)


def parse_interface(text: str) -> tuple[str, tuple[float, ...]]:
    """Split an ``interface`` cell into its kind and numbers.

    Returns
    -------
    kind : {"auto", "slice", "plane", "mask", "none", "surface", "face"}
    numbers : tuple of float
        ``()`` for auto, mask, none and surface; ``(index, sign)`` for a slice, sign +1 when the resin lies at larger z;
        ``(nz, ny, nx, offset_um)`` for a plane whose normal points into the resin; ``(axis, sign)`` for a face of the
        scan, sign +1 for the one at 0.

    Raises
    ------
    ValueError
        When the text has none of these forms.
    """
    kind, _, rest = text.partition(":")
    try:
        if text in ("auto", *NO_PLANE):
            return text, ()
        if kind == "mask" and parse_mask(rest).binary:
            return "mask", ()
        if kind == "slice":
            index, _, side = rest.partition(":")
            if side in {"", "below"}:
                return "slice", (float(int(index)), -1.0 if side else 1.0)
        if kind == "face":
            axis, _, end = rest.partition("=")
            if axis in AXES and end in _ENDS:
                return "face", (float(AXES.index(axis)), _ENDS[end])
        if kind == "plane":
            numbers = tuple(float(part) for part in rest.split(","))
            lengths = _LENGTHS[0] <= math.hypot(*numbers[:3]) <= _LENGTHS[1]
            if len(numbers) == 4 and lengths and math.isfinite(numbers[3]):
                return "plane", numbers
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"must be {INTERFACE_FORMS}")


def parse_mask(text: str) -> OwnMask:
    """Split a ``mask`` cell into the images it names.

    Raises
    ------
    ValueError
        When there is no path, or a combination that means nothing.
    """
    images: dict[str, MaskImage] = {}
    for part in _PARTS.split(text):
        kind, _, place = part.partition(":")
        if kind not in ("instances", "classes"):
            kind, place = "binary", part
        if not place.strip() or kind in images:
            raise ValueError(f"must be {MASK_FORMS}")
        inside = _DATASET.fullmatch(place)
        images[kind] = MaskImage(*inside.groups()) if inside else MaskImage(place)
    if "binary" in images and len(images) > 1:
        raise ValueError(f"must be {MASK_FORMS}")
    return OwnMask(**images)


def plain_number(text: str) -> str:
    """Return a number with a decimal point where a spreadsheet wrote a comma; whole numbers without decimals.

    Raises
    ------
    ValueError
        When the comma may separate decimals or thousands.
    """
    if _THOUSANDS.fullmatch(text):
        decimal, whole = text.replace(",", ".", 1), text.replace(",", "")
        raise ValueError(f"the comma may stand before decimals or between thousands; write {decimal} or {whole}")
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else text


def edges_of(text: str) -> tuple[str, ...]:
    """Return the three edges of a voxel from one number, or three with commas (or, with decimal commas, `;`) between.

    Raises
    ------
    ValueError
        When there are not one or three, or a comma may mean two things.
    """
    parts = text.split(";") if ";" in text else text.split(",")
    if len(parts) == 2 and ";" not in text:
        parts = [text]
    if len(parts) not in (1, 3):
        raise ValueError("must be one number, or three with commas between them, as in `1,0.5,0.5`")
    edges = tuple(plain_number(part.strip()) for part in parts)
    return edges * 3 if len(edges) == 1 else edges
