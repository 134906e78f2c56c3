"""Add up the deformations of the cases of a model."""

from pathlib import Path

from tomoprofile.amplify.stages import LearnedFiles, learn
from tomoprofile.config import UNetConfig
from tomoprofile.labels.training_set import LabelledScan
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    files = LearnedFiles(
        Path(snakemake.input.template),
        Path(snakemake.output.sums),
        Path(snakemake.output.cases),
        [Path(path) for path in snakemake.input.registrations],
    )
    labelled = [LabelledScan.of(row) for row in snakemake.params.labelled]
    learn(files, labelled, UNetConfig.model_validate(snakemake.params.model), snakemake.params.alone)
