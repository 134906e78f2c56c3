"""Take the case to which all others are registered."""

from pathlib import Path

from tomoprofile.amplify.stages import take_template
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    volumes = {name: Path(path) for name, path in snakemake.params.volumes.items()}
    take_template(volumes, snakemake.params.spacing_um, Path(snakemake.output.template))
