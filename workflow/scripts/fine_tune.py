"""Fine-tune a pretrained U-Net on the labelled slices and write its bundle."""

from pathlib import Path

from tomoprofile.config import UNetConfig
from tomoprofile.logs import rule_logging
from tomoprofile.network.fine_tune import fine_tune

with rule_logging(snakemake.log[0]):
    fine_tune(
        Path(snakemake.input.training_set),
        UNetConfig.model_validate(snakemake.params.model),
        snakemake.params.seed,
        Path(snakemake.output.metadata).parents[1],
        snakemake.threads,
    )
