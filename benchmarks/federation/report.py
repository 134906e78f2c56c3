"""The page of what was run, and of nothing else: first whether the numbers to be reached are reached."""

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
from .costs import costs_told, growth_told, overhead_told
from .plan import (
    ABSENT,
    ALGORITHMS,
    CENTRAL,
    EVERYWHERE,
    LABELLED,
    LOCAL,
    METHODS,
    PAIRS,
    POOL,
    ROUNDS,
    TASKS,
    TESTED,
    Cell,
    expected_cpu_s,
)
from .results import FEDERATED, SHARE, Compared, Results

COMPARED = (*LOCAL, CENTRAL, FEDERATED)
# Okabe and Ito (2008).
STYLES = {
    "local_A": ("#E69F00", "triangle"),
    "local_B": ("#56B4E9", "ring"),
    "local_C": ("#009E73", "diamond"),
    CENTRAL: ("#000000", "square"),
    FEDERATED: ("#0072B2", "circle"),
}
PLACES = {site: f"absent site {site}" if site == ABSENT else f"site {site}" for site in EVERYWHERE}

NOTES = f"""## What was compared

All cases are simulated, and no two sites have a body or a sample in common; a site has {LABELLED} labelled cases, and
holds out {TESTED}, the same in all seeds.

- Organs (liver, spleen, kidneys and aorta): torsos of `tomoprofile phantom --anatomy`, 64 x 60 x 80 voxels. Sites A, B
  and C differ in scanner, phase, dose and population. D took no part: thick slices, deep inspiration, flat bodies.
- Refraction contrast: phantoms A (20 mm from the detector), B (50 mm, more noise, lighter resin) and C (faint irregular
  domains that touch, textured resin, streaks), 32 x 96 x 96 voxels. D took no part: as A, but at 35 mm, 25 keV, in a
  lighter resin and with a noise of 5 per cm. Its distance, resin and noise lie between those of A and B, its energy
  above all.
- Seeds change which cases are labelled, first weights, crops and pairs; methods of one seed share labelled cases and
  first weights. Intervals are 95 %: seeds and test cases are resampled together, paired, and the percentiles are
  widened for so few seeds.
- **Equal steps**: every network takes {TASKS["torso"].steps} steps (refraction contrast: {TASKS["fringes"].steps}) of
  four crops; the federated one in {ROUNDS} rounds, at each site. A federated run thus computes three times the
  gradients of a local or a centralised one, at three sites at once.
- The best local model is chosen on the very data that it is compared on, which favours it.
- With pairs: {PAIRS} pairs of each site, from its own labelled cases. Organs: half by deformations that the site
  learned from its own {POOL} cases, labelled or not, and half by random elastic ones. Refraction contrast: labels are
  moved by elastic ones, and fringes are drawn by the site's own optics. All labels in one place come with the pairs of
  all sites, so that both have learned from the same pictures.
- Models that judge labels are left out; a voxel is of the class with the largest logit. Local and centralised networks
  are the running average of their last steps, the federated one is the mean of the sites after the last round, at each
  site with what its own crops give the norms, and at the absent one with what those of all sites give.
- Federated runs are made in one process (`train: {{mode: simulate}}`); what lies between sites is on paper.
- With FedBN a site that took no part has no norms of its own, so that it is not tested there.
"""


def write_report(records: list[Record], cells: Sequence[Cell], docs: Path) -> None:
    """Write ``federation.json``, ``federation.md`` and its figure into a folder.

    Parameters
    ----------
    records : list of dict
        Results of runs; without any the page says so.
    cells : sequence of Cell
        The plan, of which the page says how much is done.
    docs : Path
        Folder; its earlier page is replaced.
    """
    results = Results(records)
    write_runs(docs / "federation.json", results.records.values())
    parts = [
        "# Sites that train together\n",
        _figure(results, docs),
        _reached(results),
        _progress(results, cells),
        _dice(results),
        _goals(results),
        _gains(results),
        _rules(results),
        costs_told(results),
        growth_told(results),
        _registrations(results),
        NOTES,
    ]
    write_page(docs / "federation.md", parts)
    LOG.info("%d results in %s", len(records), docs / "federation.md")


def _figure(results: Results, docs: Path) -> str:
    """Draw what there is, and return the line that shows it; a figure of nothing is removed."""
    path = docs / "federation-sites.svg"
    panels = [_by_site(results, task, amplified) for task in TASKS for amplified in (False, True)]
    panels = [panel for panel in panels if panel.lines]
    if not panels:
        path.unlink(missing_ok=True)
        return ""
    title = "Dice on held-out data of each site"
    names = {method: METHODS[method] for method in COMPARED if any(method in panel.names for panel in panels)}
    places = f"1, 2, 3: sites A, B, C; 4: absent site {ABSENT}"
    look = Look(f"{title} (mean over organs; mean and range over seeds)", places, "Dice", STYLES)
    write_plot(path, look, panels, names)
    return f"![{title}]({path.name})\n"


def _by_site(results: Results, task: str, amplified: bool) -> Panel:
    panel = Panel(f"{TASKS[task].title}{', with pairs' * amplified}")
    for method in COMPARED:
        for place, site in enumerate(EVERYWHERE, start=1):
            panel.add(method, float(place), results.means(task, method, amplified, site))
    return panel


def _reached(results: Results) -> str:
    """Say of each number to be reached whether it is, as far as it was measured."""
    found, lines = list(results.comparisons()), []
    if shares := _verdicts([one for one in found if one.site != ABSENT], "to_central", SHARE):
        lines += [f"**At least {SHARE:.0%} of the Dice of all labels in one place, on every site:**\n", *shares, ""]
    if above := _verdicts(found, "above_best", 0.0):
        lines += ["**Above the best model of one other site, on every site, and on the site that took no part:**\n"]
        lines += [*above, ""]
    if told := overhead_told(results):
        lines += [f"**Overhead of a round of one minute, at most 20 %:** {told}", ""]
    return "\n".join(["## Are the numbers reached?\n", *lines]) if lines else ""


def _verdicts(found: list[Compared], name: str, least: float) -> list[str]:
    """Return a line for each task, with and without pairs, of which every site has the number."""
    lines = []
    for task in TASKS.values():
        for amplified in (False, True):
            mine = [one for one in found if (one.task, one.amplified) == (task, amplified)]
            each = {one.site: getattr(one, name) for one in mine if getattr(one, name) is not None}
            wanted = len(EVERYWHERE) - (name == "to_central")
            if len(each) == wanted:
                lines.append(f"- {task.title}{', with pairs' * amplified}: {verdict(each, least)}.")
    return lines


def verdict(each: dict[str, Estimate], least: float) -> str:
    """Say whether all sites reach a number, and where the intervals leave that open."""
    missed = [site for site, one in each.items() if one.value < least]
    doubtful = [site for site, one in each.items() if one.value >= least > one.low]
    if missed:
        return f"**not reached** at {', '.join(missed)}"
    if doubtful:
        return f"**reached** everywhere, but the interval leaves it open at {', '.join(doubtful)}"
    return "**reached** everywhere, intervals included"


def _progress(results: Results, cells: Sequence[Cell]) -> str:
    records = list(results.records.values())
    if not records:
        return "Nothing was run yet: `make bench-federation` makes the runs.\n"
    told = progress_told("federation", expected_cpu_s, cells, results.records)
    return told + trial_told(records) + made_with_told(records)


def _dice(results: Results) -> str:
    rows = []
    for task in TASKS.values():
        for amplified in (False, True):
            for method in COMPARED:
                each = [results.means(task.name, method, amplified, site) for site in EVERYWHERE]
                if any(each):
                    what = [task.title, "with" if amplified else "without", METHODS[method]]
                    rows.append([*what, *map(_spread, each), str(max(map(len, each)))])
    if not rows:
        return ""
    head = ["task", "pairs", "trained", *PLACES.values(), "seeds"]
    text = "Mean Dice over organs and held-out cases, and its standard deviation over seeds.\n"
    return f"## Dice\n\n{text}\n{table(head, rows)}{_organs(results)}"


def _spread(values: list[float]) -> str:
    if not values:
        return "not tested"
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


def _organs(results: Results) -> str:
    """Return Dice of each organ, where there are many."""
    rows = []
    for task in TASKS.values():
        organs = results.organs(task.name)
        for site in EVERYWHERE if len(organs) > 1 else ():
            for method in (CENTRAL, FEDERATED):
                seeds = list(results.by_seed(task.name, method, False, site).values())
                if seeds:
                    each = np.nanmean(np.concatenate(seeds), axis=0)
                    rows.append([PLACES[site], METHODS[method], *(f"{dice:.3f}" for dice in each)])
    if not rows:
        return ""
    names = [organ.replace("_", " ") for organ in results.organs("torso")]
    return f"\nEach organ, without pairs:\n\n{table(['held-out data', 'trained', *names], rows)}"


def _goals(results: Results) -> str:
    rows = []
    for one in results.comparisons():
        central, above = one.to_central, one.above_best
        if central is None or above is None:
            continue
        rows.append(
            [
                one.task.title,
                "with" if one.amplified else "without",
                PLACES[one.site],
                _interval(central, ".1%"),
                METHODS[one.best],
                _interval(above, "+.3f"),
                above.verdict,
            ]
        )
    if not rows:
        return ""
    head = ["task", "pairs", "held-out data", "share of centralised Dice (95 %)", "best other site's model"]
    head += ["federated minus that (95 %)", "federated is"]
    return f"## Federated beside the others\n\n{table(head, rows)}"


def _gains(results: Results) -> str:
    rows = []
    for task in TASKS.values():
        for method in COMPARED:
            each = [results.gain(task.name, method, site) for site in EVERYWHERE]
            if any(each):
                rows.append([task.title, METHODS[method], *(_interval(one, "+.3f") if one else "" for one in each)])
    if not rows:
        return ""
    return f"## What pairs add to Dice (95 %)\n\n{table(['task', 'trained', *PLACES.values()], rows)}"


def _rules(results: Results) -> str:
    """Return the other rules of averaging beside FedAvg, all of one seed."""
    seed, rows = 0, []
    for method in ALGORITHMS:
        each = [results.by_seed("torso", method, False, site).get(seed) for site in EVERYWHERE]
        told = ["not tested" if one is None else f"{np.nanmean(np.nanmean(one, axis=1)):.3f}" for one in each]
        if any(one is not None for one in each):
            rows.append([METHODS[method], *told])
    if len(rows) < 2:
        return ""
    text = f"Organs, without pairs, seed {seed} alone: differences of the size that seeds differ by say nothing.\n"
    return f"## Other rules of averaging\n\n{text}\n{table(['rule', *PLACES.values()], rows)}"


def _registrations(results: Results) -> str:
    lines = []
    for cell, record in results.registered.items():
        why = "".join(f"; {name} was refused: {reason}" for name, reason in record["refused"].items())
        seconds = statistics.median(record["seconds"])
        site = cell.method.split("_")[-1]
        lines.append(
            f"- Site {site}: {len(record['seconds'])} cases, {seconds:.0f} s each (wall, median), {record['folds']} "
            f"folded voxels{why}."
        )
    return "\n".join(["## Registration\n", *lines, ""]) if lines else ""


def _interval(one: Estimate, form: str) -> str:
    return f"{one.value:{form}} ({one.low:{form}} to {one.high:{form}})"
