"""The demo with ten seeds: how often each line of its comparison with the truth holds.

`python -m benchmarks.demo_seeds [WORK [SEEDS]]` goes the way of `make demo` once for each seed (about six minutes each
on one core), in a folder of its own below WORK, and writes docs/benchmarks/demo.{json,md}. A seed is that of the
simulated scan, of training and of the intervals. Seeds that are finished in WORK are not run again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from tomoprofile.layout import Layout
from tomoprofile.run.against_truth import compare

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs/benchmarks"
BIN = Path(sys.executable).parent
SEEDS = 10
Line = dict[str, Any]  # a Comparison, and whether it is within its tolerance


def main() -> None:
    """Run the seeds that are missing, and write what is known."""
    work = Path(sys.argv[1] if len(sys.argv) > 1 else "build/demo_seeds").absolute()
    seeds = range(1, 1 + (int(sys.argv[2]) if len(sys.argv) > 2 else SEEDS))
    found: dict[int, list[Line]] = {}
    for seed in seeds:
        done = work / f"{seed}/lines.json"
        if not done.exists():
            lines = run(seed, done.parent)
            done.write_text(json.dumps(lines, indent=1, default=float) + "\n")
        found[seed] = json.loads(done.read_text())
        (OUT / "demo.json").write_text(json.dumps(found, indent=1) + "\n")
        (OUT / "demo.md").write_text(page(found))


def run(seed: int, folder: Path) -> list[Line]:
    """Go the way of `make demo` in a folder; returns the lines of its comparison."""
    config = yaml.safe_load((ROOT / "config/demo/config.yaml").read_text()) | {"seed": seed}
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    files = Layout(folder / config["results"]).scan("phantom_A")
    labels = "demo/labels/phantom_A"

    def call(program: str, *arguments: object) -> None:
        subprocess.run([str(BIN / program), *map(str, arguments)], cwd=folder, check=True)

    if not (folder / "demo/truth/settings.json").exists():
        call("tomoprofile", "phantom", "demo", "--seed", seed)
    call("tomoprofile", "scan", "demo/raw", "--labels", "demo/labels", "--out", config["samples"])
    workflow = ("--cores", 1, "--snakefile", ROOT / "Snakefile")
    call("snakemake", *workflow)
    call("tomoprofile", "annotate", "demo/truth", files.to_label.table, labels)
    call("snakemake", *workflow)
    return [{**asdict(line), "ok": bool(line.ok)} for line in compare(folder / "demo/truth", files.folder)]


def page(found: dict[int, list[Line]]) -> str:
    """Return the page: every line with the seeds that miss it."""
    by_line: dict[str, dict[int, Line]] = defaultdict(dict)
    for seed, lines in found.items():
        for line in lines:
            by_line[line["what"]][seed] = line
    passing = [seed for seed, lines in found.items() if all(line["ok"] for line in lines)]
    rows = [
        f"| {what} | {sum(line['ok'] for line in of.values())} of {len(of)} | {_missed(of)} |"
        for what, of in by_line.items()
    ]
    which = ", ".join(map(str, passing)) or "none"
    return "\n".join(
        [
            "# The demo with other seeds",
            "",
            "`make bench-demo` goes the way of `make demo` once for each seed, which is that of the simulated scan, of",
            "training and of the intervals, on one core, and writes this page. No seed was left out. Training on",
            "another number of cores rounds differently and gives another network, as another seed does.",
            "",
            f"**{len(passing)} of {len(found)} seeds pass every line** (seeds {which}).",
            "",
            "| line | within its tolerance | outside: seed, measured, truth, tolerance |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _missed(of: dict[int, Line]) -> str:
    missed = {seed: line for seed, line in of.items() if not line["ok"]}
    told = (
        f"{seed}: {line['measured']:.4g}, {line['truth']:.4g}, {line['tolerance']:.3g}" for seed, line in missed.items()
    )
    return "; ".join(told) or "none"


if __name__ == "__main__":
    main()
