"""Register a case to the template of its model."""

from pathlib import Path

from tomoprofile.amplify.stages import register
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    register(
        snakemake.wildcards.sample,
        Path(snakemake.params.volume),
        Path(snakemake.input.template),
        Path(snakemake.output.registration),
        snakemake.threads,
    )
