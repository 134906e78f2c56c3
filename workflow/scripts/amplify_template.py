"""Take the case to which all others are registered."""

from pathlib import Path

from tomoprofile.amplify.stages import take_template
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    take_template(
        snakemake.params.sample,
        Path(snakemake.params.volume),
        snakemake.params.spacing_um,
        Path(snakemake.output.template),
    )
