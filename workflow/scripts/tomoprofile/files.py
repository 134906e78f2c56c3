"""Files appear whole or not at all, whatever kills the job that writes them; and stay what was written.

A file between two stages has its SHA-256 beside it, in ``.NAME.sha256`` as ``sha256sum`` writes it, and every stage
that reads the file compares. One that is no longer what was written is set aside as ``NAME.damaged``: the workflow then
misses it, and makes it again. A file without a digest comes from elsewhere and is read as it is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import DamageError, Fault, InputError

# Files found intact, in which state, and with which digest: a table is read in many parts, and hashed once.
_INTACT: dict[Path, tuple[int, int, int, str]] = {}


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


@contextmanager
def sealed_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name as :func:`whole_file` does, and write the digest of the file beside it."""
    path = Path(path)
    # Whenever the job is killed, the file has its own digest or none.
    digest_file(path).unlink(missing_ok=True)
    with whole_file(path) as partial:
        yield partial
    seal(path)


def seal(path: Path) -> None:
    """Write the digest of a finished file beside it."""
    digest = digest_of(path)
    with whole_file(digest_file(path)) as partial:
        partial.write_text(f"{digest}  {path.name}\n")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_file(path: Path) -> Path:
    """Return the file that holds the digest of another; ``sha256sum --check`` reads it."""
    return path.with_name(f".{path.name}.sha256")


def sealed_files(folder: Path) -> list[Path]:
    """Return the files below a folder that have a digest beside them, sorted."""
    digests = (path for path in folder.rglob(".*.sha256") if path.is_file())
    files = (path.with_name(path.name.removeprefix(".").removesuffix(".sha256")) for path in digests)
    return sorted(path for path in files if path.exists())


def recorded_digest(path: Path) -> str | None:
    """Return the digest that was recorded when a file was written; None for a file from elsewhere."""
    try:
        return digest_file(path).read_text(encoding="ascii", errors="replace").partition(" ")[0]
    except FileNotFoundError:
        return None


def intact(path: Path) -> Path:
    """Return a file that is what was written, or comes from elsewhere and has no digest.

    Raises
    ------
    DamageError
        When it is not; the file is then set aside.
    FileNotFoundError
        When there is no such file.
    """
    recorded = recorded_digest(path)
    if recorded is None:
        return path
    try:
        state = path.stat()
    except FileNotFoundError:
        if _aside(path).exists():
            raise DamageError(_damage(path)) from None
        raise
    seen = (state.st_mtime_ns, state.st_size, state.st_ino, recorded)
    if _INTACT.get(path) != seen:
        if digest_of(path) != recorded:
            raise set_aside(path)
        _INTACT[path] = seen
    return path


def set_aside(path: Path, why: str = "it is not what was written") -> DamageError:
    """Rename a damaged file, so that the workflow makes it again; return the error to raise."""
    path.rename(_aside(path))
    return DamageError(_damage(path, why))


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def _damage(path: Path, why: str = "it is not what was written") -> Fault:
    remedy = (
        f"It was set aside as {_aside(path).name}: run the same command again, which makes it anew. "
        f"To use a file of your own in its place, remove {digest_file(path).name} too."
    )
    return Fault(str(path), "", f"the file was damaged or changed: {why}", remedy)


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON object that :func:`read_record` reads, with its digest; NaN has no place in it."""
    with sealed_file(path) as partial:
        partial.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_record(path: Path, what: str = "a record of the workflow") -> dict[str, Any]:
    """Return a JSON object.

    Parameters
    ----------
    path : Path
    what : str
        What it should be, for the message.

    Raises
    ------
    DamageError
        When it is not what was written.
    InputError
        When the file cannot be read or holds something else.
    """
    try:
        if path.exists() and not path.is_file():
            raise TypeError("it is no file")  # a device would be read without end
        record = json.loads(intact(path).read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise TypeError("it holds no keys")
    except (OSError, TypeError, ValueError, RecursionError) as error:
        raise InputError(not_what_is_expected(path, what, error)) from None
    return record


def not_what_is_expected(path: Path, what: str, error: object) -> Fault:
    """Return the fault of a file between stages that holds something else."""
    return Fault(str(path), "", f"not {what}: {error}", "Remove it and run the workflow again.")
