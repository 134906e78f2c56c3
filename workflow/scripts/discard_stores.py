"""Remove the two stores of a finished scan, because the configuration says `keep: minimal`."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.volume.store import discard_stores

with rule_logging(snakemake.log[0]):
    stores = [Path(snakemake.params.volume), Path(snakemake.params.probability)]
    discard_stores(stores, Path(snakemake.output.record))
