"""Eight-bit arithmetic on a CPU: OpenVINO computes the convolutions of a trained network in int8.

The ranges of their inputs are noted at the end of training and kept with the weights, so that masks depend on the model
alone, never on the slices that happen to come first. The first and the last convolution stay as they are: they cost
little, and what they round would be seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

STEPS, HALF = 256, 127  # of an unsigned range, and of each side of a signed one


def convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    """Return the convolutions that are computed in int8, by name."""
    named = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    return {name: named[name] for name in list(named)[1:-1]}


@torch.no_grad()
def input_ranges(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the smallest and largest value (n, 2) that enters each of the :func:`convolutions`.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    images : tensor (n, channels, y, x)
        Normalised, such as it was trained on.
    """
    found: dict[nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}
    layers = convolutions(network).values()
    hooks = [
        layer.register_forward_pre_hook(lambda one, given: found.update({one: given[0].aminmax()})) for layer in layers
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    nothing = (torch.zeros(()), torch.zeros(()))  # of a layer that the network does not use
    return torch.stack([torch.stack(found.get(layer, nothing)) for layer in layers]).float().cpu()


def quantise(model: Any, network: nn.Module, ranges: torch.Tensor) -> None:
    """Tell OpenVINO which values of a converted network may be rounded to eight bits, and to which.

    Parameters
    ----------
    model : openvino.Model
        Converted from a trace, so its nodes carry the names of the modules.
    network : torch.nn.Module
        Its batch norms folded; with others, weights would be rounded before they are scaled.
    ranges : tensor (n, 2)
        See :func:`input_ranges`.
    """
    from openvino import opset13 as ov

    nodes = {
        node.get_friendly_name().split("/")[0].removeprefix("__module."): node
        for node in model.get_ordered_ops()
        if node.get_type_name() in ("Convolution", "GroupConvolution")
    }
    rounded: dict[tuple[str, int], Any] = {}
    for (name, layer), (low, high) in zip(convolutions(network).items(), ranges.tolist(), strict=True):
        if low == high:
            continue
        source = nodes[name].input_value(0)
        place = (source.get_node().get_friendly_name(), source.get_index())
        if place not in rounded:  # an input that two convolutions share is rounded once
            edges = _edges(low, high)
            rounded[place] = ov.fake_quantize(source, *edges, *edges, STEPS).output(0)
        nodes[name].input(0).replace_source_output(rounded[place])
        nodes[name].input(1).replace_source_output(_weights(layer).output(0))


def _edges(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of a range as eight bits cut it: from zero, or nearly symmetric about it."""
    if low >= 0:
        return np.zeros((1, 1, 1, 1), np.float32), np.full((1, 1, 1, 1), max(high, 1e-6), np.float32)
    most = max(high, -low, 1e-6)
    return np.full((1, 1, 1, 1), -most * (HALF + 1) / HALF, np.float32), np.full((1, 1, 1, 1), most, np.float32)


def _weights(layer: nn.Conv2d) -> Any:
    """Return rounded weights, each output channel with its own range."""
    from openvino import opset13 as ov

    weight = layer.weight.detach().float().numpy()
    if layer.groups > 1:  # as OpenVINO orders those of a grouped convolution
        weight = weight.reshape(layer.groups, -1, *weight.shape[1:])
    each = tuple(range(1 if layer.groups == 1 else 2, weight.ndim))
    most = np.abs(weight).max(axis=each, keepdims=True).clip(1e-8)
    return ov.fake_quantize(ov.constant(weight), -most, most, -most, most, STEPS - 1)
