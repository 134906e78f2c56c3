"""The acceptance gates on simulated scans, through the whole workflow: from raw slices to tables, beside the truth.

`python benchmarks/gates.py [WORK]` runs one column after the other (about five minutes each on two cores) in a folder
of its own and writes docs/benchmarks/gates.{json,md}; columns that are finished in WORK are not run again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tomoprofile.logs import LOG, log_to_terminal
from tomoprofile.phantom.annotator import annotate
from tomoprofile.phantom.comparison import compare
from tomoprofile.phantom.files import write_scan, write_truth
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.segment.alarm import Familiarity

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "benchmarks"
BIN = Path(sys.executable).parent
SIZE = (256, 256, 256)


@dataclass(frozen=True)
class Column:
    """One way to meet a scan.

    Attributes
    ----------
    name, kind : str
    labels : int
        Slices that are labelled.
    seed : int
        Of the scan.
    base : str
        Column whose model is used as it is, or fine-tuned when there are labels.
    volume_points, diameter_um, count_percent, large_percent : float
        Gates: volume ratio and mean diameter beyond 80 um, number of domains, diameter of large ones.
    settings : dict
        Departures of the scan from its kind.
    """

    name: str
    kind: str
    labels: int
    seed: int
    volume_points: float
    diameter_um: float
    count_percent: float
    large_percent: float
    base: str = ""
    settings: dict[str, float] = field(default_factory=dict)


COLUMNS = (
    Column("simple A, 1 label", "A", 1, 21, 0.1, 0.05, 1, 3),
    Column("A, 3 labels", "A", 3, 22, 0.1, 0.05, 1, 3),
    Column("carried A to B, no label", "B", 0, 23, 0.4, 0.2, 5, 5, "A, 3 labels"),
    Column("carried A to B, 1 label", "B", 1, 23, 0.2, 0.1, 2, 5, "A, 3 labels"),
    Column("C, 3 labels", "C", 3, 24, 0.4, 0.2, 5, 5),
    Column("hard A (noise 27), 3 labels", "A", 3, 25, 0.2, 0.08, 2, 5, settings={"noise_per_cm": 27.0}),
    Column("simple B, 1 label", "B", 1, 23, 0.1, 0.05, 1, 3),
    Column("Otsu on A", "A", 0, 22, 0.1, 0.05, 1, 3, "otsu"),
)


def main() -> None:
    """Run what is missing and write the tables."""
    work = Path(sys.argv[1] if len(sys.argv) > 1 else "gates").absolute()
    log_to_terminal()
    rows = []
    for column in COLUMNS:
        done = work / slug(column.name) / "row.json"
        if not done.exists():
            LOG.info("column %s", column.name)
            run(column, work)
            done.write_text(json.dumps(row(column, work), indent=1) + "\n")
        rows.append(json.loads(done.read_text()))
        (OUT / "gates.json").write_text(json.dumps(rows, indent=1) + "\n")
        (OUT / "gates.md").write_text(page(rows))


def slug(name: str) -> str:
    """Return a name for a folder."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def run(column: Column, work: Path) -> None:
    """Simulate, label, and run the workflow as a user would."""
    folder = work / slug(column.name)
    truth = folder / "truth"
    if not (truth / "settings.json").exists():
        phantom = simulate(PhantomSettings.of_kind(column.kind, SIZE, column.seed, **column.settings))
        write_scan(phantom, folder / "raw" / "scan", "tiff_folder_f32")
        write_truth(phantom, truth)
    model: dict[str, Any] = {"method": "unet"}
    if column.base == "otsu":
        model = {"method": "otsu"}
    elif column.base:
        earlier = str(work / slug(column.base) / "results/models/default")
        model = {"method": "unet", "base": earlier} if column.labels else {"method": "bundle", "bundle": earlier}
    config = {"models": {"default": model}, "pick": {"slices": max(column.labels, 1)}}
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    command(folder, "tomoprofile", "scan", "raw", *(["--labels", "labels"] if column.labels else []))
    if column.labels:
        command(folder, "snakemake", "pick")
        annotate(truth, folder / "results/scan/to_label/slices.tsv", folder / "labels/scan")
    command(folder, "snakemake", "results/scan/report.html")


def command(folder: Path, program: str, *arguments: str) -> None:
    """Run a program of the environment in a folder."""
    more = ["--snakefile", ROOT / "Snakefile", "--workflow-profile", ROOT / "profiles/default", "--cores", "2"]
    call = [BIN / program, *arguments, *(more if program == "snakemake" else [])]
    paths = f"{ROOT / 'workflow/scripts'}:{os.environ.get('PYTHONPATH', '')}"
    subprocess.run([str(part) for part in call], cwd=folder, env=os.environ | {"PYTHONPATH": paths}, check=True)


def row(column: Column, work: Path) -> dict[str, Any]:
    """Return what was measured, beside truth and gate."""
    folder = work / slug(column.name)
    results = folder / "results/scan"
    found = {item.what: item for item in compare(folder / "truth", results)}

    def pick(begin: str) -> Any:
        return next((item for what, item in found.items() if what.startswith(begin)), None)

    ratio, diameter, number = pick("volume ratio"), pick("mean equivalent diameter"), pick("number of domains")
    large, small, worst = pick("large domains"), pick("smaller domains"), pick("worst error of a large")
    zones = pd.read_parquet(results / "zones.parquet").set_index(["zone", "level"])
    bulk = zones.loc["bulk"]
    band = (bulk["volume_ratio"].min(), bulk["volume_ratio"].max())
    inside = min(band[0], bulk.at["calibrated", "volume_ratio_lo"]) <= ratio.truth / 100
    inside = inside and ratio.truth / 100 <= max(band[1], bulk.at["calibrated", "volume_ratio_hi"])
    verdict = results / "familiarity.json"
    return {
        "column": column.name,
        "volume_percent": [ratio.measured, ratio.truth, column.volume_points],
        "diameter_um": [diameter.measured, diameter.truth, column.diameter_um],
        "count": [number.measured, number.truth, column.count_percent * number.truth / 100],
        "large_found": [large.measured, large.truth, 0],
        "small_near_substrate": [small.measured, 0, 0],
        "large_worst_percent": [worst.measured if worst else None, 0, column.large_percent],
        "truth_in_interval": bool(inside),
        "familiarity": Familiarity.load(verdict).status if verdict.exists() else "",
    }


def page(rows: list[dict[str, Any]]) -> str:
    """Return the Markdown page."""
    lines = [
        "# Acceptance gates",
        "",
        f"`python benchmarks/gates.py`: scans of {'x'.join(map(str, SIZE))} voxels, default settings, the whole way.",
        "Each cell: measured (truth, gate); **bold** misses its gate. Beyond 80 um from the substrate: volume ratio,",
        "mean diameter, number. Within 25 um: large domains found, smaller ones that are not there, worst diameter",
        "of a large one in percent. Covered: whether the truth lies in the 95 % interval widened by the boundary band.",
        "",
        "| scan and labels | volume ratio, % | mean diameter, um | domains | large found | false small | worst large "
        "| covered | alarm |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in rows:
        names = ("volume_percent", "diameter_um", "count", "large_found", "small_near_substrate", "large_worst_percent")
        cells = [cell(*entry[name]) for name in names]
        inside = "yes" if entry["truth_in_interval"] else "**no**"
        lines.append(f"| {entry['column']} | {' | '.join(cells)} | {inside} | {entry['familiarity'] or 'none'} |")
    return "\n".join(lines) + "\n"


def cell(measured: float | None, truth: float, gate: float) -> str:
    """Return one number with truth and gate."""
    if measured is None:
        return "**none found**"
    text = f"{measured:.4g} ({truth:.4g}, {gate:.2g})"
    return text if abs(measured - truth) <= gate else f"**{text}**"


if __name__ == "__main__":
    main()
