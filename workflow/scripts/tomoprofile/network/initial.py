"""The network that training begins with: from ImageNet, from our own base, from an earlier model, or from nothing."""

from __future__ import annotations

from pathlib import Path

import torch

from ..config import OWN_BASE, UNetConfig
from ..errors import Fault, InputError
from .arguments import network_facts
from .bundle import load_network, read_facts
from .facts import ModelFacts, NetworkFacts
from .shipped import base_facts, base_state
from .unet import SliceNetwork

QUARTER, HALF, WHOLE = 0.25, 0.5, 1.0  # of the way from the base to the fine-tuned weights
_KEYS = {"encoder": "encoder", "decoder_channels": "decoder_channels", "in_channels": "neighbours"}


def initial_network(config: UNetConfig) -> SliceNetwork:
    """Return the network that training begins with.

    Raises
    ------
    InputError
        When the base is that of another network, or is missing.
    """
    arguments = network_facts(config)
    if config.base in {"imagenet", "none"}:
        return SliceNetwork(**arguments.model_dump(), pretrained=config.base == "imagenet")
    if config.base == OWN_BASE:
        return _from_own_base(config, arguments)
    base = read_facts(config.base)
    faults = _differences(config, arguments, base)
    if faults:
        raise InputError(*faults)
    network = load_network(Path(config.base))
    network.input_scale, network.measured_classes = arguments.input_scale, arguments.measured
    return network


def stays_near(config: UNetConfig) -> bool:
    """Return whether a network may end on the way from its base: not where layers began from nothing."""
    return len(config.classes) == 2 if config.base == OWN_BASE else config.base not in {"imagenet", "none"}


def _from_own_base(config: UNetConfig, arguments: NetworkFacts) -> SliceNetwork:
    """Return a network with the weights of our own base, as far as they fit.

    With other neighbours the first layer is spread over them, as it is for ImageNet; with more classes the last one,
    which gives one logit for a domain, begins from nothing.
    """
    made = base_facts()["network"]
    faults = [
        _other(config.base, key, getattr(config, key), value)
        for key in ("encoder", "decoder_channels")
        if (value := tuple(made[key]) if key == "decoder_channels" else made[key]) != getattr(config, key)
    ]
    if faults:
        raise InputError(*faults)
    network = SliceNetwork(**arguments.model_dump(), pretrained=False)
    own = network.state_dict()
    state = {name: _fitted(value, own[name]) for name, value in base_state().items() if name in own}
    network.load_state_dict(own | {name: value for name, value in state.items() if value is not None})
    return network


def _fitted(value: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor | None:
    """Return weights of the base in the shape wanted; None for a layer of other outputs."""
    if value.shape == wanted.shape:
        return value
    if value.dim() == 4 and value.shape[0] == wanted.shape[0] and value.shape[2:] == wanted.shape[2:]:
        channels, slices = wanted.shape[1], value.shape[1]
        return value.mean(1, keepdim=True).repeat(1, channels, 1, 1) * (slices / channels)
    return None


def _differences(config: UNetConfig, wanted: NetworkFacts, base: ModelFacts) -> list[Fault]:
    """Return why training cannot start from the weights of a bundle."""
    faults = [
        _other(config.base, key, getattr(wanted, name), getattr(base.network, name), name)
        for name, key in _KEYS.items()
        if getattr(base.network, name) != getattr(wanted, name)
    ]
    if base.classes != tuple(config.classes):
        problem = f"the base {config.base} has different classes: {', '.join(base.classes)}"
        remedy = "Name the same classes in the same order, or choose another `base`."
        faults.append(Fault("models: classes", ", ".join(config.classes), problem, remedy))
    return faults


def _other(base: str, key: str, wanted: object, made: object, name: str = "") -> Fault:
    problem = f"the base {base} has a different {key}: {name or key} is {made}"
    return Fault(f"models: {key}", str(wanted), problem, f"Set `{key}` to that of the base, or choose another `base`.")
