"""Find the outer surface of a sample, from which depth is measured."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.substrate.sample import find_surface

with rule_logging(snakemake.log[0]):
    out = snakemake.output
    find_surface(Path(snakemake.params.volume), Path(out.interface), Path(out.distances), Path(out.resin))
