"""Grey pictures inside a page."""

from __future__ import annotations

import base64
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

_WINDOW = (0.5, 99.5)  # percentiles of the resin: refraction rims would otherwise take up the whole grey scale
_JPEG_QUALITY = 75


def grey_window(grey: NDArray[Any], resin: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the grey values of black and white: nearly all of the resin, or of everything where there is none."""
    values = grey[resin]
    black, white = np.percentile(values if values.size else grey, _WINDOW)
    return float(black), float(white) if white > black else float(black) + 1.0


def exact(grey: NDArray[Any], window: tuple[float, float]) -> str:
    """Return a picture, pixel by pixel, as the data URI of a PNG."""
    return _data_uri("png", imagecodecs.png_encode(_grey8(grey, window), level=9))


def reduced(grey: NDArray[Any], window: tuple[float, float], pixels: int) -> str:
    """Return a picture whose longest side has at most ``pixels`` as the data URI of a JPEG."""
    factor = pixels / max(grey.shape)
    if factor < 1:
        shape = tuple(max(1, round(n * factor)) for n in grey.shape)
        grey = resize(grey, shape, anti_aliasing=True, preserve_range=True)
    return _data_uri("jpeg", imagecodecs.jpeg8_encode(_grey8(grey, window), level=_JPEG_QUALITY))


def _grey8(grey: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    black, white = window
    return np.round(np.clip((grey - black) / (white - black), 0, 1) * 255).astype(np.uint8)


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
