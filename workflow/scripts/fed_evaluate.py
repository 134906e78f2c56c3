"""Write how well the labels of each site of a federation were judged."""

from pathlib import Path

from tomoprofile.federate.evaluation import write_evaluation
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    write_evaluation(Path(snakemake.input.checkpoint), snakemake.params.classes, Path(snakemake.output.evaluation))
