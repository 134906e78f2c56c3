"""Write the bundle of a site of a federation."""

from pathlib import Path

from tomoprofile.config import read_config
from tomoprofile.federate.collect import collect
from tomoprofile.federate.result import SiteFiles
from tomoprofile.layout import Layout
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    config = read_config(snakemake.config)
    name = snakemake.wildcards.model
    files = Layout(config.results).site(name)
    site = SiteFiles(Path(snakemake.input.training_set), files.folder, files.result)
    out = Path(snakemake.output.metadata).parents[1]
    collect(site, config.models[name], snakemake.params.seed, out, snakemake.threads)
