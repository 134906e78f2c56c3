"""The page of what was run, and of nothing else: figures first, then where amplification helps and where not."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tomoprofile.logs import LOG

from ..cells.benchmark import Record
from ..cells.intervals import Estimate
from ..cells.page import made_with_told, progress_told, table, trial_told, write_page, write_runs
from ..cells.plots import Look, Panel, write_plot
from .plan import (
    ENGINE,
    ENGINES,
    KINDS,
    MODES,
    PAIRS,
    POPULATIONS,
    REGISTER,
    STEPS,
    TASKS,
    TESTS,
    TUNING,
    Cell,
    expected_cpu_s,
)
from .results import Difference, Results

# Okabe and Ito (2008).
STYLES = {
    "none": ("#000000", "square"),
    "elastic": ("#E69F00", "triangle"),
    "deformation": ("#56B4E9", "ring"),
    "mixed": ("#0072B2", "circle"),
    "physics": ("#009E73", "diamond"),
}
ENGINE_NAMES = {"tomoprofile": "tomoprofile", "demons": "SimpleITK, diffeomorphic demons", "syn": "dipy, SyN"}

NOTES = f"""## What was compared

All cases are simulated: torsos of `tomoprofile phantom --anatomy` (64 x 60 x 80 voxels of 4.5 x 4.9 x 4.9 mm), random
diffeomorphisms of one real abdominal CT (TotalSegmentator's example, Apache-2.0, not in the repository; its labels are
that program's), and phantom C. A seed changes which cases of a pool are labelled, weights, crops and pairs; kinds of
one seed share labelled cases and first weights, and every seed has the same test cases. Intervals are 95 %: seeds and
test cases are resampled together, and the percentiles are widened for so few seeds. A claim is made only where the
interval of a paired difference excludes zero.

- Every training: a slim network from ImageNet weights, {STEPS["A"]} steps (phantom C: {STEPS["C"]}) of four crops of
  64 x 64 voxels, one of them from labelled slices themselves; {PAIRS} pairs of up to eight slices. Without
  amplification all crops are from labelled slices, with as many steps. Models that judge labels are left out, and a
  voxel is of the class with the largest logit.
- Learned deformations: all cases of the pool, labelled or not, are registered to one template whose labels nobody uses.
  Of torsos this is the body from which none of the modes differs, which no institution has; a labelled case near it, as
  the workflow takes one, is somewhat worse.
- Elastic deformations have the size and the wave length that were best on cases kept for that, with one labelled torso.
  Phantom C and the variants take the same, as shares of the longest edge.
- Variants of the real case differ by random smooth motions, so a learned model of them has little to learn that random
  elastic deformations do not have.
- Refraction contrast: the same elastic deformations move the labels, and the simulation of the phantom draws what a
  beamline would see of them, with its optics and artefacts known.
"""


def write_report(records: list[Record], cells: Sequence[Cell], docs: Path) -> None:
    """Write ``amplification.json``, ``amplification.md`` and its figure into a folder; without a result nothing.

    Parameters
    ----------
    records : list of dict
        Results of runs.
    cells : sequence of Cell
        The plan, of which the page says how much is done.
    docs : Path
        Folder; its earlier page is replaced.
    """
    if not records:
        return
    results = Results(records)
    write_runs(docs / "amplification.json", results.records.values())
    differences = results.differences()
    parts = [
        "# Few labelled cases, amplified\n",
        _figure(results, docs),
        _helps(differences),
        _progress(results, cells),
        _differences(differences),
        _equivalents(results),
        _organs(results),
        _modes(results),
        _registrations(results),
        _tuning(results),
        NOTES,
    ]
    write_page(docs / "amplification.md", parts)
    LOG.info("%d results in %s", len(records), docs / "amplification.md")


def _figure(results: Results, docs: Path) -> str:
    """Draw what there is, and return the line that shows it; a figure of nothing is removed."""
    path = docs / "amplification-labels.svg"
    panels = [panel for test in TESTS if (panel := _by_labels(results, test)).lines]
    if not panels:
        path.unlink(missing_ok=True)
        return ""
    title = "Dice against labelled cases"
    names = {kind: name for kind, name in KINDS.items() if any(kind in panel.names for panel in panels)}
    look = Look(f"{title} (mean over organs; mean and range over seeds)", "labelled cases", "Dice", STYLES)
    write_plot(path, look, panels, names)
    return f"![{title}]({path.name})\n"


def _by_labels(results: Results, test: str) -> Panel:
    panel = Panel(TESTS[test])
    for kind in KINDS:
        for labels in results.labels(test, kind):
            seeds = results.by_seed(test, kind, labels).values()
            panel.add(kind, float(labels), [float(np.nanmean(np.nanmean(one, axis=1))) for one in seeds])
    return panel


def _helps(differences: list[Difference]) -> str:
    """Say where amplification helps and where it does not."""
    if not differences:
        return ""
    lines = []
    for verdict, told in (("better", "Helps"), ("worse", "Harms"), ("not told apart", "Not told apart")):
        mine = [one for one in differences if one.dice.verdict == verdict]
        if not mine:
            continue
        lines.append(f"**{told}** ({len(mine)} of {len(differences)}):\n")
        for one, other in dict.fromkeys((each.one, each.other) for each in mine):
            where = [each for each in mine if (each.one, each.other) == (one, other)]
            places = "; ".join(f"{TESTS[each.test]}, {_cases(each.labels)}" for each in where)
            lines.append(f"- {KINDS[one]}, against {KINDS[other]}: {places}.")
        lines.append("")
    chance = f"By chance alone about {0.05 * len(differences):.1f} of them would be told apart."
    return "## Where it helps, and where not\n\n" + "\n".join(lines) + f"\n{chance}\n"


def _progress(results: Results, cells: Sequence[Cell]) -> str:
    records = list(results.records.values())
    told = progress_told("amplification", expected_cpu_s, cells, results.records)
    planned = {cell.task for cell in cells}
    if absent := [task.title for task in TASKS.values() if task.name not in planned]:
        told += f"\nThe plan leaves out what needs data that are not here: {', '.join(absent)}.\n"
    return told + trial_told(records) + made_with_told(records) + _devices(results)


def _devices(results: Results) -> str:
    """Say which kinds were trained on which device, where it was not one for all."""
    kinds_of: dict[str, set[str]] = {}
    for cell, record in results.records.items():
        if cell.kind in KINDS:
            kinds_of.setdefault(record["made_with"]["device"], set()).add(cell.kind)
    if len(kinds_of) < 2:
        return ""
    told = "; ".join(
        f"on {device}: {', '.join(name for kind, name in KINDS.items() if kind in kinds)}"
        for device, kinds in sorted(kinds_of.items())
    )
    return f"\nTrained {told}. Differences between kinds of two devices hold what the devices differ by as well.\n"


def _differences(differences: list[Difference]) -> str:
    if not differences:
        return ""
    rows = [
        [
            TESTS[one.test],
            str(one.labels),
            KINDS[one.one],
            KINDS[one.other],
            _interval(one.dice, "+.3f"),
            one.dice.verdict,
            str(one.dice.seeds),
        ]
        for one in differences
    ]
    head = ["test", "labelled cases", "first", "second", "difference of Dice (95 %)", "first is", "seeds"]
    return f"## Differences\n\n{table(head, rows)}"


def _equivalents(results: Results) -> str:
    rows = []
    for test, kind, labels, same, ends in results.equivalents():
        told = f"{_count(same.value, ends)} ({_count(same.low, ends)} to {_count(same.high, ends)})"
        rows.append([TESTS[test], str(labels), KINDS[kind], told, str(same.seeds)])
    if not rows:
        return ""
    head = ["test", "labelled cases", "drawn pairs", "labelled cases alone (95 %)", "seeds"]
    text = (
        "How many labelled cases alone give the same Dice, on their own curve; beyond its ends only `at most` or "
        "`at least` can be said.\n"
    )
    return f"## Label equivalent\n\n{text}\n{table(head, rows)}"


def _count(value: float, ends: tuple[int, int]) -> str:
    low, high = ends
    if value <= low * 1.001:
        return f"at most {low}"
    return f"at least {high}" if value >= high * 0.999 else f"{value:.1f}"


def _organs(results: Results) -> str:
    """Return Dice of each organ, the worst one named."""
    rows = []
    for test, title in TESTS.items():
        organs = results.organs(test)
        for labels in sorted({n for kind in KINDS for n in results.labels(test, kind)}):
            for kind in KINDS:
                seeds = list(results.by_seed(test, kind, labels).values())
                if not seeds or len(organs) < 2:
                    continue
                each = np.nanmean(np.concatenate(seeds), axis=0)
                worst = f"{organs[int(each.argmin())]} {each.min():.3f}".replace("_", " ")
                numbers = "; ".join(f"{name} {dice:.3f}" for name, dice in zip(organs, each, strict=True))
                mean = f"{float(np.nanmean(each)):.3f}"
                rows.append([title, str(labels), KINDS[kind], worst, mean, numbers.replace("_", " "), str(len(seeds))])
    if not rows:
        return ""
    head = ["test", "labelled cases", "drawn pairs", "worst organ", "mean", "Dice of each", "seeds"]
    return f"## Organs\n\n{table(head, rows)}"


def _modes(results: Results) -> str:
    rows = []
    for population, record in results.of_kind(MODES).items():
        for count, angles in record["angles"].items():
            explained = record["explained"][count]
            rows.append(
                [
                    POPULATIONS[population],
                    str(record["cases"]),
                    count,
                    _degrees(angles["registered"]),
                    _degrees(angles["true"]),
                    _degrees(angles["each_other"]),
                    f"{explained['registered']:.0%}",
                    f"{explained['true']:.0%}",
                ]
            )
    if not rows:
        return ""
    dominant = {mode for record in results.of_kind(MODES).values() for mode in record["dominant"]}
    text = (
        "Principal angles in degrees between the first components and the three modes put in that move most "
        f"({', '.join(sorted(dominant))}), and the share of the variance of the true deformations that the components "
        "explain. The components of the true deformations of the same cases show what their number alone allows.\n"
    )
    head = [
        *("put in", "cases", "components", "registered to put in", "true to put in", "registered to true"),
        *("explained by registered", "explained by true"),
    ]
    return f"## Are the modes recovered?\n\n{text}\n{table(head, rows)}"


def _degrees(angles: list[float]) -> str:
    return ", ".join(f"{angle:.0f}" for angle in angles)


def _registrations(results: Results) -> str:
    rows = []
    for pair, record in results.of_kind(ENGINE).items():
        for engine, found in record["engines"].items():
            wall, cpu = f"{found['wall_s']:.0f}", f"{found['cpu_s']:.0f}"
            dice = f"{record['before']:.3f} to {found['dice']:.3f}"
            threads, load = str(record["made_with"]["threads"]), f"{record['made_with']['load_per_core']:.1f}"
            rows.append([ENGINES[pair], ENGINE_NAMES[engine], wall, cpu, threads, load, dice, str(found["folds"])])
    told = []
    for population, record in results.of_kind(REGISTER).items():
        title = POPULATIONS.get(population) or TASKS[population].title
        seconds, refused = record["seconds"], record["refused"]
        why = "".join(f"; {name} was refused: {reason}" for name, reason in refused.items())
        told.append(
            f"- Pool of {title}: {len(seconds)} cases, {statistics.median(seconds):.0f} s each (wall, median), "
            f"{record['folds']} folded voxels{why}."
        )
    if not rows and not told:
        return ""
    head = ["pair", "engine", "wall / s", "CPU / s", "threads", "load per core", "Dice before to after", "folds"]
    parts = ["## Registration\n"]
    if rows:
        parts.append(
            "Pairs of 128 x 128 x 128 voxels, all engines in one run; labels only judge.\n\n" + table(head, rows)
        )
    return "\n".join([*parts, *told, ""])


def _tuning(results: Results) -> str:
    found: dict[tuple[float, float], list[float]] = {}
    for cell, record in results.records.items():
        if cell.kind == TUNING and cell.elastic:
            found.setdefault(cell.elastic, []).append(record["dice"])
    if not found:
        return ""
    rows = [
        [f"{100 * size:g}", f"{100 * length:g}", f"{statistics.fmean(dice):.3f}", str(len(dice))]
        for (size, length), dice in sorted(found.items(), key=lambda one: -statistics.fmean(one[1]))
    ]
    head = ["size / % of the longest edge", "wave length / %", "Dice on cases kept for tuning", "seeds"]
    return f"## Tuning of elastic deformations\n\n{table(head, rows)}"


def _interval(one: Estimate, form: str) -> str:
    return f"{one.value:{form}} ({one.low:{form}} to {one.high:{form}})"


def _cases(count: int) -> str:
    return f"{count} labelled case{'s' * (count > 1)}"
