"""Write the metadata of the stores of the probability of each measured class, and of its uncertainty."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.volume.convert import create_probability

with rule_logging(snakemake.log[0]):
    params = snakemake.params
    create_probability(
        Scan.model_validate(params.scan),
        params.shard_slices,
        params.classes,
        Path(snakemake.output.metadata).parent,
        Path(params.uncertainty) if params.uncertainty else None,
    )
