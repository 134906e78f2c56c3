"""A beamtime on paper: how long Snakemake plans 300 scans of 2048 cubed, and how many files each makes.

Plans from nothing, as on the first day, in a fresh process; prints a Markdown table. No scan is needed: one that is not
there is the business of its check, which a dry run does not do.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tomoprofile.config import read_config
from tomoprofile.run.estimates import needs_of
from tomoprofile.samples import Scan, write_samples

SCANS, SIDE, REPEATS = 300, 2048, 5
ROOT = Path(__file__).parents[1]


def scan(number: int) -> Scan:
    """Return a row of the sheet."""
    return Scan(
        sample=f"scan_{number:03d}",
        path=f"/nowhere/scan_{number:03d}",
        format="tiff_folder",
        slices=SIDE,
        rows=SIDE,
        columns=SIDE,
        dtype="uint16",
        voxel_size_um="0.5",
        labels="labels" if number == 0 else "",
    )


def plan(folder: Path) -> tuple[float, float, int]:
    """Return seconds, CPU seconds and jobs of one dry run."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--cores", "2"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [*command, "--quiet", "rules", "--workflow-profile", "none"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    total = next(line for line in done.stdout.splitlines() if line.startswith("total "))
    return wall, cpu, int(total.split()[1])


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_samples(folder / "config/samples.tsv", [scan(number) for number in range(SCANS)])
        (folder / "config/config.yaml").write_text("{}\n")
        (folder / "labels").mkdir()
        (folder / "labels/scan_000_z00001.tif").touch()  # without labels less is planned
        runs = [plan(folder) for _ in range(REPEATS)]
    wall, cpu = (statistics.median(run[i] for run in runs) for i in (0, 1))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    files = needs_of(scan(0), read_config({})).files
    print("| scans | jobs | dry run, s (spread) | CPU s | peak memory, GB | files of a scan |")
    print("|---|---|---|---|---|---|")
    walls = [run[0] for run in runs]
    spread = f"{wall:.1f} ({min(walls):.1f}-{max(walls):.1f})"
    print(f"| {SCANS} | {runs[0][2]} | {spread} | {cpu:.1f} | {peak:.2f} | {files} |")


if __name__ == "__main__":
    main()
