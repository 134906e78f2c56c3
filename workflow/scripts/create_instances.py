"""Write the metadata of the store for objects that came labelled."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.segment.given_mask import create_instances

with rule_logging(snakemake.log[0]):
    scan = Scan.model_validate(snakemake.params.scan)
    create_instances(scan, snakemake.params.shard_slices, Path(snakemake.output.metadata).parent)
