"""Train one model at several simulated sites."""

from pathlib import Path

from tomoprofile.config import read_config
from tomoprofile.federate.result import SiteFiles
from tomoprofile.federate.simulate import simulate
from tomoprofile.layout import Layout
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    config = read_config(snakemake.config)
    out, layout = Path(snakemake.output.checkpoint), Layout(config.results)
    sites = {
        name: (SiteFiles(Path(labels), layout.site(name).folder, layout.site(name).result), config.models[name])
        for name, labels in zip(snakemake.params.sites, snakemake.input.training_sets, strict=True)
    }
    simulate(sites, snakemake.params.seed, out, snakemake.threads)
