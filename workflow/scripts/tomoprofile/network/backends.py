"""Which prediction engines are installed. Standard library only: needed before anything heavy is loaded."""

from __future__ import annotations

import importlib.util

from ..config import OPENVINO, PredictConfig
from ..errors import Fault


def openvino_is_there() -> bool:
    """Return whether OpenVINO is installed."""
    return importlib.util.find_spec(OPENVINO) is not None


def engine_faults(predict: PredictConfig) -> list[Fault]:
    """Return why the requested prediction engine cannot be used."""
    if predict.engine != "openvino" or openvino_is_there():
        return []
    remedy = "Install it (`pip install openvino`, pinned in envs/lock.txt), or set `predict.engine: auto`."
    return [Fault("predict.engine", "openvino", "OpenVINO is not installed", remedy)]
