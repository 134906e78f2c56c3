"""The network: enlarge, FlexibleUNet, back to the size of the slice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from monai.networks.nets import FlexibleUNet
from torch import nn
from torch.nn import functional

from .encoder import NAME

CPU_FLAGS = Path("/proc/cpuinfo")


class SliceNetwork(nn.Module):
    """A 2-D U-Net that sees a slice between its neighbours (P22).

    Parameters
    ----------
    in_channels : int
        Slices it sees at once.
    input_scale : int
        Enlargement of the input: small domains then cover enough pixels of the encoder's coarser maps. The output is
        averaged back, so logits have the size of the slice.
    decoder_channels : sequence of int
        Five numbers, deepest first.
    pretrained : bool
        Start the encoder from ImageNet weights.
    """

    def __init__(self, in_channels: int, input_scale: int, decoder_channels: Sequence[int], pretrained: bool) -> None:
        super().__init__()
        self.input_scale = input_scale
        self.unet = FlexibleUNet(
            in_channels=in_channels,
            out_channels=1,
            backbone=NAME,
            pretrained=pretrained,
            decoder_channels=tuple(decoder_channels),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 1, y, x) of normalised slices (n, channels, y, x); sides times scale: multiples of 32."""
        scale = self.input_scale
        if scale > 1:
            image = functional.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)
        logits = self.unet(image)
        return functional.avg_pool2d(logits, scale) if scale > 1 else logits

    def parameter_groups(self, rate: float) -> list[dict]:
        """Return encoder and decoder parameters with their peak rates: what was pretrained moves more slowly."""
        encoder = list(self.unet.encoder.parameters())
        known = {id(parameter) for parameter in encoder}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in known]
        return [{"params": encoder, "lr": rate / 4}, {"params": rest, "lr": rate}]


def choose_device() -> torch.device:
    """Return the GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware multiplies it, else float32."""
    if device.type == "cuda":
        return torch.bfloat16
    flags = CPU_FLAGS.read_text() if CPU_FLAGS.exists() else ""
    return torch.bfloat16 if "avx512_bf16" in flags or "amx_bf16" in flags else torch.float32
