"""What the headers of DICOM files say of each slice, and in which order the slices of a series lie."""

from __future__ import annotations

import io
import math
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.tag import Tag

from ...errors import Fault, InputError
from .base import COPY_AGAIN, decoding

CONVERT = "Convert the series, for instance with `dcm2niix` to NIfTI or with `gdcmconv --raw`, and scan that."
DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_LOCALIZERS = ("LOCALIZER", "SCOUT", "SURVEY", "TOPOGRAM")
_NO_END = 0xFFFFFFFF
_MOST_INFLATED = 2**28  # bytes of a file
_MARK_AT, _MARK = 128, b"DICM"
PREAMBLE = _MARK_AT + len(_MARK)  # bytes
_PIXELS = 0x7FE00010
_LEAST, _GAP, _UNEVEN = 0.1, 1.5, 0.15  # of the usual distance of slices
_PARALLEL = 1e-3  # of a unit vector
_SHOWN = 3
_TAGS = [
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "Modality",
    "ImageType",
    "InstanceNumber",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "NominalScannedPixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


@dataclass(frozen=True)
class Kind:
    """What all slices of a series have in common; lengths in millimetres."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    shift: int  # bits below the lowest stored one
    signed: bool
    inverted: bool  # whether small values are shown white
    syntax: str
    slope: float
    intercept: float
    unit: str
    spacing: tuple[float, ...]
    orientation: tuple[float, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels as an uncompressed file has them."""
        order = ">" if self.syntax == _BIG_ENDIAN else "<"
        return np.dtype(f"{order}{'i' if self.signed else 'u'}{self.allocated // 8}")


@dataclass(frozen=True)
class Slice:
    """One slice: a file, or a frame of one.

    Attributes
    ----------
    path : Path
    frame, frames : int
        Which of how many in the file.
    offset, length : int
        Where the voxels of the file begin, and their bytes; length -1 where they are compressed.
    uid, series, title : str
        Of the instance and its series.
    number : int
        By which slices without a position are ordered.
    position : tuple of float or None
        Of the first voxel, in millimetres.
    distance : float
        Between slices as the header says, NaN where it does not.
    localizer : bool
        Whether it only shows where others lie.
    kind : Kind
    """

    path: Path
    frame: int
    frames: int
    offset: int
    length: int
    uid: str
    series: str
    title: str
    number: int
    position: tuple[float, ...] | None
    distance: float
    localizer: bool
    kind: Kind


def slices_of(path: Path) -> list[Slice]:
    """Return the slices in a DICOM file; none where it holds no image.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    with decoding(path, "DICOM"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        syntax = _syntax(path)
        if syntax == DEFLATED:
            file: BinaryIO = io.BytesIO(inflated(path))
            header = read_dataset(
                file, False, True, stop_when=lambda tag, *_: tag == _PIXELS, specific_tags=[*map(Tag, _TAGS)]
            )
            size = len(file.getbuffer())  # type: ignore[attr-defined]
            if "Rows" not in header or "Columns" not in header:
                return []
            return list(_slices(path, header, syntax, *_voxels(file, size)))
        with path.open("rb") as file:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            if "Rows" not in header or "Columns" not in header:
                return []
            offset, length = _voxels(file, path.stat().st_size)
        return list(_slices(path, header, syntax, offset, length))


def has_mark(head: bytes) -> bool:
    """Return whether a file that begins with these bytes has the mark of DICOM behind its preamble."""
    return head[_MARK_AT:PREAMBLE] == _MARK


def _syntax(path: Path) -> str:
    """Return the transfer syntax of a file, or nothing where it has no preamble, as before 1995."""
    with path.open("rb") as file:
        if not has_mark(file.read(PREAMBLE)):
            return ""
    return str(read_file_meta_info(path).get("TransferSyntaxUID", ""))


def inflated(path: Path) -> bytes:
    """Return what lies behind the meta header of a deflated file, which can only be read as a whole.

    Raises
    ------
    ValueError
        When it holds more than a file of slices does, or less than it says; call it inside ``decoding``.
    """
    with path.open("rb") as file:
        meta = read_file_meta_info(path)
        file.seek(PREAMBLE + 12 + int(meta.FileMetaInformationGroupLength))
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        found = inflate.decompress(file.read(), _MOST_INFLATED)
    if inflate.unconsumed_tail:
        raise ValueError(f"it holds more than {_MOST_INFLATED} bytes")
    if not inflate.eof:
        raise ValueError("its deflated data end early")
    return found


def _voxels(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return where the voxels begin behind the head of their element, and how many bytes it promises."""
    head = file.read(12)
    explicit = head[4:6] in (b"OW", b"OB")
    order: Any = "big" if head[:2] == b"\x7f\xe0" else "little"
    length = int.from_bytes(head[8:12] if explicit else head[4:8], order)
    offset = file.tell() - len(head) + (12 if explicit else 8)
    return offset, -1 if length == _NO_END else min(length, max(0, size - offset))


def _slices(path: Path, header: Any, syntax: str, offset: int, length: int) -> Iterator[Slice]:
    frames = max(1, int(header.get("NumberOfFrames") or 1))
    shared = _first(header.get("SharedFunctionalGroupsSequence"))
    each = header.get("PerFrameFunctionalGroupsSequence") or []
    if each and len(each) != frames:
        raise ValueError(f"its header promises {frames} frames and describes {len(each)}")
    for frame in range(frames):
        places = [header, *_inside(each[frame] if each else None), *_inside(shared)]
        spacing = _numbers(places, "PixelSpacing") or _numbers(places, "NominalScannedPixelSpacing")
        modality = str(header.get("Modality", ""))
        allocated = int(header.get("BitsAllocated") or 16)
        stored = int(header.get("BitsStored") or allocated)
        shift = int(header.get("HighBit") or stored - 1) + 1 - stored
        if not (0 < stored <= allocated and 0 <= shift <= allocated - stored):
            raise ValueError(f"its header gives {stored} bits above bit {shift} of {allocated}")
        kind = Kind(
            rows=int(header.Rows),
            columns=int(header.Columns),
            samples=int(header.get("SamplesPerPixel") or 1),
            allocated=allocated,
            stored=stored,
            shift=shift,
            signed=bool(header.get("PixelRepresentation") or 0),
            inverted=str(header.get("PhotometricInterpretation", "")) == "MONOCHROME1",
            syntax=syntax,
            slope=_number(places, "RescaleSlope", 1.0),
            intercept=_number(places, "RescaleIntercept", 0.0),
            unit="HU" if modality == "CT" else "",
            spacing=spacing,
            orientation=_numbers(places, "ImageOrientationPatient"),
        )
        words = {str(word).upper() for word in header.get("ImageType") or ()}
        distance = _number(places, "SpacingBetweenSlices", math.nan)
        yield Slice(
            path=path,
            frame=frame,
            frames=frames,
            offset=offset,
            length=length,
            uid=f"{header.get('SOPInstanceUID', '')}:{frame}",
            series=str(header.get("SeriesInstanceUID", "")),
            title=str(header.get("SeriesDescription", "")),
            number=frame if frames > 1 else int(header.get("InstanceNumber") or 0),
            # One position for all frames is that of the first.
            position=None if frames > 1 and not each else _numbers(places, "ImagePositionPatient") or None,
            distance=abs(distance if math.isfinite(distance) else _number(places, "SliceThickness", math.nan)),
            localizer=bool(words & set(_LOCALIZERS)),
            kind=kind,
        )


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _inside(group: Any) -> list[Any]:
    """Return the items of the functional groups of a frame, in which its values lie."""
    return [] if group is None else [item[0] for element in group if element.VR == "SQ" and (item := element.value)]


def _numbers(places: Sequence[Any], name: str) -> tuple[float, ...]:
    value = next((found for place in places if (found := place.get(name)) not in (None, "")), ())
    parts = value if isinstance(value, list | tuple) or hasattr(value, "__iter__") else (value,)
    return tuple(float(part) for part in parts)


def _number(places: Sequence[Any], name: str, default: float) -> float:
    found = _numbers(places, name)
    return found[0] if found else default


@dataclass(frozen=True)
class Order:
    """Slices in the order in which they lie.

    Attributes
    ----------
    slices : list of Slice
    step : array (3,) or None
        Millimetres from each slice to the next; None where headers give no position.
    distance : float
        Millimetres between slices along their normal; NaN where headers do not say.
    doubts : list of str
    """

    slices: list[Slice]
    step: NDArray[np.float64] | None
    distance: float
    doubts: list[str]


def in_order(where: Path, slices: Sequence[Slice]) -> Order:
    """Sort the slices of a series by their positions.

    Raises
    ------
    InputError
        When slices differ in kind, lie at the same place, are missing or not equally far apart.
    """
    first = slices[0]
    others = [part for part in slices if not _alike(part.kind, first.kind)]
    if others:
        got = f"{others[0].path.name} and {len(others) - 1} more" if len(others) > 1 else others[0].path.name
        problem = f"slices of the series differ from {first.path.name} in {', '.join(_differences(others[0], first))}"
        remedy = "Keep slices of one reconstruction in the folder, or convert the series with `dcm2niix`."
        raise InputError(Fault(str(where), got, problem, remedy))
    if any(part.position is None or len(part.position) != 3 for part in slices) or len(first.kind.orientation) != 6:
        return _by_number(where, slices)
    x, y = np.array(first.kind.orientation).reshape(2, 3)
    normal = np.cross(x, y)
    places = np.array([part.position for part in slices])
    along = places @ normal
    order = np.argsort(along, kind="stable")
    sorted_slices, along = [slices[i] for i in order], along[order]
    if len(slices) == 1:
        return Order(sorted_slices, None, first.distance, [])
    steps = np.diff(along)
    _refuse_uneven(where, sorted_slices, steps)
    step = (places[order[-1]] - places[order[0]]) / (len(slices) - 1)
    tilt = math.degrees(math.acos(min(1.0, abs(float(step @ normal)) / max(float(np.linalg.norm(step)), 1e-12))))
    doubts = []
    if tilt > 0.5:
        doubts.append(f"slices are shifted against each other (gantry tilt, {tilt:.1f} degrees): shapes are sheared")
    return Order(sorted_slices, step, float(abs(step @ normal)), doubts)


def _refuse_uneven(where: Path, slices: Sequence[Slice], steps: NDArray[np.float64]) -> None:
    usual = float(np.median(steps))
    # Half of the slices may lie at the place of another one.
    usual = float(np.median(steps[steps > 1e-6])) if usual < 1e-6 and (steps > 1e-6).any() else usual
    twice = np.flatnonzero(steps < _LEAST * usual) if usual > 0 else np.arange(len(steps))
    gaps = np.flatnonzero(steps > _GAP * usual)
    faults = []
    if twice.size:
        pairs = ", ".join(f"{slices[i].path.name} and {slices[i + 1].path.name}" for i in twice[:_SHOWN])
        more = ", ..." if twice.size > _SHOWN else ""
        problem = f"slices of the series lie at the place of another one: {pairs}{more}"
        remedy = "Keep one time point, one reconstruction and one copy of each slice in the folder."
        faults.append(Fault(str(where), f"{twice.size} of {len(slices)}", problem, remedy))
    if gaps.size:
        i = gaps[0]
        problem = f"slices are missing, first between {slices[i].path.name} and {slices[i + 1].path.name}"
        remedy = "Copy the missing slices, or split the series into two folders."
        faults.append(Fault(str(where), f"{steps[i]:g} instead of {usual:g} mm", problem, remedy))
    if not faults and (np.abs(steps - usual) > _UNEVEN * usual).any():
        got = f"{steps.min():g} to {steps.max():g} mm"
        remedy = "Reconstruct or resample the scan with equal distances."
        faults.append(Fault(str(where), got, "slices of the series are not equally far apart", remedy))
    if faults:
        raise InputError(*faults)


def _by_number(where: Path, slices: Sequence[Slice]) -> Order:
    """Sort slices whose headers give no position by their numbers."""
    found = sorted(slices, key=lambda part: (part.number, part.path.name))
    numbers = [part.number for part in found]
    if numbers != list(range(numbers[0], numbers[0] + len(found))):
        problem = "headers give no positions of the slices, and their numbers have gaps or occur twice"
        raise InputError(Fault(str(where), f"{len(found)} slices", problem, COPY_AGAIN))
    doubts = ["headers give no positions of the slices: they are in the order of their numbers"]
    return Order(found, None, found[0].distance, doubts if len(found) > 1 else [])


def _alike(kind: Kind, other: Kind) -> bool:
    return not _differing(kind, other)


def _differing(kind: Kind, other: Kind) -> list[str]:
    return [name for name in Kind.__dataclass_fields__ if not _same(getattr(kind, name), getattr(other, name))]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return len(one) == len(other) and bool(np.allclose(one, other, atol=_PARALLEL, rtol=_PARALLEL))
    return bool(one == other)


def _differences(part: Slice, first: Slice) -> list[str]:
    return [
        f"{name} ({getattr(part.kind, name)}, not {getattr(first.kind, name)})"
        for name in _differing(part.kind, first.kind)
    ]
