"""A model as a MONAI bundle: weights, metadata, inference configuration, model card.

Only plain data are read: weights without pickles, which could run code, and JSON that is never evaluated.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch

from .. import __version__
from ..errors import DamageError, Fault, InputError
from ..files import digest_file, seal
from ..layout import BundleLayout
from .card import CardPictures, write_card
from .facts import ModelFacts, read_facts
from .tensors import read_tensors, write_tensors
from .unet import SliceNetwork

# MONAI's own, by name; nothing is fetched from there.
SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
PACKAGES = ("efficientnet-lite-pytorch",)
FILES = BundleLayout("").files  # relative to its folder


def write_bundle(out: Path, network: SliceNetwork, facts: ModelFacts, pictures: CardPictures) -> None:
    """Write a bundle; the metadata come last, so a bundle with metadata is complete.

    Parameters
    ----------
    out : Path
        Its folder.
    network : SliceNetwork
    facts : ModelFacts
    pictures : CardPictures
        Pictures of the model card.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        files = BundleLayout(scratch)
        for name in FILES:
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        write_tensors(files.weights, {name: value.cpu() for name, value in network.state_dict().items()})
        _write_json(files.inference, _inference(facts))
        write_card(files.card.parent, out.name, facts, pictures)
        _write_json(files.metadata, _metadata(facts))
        _replace(out, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replace(out: Path, scratch: Path) -> None:
    """Move the files of a bundle to their place, the metadata last."""
    BundleLayout(out).metadata.unlink(missing_ok=True)  # never an earlier model's metadata beside these weights
    shutil.rmtree(out / "docs", ignore_errors=True)
    drawn = [str(path.relative_to(scratch)) for path in sorted(scratch.glob("docs/*.png"))]
    for name in (*drawn, *FILES):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        digest_file(out / name).unlink(missing_ok=True)
        (scratch / name).replace(out / name)
        seal(out / name)


def _metadata(facts: ModelFacts) -> dict[str, Any]:
    """Return what MONAI requires of a bundle, and the facts."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": np.__version__,
        "optional_packages_version": {name: version(name) for name in PACKAGES},
        "task": "domains in X-ray CT, slice by slice",
        "description": "2-D U-Net fine-tuned on labelled slices of X-ray CT scans",
        "authors": "the owners of the labels",
        "copyright": "as the owners of scans and labels decide",
        "network_data_format": _data_format(facts),
        "tomoprofile": facts.record(),
    }


def _data_format(facts: ModelFacts) -> dict[str, Any]:
    """Return the formats of input and output: one logit for two classes, else one for each class."""
    names = facts.classes
    channels = {"0": names[1]} if len(names) == 2 else {str(index): name for index, name in enumerate(names)}
    plain = {"spatial_shape": ["*", "*"], "dtype": "float32", "is_patch_data": True}
    image = {
        "type": "image",
        "format": "neighbouring slices as channels",
        "num_channels": facts.network.in_channels,
        "value_range": [-40, 40],
    }
    pred = {
        "type": "logits",
        "format": "segmentation",
        "num_channels": len(channels),
        "value_range": [],
        "channel_def": channels,
    }
    return {"inputs": {"image": image | plain}, "outputs": {"pred": pred | plain}}


def _inference(facts: ModelFacts) -> dict[str, Any]:
    """Return how MONAI makes and runs the network."""
    return {
        "network_def": {
            "_target_": "tomoprofile.network.unet.SliceNetwork",
            **facts.network.model_dump(mode="json"),
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [facts.window] * 2,
            "overlap": 0.125,
            "mode": "gaussian",
        },
    }


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n")


def load_network(bundle: Path) -> SliceNetwork:
    """Return the network of a bundle with its weights and its calibration.

    Parameters
    ----------
    bundle : Path

    Raises
    ------
    InputError
        When weights are missing, contain anything but tensors, or do not fit.
    """
    facts = read_facts(bundle)
    weights = BundleLayout(bundle).weights
    try:
        state = read_tensors(weights)
        network = SliceNetwork(**facts.network.model_dump(), pretrained=False)
        network.load_state_dict(state, strict=True)
        fits = [measured.calibration for measured in facts.measured.values()]
        network.calibration = tuple((fit.slope, fit.offset) for fit in fits)
    except DamageError:
        raise
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = f"the weights cannot be used: {text}"
        remedy = "Only plain tensors that fit the network are loaded; train the model again."
        raise InputError(Fault(str(weights), "", problem, remedy)) from None
    return network
