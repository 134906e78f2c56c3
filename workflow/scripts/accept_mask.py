"""Accept a given mask as the segmentation of its scan."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.segment.given_mask import accept_mask

with rule_logging(snakemake.log[0]):
    scan = Scan.model_validate(snakemake.params.scan)
    accept_mask(scan, [Path(slab) for slab in snakemake.input.slabs], Path(snakemake.output.mask))
