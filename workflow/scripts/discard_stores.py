"""Remove the stores of a finished scan, because the configuration says `keep: minimal`."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.volume.store import discard_stores

with rule_logging(snakemake.log[0]):
    params = snakemake.params
    names = (params.volume, params.probability, params.uncertainty, params.instances)
    discard_stores([Path(name) for name in names if name], Path(snakemake.output.record))
