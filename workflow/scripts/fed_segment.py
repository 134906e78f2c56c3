"""Have the sites of a federation take some rounds."""

from pathlib import Path

from tomoprofile.config import read_config
from tomoprofile.federate.flare_jobs import Segment
from tomoprofile.federate.folders import CoordinatorFolder
from tomoprofile.layout import FederationLayout
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    model = read_config(snakemake.config).models[snakemake.params.name]
    after, number = Path(snakemake.output.checkpoint), snakemake.wildcards.job
    before = Path(snakemake.input.before) if snakemake.input.get("before") else None
    folder = FederationLayout(after.parents[1]).job(number)
    mine = CoordinatorFolder(Path(model.train.federation))
    Segment(int(number), before, after, folder, mine, model, snakemake.params.seed).run()
