"""The network: a 2-D U-Net at the resolution of the slice, or of the slice reduced or enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from .decoder import Decoder
from .encoder import make_encoder, reductions_of
from .int8 import convolutions, input_ranges

USUAL = 2.0  # scale of the input at which the network computes at the resolution of the slice
CPU_FLAGS = Path("/proc/cpuinfo")


class SliceNetwork(nn.Module):
    """A 2-D U-Net that sees a slice between its neighbours.

    Parameters
    ----------
    in_channels : int
        Slices it sees at once.
    input_scale : float
        Enlargement of the input, a power of two: small domains then cover enough pixels in the encoder's coarser maps.
        The decoder ends at half of that enlargement, so 2 computes nothing above the resolution of the slice; less
        sees a slice reduced by averages, and its logits are interpolated to the size of the slice. The shapes of the
        weights do not depend on it.
    encoder : str
        Name of the encoder: see :func:`~tomoprofile.network.encoder.encoder_names`.
    decoder_channels : sequence of int
        Deepest first; an encoder with fewer feature maps uses the first of them.
    classes : int
        Classes of the labels, background included. Two need one logit, more need one each.
    measured : sequence of int
        Indices of the classes that are measured.
    pretrained : bool
        Start the encoder from ImageNet weights.

    Attributes
    ----------
    ranges : tensor (n, 2)
        Of the inputs of convolutions, see :meth:`note_ranges`; zeros before.
    calibration : tuple of (float, float)
        Slope and offset on the logit of each measured class, fitted on held-out slices.
    """

    def __init__(
        self,
        in_channels: int,
        input_scale: float,
        encoder: str,
        decoder_channels: Sequence[int],
        classes: int = 2,
        measured: Sequence[int] = (1,),
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.input_scale = input_scale
        self.measured_classes = tuple(measured)
        self.calibration = ((1.0, 0.0),) * len(measured)
        self._coarsest = reductions_of(encoder)[-1]
        self.encoder, channels = make_encoder(encoder, in_channels, pretrained)
        self.decoder = Decoder(channels, decoder_channels, 1 if classes == 2 else classes)
        self.register_buffer("ranges", torch.zeros(len(convolutions(self)), 2))

    @property
    def reduction(self) -> int:
        """Sides of an image must be multiples of it, so that the encoder can halve them."""
        return (Fraction(self.input_scale / USUAL) / self._coarsest).denominator

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits (n, k, y, x) of normalised slices (n, channels, y, x), their sides multiples of `reduction`."""
        scale = self.input_scale / USUAL
        return _resized(self.decoder(self.encoder(_resized(image, scale))), 1 / scale)

    def measured_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logit (n, m, y, x) of each measured class against all others, not calibrated."""
        if logits.shape[1] == 1:
            return logits
        return torch.stack([self._against_others(logits, index) for index in self.measured_classes], 1)

    def measured(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the calibrated probability (n, m, y, x) of each measured class."""
        each = zip(self.measured_logits(logits).unbind(1), self.calibration, strict=True)
        return torch.stack([torch.sigmoid(slope * logit + offset) for logit, (slope, offset) in each], 1)

    def _against_others(self, logits: torch.Tensor, index: int) -> torch.Tensor:
        others = [other for other in range(logits.shape[1]) if other != index]
        return logits[:, index] - torch.logsumexp(logits[:, others], 1)

    def parameter_groups(self, rate: float) -> list[dict]:
        """Return encoder and decoder parameters with their peak rates: pretrained parameters change more slowly."""
        return [
            {"params": list(self.encoder.parameters()), "lr": rate / 4},
            {"params": list(self.decoder.parameters()), "lr": rate},
        ]

    def note_ranges(self, images: torch.Tensor) -> None:
        """Note the ranges that eight-bit arithmetic needs, from normalised images like those it was trained on."""
        self.ranges = input_ranges(self.eval(), images).to(self.ranges.device)

    def freeze_encoder(self, frozen: bool) -> None:
        """Freeze the encoder's weights while the randomly initialised decoder starts to learn."""
        self.encoder.requires_grad_(not frozen)


def _resized(image: torch.Tensor, scale: float) -> torch.Tensor:
    """Return an image enlarged between its pixels, or reduced to averages of them."""
    if scale < 1:
        return functional.avg_pool2d(image, round(1 / scale))
    if scale > 1:
        return functional.interpolate(image, scale_factor=float(scale), mode="bilinear", align_corners=False)
    return image


def choose_device() -> torch.device:
    """Return the GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware supports it, else float32."""
    if device.type == "cuda":
        return torch.bfloat16
    flags = CPU_FLAGS.read_text() if CPU_FLAGS.exists() else ""
    return torch.bfloat16 if "avx512_bf16" in flags or "amx_bf16" in flags else torch.float32
