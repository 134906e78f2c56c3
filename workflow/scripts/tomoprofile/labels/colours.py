"""Masks drawn in colour: read where it is plain which colour is the class, else refused with the list of colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault, InputError
from .classes import Classes

_SATURATED = 64  # of 255, between the strongest and the weakest channel
_SHOWN = 5
_CLEAR = -1  # a voxel nobody painted


def values_of_colours(image: NDArray[Any], classes: Classes, path: Path) -> tuple[NDArray[Any], str]:
    """Return the values of classes that the colours of a mask stand for, and which colour was read as what.

    Grey in three equal channels is its value. One colour on transparent, white, black or grey is the class of a model
    with two classes, whose background is 0.

    Parameters
    ----------
    image : array (y, x, channels) of uint8 or uint16
        Grey and alpha, RGB or RGBA.
    classes : Classes
    path : Path
        Its file, for messages.

    Raises
    ------
    InputError
        When the colours could mean several things.
    """
    alpha = image[..., -1] if image.shape[-1] in (2, 4) else np.ones(image.shape[:2], np.uint8)
    channels = image[..., :3] if image.shape[-1] > 2 else image[..., :1]
    if (channels == channels[..., :1]).all() and alpha.min() == alpha.max():
        return channels[..., 0], ""
    code = np.zeros(image.shape[:2], np.int64)
    for channel in np.broadcast_to(channels, (*channels.shape[:2], 3)).transpose(2, 0, 1):
        code = code << 16 | channel
    code[alpha == 0] = _CLEAR
    colours, places, counts = np.unique(code, return_inverse=True, return_counts=True)
    painted, ground = _roles(colours.tolist(), int(np.iinfo(image.dtype).max))
    if painted is None or len(classes.names) != 2 or classes.values[0] != 0:
        raise InputError(_ambiguous(colours, counts, classes, path))
    value = classes.values[1]
    told = f"{_name(painted)} is read as {classes.names[1]}, {' and '.join(map(_name, ground))} as {classes.names[0]}"
    return np.where(colours == painted, value, 0)[places].reshape(code.shape), told


def _roles(colours: list[int], top: int) -> tuple[int | None, list[int]]:
    """Return the colour of the class and those of the background; None for the former when it is not plain."""
    clear = [colour for colour in colours if colour == _CLEAR]
    opaque = [colour for colour in colours if colour != _CLEAR]
    vivid = [colour for colour in opaque if np.ptp(_channels(colour)) * 255 >= _SATURATED * top]
    plain = [colour for colour in opaque if colour not in vivid]
    if len(vivid) == 1 and len(plain) <= 1 and (plain or clear):
        return vivid[0], clear + plain
    if not vivid and len(plain) == 1 and clear:
        return plain[0], clear
    return None, []


def _channels(colour: int) -> tuple[int, ...]:
    return tuple(colour >> shift & 0xFFFF for shift in (32, 16, 0))


def _name(colour: int) -> str:
    return "transparent" if colour == _CLEAR else f"the colour {_channels(colour)}"


def _ambiguous(colours: NDArray[Any], counts: NDArray[Any], classes: Classes, path: Path) -> Fault:
    order = np.argsort(-counts)[:_SHOWN]
    told = ", ".join(f"{_name(int(colours[i]))} {100 * counts[i] / counts.sum():.2g} %" for i in order)
    problem = "the mask is in colour (RGB), and which colour is which class cannot be told"
    remedy = (
        f"Save it as an 8-bit grey image with the values {', '.join(classes.allowed)} (in Fiji: Image > Type > 8-bit, "
        "then Process > Math > Macro to set the values). Drawn edges with mixed colours must be sharp."
    )
    return Fault(str(path), told + (", ..." if len(colours) > _SHOWN else ""), problem, remedy)
