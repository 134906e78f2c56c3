"""Find the surface of a rough or curved substrate in a mask of it."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.substrate.relief import enter_substrate

with rule_logging(snakemake.log[0]):
    out = snakemake.output
    enter_substrate(
        Scan.model_validate(snakemake.params.scan),
        Path(snakemake.params.volume),
        Path(out.interface),
        Path(out.distances),
        Path(out.resin),
        snakemake.params.mask,
    )
