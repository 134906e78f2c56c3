"""How a network is computed; a part of the configuration, see :mod:`.config`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .config_profile import Section


class PredictConfig(Section):
    """How the network is computed; the mask is the same within rounding for every choice."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="`auto`: a GPU if there is one; `cpu`; `cuda`.")
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        description="`auto`: OpenVINO on a CPU if it is installed (two to three times as fast), else PyTorch; "
        "`torch`; `openvino`.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto",
        description="`auto`: bfloat16 where the hardware supports it, else float32; `float32`, `bfloat16`, or, on "
        "GPUs, `float16`. The mask changes in fewer than 0.05 % of the voxels (tested). `int8`, on CPUs with OpenVINO "
        "and `device: cpu`: 1.6 times as fast as bfloat16, but more voxels change (docs/benchmarks/inference.md).",
    )
    gpu_windows: int = Field(
        16, ge=1, le=1024, description="Windows per batch on a GPU; halved, with a warning, when its memory is full."
    )
    flips: bool = Field(
        False,
        description="Segment four flips of each slice: the probability is their mean, and `uncertainty.ome.zarr` "
        "holds their standard deviation, at four times the cost.",
    )

    @model_validator(mode="after")
    def _half_precision_has_hardware(self) -> PredictConfig:
        if self.precision == "float16" and self.device == "cpu":
            raise ValueError("precision=float16 is for GPUs; on a CPU use bfloat16 or float32")
        if self.engine == "openvino" and self.device == "cuda":
            raise ValueError("engine=openvino runs on CPUs only; set device to auto or cpu")
        if self.precision == "int8" and (self.device != "cpu" or self.engine == "torch"):
            raise ValueError(
                "precision=int8 is for CPUs with OpenVINO; set device to cpu, and engine to auto or openvino"
            )
        return self
