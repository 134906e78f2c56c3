"""Engines that compute the network: PyTorch on a CPU or GPU, or OpenVINO on a CPU; the same logits within rounding."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..config import PredictConfig
from ..errors import Fault, InputError, StageError
from ..logs import LOG
from .backends import engine_faults, openvino_is_there
from .int8 import quantise
from .unet import SliceNetwork, choose_device, choose_precision

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Engine(Protocol):
    """Something that turns windows into logits.

    Attributes
    ----------
    name, precision : str
        For the records.
    device : torch.device
        Device of windows and logits.
    """

    name: str
    precision: str
    device: torch.device

    def logits(self, windows: torch.Tensor) -> torch.Tensor:
        """Return logits (n, k, y, x) of float32 of normalised windows (n, channels, y, x)."""
        ...


def make_engine(network: SliceNetwork, settings: PredictConfig, threads: int) -> Engine:
    """Return the engine that computes a network according to the settings.

    Parameters
    ----------
    network : SliceNetwork
    settings : PredictConfig
    threads : int
        Most CPU threads to use.

    Raises
    ------
    InputError
        When the requested device or engine is not available.
    """
    torch.set_num_threads(threads)
    device = choose_device() if settings.device == "auto" else torch.device(settings.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        problem = "PyTorch sees no CUDA device on this machine"
        remedy = "Set `predict.device: auto`, or ask the scheduler for a GPU (profiles/README.md)."
        raise InputError(Fault("predict.device", settings.device, problem, remedy))
    if faults := engine_faults(settings):
        raise InputError(*faults)
    wanted = settings.engine != "torch" and openvino_is_there()
    if device.type == "cpu" and wanted:
        return OpenVinoEngine(network, settings.precision, threads)
    precision = choose_precision(device) if settings.precision == "auto" else PRECISIONS[settings.precision]
    return TorchEngine(network, device, precision)


class TorchEngine:
    """PyTorch, on the given device in the given precision."""

    name = "torch"

    def __init__(self, network: SliceNetwork, device: torch.device, precision: torch.dtype) -> None:
        self.device, self._precision = device, precision
        self.precision = str(precision).removeprefix("torch.")
        self.network = folded(network).to(device, memory_format=torch.channels_last)
        # Autocast would convert weights again in every call; it decides the rest layer by layer.
        for layer in self.network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(precision)
        self.most: int | None = None  # windows that fit into the memory of the GPU, once that is known

    def logits(self, windows: torch.Tensor) -> torch.Tensor:
        """Return logits; when the GPU's memory is full, from then on in half as many windows at a time."""
        return halving(self._compute, windows, self)

    @torch.inference_mode()
    def _compute(self, windows: torch.Tensor) -> torch.Tensor:
        windows = windows.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self._precision, enabled=self._precision != torch.float32):
            return self.network(windows).float()


def folded(network: SliceNetwork) -> SliceNetwork:
    """Return a copy for inference whose batch norms are part of the convolutions before them; exact to rounding.

    Which convolution a batch norm follows is observed as an example passes through.
    """
    network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    names = {layer: name for name, layer in network.named_modules()}
    made: dict[int, nn.Conv2d] = {}
    kept: list[torch.Tensor] = []  # or the address of one result could become that of another
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after(layer: nn.Conv2d, _: Any, result: torch.Tensor) -> None:
        kept.append(result)
        made[id(result)] = layer

    def before(layer: nn.BatchNorm2d, inputs: tuple[torch.Tensor, ...]) -> None:
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])], layer))

    convolutions = [layer for layer in names if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(after) for layer in convolutions]
    hooks += [layer.register_forward_pre_hook(before) for layer in names if isinstance(layer, nn.BatchNorm2d)]
    if convolutions:
        side = 2 * network.reduction
        with torch.no_grad():
            network(torch.zeros(1, convolutions[0].in_channels, side, side))
    for hook in hooks:
        hook.remove()
    for convolution, norm in pairs:
        network.set_submodule(names[convolution], fuse_conv_bn_eval(convolution, norm))
        network.set_submodule(names[norm], nn.Identity())
    return network


def halving(
    compute: Callable[[torch.Tensor], torch.Tensor], windows: torch.Tensor, engine: TorchEngine
) -> torch.Tensor:
    """Compute windows in batches as large as fit, and remember that size.

    Raises
    ------
    StageError
        When not even one window fits.
    """
    while True:
        most = min(engine.most or len(windows), len(windows))
        try:
            return torch.cat([compute(part) for part in windows.split(most)])
        except torch.OutOfMemoryError as error:
            if most == 1:
                side = windows.shape[-1]
                problem = f"one window of {side} voxels does not fit into GPU memory: {str(error).splitlines()[0]}"
                remedy = "Lower `window` of the model, or use a GPU with more memory."
                raise StageError(Fault("models: window", str(side), problem, remedy)) from None
            engine.most = most // 2
            LOG.warning("the GPU's memory is full: %d windows at once instead of %d", engine.most, most)
            torch.cuda.empty_cache()


class OpenVinoEngine:
    """OpenVINO on the CPU: the same network, converted in memory; compiled once for each size of window."""

    name = "openvino"
    device = torch.device("cpu")

    def __init__(self, network: SliceNetwork, precision: str, threads: int) -> None:
        # Without its telemetry module OpenVINO uses a stub of its own: no data about a beamtime may leave the site.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino

        core = openvino.Core()
        able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "auto":
            precision = "bfloat16" if able else "float32"
        self.precision = precision
        rest = "bfloat16" if able else "float32"  # what int8 leaves
        hint = {"float32": "f32", "bfloat16": "bf16"}[rest if precision == "int8" else precision]
        options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        options["ENABLE_CPU_PINNING"] = False  # jobs side by side on a machine would all be pinned to the same cores
        self._compile: Callable[[Any], Any] = lambda model: core.compile_model(model, "CPU", options)
        self._network = folded(network) if precision == "int8" else network.to("cpu").eval()
        self._requests: dict[tuple[int, ...], Any] = {}

    def logits(self, windows: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        shape = tuple(windows.shape)
        if shape not in self._requests:
            self._requests[shape] = self._compile(self._converted(shape)).create_infer_request()
        found = self._requests[shape].infer([np.ascontiguousarray(windows.numpy())])
        return torch.from_numpy(np.array(found[0], np.float32))

    def _converted(self, shape: tuple[int, ...]) -> Any:
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            # Sizes become constants of the trace, which is correct: it is used only for windows of this shape.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            traced = torch.jit.trace(self._network, torch.zeros(shape), check_trace=False)
        reader = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # named, because the reader does not keep it alive
        model = reader.convert(reader.load(decoder))
        model.reshape(list(shape))
        if self.precision == "int8":
            quantise(model, self._network, self._network.ranges)
        return model
