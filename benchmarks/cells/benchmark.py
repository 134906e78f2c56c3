"""What a benchmark must say of itself so that its plan can be worked through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]
Record = dict[str, Any]
Size = tuple[int, int, int]
ExpectedCpuS = Callable[[Any, Sequence[Record]], float]


def usual_cpu_s(records: Iterable[Record], is_like: Callable[[Record], bool]) -> float | None:
    """Return the least CPU seconds of finished runs like one, or None.

    The least, because other work on a machine makes them longer; of runs on a CPU, because a GPU takes over most.

    Parameters
    ----------
    records : iterable of dict
        Results.
    is_like : callable
        Whether a result is of a run that differs in its seed only.
    """
    whole = [one for one in records if not one["resumed"] and one["made_with"]["steps_scale"] == 1]
    seen = [one["cpu_s"] for one in whole if one["made_with"]["device"] == "cpu" and is_like(one)]
    return min(seen, default=None)


class Cell(Protocol):
    """One run of a plan."""

    @property
    def key(self) -> str:
        """Name of its result."""
        ...


@dataclass(frozen=True)
class Setting:
    """How all runs of a results folder are made.

    Attributes
    ----------
    work : Path
        Scans, unfinished trainings and earlier models.
    results : Path
        One JSON file a run.
    threads : int
    steps_scale : float
        1, or less to try things out.
    size : tuple of int
        Voxels of simulated scans.
    docs : Path
        Folder of the page, and of the summary of all results.
    """

    work: Path
    results: Path
    threads: int = 1
    steps_scale: float = 1.0
    size: Size = (0, 0, 0)
    docs: Path = ROOT / "docs/benchmarks"


def mean_dice_told(record: Record) -> str:
    """Return one line about a result that may have a mean Dice."""
    return f"mean Dice {record['dice']:.3f}" if "dice" in record else "done"


def waits_for_nothing(_cell: Any, _records: Sequence[Record]) -> str:
    """Return an empty text: the run needs no other run."""
    return ""


@dataclass(frozen=True)
class Benchmark:
    """A plan of runs and what becomes of their results.

    Attributes
    ----------
    name : str
        Of the package below ``benchmarks``, and of page and summary below ``docs/benchmarks``.
    about : str
        For the help text.
    size : tuple of int
        Usual size of simulated scans; another one makes a trial.
    core_hours : float
        Most that the plan may take.
    plan, possible : callable
        All runs of the plan; with a pattern for their keys, those that can be made here.
    key_of : callable
        Name of a result.
    expected_cpu_s : callable
        CPU seconds of a run, given the results so far.
    told : callable
        One line about a result.
    run : callable
        Makes one run in this process; returns the exit status.
    write_report : callable
        Writes page and summary of results into a folder; gets the possible runs, too.
    waits : callable
        Why a run cannot begin yet, given the results so far, or an empty text.
    """

    name: str
    about: str
    size: Size
    core_hours: float
    plan: Callable[[], Sequence[Any]]
    possible: Callable[[str], list[Any]]
    key_of: Callable[[Record], str]
    expected_cpu_s: ExpectedCpuS
    told: Callable[[Record], str]
    run: Callable[[Any, Any], int]
    write_report: Callable[[list[Record], Sequence[Any], Path], None]
    waits: Callable[[Any, Sequence[Record]], str] = waits_for_nothing
    setting: Callable[..., Any] = Setting

    @property
    def summary(self) -> str:
        """File name of all results, which is committed."""
        return f"{self.name}.json"
