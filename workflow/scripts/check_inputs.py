"""Open a scan and report every fault before anything is computed from it; labels are checked when they are there."""

from tomoprofile.config import read_config
from tomoprofile.logs import rule_logging
from tomoprofile.run.check import check_all_but_labels, write_findings
from tomoprofile.run.feasibility import require
from tomoprofile.samples import read_samples
from tomoprofile.segment.kinds import segmenter_of

with rule_logging(snakemake.log[0]):
    config = read_config(snakemake.config)
    scans = {scan.sample: scan for scan in read_samples(config.samples, config.models)}
    scan = scans[snakemake.wildcards.sample]
    findings = check_all_but_labels(scan, segmenter_of(scan, config))
    require(findings)
    write_findings(findings, snakemake.output.table)
