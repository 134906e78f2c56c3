"""Who took part in which round, with how many cases and which model: a log that only grows.

One JSON object a line. Each holds the digest of the line before it, so a line that is changed, removed, inserted or
moved breaks the chain. A new end can be written by whoever can write the file; so every round hands the newest digest
to the sites, whose own logs keep it: :func:`check_anchors` finds where a log no longer holds what it had shown.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import Fault, FederationError
from ..files import whole_file
from ..logs import LOG

FIRST = "0" * 64  # what stands for the digest of a line before the first
_LONGEST = 4 * 2**20  # bytes of a line: a round of ten thousand sites
_MOST = 2**30
_KEPT = ("number", "time", "event", "previous", "digest")  # names that no fact may have
_ASK = "Compare it with a copy, and with the digests that the sites keep (docs/federation.md)."


@dataclass(frozen=True)
class Entry:
    """A line of the log.

    Attributes
    ----------
    number : int
        From 0.
    time : str
        ISO 8601, UTC.
    event : str
    facts : dict
        Plain values.
    previous, digest : str
        SHA-256 of the line before, and of this one.
    """

    number: int
    time: str
    event: str
    facts: dict[str, Any]
    previous: str
    digest: str

    @property
    def anchor(self) -> tuple[int, str]:
        """What another machine keeps to know this line, and all before it, again."""
        return self.number, self.digest

    @classmethod
    def after(cls, last: Entry | None, event: str, facts: dict[str, Any]) -> Entry:
        """Return the next line."""
        number, previous = (0, FIRST) if last is None else (last.number + 1, last.digest)
        time = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(number, time, event, facts, previous, _digest(number, time, event, facts, previous))

    def line(self) -> bytes:
        """Return it as it stands in the file."""
        kept = {name: getattr(self, name) for name in _KEPT}
        return _canonical({**self.facts, **kept}) + b"\n"


def append(path: Path, event: str, **facts: Any) -> Entry:
    """Add a line to a log, and make sure that it is on the disk; several processes may add to one log.

    Parameters
    ----------
    path : Path
        Created where it does not exist.
    event : str
    **facts
        Plain values for JSON.

    Raises
    ------
    FederationError
        When the log was changed, so that a new line would hide it.
    """
    if wrong := facts.keys() & set(_KEPT):
        raise ValueError(f"facts called {sorted(wrong)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        _set_unfinished_aside(path)
        entries = read_log(path) if path.exists() else []
        entry = Entry.after(entries[-1] if entries else None, event, facts)
        line = entry.line()
        if len(line) > _LONGEST:
            raise ValueError(f"a line of {len(line)} bytes")
        with path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        with whole_file(_end(path)) as partial:
            partial.write_text(f"{entry.number} {entry.digest}\n")
    return entry


def append_new(path: Path, event: str, run: str, facts: Iterable[dict[str, Any]]) -> int:
    """Add lines of a training that are not in the log yet; return how many these were.

    Parameters
    ----------
    path : Path
    event : str
        Of all of them.
    run : str
        Name of the training.
    facts : iterable of dict
        Of each: for a round, ``round`` and ``sites`` among them.
    """
    known = [entry.facts for entry in read_log(path) if entry.event == event] if path.exists() else []
    new = [told for one in facts if (told := {"run": run, **one}) not in known]
    for told in new:
        append(path, event, **told)
    return len(new)


def read_log(path: Path) -> list[Entry]:
    """Return all lines of a log whose chain holds.

    Raises
    ------
    FederationError
        When there is none, or a line was changed, removed, inserted or moved, or its end is missing.
    """
    try:
        if path.stat().st_size > _MOST:
            raise FederationError(Fault(str(path), f"{path.stat().st_size} bytes", "the log is larger than any", _ASK))
        entries = list(_entries(path))
    except FileNotFoundError:
        entries = []
    except OSError as error:
        raise FederationError(Fault(str(path), "", f"the log cannot be read: {error.strerror}", _ASK)) from None
    if not entries and not _end(path).exists():
        raise FederationError(Fault(str(path), "", "there is no log", "Name the folder of the federation."))
    number, digest = _noted_end(path)
    # A process that was killed has written its line, but not yet that it is the last.
    if number > len(entries) - 1 or (number >= 0 and entries[number].digest != digest):
        problem = f"the log ends before its line {number + 1}, which had been written"
        raise FederationError(Fault(str(path), f"{len(entries)} lines", problem, _ASK))
    return entries


def check_anchors(path: Path, anchors: Iterable[tuple[int, str]]) -> int:
    """Compare a log with what others saw of it; return how many of these were compared.

    Parameters
    ----------
    path : Path
    anchors : iterable of (int, str)
        Number and digest of lines, see :attr:`Entry.anchor`.

    Raises
    ------
    FederationError
        When a line is not there any more, or is another one: the log was cut off, or written anew.
    """
    entries, faults, count = read_log(path), [], 0
    for number, digest in anchors:
        count += 1
        if not 0 <= number < len(entries):
            faults.append(Fault(f"{path}:{number + 1}", "", "the line that a site has seen is not there", _ASK))
        elif entries[number].digest != digest:
            faults.append(Fault(f"{path}:{number + 1}", "", "the line is not the one that a site has seen", _ASK))
    if faults:
        raise FederationError(*faults[:10])
    return count


def _entries(path: Path) -> Iterator[Entry]:
    last: Entry | None = None
    with path.open("rb") as file:
        while line := file.readline(_LONGEST + 1):
            number = 0 if last is None else last.number + 1
            where = f"{path}:{number + 1}"
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("the line is not finished")
                record = json.loads(line)
                facts = {name: value for name, value in record.items() if name not in _KEPT}
                entry = Entry(facts=facts, **{name: record[name] for name in _KEPT})
                if entry.line() != line:
                    raise ValueError("the line is not as it was written")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                problem = f"the line is no entry of this log: {error}"
                raise FederationError(Fault(where, "", problem, _ASK)) from None
            if not _follows(entry, last):
                problem = "a line was removed, inserted or moved: this one does not follow the one before it"
                raise FederationError(Fault(where, f"number {entry.number}", problem, _ASK))
            if not _unchanged(entry):
                raise FederationError(Fault(where, "", "the line was changed after it was written", _ASK))
            yield entry
            last = entry


def _follows(entry: Entry, last: Entry | None) -> bool:
    return (entry.number, entry.previous) == ((0, FIRST) if last is None else (last.number + 1, last.digest))


def _unchanged(entry: Entry) -> bool:
    return entry.digest == _digest(entry.number, entry.time, entry.event, entry.facts, entry.previous)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _set_unfinished_aside(path: Path) -> None:
    """Take off the half of a line that a killed process, or a full disk, left at the end."""
    data = path.read_bytes() if path.exists() else b""
    unfinished = data[data.rfind(b"\n") + 1 :]
    if unfinished:
        path.with_name(f"{path.name}.unfinished").write_bytes(unfinished)
        os.truncate(path, len(data) - len(unfinished))
        LOG.warning("%s: half a line at its end was set aside", path)


def _end(path: Path) -> Path:
    return path.with_name(f".{path.name}.end")


def _noted_end(path: Path) -> tuple[int, str]:
    try:
        number, digest = _end(path).read_text(encoding="ascii").split()
        return int(number), digest
    except FileNotFoundError:
        return -1, ""
    except ValueError:
        problem = "it does not hold the number and the digest of the last line"
        raise FederationError(Fault(str(_end(path)), "", problem, _ASK)) from None


def _digest(number: int, time: str, event: str, facts: dict[str, Any], previous: str) -> str:
    record = {**facts, "number": number, "time": time, "event": event, "previous": previous}
    return hashlib.sha256(_canonical(record)).hexdigest()


def _canonical(record: dict[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
