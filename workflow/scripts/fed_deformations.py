"""Write how the cases of a site differ, as sums over all of them."""

from pathlib import Path

from tomoprofile.config import UNetConfig
from tomoprofile.federate.entry import tell_sums
from tomoprofile.federate.folders import SiteFolder
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    model = UNetConfig.model_validate(snakemake.params.model)
    mine = SiteFolder(Path(snakemake.params.federation))
    tell_sums(mine, Path(snakemake.input.sums), len(model.classes), Path(snakemake.output.deformations))
