"""The network alone on a GPU: seconds a gigavoxel of the one before and of this one, eager and compiled.

`python -m benchmarks.network_gpu` prints a line of JSON for each; the weights are random, which does not change times.
`before` ended at twice the resolution of the slice; `slice_ms` is for 2048 x 2048 voxels, windows overlapping by 64.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import torch
from efficientnet_lite_pytorch import EfficientNet
from monai.networks.nets.flexible_unet import UNetDecoder
from torch import nn
from torch.nn import functional

from tomoprofile.config import PredictConfig, UNetConfig
from tomoprofile.network.engine import TorchEngine
from tomoprofile.network.fine_tune import initial_network
from tomoprofile.network.slices import OVERLAP, fitting_side

SIDE, SECONDS = 2048, 1.5
NORM = ("batch", {"eps": 1e-3, "momentum": 0.1})


class Before(nn.Module):
    """The network that ended at twice the resolution of the slice."""

    reduction = 16

    def __init__(self) -> None:
        super().__init__()
        package = EfficientNet.from_name("efficientnet-lite0")
        self.stem = nn.Sequential(package._conv_stem, package._bn0, nn.ReLU6())
        self.blocks = package._blocks
        last = [index for index, block in enumerate(self.blocks) if block._depthwise_conv.stride[0] == 2]
        self.last = (*(index - 1 for index in last), len(self.blocks) - 1)
        channels = (3, *(self.blocks[index]._project_conv.out_channels for index in self.last))
        self.decoder = UNetDecoder(
            2,
            channels,
            (128, 64, 48, 32, 16),
            "relu",
            NORM,
            0.0,
            False,
            "nontrainable",
            "default",
            "nearest",
            None,
            True,
        )
        self.head = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits of the size of the image."""
        value = self.stem(functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False))
        features = []
        for index, block in enumerate(self.blocks):
            value = block(value)
            if index in self.last:
                features.append(value)
        return functional.avg_pool2d(self.head(self.decoder([image, *features], 4)), 2)


def timed(compute: Callable[[torch.Tensor], torch.Tensor], windows: torch.Tensor) -> tuple[float, float]:
    """Return seconds of the first call, and of a later one."""
    begin = time.perf_counter()
    compute(windows)
    torch.cuda.synchronize()
    first, count, begin = time.perf_counter() - begin, 0, time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        compute(windows)
        torch.cuda.synchronize()
        count += 1
    return first, (time.perf_counter() - begin) / count


def main() -> None:
    """Measure, and print as soon as something is known."""
    torch.backends.cuda.matmul.allow_tf32 = True
    side = fitting_side(SIDE, UNetConfig().window, 16)
    across = -(-(SIDE - OVERLAP) // (side - OVERLAP))
    at_once = PredictConfig().gpu_windows
    windows = torch.randn(at_once, 3, side, side, device="cuda")
    network = initial_network(UNetConfig(base="none"))
    print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "at_once": at_once}))
    for name, made, compiled in (("before", Before(), False), ("now", network, False), ("now", network, True)):
        torch.cuda.reset_peak_memory_stats()
        engine = TorchEngine(made, torch.device("cuda"), torch.bfloat16)
        if compiled:
            engine.network = torch.compile(engine.network, mode="default", dynamic=False)
        try:
            first, seconds = timed(engine.logits, windows)
        except Exception as error:  # a compiler that is not there must not hide what was measured
            print(json.dumps({"network": name, "compiled": compiled, "error": repr(error)[:500]}), flush=True)
            continue
        a_slice = seconds / at_once * across**2
        told = {"network": name, "compiled": compiled, "first_s": first, "window_ms": 1e3 * seconds / at_once}
        told |= {"slice_ms": 1e3 * a_slice, "s_per_gigavoxel": a_slice / SIDE**2 * 1e9}
        told["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
