"""Write the metadata of the two stores of a scan."""

from pathlib import Path

from tomoprofile.check import require_faultless
from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.volume.convert import create_stores

with rule_logging(snakemake.log[0]):
    require_faultless(snakemake.wildcards.sample, snakemake.input.check)
    create_stores(
        Scan.model_validate(snakemake.params.scan),
        snakemake.params.shard_slices,
        Path(snakemake.output.volume).parent,
        Path(snakemake.output.probability).parent,
    )
