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
    key = "engine" if predict.engine == OPENVINO else "precision"
    if getattr(predict, key) not in (OPENVINO, "int8") or openvino_is_there():
        return []
    remedy = f"Install it (`pip install openvino`, pinned in envs/lock.txt), or set `predict.{key}: auto`."
    return [Fault(f"predict.{key}", getattr(predict, key), "OpenVINO is not installed", remedy)]
