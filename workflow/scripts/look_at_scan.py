"""Describe how a scan looks: scale of grey values, noise, rims, contrast."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.shift.appearance import look_at_scan

with rule_logging(snakemake.log[0]):
    look_at_scan(Path(snakemake.params.volume), Path(snakemake.input.interface), Path(snakemake.output.appearance))
