"""What the tests of faults counted, and the page made of it: docs/reliability.md.

A test that provokes faults calls :func:`record`; `make test-deep` begins with an empty folder of counts and at its end
runs this file, which writes the page.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from tomoprofile import __version__
from tomoprofile.files import whole_file

ROOT = Path(__file__).parents[1]
COUNTS = ROOT / ".reliability"
PAGE = ROOT / "docs" / "reliability.md"

_INTRODUCTION = """\
# Reliability

What becomes of a run when things go wrong. `make test-deep` provokes every fault below in the real workflow, with
random moments and places, and writes this page (tomoprofile {version}).

- *survived*: the results are those of the undisturbed run, and nothing had to be done
- *healed*: the problem was reported, and after the remedy it names (mostly: run the same command again) the results
  are those of the undisturbed run, or the run was refused with the file and the reason
- *silent*: a wrong result without a message. This must be 0
"""
_HEADER = "| fault | tried | survived | healed | silent | |\n|---|--:|--:|--:|--:|---|"


def record(
    section: str, fault: str, tried: int, survived: int, healed: int, note: str = "", folder: Path = COUNTS
) -> None:
    """Add a row to the counts, or replace the row of the same section and fault.

    Parameters
    ----------
    section : str
        Heading under which the fault is listed; each section is a file.
    fault : str
        What was done, in a few words.
    tried, survived, healed : int
        How often it was done; without any effect on the results; noticed, and mended as the message says. What is left
        failed silently.
    note : str
        Anything a reader needs to judge the numbers.
    folder : Path
        Where the counts lie.

    Raises
    ------
    ValueError
        When more survived or healed than were tried.
    """
    if min(tried, survived, healed) < 0 or survived + healed > tried:
        raise ValueError(f"{section}, {fault}: {survived} survived + {healed} healed of {tried} tried")
    path = folder / f"{re.sub(r'[^a-z0-9]+', '_', section.lower()).strip('_')}.json"
    counts = json.loads(path.read_text()) if path.exists() else {"section": section, "faults": {}}
    counts["faults"][fault] = {"tried": tried, "survived": survived, "healed": healed, "note": note}
    with whole_file(path) as partial:
        partial.write_text(json.dumps(counts, indent=1) + "\n")


def render(folder: Path = COUNTS) -> str:
    """Return the page of everything that was recorded.

    Raises
    ------
    ValueError
        When nothing was recorded.
    """
    sections = sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=lambda one: one["section"])
    if not sections:
        raise ValueError(f"{folder}: nothing was recorded; run `make test-deep`")
    parts = [_INTRODUCTION.format(version=__version__)]
    for one in sections:
        rows = [_row(fault, counts) for fault, counts in one["faults"].items()]
        parts.append("\n".join([f"## {one['section']}", "", _HEADER, *rows]) + "\n")
    return "\n".join(parts)


def silent(counts: dict[str, Any]) -> int:
    """Return how many faults neither survived nor were noticed."""
    return counts["tried"] - counts["survived"] - counts["healed"]


def failed_silently(folder: Path = COUNTS) -> int:
    """Return how many faults of all sections failed silently."""
    sections = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return sum(silent(counts) for one in sections for counts in one["faults"].values())


def _row(fault: str, counts: dict[str, Any]) -> str:
    numbers = [counts["tried"], counts["survived"], counts["healed"], silent(counts)]
    return f"| {fault} | {' | '.join(map(str, numbers))} | {counts['note']} |"


if __name__ == "__main__":
    with whole_file(PAGE) as page:
        page.write_text(render())
    print(f"{PAGE} written")
    sys.exit(f"{failed_silently()} faults failed silently" if failed_silently() else 0)
