"""Segment one slab into whole shards of probability."""

from pathlib import Path

from tomoprofile.config import PredictConfig, read_model
from tomoprofile.logs import rule_logging
from tomoprofile.segment.predict import predict_slab
from tomoprofile.volume.store import open_store

with rule_logging(snakemake.log[0]):
    start, stop = snakemake.params.slices
    probability = Path(snakemake.input.store).parent
    appearance = snakemake.input.get("appearance")
    facts = predict_slab(
        Path(snakemake.params.volume),
        probability,
        Path(snakemake.params.segmenter),
        Path(appearance) if appearance else None,
        read_model(snakemake.params.model),
        start,
        stop,
        snakemake.threads,
        PredictConfig.model_validate(snakemake.params.predict),
        Path(snakemake.params.uncertainty) if snakemake.params.uncertainty else None,
    )
    open_store(probability).complete(snakemake.output.record, start, stop, **facts)
