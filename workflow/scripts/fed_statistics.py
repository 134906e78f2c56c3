"""Write what a site of a federation tells about its labels."""

from pathlib import Path

from tomoprofile.config import read_config
from tomoprofile.federate.entry import tell
from tomoprofile.federate.folders import SiteFolder
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    model = read_config(snakemake.config).models[snakemake.wildcards.model]
    mine, out = SiteFolder(Path(model.train.federation)), Path(snakemake.output.fingerprint)
    tell(mine, Path(snakemake.input.training_set), model, out)
