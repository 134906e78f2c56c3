"""Open every input and tell every fault before anything is computed."""

from tomoprofile.check import check_inputs, write_findings
from tomoprofile.config import read_config
from tomoprofile.logs import rule_logging
from tomoprofile.samples import read_samples

with rule_logging(snakemake.log[0]):
    config = read_config(snakemake.params.config)
    scans = read_samples(snakemake.input.sheet, config.models)
    write_findings(check_inputs(config, scans), scans, snakemake.output.table)
