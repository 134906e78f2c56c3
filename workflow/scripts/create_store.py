"""Write the metadata of the stores of a scan."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.volume.convert import create_stores

with rule_logging(snakemake.log[0]):
    create_stores(
        Scan.model_validate(snakemake.params.scan),
        snakemake.params.shard_slices,
        Path(snakemake.output.volume).parent,
        Path(snakemake.output.probability).parent,
        snakemake.params.classes,
        snakemake.params.uncertainty,
    )
