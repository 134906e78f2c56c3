"""Segment one slab into whole shards of probability."""

from pathlib import Path

from tomoprofile.config import PredictConfig, read_model
from tomoprofile.logs import rule_logging
from tomoprofile.segment.kinds import segmenter_at
from tomoprofile.segment.segmenter import Slab
from tomoprofile.volume.store import open_store

with rule_logging(snakemake.log[0]):
    start, stop = snakemake.params.slices
    appearance, uncertainty = snakemake.input.get("appearance"), snakemake.params.uncertainty
    slab = Slab(
        volume=Path(snakemake.params.volume),
        probability=Path(snakemake.input.store).parents[1],
        start=start,
        stop=stop,
        threads=snakemake.threads,
        settings=PredictConfig.model_validate((snakemake.config.get("predict") or {}) | snakemake.params.predict),
        appearance=Path(appearance) if appearance else None,
        uncertainty=Path(uncertainty) if uncertainty else None,
    )
    segmenter = segmenter_at(Path(snakemake.params.segmenter), read_model(snakemake.params.model))
    facts = segmenter.predict(slab)
    open_store(slab.probability).complete(snakemake.output.record, start, stop, **facts)
