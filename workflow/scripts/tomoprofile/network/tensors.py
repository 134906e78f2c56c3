"""Tensors in files, never with code: what is read is tensors and plain values only."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ..files import intact


def write_tensors(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values.

    Raises
    ------
    OSError
        When they cannot be written. PyTorch itself raises a bare RuntimeError on a full disk.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(buffer.getbuffer())


def read_tensors(path: Path) -> dict[str, Any]:
    """Return what :func:`write_tensors` wrote, on the CPU.

    Raises
    ------
    DamageError
        When it is not what was written.
    Exception
        Of any type, when a file from elsewhere is damaged or holds more than tensors and plain values.
    """
    if path.suffix == ".safetensors":
        return dict(load_file(intact(path)))
    state: dict[str, Any] = torch.load(intact(path), map_location="cpu", weights_only=True)
    return state
