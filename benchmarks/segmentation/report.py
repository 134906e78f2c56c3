"""Tables and plots of the results there are; what was not run says so."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from . import basic_unet, ours
from .plan import FULL_STEPS, METHODS, SHORT_STEPS, TASKS, UNLABELLED, Task, key_of
from .plots import Panel, write_plot

Record = dict[str, Any]
Reader = Callable[[Record], float | None]
NOT_RUN = "not run"

INTRODUCTION = """# Learning from few labelled slices

`make bench-segmentation` makes the runs that are missing and writes this page from all results
(`segmentation.json`). Every number is the mean over seeds, with least and most in brackets and the number *n* of
seeds. A seed changes the simulated scan, and so labels and test, beside weights and crops; methods of one seed see
the same. Of the fibres a seed changes weights, crops and, where there are tiles to choose from, the choice.

What is compared

- Phantoms: the labelled slices lie evenly in one part of the scan, the test is a block of {block} slices of its other
  end, with at least 16 slices between. Scans of {size} voxels of 0.5 µm, large domains twice as dense as in the
  simplest phantom, so that a block holds some. Labels are the truth. With up to five labels, the one nearest to the
  slice that shows most of large domains is moved there, as a person would who sees them.
- Fibres: two hand-labelled single pictures of carbon-fibre composites (KU Leuven, GPL-3.0, not in the repository). No
  voxel size is told; 0.47 and 0.75 µm make a fibre 7 µm thick. A labelled "slice" is a tile of 22,500 pixels. *One
  scan*: tiles and test are of the same picture, at least 16 rows apart. *Fine to coarse*, *coarse to fine*:
  cross-validation over the two pictures, whose fibres measure 15 and 9 pixels; the test picture is normalised by its
  own grey values, for all methods.
- Labels are all that a person draws. The library holds some of them out to find the decision level, from two on; with
  one the level is 0.5.
- BasicUNet: MONAI's, default features, the library's crops, loss, number of steps and one-cycle schedule, native
  scale, peak rate {rate:g}; its level is that of equal area on its labels.
- Otsu and hole filling see no labels, and know the substrate's true plane.
- Short trainings are trainings of their own with a one-cycle schedule of that length.
- Training seconds are CPU seconds of the training call alone; wall times hold whatever else the machine did.

Scores are of the resin of the test, at the level of the model. Volume ratio: of the whole block, in percentage
points. Profile: mean absolute error of the volume ratio in bins of 5 µm of depth (fibres: of rows). Objects touch no
face of the block. Recall: a found object with IoU >= 0.5, or a centroid within a quarter of the diameter. Interior:
share of the voxels deeper than 2 µm inside domains above 10 µm. Diameters: of the sphere, in single pictures of the
circle, of equal size.
"""


def score_of(name: str) -> Reader:
    """Return a reader of a score."""
    return lambda record: record["scores"][name]


def size_of(name: str) -> Reader:
    """Return a reader of the absolute value of a score."""
    return lambda record: None if record["scores"][name] is None else abs(record["scores"][name])


def value_of(name: str) -> Reader:
    """Return a reader of what is noted beside the scores."""
    return lambda record: record[name]


COLUMNS: list[tuple[str, Reader, str]] = [
    ("Dice", score_of("dice"), ".3f"),
    ("IoU", score_of("iou"), ".3f"),
    ("volume ratio error / points", score_of("vv_error_points"), "+.2f"),
    ("profile error / points", score_of("profile_error_points"), ".2f"),
    ("mean diameter error / µm", score_of("diameter_error_um"), "+.2f"),
    ("count error / %", score_of("count_error_percent"), "+.1f"),
]
RECALLS: list[tuple[str, Reader, str]] = [
    ("recall < 3 µm", score_of("recall_below_3"), ".2f"),
    ("3-6 µm", score_of("recall_3_to_6"), ".2f"),
    ("6-10 µm", score_of("recall_6_to_10"), ".2f"),
    ("> 10 µm", score_of("recall_above_10"), ".2f"),
    ("interior > 10 µm", score_of("interior_recall_large"), ".3f"),
    ("training / CPU s", value_of("train_cpu_s"), ".0f"),
    ("training / wall s", value_of("train_wall_s"), ".0f"),
    ("parameters / million", lambda record: record["parameters"] / 1e6, ".2f"),
]


class Results:
    """Results by cell without the seed."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.cells: dict[tuple[str, str, int, int], list[Record]] = {}
        for record in sorted(records, key=key_of):
            place = (record["task"], record["method"], record["labels"], record["steps"])
            self.cells.setdefault(place, []).append(record)

    def values(self, task: Task, method: str, labels: int, steps: int, read: Reader) -> list[float]:
        """Return what is known, one value a seed. Methods without labels stand in every column of labels."""
        place = (task.name, method, 0, 0) if method in UNLABELLED else (task.name, method, labels, steps)
        records = self.cells.get(place, [])
        if read in TIMES:  # a training that continued after it was killed was not timed as a whole
            records = [record for record in records if not record["resumed"]]
        return [value for record in records if (value := read(record)) is not None]

    def was_run(self, task: Task, method: str, labels: int, steps: int) -> bool:
        """Tell whether there is any seed."""
        place = (task.name, method, 0, 0) if method in UNLABELLED else (task.name, method, labels, steps)
        return place in self.cells

    def text(self, task: Task, method: str, labels: int, steps: int, read: Reader, form: str) -> str:
        """Return the text of a table's cell."""
        values = self.values(task, method, labels, steps, read)
        if not values:
            return "-" if self.was_run(task, method, labels, steps) else NOT_RUN
        mean = f"{statistics.fmean(values):{form}}"
        spread = f" ({min(values):{form}} .. {max(values):{form}})" if len(values) > 1 else ""
        return f"{mean}{spread}, n={len(values)}"


TIMES = [read for name, read, _ in RECALLS if name.startswith("training")]
CPU_SECONDS = TIMES[0]


def write_report(records: list[Record], docs: Path) -> None:
    """Write ``segmentation.json``, ``segmentation.md`` and three plots into a folder.

    Parameters
    ----------
    records : list of dict
        Results of runs.
    docs : Path
        Folder; its earlier report is replaced.
    """
    results = Results(records)
    lines = "\n".join(f" {json.dumps(record)}," for record in sorted(records, key=key_of)).rstrip(",")
    with ours.whole_file(docs / "segmentation.json") as partial:
        partial.write_text('{"runs": [\n' + lines + "\n]}\n")
    _plots(results, docs)
    sizes = sorted({tuple(record["made_with"]["size"]) for record in records if TASKS[record["task"]].kind})
    introduction = INTRODUCTION.format(
        block=", ".join(str(round(size[0] * 64 / 208)) for size in sizes) or "64",
        size=", ".join("x".join(map(str, size)) for size in sizes) or "208x256x256",
        rate=basic_unet.RATE,
    )
    parts = [introduction, _made_with(records)]
    for name, what in (("labels", "number of labels"), ("time", "training time"), ("profile", "number of labels")):
        parts.append(f"![{'Profile error' if name == 'profile' else 'Dice'} against {what}](segmentation-{name}.svg)\n")
    parts += [_task(results, task) for task in TASKS.values()]
    with ours.whole_file(docs / "segmentation.md") as partial:
        partial.write_text("\n".join(parts))
    ours.LOG.info("%d results in %s", len(records), docs / "segmentation.md")


def _made_with(records: list[Record]) -> str:
    if not records:
        return "No run has been made yet.\n"
    facts = [record["made_with"] for record in records]
    told = {
        name: ", ".join(sorted({str(fact[name]) for fact in facts}))
        for name in ("commit", "tomoprofile", "torch", "device", "precision", "threads", "machine")
    }
    scale = {fact["steps_scale"] for fact in facts}
    trial = "" if scale == {1.0} else f"\n**A trial: steps are multiplied by {scale}; the numbers mean nothing.**\n"
    return f"{len(records)} runs, made with {'; '.join(f'{name} {value}' for name, value in told.items())}.\n{trial}"


def _task(results: Results, task: Task) -> str:
    unit = "slices" if task.kind else "tiles"
    methods = [*task.learners, *UNLABELLED]
    parts = [f"## {task.title[0].upper()}{task.title[1:]}\n", f"{task.main} labelled {unit}, {FULL_STEPS} steps:\n"]
    for columns in (COLUMNS, RECALLS):
        rows = [
            [METHODS[method], *(results.text(task, method, task.main, FULL_STEPS, *column[1:]) for column in columns)]
            for method in methods
        ]
        parts.append(_table(["method", *(column[0] for column in columns)], rows))
    absolute = ("Volume ratio, absolute error / points", size_of("vv_error_points"), ".2f")
    by_labels = [("Dice", score_of("dice"), ".3f"), absolute, ("Profile error / points", COLUMNS[3][1], ".2f")]
    for what, read, form in by_labels:
        parts.append(f"{what} against labelled {unit}, {FULL_STEPS} steps:\n")
        rows = [
            [METHODS[method], *(results.text(task, method, n, FULL_STEPS, read, form) for n in task.labels)]
            for method in methods
        ]
        parts.append(_table(["method", *map(str, task.labels)], rows))
    steps = [*SHORT_STEPS, FULL_STEPS]
    for what, read, form in (("Dice", score_of("dice"), ".3f"), ("Training CPU seconds", CPU_SECONDS, ".0f")):
        parts.append(f"{what} against steps of training, {task.main} labelled {unit}:\n")
        rows = [
            [METHODS[method], *(results.text(task, method, task.main, n, read, form) for n in steps)]
            for method in task.learners
        ]
        parts.append(_table(["method", *map(str, steps)], rows))
    return "\n".join(parts)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _plots(results: Results, docs: Path) -> None:
    bars = "mean and range over seeds"
    dice, profile = score_of("dice"), score_of("profile_error_points")
    for name, title, y_title, read in (
        ("labels", "Dice against labels", "Dice of the test", dice),
        ("profile", "Error of the depth profile against labels", "profile error / points", profile),
    ):
        panels = [_panel(task, results, read, [(n, FULL_STEPS) for n in task.labels], None) for task in TASKS.values()]
        whole = f"{title}, {FULL_STEPS} steps ({bars})"
        write_plot(docs / f"segmentation-{name}.svg", whole, "labelled slices or tiles", y_title, panels, METHODS)
    panels = [
        _panel(task, results, dice, [(task.main, n) for n in (*SHORT_STEPS, FULL_STEPS)], CPU_SECONDS)
        for task in TASKS.values()
    ]
    title = f"Dice against training time, trainings of 25 to {FULL_STEPS} steps ({bars})"
    path = docs / "segmentation-time.svg"
    write_plot(path, title, "training / CPU s", "Dice of the test", panels, METHODS, log_x=True)


def _panel(task: Task, results: Results, read: Reader, places: list[tuple[int, int]], abscissa: Reader | None) -> Panel:
    panel = Panel(task.title)
    for method in task.learners:
        line = []
        for labels, steps in places:
            values = results.values(task, method, labels, steps, read)
            times = results.values(task, method, labels, steps, abscissa) if abscissa else [float(labels)]
            if values and times:
                line.append((max(statistics.fmean(times), 0.01), statistics.fmean(values), min(values), max(values)))
        if line:
            panel.lines[method] = line
    for method in UNLABELLED:
        values = results.values(task, method, 0, 0, read)
        if values:
            panel.levels[method] = statistics.fmean(values)
    return panel
