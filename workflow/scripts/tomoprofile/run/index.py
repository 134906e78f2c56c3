"""The page of the beamtime from whatever a run has left: finished scans, failed ones, missing ones."""

from __future__ import annotations

from pathlib import Path

from ..report.beamtime import BeamtimeEntry, report_beamtime
from ..segment.kinds import segmenter_of
from .record import Run
from .status import ScanStatus, read_status, trouble_lines
from .waiting import has_labels, same_command, what_to_label


def write_index(run: Run) -> list[ScanStatus]:
    """Write the page and the table of a run that may be unfinished; returns the state of each scan."""
    scans = read_status(run)
    entries = [_entry(run, status) for status in scans]
    checks = [path for entry in entries for path in (entry.files.check, *_label_check(run, entry))]
    report_beamtime(
        entries,
        [check for check in checks if check.exists()],
        run.config.report.title,
        run.layout.index,
        run.layout.comparison,
    )
    return scans


def _label_check(run: Run, entry: BeamtimeEntry) -> list[Path]:
    """Return what the check found in the labels of a scan, unless they are gone since then."""
    return [entry.files.label_check] if has_labels(entry.scan, run.work_dir) else []


def _entry(run: Run, status: ScanStatus) -> BeamtimeEntry:
    troubles = []
    for job in status.troubles:
        heading, *text = trouble_lines(status.scan.sample, job, run)
        troubles.append((heading.partition(": ")[2], "\n".join(text)))
    segmenter = Path(run.work_dir) / segmenter_of(status.scan, run.config).path
    what = what_to_label(status.scan, run.layout, run.work_dir) or "label another scan of its model"
    waits_for = f"{what}. Then run the same command again: {same_command(run.command)}"
    return BeamtimeEntry(
        status.scan,
        run.layout.scan(status.scan.sample),
        segmenter,
        tuple(troubles),
        waits_for if status.state == "waiting" else "",
        run.config.words_of(status.scan.model),
    )
