"""Find which part of a scan without a substrate is sample."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.substrate.sample import find_sample

with rule_logging(snakemake.log[0]):
    out = snakemake.output
    params = snakemake.params
    find_sample(Path(params.volume), params.interface, Path(out.interface), Path(out.resin))
