"""Find Otsu's threshold of the resin of one scan."""

from pathlib import Path

from tomoprofile.config import ThresholdConfig
from tomoprofile.logs import rule_logging
from tomoprofile.segment.threshold import fit_threshold

with rule_logging(snakemake.log[0]):
    fit_threshold(
        Path(snakemake.params.volume),
        Path(snakemake.input.interface),
        ThresholdConfig.model_validate(snakemake.params.model),
        Path(snakemake.output.threshold),
    )
