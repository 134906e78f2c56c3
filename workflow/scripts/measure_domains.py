"""Measure every domain, at three levels of probability."""

from pathlib import Path

from tomoprofile.domains.table import measure_domains
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    for name in ("low", "calibrated", "high"):
        measure_domains(
            Path(snakemake.input[name]),
            Path(snakemake.params.volume),
            Path(snakemake.params.probability),
            Path(snakemake.input.interface),
            Path(snakemake.output[name]),
            snakemake.threads,
        )
