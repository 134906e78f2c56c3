"""NIfTI scans and masks, as 3D Slicer, ITK-SNAP and most medical programs save them.

NIfTI has its axes in the order x, y, z and tomoprofile in the order z, y, x, so the axes are reversed. nibabel reads
the header; voxels are read where they lie, since nibabel decompresses from the start for each part.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from ...errors import Fault, InputError
from ...logs import LOG
from ..geometry import Geometry
from .base import COPY_AGAIN, Format, decoding, geometry_of_header, grey_of_header, refuse_impossible_shape
from .flat import FlatImage, Piece
from .headers import edges_of_header

_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz")
_KINDS: dict[int, Any] = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}  # by size
_MARKS = {(344, 348): (b"n+1\0", b"ni1\0"), (4, 12): (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")}
_SINGLE = (b"n+1", b"n+2\0\r\n\x1a\n", b"n+2")
_UNITS = {"meter": 1e6, "mm": 1e3, "micron": 1.0}
_DIFFER = 0.01  # of an edge, between the two places where a header gives it


class NIfTIImage(FlatImage):
    """A 3-D NIfTI image; see :class:`~.base.RawScan`."""

    def __init__(self, path: Path) -> None:
        header = _header(path)
        with decoding(path, "NIfTI"):
            dtype, shape = header.get_data_dtype(), tuple(int(n) for n in header.get_data_shape())
            offset = int(header.get_data_offset())
            slope, inter = header.get_slope_inter()
            file = path if header["magic"].item() in _SINGLE else _image_file(path)
        x, y, z, *more = (*shape, 1, 1, 1)[: max(3, len(shape))]
        if any(n != 1 for n in more) or len(shape) < 3:
            got = "x".join(map(str, shape))
            raise InputError(
                Fault(str(path), got, "the file does not hold a 3-D image", "Save one channel and one time point.")
            )
        refuse_impossible_shape(path, (z, y, x))
        compression = _compression(file)
        piece = Piece(file, z, 0, offset) if compression else Piece(file, z, offset)
        super().__init__(path, "NIfTI", (z, y, x), dtype, [piece], compression)
        self._describe(path, header)
        plain = slope is None or (slope, inter) == (1, 0)
        self.grey = None if plain else grey_of_header(path, float(slope), float(inter), "")

    def _describe(self, path: Path, header: Any) -> None:
        """Take voxel size and geometry from the header."""
        with decoding(path, "NIfTI"):
            unit = header.get_xyzt_units()[0]
            # By their shortest decimals: stored with 32 bits, a thousandth is not 0.001 with 64.
            x, y, z = (float(str(edge)) for edge in header.get_zooms()[:3])
            placed = int(header["sform_code"]) or int(header["qform_code"])
            affine = np.array(header.get_best_affine(), np.float64)
        self.voxel_size_um = edges_of_header(path, (z, y, x), _UNITS.get(unit))
        self.geometry = None
        if not placed:
            return
        affine[:3] *= _UNITS.get(unit, 1e3) / 1e3
        self.geometry = geometry_of_header(path, lambda: Geometry.from_nifti(affine))
        if self.geometry and self.voxel_size_um:
            other = tuple(1e3 * edge for edge in self.geometry.lps.spacing[::-1])
            if not np.allclose(other, self.voxel_size_um, rtol=_DIFFER, atol=0):
                text = "%s: the voxel size of the header (%g, %g, %g um) is not that of its affine (%g, %g, %g um)"
                LOG.warning(text, path, *self.voxel_size_um, *other)


def _header(path: Path) -> Any:
    """Return the header of nibabel, without the extensions behind it, which may have any size."""
    with decoding(path, "NIfTI"):
        with gzip.open(path) if _compression(path) == "gzip" else path.open("rb") as file:
            head = file.read(max(_KINDS))
        for size, kind in _KINDS.items():
            if len(head) >= size and size in (int.from_bytes(head[:4], order) for order in ("little", "big")):
                return kind(head[:size])
    raise InputError(Fault(str(path), "", "the file has no header of NIfTI", COPY_AGAIN))


def _image_file(path: Path) -> Path:
    """Return the file with the voxels of a header in a file of its own."""
    stem = path.name.split(".hdr")[0]
    found = next((file for end in (".img", ".img.gz") if (file := path.with_name(stem + end)).is_file()), None)
    if found is None:
        raise InputError(Fault(str(path), f"{stem}.img", "the file with the voxels is not there", COPY_AGAIN))
    return found


def _compression(file: Path) -> str:
    with decoding(file, "NIfTI"), file.open("rb") as opened:
        head = opened.read(3)
    return "gzip" if head[:2] == b"\x1f\x8b" else "bzip2" if head == b"BZh" else ""


def _is_nifti(head: bytes) -> bool:
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(31).decompress(head, 512)
        except zlib.error:
            return False
    return any(head[slice(*place)] in marks for place, marks in _MARKS.items())


FORMAT = Format(
    name="nifti",
    what="NIfTI",
    remarks="`.nii`, `.nii.gz`, `.hdr` with `.img`; its axes x, y, z are reversed to z, y, x. A scaling in the header "
    "becomes the grey scale",
    matches=lambda path: path.name.lower().endswith(_SUFFIXES[:2]) and path.is_file(),
    signature=_is_nifti,
    open=lambda path, _: NIfTIImage(path),
    files=lambda path: [path.with_suffix(".img")],
)
