"""Copy one slab of a raw scan into its OME-Zarr store, grey values unchanged."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.volume.convert import convert_slab, write_marker

with rule_logging(snakemake.log[0]):
    start, stop = snakemake.params.slices
    convert_slab(Scan.model_validate(snakemake.params.scan), Path(snakemake.input.store).parent, start, stop)
    write_marker(snakemake.output.marker, start=start, stop=stop)
