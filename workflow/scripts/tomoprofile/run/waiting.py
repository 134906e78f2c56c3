"""Which scans wait for labels, and what a person does next: a state of a run, decided by the folders of labels.

Light on purpose, as the Snakefile imports it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..config import Config
from ..errors import InputError
from ..labels.files import find_label_files, unused_in_words
from ..layout import Layout
from ..samples import Scan
from ..segment.kinds import segmenter_of

_YELLOW, _PLAIN = "\033[33m", "\033[0m"
_PARTS_OF_A_RUN = ("pick", "check")  # targets after which the whole is still to be made


def models_to_train(scans: Iterable[Scan], config: Config) -> dict[str, list[Scan]]:
    """Return the scans that each model segments which learns from labels of this run."""
    found: dict[str, list[Scan]] = {}
    for scan in scans:
        segmenter = segmenter_of(scan, config)
        if segmenter.needs.labels:
            found.setdefault(segmenter.name, []).append(scan)
    return found


def has_labels(scan: Scan, work_dir: str | Path = "") -> bool:
    """Return whether a scan has a label file; a folder that cannot be listed is left to the check of labels."""
    try:
        return bool(scan.labels) and bool(find_label_files(Path(work_dir) / scan.labels))
    except InputError:
        return True


def scans_that_wait(scans: Iterable[Scan], config: Config, work_dir: str | Path = "") -> list[Scan]:
    """Return the scans of models that have no label at all.

    The labels of one scan are enough for a model: it is trained on those that are there, and segments all its scans.

    Parameters
    ----------
    scans : iterable of Scan
    config : Config
    work_dir : str or Path
        Where relative paths of the sheet start.
    """
    scans = list(scans)
    without = [
        scan
        for served in models_to_train(scans, config).values()
        if not any(has_labels(scan, work_dir) for scan in served)
        for scan in served
    ]
    return [scan for scan in scans if scan in without]


def lacks_its_model(scan: Scan, layout: Layout) -> bool:
    """Return whether a scan without labels has no results yet, or only those of another way to segment it.

    A finished scan whose labels were archived has results, and the model that was trained for them.
    """
    finished = all(product.exists() for product in layout.scan(scan.sample).products)
    return not finished or not layout.model(scan.model).folder.exists()


def what_to_label(scan: Scan, layout: Layout, work_dir: str | Path = "") -> str:
    """Return what a person labels in a scan that waits; empty where it has no folder for labels."""
    if not scan.labels:
        return ""
    proposed = layout.scan(scan.sample).to_label
    names = sorted(path.name for path in proposed.folder.glob("*.tif"))
    folder = os.path.relpath(proposed.folder, work_dir or ".")
    if not proposed.table.exists() or not names:
        return f"the run proposes slices in {folder}; their masks go to {scan.labels}"
    # Files that a person takes for labels must not be passed over without a word.
    unused = "".join(f". {told}" for told in unused_in_words(Path(work_dir) / scan.labels)).rstrip(".")
    return f"label {', '.join(names)} in {folder}, save each mask under the same name in {scan.labels}{unused}"


def waiting_text(scans: Sequence[Scan], layout: Layout, command: Sequence[str], work_dir: str | Path = "") -> str:
    """Return what a run that waits for labels says at its end: scans, slices, folders, and the next command.

    Parameters
    ----------
    scans : sequence of Scan
        Those that wait.
    layout : Layout
    command : sequence of str
        How the run was called.
    work_dir : str or Path
        Where it was called.
    """
    told = [f"  {scan.sample}: {text}" for scan in scans if (text := what_to_label(scan, layout, work_dir))]
    others = len(scans) - len(told)
    if others:
        told.append(f"  and {others} more of the same models, which need no labels of their own")
    count = "1 scan waits" if len(scans) == 1 else f"{len(scans)} scans wait"
    several = "The labels of one scan are enough for a model; more make it better. " if len(told) > 1 else ""
    return "\n".join(
        [
            f"Waiting for labels: {count}; nothing failed, and all that needs no labels is done.",
            *told,
            f"{several}`tomoprofile prelabel` writes masks to correct; docs/labelling.md shows how to label.",
            f"Next: label, then run the same command again: {same_command(command)}",
        ]
    )


def same_command(command: Sequence[str]) -> str:
    """Return how a run was called, as it is typed, for the whole way."""
    program, *options = command
    return shlex.join([Path(program).name, *(option for option in options if option not in _PARTS_OF_A_RUN)])


def highlighted(text: str) -> str:
    """Return a text whose first line is yellow on a terminal that shows colours."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    first, line, rest = text.partition("\n")
    return f"{_YELLOW}{first}{_PLAIN}{line}{rest}"
