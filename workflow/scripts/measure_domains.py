"""Measure every domain, at three levels of probability."""

from pathlib import Path

from tomoprofile.domains.table import measure_domains
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    familiarity = snakemake.input.get("familiarity")
    for name in ("low", "calibrated", "high"):
        measure_domains(
            Path(snakemake.input[name]),
            Path(snakemake.params.volume),
            Path(snakemake.params.probability),
            Path(snakemake.input.interface),
            Path(snakemake.output[name]),
            snakemake.threads,
            Path(familiarity) if familiarity else None,
        )
