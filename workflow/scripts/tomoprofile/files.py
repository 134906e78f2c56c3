"""Files appear whole or not at all, whatever kills the job that writes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import Fault, InputError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; it is renamed to ``path`` on success and removed on failure.

    The name keeps its ending, because many writers choose the format by it. Missing folders are created.
    """
    path = Path(path)
    partial = path.with_name(f".partial-{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``; it replaces ``path`` on success and is removed on failure.

    Anything a killed job left under the temporary name is removed when the next one begins.
    """
    path = Path(path)
    partial = path.with_name(f".partial-{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def temporary_folder(out: Path) -> Iterator[Path]:
    """Create an empty folder beside ``out`` and remove it at the end; one left by a killed run is replaced."""
    folder = out.with_name(out.name + ".runs")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_record(path: Path) -> dict[str, Any]:
    """Return a JSON object.

    Raises
    ------
    InputError
        When the file cannot be read or holds something else.
    """
    remedy = "Remove it and run the workflow again."
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(Fault(str(path), "", f"the file cannot be read: {error}", remedy)) from None
    if not isinstance(record, dict):
        raise InputError(Fault(str(path), type(record).__name__, "not a JSON object", remedy))
    return record
