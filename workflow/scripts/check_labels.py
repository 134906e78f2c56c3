"""Check the labels of a scan: files, values, classes, annotators, and whether they fit the grey values."""

from tomoprofile.config import UNetConfig
from tomoprofile.labels.classes import Classes
from tomoprofile.logs import rule_logging
from tomoprofile.run.check import check_only_labels, write_findings
from tomoprofile.run.feasibility import require
from tomoprofile.samples import Scan

with rule_logging(snakemake.log[0]):
    params = snakemake.params
    classes = Classes.of(UNetConfig.model_validate(params.model))
    findings = check_only_labels(Scan(**params.scan), classes)
    require(findings)
    write_findings(findings, snakemake.output.table)
