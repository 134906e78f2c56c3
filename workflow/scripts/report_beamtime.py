"""The page of the beamtime: every scan side by side."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.report.beamtime import BeamtimeEntry, report_beamtime

with rule_logging(snakemake.log[0]):
    found = snakemake.input
    rows = zip(snakemake.params.samples, found.zones, found.interfaces, found.reports, strict=True)
    entries = [BeamtimeEntry(name, Path(zones), Path(plane), Path(page)) for name, zones, plane, page in rows]
    checks = [Path(check) for check in found.checks]
    report_beamtime(entries, checks, snakemake.params.title, Path(snakemake.output.page))
