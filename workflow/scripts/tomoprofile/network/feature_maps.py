"""What the shipped base sees in a slice: its last feature maps, before they become one logit.

The base has learned to tell domains from what surrounds them in thousands of simulated scans. Its maps say more than
its logit, so a few strokes of a person suffice to correct it; see :mod:`.strokes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..config import OWN_BASE, UNetConfig
from .engine import folded
from .initial import initial_network
from .unet import SliceNetwork, choose_precision

NEIGHBOURS = UNetConfig().neighbours  # slices that the base sees on either side
REDUCTIONS = (1, 2, 4)  # by which a slice is reduced, for domains wider than the base knows
_PART = 1024  # voxels along a side that are computed at once
_AROUND = 96  # voxels around a part that the network sees, too: with them no seam is left
_ROWS = 64  # read from the maps at once


class FeatureMaps(NamedTuple):
    """What the base sees in a slice that is reduced.

    Attributes
    ----------
    values : array (channels, y / reduction, x / reduction) of float16
        The last one is the logit of a domain. Sides are rounded up.
    reduction : int
    shape : tuple of int
        Rows and columns of the slice itself.
    """

    values: NDArray[np.float16]
    reduction: int
    shape: tuple[int, int]

    def at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the features (voxels, channels) of voxels of the slice."""
        height, width = self.values.shape[1:]
        y, after_y = _between((rows + 0.5) / self.reduction - 0.5, height)
        x, after_x = _between((columns + 0.5) / self.reduction - 0.5, width)
        found = np.zeros((len(rows), len(self.values)), np.float32)
        for next_y, share_y in ((0, 1 - after_y), (1, after_y)):
            for next_x, share_x in ((0, 1 - after_x), (1, after_x)):
                corner = self.values[:, np.minimum(y + next_y, height - 1), np.minimum(x + next_x, width - 1)]
                found += corner.T * (share_y * share_x)[:, None].astype(np.float32)
        return found

    def weighted(self, weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return weighted sums (k, y, x) of the maps at the resolution of the slice; weights are (k, channels)."""
        height, width = self.values.shape[1:]
        sums = np.empty((len(weights), height, width), np.float32)
        for row in range(0, height, _ROWS):
            part = self.values[:, row : row + _ROWS].astype(np.float32)
            sums[:, row : row + _ROWS] = np.tensordot(weights.astype(np.float32), part, 1)
        if self.reduction == 1:
            return sums
        size = (height * self.reduction, width * self.reduction)
        large = functional.interpolate(torch.from_numpy(sums)[None], size, mode="bilinear", align_corners=False)
        return large[0, :, : self.shape[0], : self.shape[1]].numpy()


def _between(places: NDArray[np.float64], n: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the index before each place, and how far the place lies beyond it."""
    inside = np.clip(places, 0, n - 1)
    lower = np.floor(inside).astype(np.intp)
    return lower, inside - lower


def feature_maps(stack: NDArray[np.float32], reductions: Sequence[int] = REDUCTIONS) -> Iterator[FeatureMaps]:
    """Yield what the shipped base sees in a slice, reduced by one factor after the other.

    Parameters
    ----------
    stack : array (2 NEIGHBOURS + 1, y, x) of float32
        The slice between its neighbours, normalised.
    reductions : sequence of int

    Raises
    ------
    InputError
        When this installation has no base.
    """
    network = folded(initial_network(UNetConfig(base=OWN_BASE)))
    precision = choose_precision(torch.device("cpu"))
    network = network.to(memory_format=torch.channels_last)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.to(precision)
    shape = (stack.shape[1], stack.shape[2])
    for reduction in reductions:
        image = torch.from_numpy(stack)[None]
        if reduction > 1:
            missing = [-side % reduction for side in shape]
            image = functional.avg_pool2d(
                functional.pad(image, (0, missing[1], 0, missing[0]), mode="replicate"), reduction
            )
        yield FeatureMaps(_in_parts(network, image, precision), reduction, shape)


def _in_parts(network: SliceNetwork, image: torch.Tensor, precision: torch.dtype) -> NDArray[np.float16]:
    """Return the maps and the logit of an image (1, channels, y, x); parts see what lies around them."""
    made = np.empty((0, *image.shape[2:]), np.float16)
    for rows, seen_rows in _parts(image.shape[2], network.reduction):
        for columns, seen_columns in _parts(image.shape[3], network.reduction):
            found = _maps(network, image[:, :, seen_rows, seen_columns], precision)
            made = made if len(made) else np.empty((len(found), *image.shape[2:]), np.float16)
            y, x = rows.start - seen_rows.start, columns.start - seen_columns.start
            made[:, rows, columns] = found[:, y : y + rows.stop - rows.start, x : x + columns.stop - columns.start]
    return made


def _parts(side: int, multiple: int) -> list[tuple[slice, slice]]:
    """Return equal parts of a side, each with what the network sees of it, which begins where it halves the whole."""
    count = math.ceil(side / _PART)
    borders = [round(side * n / count) for n in range(count + 1)]
    return [
        (slice(start, stop), slice(max(start - _AROUND, 0) // multiple * multiple, min(stop + _AROUND, side)))
        for start, stop in pairwise(borders)
    ]


@torch.inference_mode()
def _maps(network: SliceNetwork, image: torch.Tensor, precision: torch.dtype) -> NDArray[np.float16]:
    height, width = image.shape[2:]
    multiple = network.reduction
    image = functional.pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate")
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        joined = network.decoder.joined(network.encoder(image))
        logit = network.decoder.head(joined)
    parts = [part[0, :, :height, :width].to(torch.float16).numpy() for part in (joined, logit)]
    return np.concatenate(parts)
