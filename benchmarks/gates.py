"""The acceptance gates on simulated scans, through the whole workflow: from raw slices to tables, beside the truth.

`python -m benchmarks.gates [WORK [COLUMN ...]]` runs one column after the other (about five minutes each on two cores)
in a folder of its own and writes docs/benchmarks/gates.{json,md}; columns that are finished in WORK are not run again.
Models that a column needs of another one, or of three sites that train together, are trained first.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.acceptance import (
    CARRIED_LABELLED,
    CARRIED_UNLABELLED,
    HARD,
    SIMPLE,
    TEXTURED,
    VOIDS,
    Gate,
    Tolerances,
    gates,
)
from benchmarks.amplification.cases import PHANTOMS
from tomoprofile.config import OWN_BASE, UNetConfig
from tomoprofile.layout import Layout, TruthLayout
from tomoprofile.logs import LOG, log_to_terminal
from tomoprofile.phantom.annotator import annotate
from tomoprofile.phantom.files import write_scan, write_truth
from tomoprofile.phantom.scan import PhantomSettings, simulate
from tomoprofile.phantom.settings import plain_profile
from tomoprofile.samples import read_samples, write_samples
from tomoprofile.shift.alarm import Familiarity

ROOT = Path(__file__).parents[1]
RESULTS = Layout("results")  # as the folder of a column sees it
OUT = ROOT / "docs" / "benchmarks"
BIN = Path(sys.executable).parent
SIZE = (256, 256, 256)
CORES = len(os.sched_getaffinity(0))
CLASSES = {"background": 0, "domain": 1, "void": 2}


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
    tolerances : Tolerances
        How near to the truth it must come.
    base : str
        Column whose model is used as it is, or fine-tuned when there are labels; a site in `SITES`, whose bundle of
        the model of all sites is used as it is; `tomoprofile`, the base, as it is; or `otsu`.
    voids : bool
        Whether voids are labelled and measured beside the domains.
    settings : dict
        Departures of the scan from its kind.
    """

    name: str
    kind: str
    labels: int
    seed: int
    tolerances: Tolerances
    base: str = ""
    voids: bool = False
    settings: dict[str, float] = field(default_factory=dict)


# Three sites that train one model, each from a scan of its own: kind and seed.
SITES = {"site A": ("A", 41), "site B": ("B", 42), "site C": ("C", 43)}
SITE_LABELS = 3
# A scan as no site has, that of the benchmark of federation.
LIKE_D, ABSENT, _ = PHANTOMS["phantom_D"]

COLUMNS = (
    Column("first look at B, no label", "B", 0, 23, CARRIED_UNLABELLED, OWN_BASE),
    Column("simple A, 1 label", "A", 1, 21, SIMPLE),
    Column("A, 3 labels", "A", 3, 22, SIMPLE),
    Column("carried A to B, no label", "B", 0, 23, CARRIED_UNLABELLED, "A, 3 labels"),
    Column("carried A to B, 1 label", "B", 1, 23, CARRIED_LABELLED, "A, 3 labels"),
    Column("C, 3 labels", "C", 3, 24, TEXTURED),
    Column("hard A (noise 27), 3 labels", "A", 3, 25, HARD, settings={"noise_per_cm": 27.0}),
    Column("simple B, 1 label", "B", 1, 23, SIMPLE),
    Column("B, domains and voids, 3 labels", "B", 3, 26, SIMPLE, voids=True),
    Column("Otsu on B", "B", 0, 23, SIMPLE, "otsu"),
    Column("first look at D, no label", LIKE_D, 0, 44, CARRIED_UNLABELLED, OWN_BASE, settings=ABSENT),
    Column("carried A to D, no label", LIKE_D, 0, 44, CARRIED_UNLABELLED, "A, 3 labels", settings=ABSENT),
    *(
        Column(f"A, B and C together to D, bundle of {site}", LIKE_D, 0, 44, CARRIED_UNLABELLED, site, settings=ABSENT)
        for site in SITES
    ),
)


def main() -> None:
    """Run what is missing, write the tables, and fail when a gate is missed by anything but the threshold."""
    work = Path(sys.argv[1] if len(sys.argv) > 1 else "gates").absolute()
    wanted = sys.argv[2:]
    log_to_terminal()
    # A column that is not in WORK keeps what the page says of it.
    found: dict[str, list[dict[str, Any]]] = json.loads((OUT / "gates.json").read_text())
    for column in COLUMNS:
        done = work / slug(column.name) / "gates.json"
        if not done.exists() and (not wanted or column.name in wanted):
            LOG.info("column %s", column.name)
            run(column, work)
            folder = work / slug(column.name)
            rows = [asdict(gate) | {"ok": gate.ok} for gate in gates_of(column, folder)]
            done.write_text(json.dumps(rows, indent=1) + "\n")
        if done.exists():
            found[column.name] = json.loads(done.read_text())
    found = {column.name: found[column.name] for column in COLUMNS if column.name in found}
    (OUT / "gates.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUT / "gates.md").write_text(page(found))
    missed = [
        f"{column.name}: {gate['name']} {gate['what']}: {gate['measured']:.4g}"
        for column in COLUMNS
        for gate in found.get(column.name, [])
        if not gate["ok"] and column.base != "otsu"
    ]
    if missed:
        sys.exit("\n".join(["missed:", *missed]))


def gates_of(column: Column, folder: Path) -> list[Gate]:
    """Return the gates of a column, and whether the alarm for unlike scans rang where it must (A10)."""
    files = Layout(folder / RESULTS.results).scan("scan")
    found = gates(folder / "truth", files, column.tolerances)
    if column.voids:
        of_voids = gates(folder / "truth", files, VOIDS, "void")
        found += [replace(gate, what=f"voids: {gate.what}") for gate in of_voids]
    if files.familiarity.exists():
        status = Familiarity.load(files.familiarity).status
        # Only the bundle that was used as it is meets a scan of another beamtime.
        must = ("outside",) if column.base and not column.labels else ("inside", "edge")
        found.append(Gate("A10", f"alarm, which says {status}", float(status in must), 1, 1))
    return found


def slug(name: str) -> str:
    """Return a name for a folder."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def run(column: Column, work: Path) -> None:
    """Simulate, label, and run the workflow as a user would."""
    folder = work / slug(column.name)
    make_scan(column.kind, column.seed, column.settings, folder / "raw" / "scan", folder / "truth")
    model: dict[str, Any] = {"method": "unet"}
    if column.voids:
        model |= {"classes": CLASSES, "measure": ["domain", "void"]}
    if column.base == "otsu":
        model = {"method": "otsu"}
    elif column.base == OWN_BASE:
        model = {"method": "bundle", "bundle": OWN_BASE}
    elif column.base in SITES:
        model = {"method": "bundle", "bundle": str(bundle_of_all(column.base, work))}
    elif column.base:
        earlier = str(bundle_of(column.base, work))
        model = {"method": "unet", "base": earlier} if column.labels else {"method": "bundle", "bundle": earlier}
    config = {
        "models": {"default": model},
        "pick": {"slices": max(column.labels, 1)},
        "profile": plain_profile(bin_um=1.0),
    }
    configure(folder, config)
    command(folder, "tomoprofile", "scan", "raw", *(["--labels", "labels"] if column.labels else []))
    if column.labels:
        command(folder, "snakemake", "pick")
        labelled = folder / RESULTS.scan("scan").to_label.table
        classes = CLASSES if column.voids else UNetConfig().classes
        annotate(folder / "truth", labelled, folder / "labels/scan", classes)
    command(folder, "snakemake", str(RESULTS.scan("scan").report))


def make_scan(kind: str, seed: int, settings: dict[str, float], raw: Path, truth: Path) -> None:
    """Simulate a scan and its truth, unless they are there."""
    if not TruthLayout(truth).settings.exists():
        phantom = simulate(PhantomSettings.of_kind(kind, SIZE, seed, **settings))
        write_scan(phantom, raw, "tiff_folder_f32")
        write_truth(phantom, truth)


def bundle_of(name: str, work: Path) -> Path:
    """Return the bundle that a column trained; without one the column is run."""
    bundle = work / slug(name) / RESULTS.model("default").folder
    if not bundle.is_dir():
        run(next(column for column in COLUMNS if column.name == name), work)
    return bundle


def bundle_of_all(site: str, work: Path) -> Path:
    """Return the bundle of a site of the model that all sites train together, by the workflow in one process."""
    folder = work / "together"
    names = {name: slug(name) for name in SITES}
    metadata = [RESULTS.model(name).metadata for name in names.values()]
    if not all((folder / path).exists() for path in metadata):
        for name, (kind, seed) in SITES.items():
            make_scan(kind, seed, {}, folder / "raw" / names[name], folder / "truth" / names[name])
        model = {"method": "unet", "input_scale": 2, "train": {"mode": "simulate", "run": "together"}}
        configure(folder, {"models": dict.fromkeys(names.values(), model), "pick": {"slices": SITE_LABELS}})
        command(folder, "tomoprofile", "scan", "raw", "--labels", "labels", "--model", names[site])
        sheet = folder / "config/samples.tsv"
        scans = read_samples(sheet, names.values())
        write_samples(sheet, [scan.model_copy(update={"model": scan.sample}) for scan in scans])
        command(folder, "snakemake", "pick")
        for name in names.values():
            labelled = folder / RESULTS.scan(name).to_label.table
            annotate(folder / "truth" / name, labelled, folder / "labels" / name, UNetConfig().classes)
        command(folder, "snakemake", *map(str, metadata))
    return folder / RESULTS.model(names[site]).folder


def configure(folder: Path, config: dict[str, Any]) -> None:
    """Write the configuration of a project."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def command(folder: Path, program: str, *arguments: str) -> None:
    """Run a program of the environment in a folder."""
    more = ["--snakefile", ROOT / "Snakefile", "--workflow-profile", ROOT / "profiles/default", "--cores", CORES]
    call = [BIN / program, *arguments, *(more if program == "snakemake" else [])]
    paths = f"{ROOT / 'workflow/scripts'}:{os.environ.get('PYTHONPATH', '')}"
    subprocess.run([str(part) for part in call], cwd=folder, env=os.environ | {"PYTHONPATH": paths}, check=True)


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the Markdown page."""
    lines = [
        "# Acceptance gates",
        "",
        f"`make acceptance`: scans of {'x'.join(map(str, SIZE))} voxels, the whole way with default settings but for",
        "depth bins of 1 um. Each cell: measured (allowed); **bold** misses its gate. A threshold must miss. The same",
        "gates with the true mask, and the wrong ways to measure that must miss them: `tests/acceptance`.",
        "D is a scan of nobody who trained: as A, but 35 mm from the detector, at 25 keV, in lighter resin, with more",
        "noise (5 per cm). *Together*: three sites trained one model (`train: {mode: simulate}`, default rounds), each",
        "on three slices of a scan of its own; their bundles differ in statistics of norms, level and calibration.",
    ]
    for name, rows in found.items():
        missed = sum(not row["ok"] for row in rows)
        verdict = f"{missed} of {len(rows)} missed" if missed else f"all {len(rows)} reached"
        lines += ["", f"## {name}: {verdict}", "", "| gate | what | measured | allowed |", "|---|---|---|---|"]
        lines += [line(row) for row in rows]
    return "\n".join(lines) + "\n"


def line(row: dict[str, Any]) -> str:
    """Return one gate as a row of a table."""
    low, high = row["lowest"], row["highest"]
    allowed = f"{low:.4g} to {high:.4g}"
    if math.isinf(high):
        allowed = f"at least {low:.4g}"
    elif math.isinf(low):
        allowed = f"at most {high:.4g}"
    measured = f"{row['measured']:.4g} {row['unit']}".strip()
    return f"| {row['name']} | {row['what']} | {measured if row['ok'] else f'**{measured}**'} | {allowed} |"


if __name__ == "__main__":
    main()
