"""Fit the plane between substrate and resin, and find what beyond it is air."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.substrate.interface import fit_interface

with rule_logging(snakemake.log[0]):
    volume, out = Path(snakemake.params.volume), snakemake.output
    fit_interface(volume, snakemake.params.interface, Path(out.interface), Path(out.resin))
