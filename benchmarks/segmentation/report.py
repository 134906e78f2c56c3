"""The page of what was run: differences with their intervals first, then every method; nothing else appears."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from ..cells.page import made_with_told, progress_told, table, trial_told, write_page, write_runs
from ..cells.plots import Look, Panel, write_plot
from . import ours
from .plan import (
    CURVE,
    MAIN,
    METHODS,
    NNUNET_CPU_S,
    OURS,
    PEERS,
    PEERS_COMMAND,
    STEPS,
    TESTS,
    Cell,
    available,
    cell_of,
    expected_cpu_s,
)

Record = dict[str, Any]
# Okabe and Ito (2008).
STYLES = {
    "tomoprofile": ("#0072B2", "circle"),
    "imagenet": ("#56B4E9", "ring"),
    "earlier": ("#009E73", "diamond"),
    "scratch": ("#D55E00", "square"),
    "basicunet": ("#E69F00", "triangle"),
    "forest": ("#000000", "cross"),
    "nnunet": ("#CC79A7", "bar"),
    "otsu": ("#666666", "dashes"),
    "threshold_fill": ("#999933", "dots"),
}
LEAST_DRAWN = 0.5  # Dice of a method without labels; a failure would take the height that differences need
CURVE_TESTS = ("C", "fibres-within", "fibres-to-fine")

NOTES = f"""## What was compared

A seed changes the simulated scan, its labels, and weights and crops; methods of one seed see the same scan and labels.
Of the fibres a seed changes weights, crops, which tiles are labelled where fewer than all are, and, every second time,
which end of the picture is the test; so their intervals say nothing about other pictures. Differences are between pairs
of one seed; intervals are 95 % of Student's t over seeds, and a claim is made only where the interval excludes zero.
One seed has no interval, so no claim.

- Phantoms: 208 x 256 x 256 voxels of 0.5 µm. The labelled slices are those that the workflow proposes in one part of
  the scan, with the true masks; the test is a block of 64 slices at its other end, 16 slices away. *A to B*: labels on
  A, test on B.
- Fibres: two hand-labelled pictures of carbon-fibre composites (KU Leuven, GPL-3.0, not in the repository), whose
  fibres are 15 and 9 pixels wide. A label is a tile of 22,500 pixels; one picture holds three, the other two. *One
  scan*: tiles and test are parts of one picture; the model is tested on the other picture as well.
- Cement: air voids (qim3d, MIT). Nobody labelled it: labels and reference are one Otsu threshold of the smoothed scan,
  so its Dice is agreement with that, and thresholds are left out. Of the voxels that our network
  wrongly takes for voids, nine in ten lie within 1.5 voxels of one (every fourth slice of the test).
- Our networks learn as the workflow does, from proposed slices to level and model, with {STEPS} steps; the default adds
  another cycle of {STEPS} where these do not reproduce the labels. The models that judge the labels are part of their
  CPU seconds. Without labels: the base as it is. All these runs were made before slices without a label could keep a
  model near its base (`decisions.md`); those on phantoms and cement that start from a base may now differ.
- Random forest: 100 trees on the filters of ilastik at six scales, and on both neighbouring slices.
- BasicUNet: MONAI's, with the library's crops, loss, steps and schedule; its level is that of equal area on its labels.
- nnU-Net 2.8 in two dimensions, as it configures itself, for {NNUNET_CPU_S:.0f} CPU seconds: ten times those of our
  model without the models that judge it, as nnU-Net has none here; all labels train.
- Thresholds know the true plane of the substrate. CPU seconds are those of one core; `-` where all runs were made on a
  GPU.

Scores are of the resin of the test. Volume error: of the volume fraction, in percentage points. Profile error: mean
absolute error of the volume fraction in bins of 5 µm of depth, or of rows where there is no depth. More of each run is
in `segmentation.json`: objects by size, diameters, counts, and what it was made with.
"""


@dataclass(frozen=True)
class Difference:
    """How much better one group of runs is than another in a test, seed by seed.

    Attributes
    ----------
    test, one, other : str
    values : tuple of float
        Dice of one minus Dice of the other, for each seed that both have.
    """

    test: str
    one: str
    other: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of 95 % of the mean, by Student's t."""
        n = len(self.values)
        half = float(stats.t.ppf(0.975, n - 1)) * statistics.stdev(self.values) / math.sqrt(n)
        return self.mean - half, self.mean + half

    @property
    def verdict(self) -> str:
        """What the interval allows to say."""
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def _on_cpu(record: Record) -> bool:
    """Tell whether CPU seconds are all that a run took."""
    return not record["resumed"] and (not record["steps"] or record["made_with"]["device"] == "cpu")


class Results:
    """Dice and other figures by run and test."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = {cell_of(record): record for record in sorted(records, key=lambda one: cell_of(one).key)}

    def group(self, test: str, method: str, labels: int, steps: int, chosen: str = "pick") -> dict[int, Record]:
        """Return the scores of runs by seed, with ``cpu_s`` of the training beside them; None where a GPU trained."""
        wanted = (method, labels, steps, chosen)
        return {
            cell.seed: record["tests"][test] | {"cpu_s": record["train_cpu_s"] if _on_cpu(record) else None}
            for cell, record in self.records.items()
            if test in record["tests"] and (cell.method, cell.labels, cell.steps, cell.chosen) == wanted
        }

    def groups(self, test: str) -> list[tuple[str, int, int, str]]:
        """Return method, labels, steps and choice of what was run: few labels first, methods in their order."""
        found = {
            (cell.method, cell.labels, cell.steps, cell.chosen)
            for cell, record in self.records.items()
            if test in record["tests"]
        }
        return sorted(found, key=lambda one: (one[1], list(METHODS).index(one[0]), one[2], one[3]))

    def difference(
        self, test: str, one: tuple[str, int, int, str], other: tuple[str, int, int, str]
    ) -> Difference | None:
        """Return the difference of two groups over the seeds that both have; None for fewer than two."""
        first, second = self.group(test, *one), self.group(test, *other)
        pairs = [(first[seed]["dice"], second[seed]["dice"]) for seed in sorted(first.keys() & second.keys())]
        values = tuple(a - b for a, b in pairs if a is not None and b is not None)
        return Difference(test, _named(*one), _named(*other), values) if len(values) > 1 else None

    def differences(self) -> list[Difference]:
        """Return all comparisons that were planned and have two seeds: ours with every other, and choices of labels."""
        found = []
        for test in TESTS:
            groups = self.groups(test)
            for one in groups:
                method, labels, steps, chosen = one
                if method != OURS or steps not in (0, STEPS):
                    continue
                others = [group for group in groups if group[1] == labels and group[0] != OURS and chosen == "pick"]
                others += [(OURS, labels, steps, "random")] if chosen == "pick" and labels else []
                others += [(OURS, 0, 0, "pick")] if labels and chosen == "pick" else []
                found += [self.difference(test, one, other) for other in others if other[2] in (0, STEPS)]
        return [one for one in found if one is not None]


def write_report(records: list[Record], cells: Sequence[Cell], docs: Path) -> None:
    """Write ``segmentation.json``, ``segmentation.md`` and its figures into a folder.

    Parameters
    ----------
    records : list of dict
        Results of runs.
    cells : sequence of Cell
        The plan, of which the page says how much is done.
    docs : Path
        Folder; its earlier page is replaced.
    """
    results = Results(records)
    write_runs(docs / "segmentation.json", results.records.values())
    parts = ["# Learning from few labelled slices\n", _progress(results, cells), *_figures(results, docs)]
    parts += [_won_and_lost(results.differences()), _scores(results), NOTES]
    write_page(docs / "segmentation.md", parts)
    ours.LOG.info("%d results in %s", len(records), docs / "segmentation.md")


def _progress(results: Results, cells: Sequence[Cell]) -> str:
    records = list(results.records.values())
    told = progress_told("segmentation", expected_cpu_s, cells, results.records)
    absent = [METHODS[name] for name in PEERS if name not in available()]
    if absent:
        told += f"\nThe plan has no {' and no '.join(absent)}: `{PEERS_COMMAND}` adds them.\n"
    return told + trial_told(records) + made_with_told(records)


def _named(method: str, labels: int, steps: int, chosen: str) -> str:
    """Return how the page calls a group of runs."""
    name = METHODS[method]
    if labels == 0:
        name = "our base as it is" if method == OURS else name
        return f"{name}, no label"
    name += f", {labels} label{'s' * (labels > 1)}"
    name += " chosen at random" if chosen == "random" else ""
    return name + (f", {steps} steps" if steps not in (0, STEPS) else "")


def _won_and_lost(differences: list[Difference]) -> str:
    if not differences:
        return ""
    verdicts = [one.verdict for one in differences]
    counts = [(verdicts.count(name), name) for name in ("better", "worse", "not told apart")]
    told = ", ".join(f"{count} {name}" for count, name in counts)
    rows = [
        [one.verdict, TESTS[one.test], one.one, one.other, _interval(one), str(len(one.values))]
        for verdict in ("worse", "better", "not told apart")
        for one in differences
        if one.verdict == verdict
    ]
    head = ["first is", "test", "first", "second", "difference of Dice (95 %)", "seeds"]
    chance = f"By chance alone about {0.05 * len(differences):.1f} of them would be told apart."
    return f"## Differences\n\n{len(differences)} pairs: {told}. {chance}\n\n{table(head, rows)}"


def _interval(one: Difference) -> str:
    low, high = one.interval
    return f"{one.mean:+.3f} ({low:+.3f} to {high:+.3f})"


def _scores(results: Results) -> str:
    rows = []
    for test, title in TESTS.items():
        for group in results.groups(test):
            seeds = list(results.group(test, *group).values())
            figures = [
                _spread(seeds, name, form)
                for name, form in (
                    ("dice", ".3f"),
                    ("vv_error_points", "+.2f"),
                    ("profile_error_points", ".2f"),
                    ("cpu_s", ".0f"),
                )
            ]
            rows.append([title, _named(*group), *figures, str(len(seeds))])
    if not rows:
        return ""
    head = ["test", "method", "Dice", "volume error / points", "profile error / points", "training / CPU s", "seeds"]
    return f"## Scores\n\nMeans over seeds, least and most in brackets.\n\n{table(head, rows)}"


def _spread(seeds: list[Record], name: str, form: str) -> str:
    values = [one[name] for one in seeds if one[name] is not None]
    if not values:
        return "-"
    spread = f" ({min(values):{form}} .. {max(values):{form}})" if len(values) > 1 and max(values) > min(values) else ""
    return f"{statistics.fmean(values):{form}}{spread}"


def _figures(results: Results, docs: Path) -> list[str]:
    """Draw what there is, and return the lines that show it; a figure of nothing is removed."""
    shown = []
    for name, title, draw in (
        ("labels", "Dice against labels", _by_labels),
        ("time", f"Dice against training time, {MAIN} labels", _by_time),
    ):
        path = docs / f"segmentation-{name}.svg"
        panels = [panel for test in CURVE_TESTS if (panel := draw(results, test)).lines]
        if panels:
            methods = {name: title for name, title in METHODS.items() if any(name in panel.names for panel in panels)}
            x_title = "labels" if name == "labels" else "training / CPU s"
            whole = f"{title} (mean and range over seeds; lines across: no label, from {LEAST_DRAWN} on)"
            whole = whole if name == "labels" else f"{title} (mean and range over seeds)"
            look = Look(whole, x_title, "Dice", STYLES, name == "time")
            write_plot(path, look, panels, methods)
            shown.append(f"![{title}]({path.name})\n")
        else:
            path.unlink(missing_ok=True)
    return shown


def _by_labels(results: Results, test: str) -> Panel:
    panel = Panel(TESTS[test])
    for method in METHODS:
        steps = {group[2] for group in results.groups(test) if group[0] == method and group[1]} & {0, STEPS}
        for labels in CURVE:
            seeds = {n: one for step in steps for n, one in results.group(test, method, labels, step).items()}
            panel.add(method, float(labels), [one["dice"] for one in seeds.values()])
        unlabelled = [one["dice"] for one in results.group(test, method, 0, 0).values()]
        if unlabelled and (level := statistics.fmean(unlabelled)) >= LEAST_DRAWN:
            panel.levels[method] = level
    return panel


def _by_time(results: Results, test: str) -> Panel:
    panel = Panel(TESTS[test])
    for method, labels, steps, chosen in results.groups(test):
        if labels == MAIN and chosen == "pick":
            seeds = results.group(test, method, labels, steps).values()
            timed = [one for one in seeds if one["cpu_s"]]
            if timed:
                seconds = statistics.fmean(one["cpu_s"] for one in timed)
                panel.add(method, seconds, [one["dice"] for one in timed])
    return panel
