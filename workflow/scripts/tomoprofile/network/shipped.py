"""The base that comes with the package: weights of our own, and what is known about them.

It is a bundle, so it can be used as it is, before there is any label: ``models/model.safetensors`` holds plain tensors,
``configs/metadata.json`` what every bundle says of its model. ``base.json`` holds the digest of the weights, the
network they fit, and how they were made. They are licensed as the package is, Apache-2.0; ``tomoprofile base`` makes
them from a seed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from ..config import UNetConfig
from ..errors import Fault, InputError
from ..files import digest_of, whole_file
from ..layout import BundleLayout
from ..shift.seen import Seen
from .arguments import network_facts
from .facts import NOT_CALIBRATED, SHIPPED, LabelFacts, ModelFacts
from .unet import SliceNetwork

FOLDER = SHIPPED
WEIGHTS, FACTS = "models/model.safetensors", "base.json"
LICENCE = "Apache-2.0"


def write_base(out: Path, network: SliceNetwork, config: UNetConfig, facts: dict[str, Any]) -> dict[str, Any]:
    """Write the weights and the facts about them; return the facts.

    Matrices are kept in half precision, which changes the Dice by less than it tells; vectors, such as the variances
    of batch normalisation, stay as they are.

    Parameters
    ----------
    out : Path
        Folder.
    network : SliceNetwork
    config : UNetConfig
        Settings of the network.
    facts : dict
        Plain values: seed, device, scores.
    """
    state = {
        name: (value.half() if value.is_floating_point() and value.dim() > 1 else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    (out / WEIGHTS).parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out / WEIGHTS) as partial:
        partial.write_bytes(save(state))
    described = {name: getattr(config, name) for name in ("encoder", "neighbours", "input_scale")}
    described["decoder_channels"] = list(config.decoder_channels)
    whole = {"sha256": digest_of(out / WEIGHTS), "licence": LICENCE, "network": described, **facts}
    with whole_file(out / FACTS) as partial:
        partial.write_text(json.dumps(whole, indent=1) + "\n")
    metadata = BundleLayout(out).metadata
    metadata.parent.mkdir(exist_ok=True)
    with whole_file(metadata) as partial:
        partial.write_text(json.dumps({"tomoprofile": _model_facts(config, network).record()}, indent=1) + "\n")
    return whole


def _model_facts(config: UNetConfig, network: SliceNetwork) -> ModelFacts:
    """Return what its bundle says: no label, so neither a calibration nor an accuracy."""
    classes = tuple(config.classes)
    return ModelFacts(
        network=network_facts(config),
        window=config.window,
        voxel_size_um=None,
        classes=classes,
        measured={classes[index]: NOT_CALIBRATED for index in network.measured_classes},
        seen=Seen(features=(), scans={}, doubt=None, simulated=True),
        conditions=config.model_dump(mode="json", include={"steps", "batch", "crop", "neighbours"}),
        base=config.base,
        labels=LabelFacts(labels={}, training=(), held_out=()),
    )


def base_facts(folder: Path | None = None) -> dict[str, Any]:
    """Return the facts about the base.

    Raises
    ------
    InputError
        When this installation has no base.
    """
    path = (folder or FOLDER) / FACTS
    if not path.is_file():
        remedy = "Set `base: imagenet`, or make the weights with `tomoprofile base` (an hour or two)."
        raise InputError(Fault(str(path), "tomoprofile", "this installation comes without a base of its own", remedy))
    facts: dict[str, Any] = json.loads(path.read_text())
    return facts


def base_state(folder: Path | None = None) -> dict[str, torch.Tensor]:
    """Return the weights of the base.

    Raises
    ------
    InputError
        When there are none, or others than the facts describe.
    """
    folder = folder or FOLDER
    wanted, path = base_facts(folder)["sha256"], folder / WEIGHTS
    if not path.is_file() or digest_of(path) != wanted:
        problem = "these are not the weights that this version comes with"
        raise InputError(Fault(str(path), "", problem, "Install tomoprofile again, or set `base: imagenet`."))
    return {name: value.float() if value.is_floating_point() else value for name, value in load_file(path).items()}
