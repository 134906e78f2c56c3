"""Gather the labelled slices of a model into one training set."""

from pathlib import Path

from tomoprofile.config import UNetConfig
from tomoprofile.labels.training_set import LabelledScan, collect_labels
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    scans = [LabelledScan.of(row) for row in snakemake.params.scans]
    config = UNetConfig.model_validate(snakemake.params.model)
    collect_labels(scans, config, Path(snakemake.output.training_set))
