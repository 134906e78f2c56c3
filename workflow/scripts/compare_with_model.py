"""Compare a scan with those its model has seen; export the slice to label if it is unlike them."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.segment.familiarity import compare_with_model

with rule_logging(snakemake.log[0]):
    compare_with_model(
        Path(snakemake.params.volume),
        Path(snakemake.input.appearance),
        Path(snakemake.params.segmenter),
        snakemake.wildcards.sample,
        snakemake.threads,
        Path(snakemake.output.familiarity),
        snakemake.params.label_values,
    )
