"""Copy one slab of a raw scan into its OME-Zarr store, grey values unchanged."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.volume.convert import convert_slab
from tomoprofile.volume.store import open_store

with rule_logging(snakemake.log[0]):
    start, stop = snakemake.params.slices
    volume = Path(snakemake.input.store).parents[1]
    digest = convert_slab(Scan.model_validate(snakemake.params.scan), volume, start, stop)
    open_store(volume).complete(snakemake.output.record, start, stop, sha256=digest, raw=snakemake.params.raw)
