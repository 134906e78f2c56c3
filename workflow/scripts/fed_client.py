"""Take part in a training with other sites."""

from pathlib import Path

from tomoprofile.config import read_config
from tomoprofile.federate.flare_part import Part
from tomoprofile.federate.folders import SiteFolder
from tomoprofile.federate.result import SiteFiles
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    model = read_config(snakemake.config).models[snakemake.wildcards.model]
    result = Path(snakemake.output.result)
    Part(
        files=SiteFiles(Path(snakemake.input.training_set), result.parent, result),
        config=model,
        mine=SiteFolder(Path(model.train.federation)),
        log=result.with_name("training.log"),
        seed=snakemake.params.seed,
        threads=snakemake.threads,
    ).take()
