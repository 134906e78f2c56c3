"""The page of the beamtime: every scan side by side, and the numbers of the comparison."""

from pathlib import Path

from tomoprofile.config_profile import Words
from tomoprofile.layout import ScanLayout
from tomoprofile.logs import rule_logging
from tomoprofile.report.beamtime import BeamtimeEntry, report_beamtime
from tomoprofile.samples import Scan

with rule_logging(snakemake.log[0]):
    found, params = snakemake.input, snakemake.params
    rows = zip(params.scans, found.reports, params.segmenters, params.words, strict=True)
    entries = [
        BeamtimeEntry(Scan(**scan), ScanLayout(Path(page).parent), Path(segmenter), words=Words(**words))
        for scan, page, segmenter, words in rows
    ]
    checks = [Path(check) for check in found.checks]
    report_beamtime(entries, checks, params.title, Path(snakemake.output.page), Path(snakemake.output.comparison))
