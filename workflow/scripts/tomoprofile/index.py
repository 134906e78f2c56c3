"""The page of the beamtime from whatever a run has left: finished scans, failed ones, missing ones."""

from __future__ import annotations

import os
from pathlib import Path

from .report.beamtime import BeamtimeEntry, report_beamtime
from .runs import Run
from .status import ScanStatus, read_status, trouble_lines


def write_index(run: Run, out: Path) -> list[ScanStatus]:
    """Write the page of a run that may be unfinished; returns the state of each scan.

    While a scan lacks results the page is dated before everything else, so that the workflow makes it again; so is a
    check that found faults, because they will be mended.

    Parameters
    ----------
    run : Run
    out : Path
        ``index.html``.
    """
    scans = read_status(run)
    entries = [_entry(run, status) for status in scans]
    check = run.results / "check.tsv"
    report_beamtime(entries, check, run.config.report.title, out)
    if any(status.state != "done" for status in scans):
        os.utime(out, (0, 0))
    if "\terror\t" in check.read_text(encoding="utf-8"):
        os.utime(check, (0, 0))
    return scans


def _entry(run: Run, status: ScanStatus) -> BeamtimeEntry:
    folder = run.results / status.scan.sample
    troubles = []
    for job in status.troubles:
        heading, *text = trouble_lines(status.scan.sample, job, run)
        troubles.append((heading.partition(": ")[2], "\n".join(text)))
    return BeamtimeEntry(
        status.scan.sample,
        folder / "zones.parquet",
        folder / "interface.json",
        folder / "report.html",
        tuple(troubles),
    )
