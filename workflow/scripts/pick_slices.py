"""Export a few slices of a scan for labelling."""

from pathlib import Path

from tomoprofile.logs import rule_logging
from tomoprofile.segment.pick import pick_slices

with rule_logging(snakemake.log[0]):
    earlier = snakemake.params.earlier
    pick_slices(
        Path(snakemake.params.volume),
        snakemake.wildcards.sample,
        snakemake.params.slices,
        Path(snakemake.output.table),
        Path(earlier) if earlier else None,
        Path(snakemake.input.appearance) if earlier else None,
        snakemake.params.label_values,
    )
