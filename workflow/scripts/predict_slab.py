"""Segment one slab into whole shards of probability."""

from pathlib import Path

from tomoprofile.config import ThresholdConfig, UNetConfig
from tomoprofile.logs import rule_logging
from tomoprofile.segment.predict import predict_slab
from tomoprofile.volume.convert import write_marker

with rule_logging(snakemake.log[0]):
    start, stop = snakemake.params.slices
    settings = snakemake.params.model
    kind = UNetConfig if settings["method"] == "unet" else ThresholdConfig
    predict_slab(
        Path(snakemake.input.volume).parent,
        Path(snakemake.input.probability).parent,
        Path(snakemake.params.segmenter),
        kind.model_validate(settings),
        start,
        stop,
        snakemake.threads,
    )
    write_marker(snakemake.output.marker, start=start, stop=stop)
