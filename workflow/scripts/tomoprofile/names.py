"""Names that become files and folders: what no disk, no other system or no results folder can hold.

Standard library only: the Snakefile imports this.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .layout import Layout
from .texts import has_control, shown

LONGEST = 200  # bytes; a file may have 255, and temporary names, slabs and endings are added
LONGEST_PATH = 4000  # bytes
_LONGEST_PART = 255
# Windows and its network drives keep these for devices, whatever the ending.
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}


def _names_of_results() -> frozenset[str]:
    layout = Layout("results")
    made = (layout.check, layout.run, layout.index, layout.comparison, layout.crate, layout.workflow)
    made += (layout.logs, layout.benchmarks)
    made += (layout.model("m").folder, layout.training_set("m"))
    return frozenset(path.relative_to(layout.results).parts[0].lower() for path in made)


RESERVED = _names_of_results()


def name_problem(name: str, reserved: Collection[str] = ()) -> str | None:
    """Return why something cannot have a name, or None when it can.

    Parameters
    ----------
    name : str
        Letters, digits, ``.``, ``_`` and ``-``.
    reserved : collection of str
        Other names in the folder, in lower case.
    """
    if len(name.encode()) > LONGEST:
        return f"the name has {len(name.encode())} bytes; files named after it may have {LONGEST}"
    if name.endswith((".", " ")):
        return "a name cannot end with a dot or a space: Windows and network drives drop them"
    if name.lower() in reserved:
        return "this is the name of a file or folder of the results"
    if name.lower().split(".")[0] in _DEVICES:
        return "Windows and network drives keep this name for a device"
    return None


def path_problem(path: str) -> str | None:
    """Return why nothing can lie at a path, or None when something can."""
    if len(path.encode(errors="surrogateescape")) > LONGEST_PATH:
        return "the path is longer than any file's"
    if any(len(part.encode(errors="surrogateescape")) > _LONGEST_PART for part in path.split("/")):
        return f"a part of the path is longer than the {_LONGEST_PART} bytes that a file's name may have"
    return None


def possible_path(path: str) -> str:
    """Return a path, or raise a ValueError when nothing can lie there."""
    if has_control(path):
        raise ValueError("a path cannot hold tabs, ends of lines or other control characters")
    if path != path.strip():  # which programs that save a sheet again drop
        raise ValueError("a path cannot begin or end with a space")
    if problem := path_problem(path):
        raise ValueError(problem)
    return path


def possible_names(named: dict[str, Any]) -> dict[str, Any]:
    """Return a dictionary, or raise a ValueError when its keys cannot name files side by side."""
    names: dict[str, str] = {}
    for name in named:
        if problem := name_problem(name):
            raise ValueError(f"{shown(name)}: {problem}")
        other = names.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(f"many disks do not tell {other} and {name} apart: they differ in case only")
    return named


def unused_name(wanted: str, taken: Collection[str], reserved: Collection[str] = RESERVED) -> str:
    """Return a name like the one wanted that is possible and not taken, ignoring case.

    Parameters
    ----------
    wanted : str
        Letters, digits, ``.``, ``_`` and ``-``.
    taken : collection of str
        In lower case.
    reserved : collection of str
        See :func:`name_problem`.
    """
    wanted = wanted[: LONGEST - 20].strip("._-") or "scan"
    if name_problem(wanted, reserved):
        wanted = f"scan_{wanted}"
    unused, number = wanted, 2
    while unused.lower() in taken:
        unused, number = f"{wanted}_{number}", number + 1
    return unused
