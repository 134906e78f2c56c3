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
    """Give a temporary name beside ``path``; it becomes ``path`` when the block succeeds and vanishes when not.

    The name keeps its ending, because many writers choose the format by it. Missing folders are made.
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
    """Give an empty folder beside ``path``; it takes its place when the block succeeds and vanishes when not.

    What a killed job left under the temporary name goes when the next one begins.
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
    """Make an empty folder beside ``out`` and remove it in the end; a killed run may have left an earlier one."""
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
        raise InputError(Fault(str(path), type(record).__name__, "this is not a JSON object", remedy))
    return record
