"""The arguments of the network that a configuration describes."""

from __future__ import annotations

from ..config import UNetConfig
from ..labels.classes import Classes
from .facts import NetworkFacts
from .scale import scale_of


def network_facts(config: UNetConfig) -> NetworkFacts:
    """Return the arguments of the network that a configuration describes, without its weights."""
    return NetworkFacts(
        in_channels=2 * config.neighbours + 1,
        input_scale=scale_of(config),
        encoder=config.encoder,
        decoder_channels=config.decoder_channels,
        classes=len(config.classes),
        measured=Classes.of(config).indices,
    )
