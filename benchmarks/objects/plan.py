"""What is measured: cells, each of which is one measurement in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .methods import METHODS
from .volumes import TITLES as SCANS

SIDE, REPEATS = 768, 5
DEPTHS = (256, 768, 1536, 7168)  # slices; the last gives 4.2 gigavoxels and a million domains of kind `s`
SECTIONS = ("peers", "stage", "depth")


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Attributes
    ----------
    section, scan, method : str
    side, depth : int
        Voxels of the scan; real ones have their own.
    threads : int
        Processes of the stage; all else has one.
    repeat : int
    """

    section: str
    scan: str
    method: str
    side: int
    depth: int
    threads: int
    repeat: int

    @property
    def key(self) -> str:
        """Name of the measurement."""
        place = f"{self.section}/{self.scan}/{self.depth}x{self.side}"
        return f"{place}/{self.method}/threads{self.threads}/{self.repeat}"

    def encoded(self) -> str:
        """Return it as JSON, for the process that measures."""
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, text: str) -> Cell:
        """Return what :meth:`encoded` wrote."""
        return cls(**json.loads(text))


def key_of(record: dict[str, Any]) -> str:
    """Return the key of a result."""
    return Cell(**{name: record[name] for name in Cell.__dataclass_fields__}).key


def plan(section: str, side: int, repeats: int, depths: tuple[int, ...]) -> Iterator[list[Cell]]:
    """Yield the cells of one scan after the other; the methods take turns, so that other load affects all alike."""
    if section == "peers":
        for scan in SCANS:
            yield [
                Cell(section, scan, method, side, side, 1, repeat) for repeat in range(repeats) for method in METHODS
            ]
        return
    turns = (("decode", 1), ("stage", 1), ("stage", 2)) if section == "stage" else (("decode", 1), ("stage", 1))
    for scan in ("a", "s"):
        for depth in (side,) if section == "stage" else depths:
            yield [
                Cell(section, scan, method, side, depth, threads, repeat)
                for repeat in range(repeats if section == "stage" else 1)
                for method, threads in turns
            ]
