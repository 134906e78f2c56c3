"""Remove the two stores of a finished scan, because the configuration says `keep: minimal`."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.volume.store import discard_stores

with rule_logging(snakemake.log[0]):
    found = snakemake.input
    discard_stores([Path(found.volume).parent, Path(found.probability).parent], Path(snakemake.output.record))
