"""Arrays and facts in one file, without code in it: safetensors, whose header is checked against the file's size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..errors import InputError
from ..files import intact, not_what_is_expected, sealed_file

_ENTRY = "tomoprofile"  # the only one in the metadata: several would be written in another order each time
_WRONG = (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def write_arrays(path: Path, kind: str, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
    """Write arrays, and facts as JSON, under the name of what they are.

    Raises
    ------
    OSError
        When they cannot be written. What safetensors itself raises on a full disk is none.
    """
    metadata = {_ENTRY: json.dumps({"kind": kind, "facts": facts}, allow_nan=False, sort_keys=True)}
    with sealed_file(path) as partial:
        partial.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata))


@contextmanager
def stored(path: Path, kind: str) -> Iterator[tuple[dict[str, NDArray], dict[str, Any]]]:
    """Yield the arrays and facts that :func:`write_arrays` wrote.

    Raises
    ------
    DamageError
        When it is not what was written.
    InputError
        When it is something else, or what is made of its content fails.
    """
    try:
        with safe_open(intact(path), framework="numpy") as file:
            told = json.loads((file.metadata() or {}).get(_ENTRY, "{}"))
            if told.get("kind") != kind:
                raise ValueError(f"it is marked {told.get('kind')!r}")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        facts = told["facts"]
        if not isinstance(facts, dict):
            raise TypeError("it holds no facts")
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"{name} holds numbers that are not finite")
        yield arrays, facts
    except _WRONG as error:
        raise InputError(not_what_is_expected(path, f"a {kind}", error)) from None
