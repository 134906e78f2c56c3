"""The kinds of segmenters. To add one, write a module beside these and a line in :data:`KINDS`."""

from __future__ import annotations

from pathlib import Path

from ...config import Config, ModelConfig
from ...errors import Fault, InputError
from ...samples import Scan
from ..segmenter import Segmenter
from .bundle import Bundle
from .given_mask import GivenMask
from .network import Network
from .threshold import Threshold

# The first that recognises a scan or a record: a mask in the sheet goes before any model.
KINDS: tuple[type[Segmenter], ...] = (GivenMask, Threshold, Bundle, Network)


def segmenter_of(scan: Scan, config: Config) -> Segmenter:
    """Return what segments a scan."""
    found = next((one for kind in KINDS if (one := kind.of(scan, config))), None)
    if found is None:
        problem = f"`models:` does not define the model of scan {scan.sample}"
        raise InputError(Fault("models", repr(scan.model), problem, f"Name one of {', '.join(config.models)}."))
    return found


def segmenter_at(path: Path, model: ModelConfig | None = None) -> Segmenter:
    """Return the segmenter that a folder or file stands for.

    Parameters
    ----------
    path : Path
        Of a model bundle, ``threshold.json`` or ``mask.json``.
    model : ModelConfig, optional
        Settings of its model; by default those of its record.

    Raises
    ------
    InputError
        When it is neither.
    """
    found = next((one for kind in KINDS if (one := kind.at(path, model))), None)
    if found is None:
        problem = "neither a model bundle nor the record of a threshold or of a mask"
        raise InputError(Fault(str(path), "", problem, "Remove it and run the workflow again."))
    return found
