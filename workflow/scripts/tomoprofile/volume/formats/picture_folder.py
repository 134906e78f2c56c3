"""Slices as pictures in a folder: PNG, BMP or JPEG 2000, one file per slice.

Painted masks come this way, too: one vivid colour on transparent, white, black or grey is a mask of what was painted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ...errors import Fault, InputError
from ...logs import LOG
from ..companions import without_companions
from ..grey import GreyScale
from ..sources import is_hidden
from .base import Format, LazyImage, decoding, refuse_impossible_shape, unlike_first
from .tiff_folder import by_number

_DECODERS = {
    ".png": imagecodecs.png_decode,
    ".bmp": imagecodecs.bmp_decode,
    ".jp2": imagecodecs.jpeg2k_decode,
    ".j2k": imagecodecs.jpeg2k_decode,
}
_MOST_RATIO = 2000  # of a picture to its file
_HEADERS = {".png": (16, "big"), ".bmp": (18, "little")}  # where width and height are
_VIVID = 64 / 255  # between the strongest and the weakest channel


class PictureFolder(LazyImage):
    """One picture per slice; see :class:`~.base.RawScan`. Painted pictures are a mask of booleans."""

    voxel_size_um: tuple[float, float, float] | None = None
    grey: GreyScale | None = None

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.files = by_number(folder, _slices(folder))
        first = self._picture(self.files[0])
        self.painted = _is_painted(first)
        plane = _plane(first, self.files[0], self.painted)
        self.dtype: np.dtype[Any] = plane.dtype.newbyteorder("=")
        self.shape: tuple[int, int, int] = (len(self.files), *plane.shape)
        refuse_impossible_shape(folder, self.shape)

    def _picture(self, file: Path) -> NDArray[Any]:
        with decoding(file, file.suffix[1:].upper()):
            data = file.read_bytes()
            if place := _HEADERS.get(file.suffix.lower()):
                start, order = place
                edges = [abs(int.from_bytes(data[at : at + 4], order, signed=True)) for at in (start, start + 4)]
                if edges[0] * edges[1] > _MOST_RATIO * len(data):
                    raise ValueError(f"its header promises {edges[0]} x {edges[1]} pixels in {len(data)} bytes")
            return np.asarray(_DECODERS[file.suffix.lower()](data))

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Return the part ``[start, stop)`` along ``axis`` of (z, y, x)."""
        part = (..., slice(start, stop), slice(None)) if axis == 1 else (..., slice(start, stop))
        planes = [self._slice(file) for file in (self.files[start:stop] if axis == 0 else self.files)]
        return np.stack([plane if axis == 0 else plane[part] for plane in planes])

    def _slice(self, file: Path) -> NDArray[Any]:
        plane = _plane(self._picture(file), file, self.painted)
        if plane.shape != self.shape[1:] or plane.dtype != self.dtype:
            got, expected = f"{plane.dtype} {plane.shape}", f"{self.dtype} {self.shape[1:]}"
            raise InputError(unlike_first(file, got, expected))
        return plane


def _is_painted(picture: NDArray[Any]) -> bool:
    """Return whether a picture has colours or transparent pixels."""
    if picture.ndim == 2:
        return False
    colours = picture[..., : 3 if picture.shape[-1] > 2 else 1]
    alpha = picture[..., -1] if picture.shape[-1] in (2, 4) else colours[..., 0] * 0
    return bool((colours != colours[..., :1]).any() or alpha.min() != alpha.max())


def _plane(picture: NDArray[Any], file: Path, painted: bool) -> NDArray[Any]:
    """Return grey values, or which pixels are painted."""
    if picture.ndim == 2 and not painted:
        return picture
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, 2)
    if not painted:
        if _is_painted(picture):
            remedy = "Save all slices as grey pictures, or all as painted ones."
            raise InputError(Fault(str(file), "", "this slice is in colour, and the first one is not", remedy))
        return picture[..., 0]
    top = int(np.iinfo(picture.dtype).max)
    colours = picture[..., : 3 if picture.shape[-1] > 2 else 1].astype(np.int64)
    opaque = picture[..., -1] > 0 if picture.shape[-1] in (2, 4) else np.ones(picture.shape[:2], bool)
    vivid = opaque & (np.ptp(colours, axis=-1) >= _VIVID * top)
    kinds = np.unique(colours[vivid], axis=0)
    if len(kinds) > 1:
        shown = ", ".join(str(tuple(kind)) for kind in kinds[:3].tolist())
        problem = f"the slice is painted in {len(kinds)} colours, and which is inside cannot be told"
        raise InputError(Fault(str(file), shown, problem, "Paint one colour with sharp edges, or save grey numbers."))
    # Without a vivid colour, what is not transparent is painted.
    return vivid if len(kinds) or opaque.all() else opaque


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.suffix.lower() in _DECODERS and not is_hidden(path))
    return sorted(path for path in found if path.is_file())


def _slices(folder: Path) -> list[Path]:
    return [*without_companions(_files(folder))]


def _datasets(folder: Path) -> list[str]:
    """Return that a folder of numbered grey pictures is a scan; painted ones are masks or labels."""
    if len(_slices(folder)) < 2:
        return []
    try:
        painted = PictureFolder(folder).painted
    except InputError as error:  # pictures lie everywhere, and most are no slices
        LOG.warning("%s: its pictures are not taken for a scan: %s", folder, error)
        return []
    if painted:
        LOG.info("%s: pictures in colour are not taken for a scan", folder)
    return [] if painted else [""]


FORMAT = Format(
    name="picture_folder",
    what="folder of PNG, BMP or JPEG 2000 slices",
    remarks="one file per slice, ordered as TIFF slices; as a mask, one colour painted on transparent, white, black or "
    "grey is inside",
    matches=lambda path: bool(_files(path)),
    open=lambda path, _: PictureFolder(path),
    datasets=_datasets,
    files=_files,
)
