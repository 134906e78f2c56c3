"""The configuration as people write it: YAML, of which only plain values are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError, Fault
from .texts import read_text, shown

_MOST_BRACKETS = 1000


def load_config(path: Path) -> dict[str, Any]:
    """Return the configuration in a YAML file as it was written.

    Raises
    ------
    ConfigError
        With file and line, when it cannot be read, is no YAML, is empty, holds no keys, or the same key twice.
    """
    remedy = "Write one (config/README.md shows every key; `{}` has every default), or name another with `--config`."
    text = read_text(path, "the configuration", remedy, utf_16=False)
    if text.count("[") + text.count("{") > _MOST_BRACKETS:  # the time to parse them grows with the cube of their depth
        problem = f"the configuration holds more than {_MOST_BRACKETS} brackets, more than any has"
        raise ConfigError(Fault(str(path), "", problem, "Is it the right file?"))
    remedy = "Indent with spaces, never tabs, and put texts with special characters in quotes."
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        doubled = next(_doubled_keys(node), None)
        raw = yaml.load(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        told = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(Fault(where, "", f"the configuration is no YAML: {told}", remedy)) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:  # a number or date that cannot be
        told = " ".join(str(error).split())[:200]
        raise ConfigError(Fault(str(path), "", f"the configuration is no YAML: {told}", remedy)) from None
    if doubled:
        line, key = doubled
        raise ConfigError(Fault(f"{path}:{line}", shown(key), "this key is there twice in one section", "Remove one."))
    if raw is None:
        raise ConfigError(Fault(str(path), "", "the configuration is empty", "Write `{}` for every default."))
    if not isinstance(raw, dict):
        remedy = "Write `key: value` in each line; config/README.md shows every key."
        raise ConfigError(Fault(f"{path}:1", type(raw).__name__, "the configuration holds no keys", remedy))
    return raw


def line_of(path: Path, keys: list[str]) -> int | None:
    """Return the line of a key of the configuration; None where it is not written there.

    Parameters
    ----------
    path : Path
        A file; where it is none, or no YAML, there is no line.
    keys : list of str
        That lead to it.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None
    line = None
    for key in keys:
        inside = getattr(node, "value", None)
        if isinstance(node, yaml.MappingNode):
            found = next(((name, value) for name, value in node.value if name.value == key), None)
        else:
            found = (inside[int(key)],) * 2 if isinstance(node, yaml.SequenceNode) and key.isdigit() else None
        if found is None:
            return None
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _doubled_keys(node: Any) -> Iterator[tuple[int, str]]:
    """Yield line and name of every key that its section has already; each section is visited once."""
    waiting, visited = [node], set()
    while waiting:
        part = waiting.pop()
        if id(part) in visited or not isinstance(getattr(part, "value", None), list):
            continue
        visited.add(id(part))
        if part.id == "sequence":
            waiting += part.value
            continue
        keys: set[str] = set()
        for key, value in part.value:
            if key.id == "scalar" and key.value in keys:
                yield key.start_mark.line + 1, key.value
            keys |= {key.value} if key.id == "scalar" else set()
            waiting += [key, value]
