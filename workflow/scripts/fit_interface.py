"""Fit the plane between substrate and resin."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.profile.interface import fit_interface

with rule_logging(snakemake.log[0]):
    fit_interface(Path(snakemake.params.volume), snakemake.params.interface, Path(snakemake.output.interface))
