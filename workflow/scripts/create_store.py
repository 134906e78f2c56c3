"""Write the layout of the store of a scan's grey values."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.volume.store import lay_out_store

with rule_logging(snakemake.log[0]):
    scan = Scan.model_validate(snakemake.params.scan)
    volume = Path(snakemake.output.array).parents[1]
    lay_out_store(volume, scan.shape, scan.stored_dtype, snakemake.params.shard_slices)
