"""The decoder: from the coarsest feature map of an encoder to the finest, one step for each map between."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets.basic_unet import UpCat
from torch import nn

from .encoder import NORM


class Decoder(nn.Module):
    """Joins feature maps, each half the size of the one before, into one of the size of the finest.

    The steps are those of MONAI's FlexibleUNet, without its last one, which would double the finest map once more.

    Parameters
    ----------
    encoder_channels : sequence of int
        Of the feature maps, the finest first.
    channels : sequence of int
        Of each step, the deepest first; there is one step less than there are feature maps, further channels are
        not used.
    out_channels : int
        Logits of a voxel.
    """

    def __init__(self, encoder_channels: Sequence[int], channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        skips = tuple(encoder_channels[-2::-1])
        used = tuple(channels[: len(skips)])
        before = (encoder_channels[-1], *used[:-1])
        each_step = zip(before, skips, used, strict=True)
        enlarge = {"upsample": "nontrainable", "interp_mode": "nearest", "align_corners": None, "is_pad": False}
        self.steps = nn.ModuleList(UpCat(2, *each, "relu", NORM, bias=False, **enlarge) for each in each_step)
        self.head = nn.Conv2d(used[-1], out_channels, 3, padding=1)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Return logits (n, k, y, x) from feature maps, the finest first."""
        logits: torch.Tensor = self.head(self.joined(features))
        return logits

    def joined(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Return the maps (n, channels, y, x) that the logits are made of."""
        value = features[-1]
        for step, skip in zip(self.steps, features[-2::-1], strict=True):
            value = step(value, skip)
        return value
