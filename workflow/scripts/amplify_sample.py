"""Draw further training pairs from labelled cases."""

from pathlib import Path

from tomoprofile.amplify.stages import LearnedFiles, draw_pairs
from tomoprofile.config import UNetConfig
from tomoprofile.labels.training_set import LabelledScan
from tomoprofile.logs import rule_logging

with rule_logging(snakemake.log[0]):
    found = snakemake.input
    learned = None
    if hasattr(found, "sums"):
        registrations = [Path(path) for path in found.registrations]
        learned = LearnedFiles(Path(found.template), Path(found.sums), Path(found.cases), registrations)
    draw_pairs(
        Path(found.training_set),
        [LabelledScan.of(row) for row in snakemake.params.scans],
        UNetConfig.model_validate(snakemake.params.model),
        learned,
        snakemake.params.seed,
        Path(snakemake.output.training_set),
    )
