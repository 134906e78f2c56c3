"""Segment one slab into whole shards of probability."""

from pathlib import Path

from tomoprofile.config import ThresholdConfig, UNetConfig
from tomoprofile.logs import rule_logging
from tomoprofile.segment.predict import predict_slab
from tomoprofile.volume.store import open_store

with rule_logging(snakemake.log[0]):
    start, stop = snakemake.params.slices
    settings = snakemake.params.model
    kind = UNetConfig if settings["method"] == "unet" else ThresholdConfig
    probability = Path(snakemake.input.store).parent
    facts = predict_slab(
        Path(snakemake.params.volume),
        probability,
        Path(snakemake.params.segmenter),
        kind.model_validate(settings),
        start,
        stop,
        snakemake.threads,
    )
    open_store(probability).complete(snakemake.output.record, start, stop, **facts)
