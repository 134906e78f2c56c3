"""Write one slab of a given mask as a probability of 0 or 1 of each class."""

from pathlib import Path

from tomoprofile.labels.classes import Classes
from tomoprofile.logs import rule_logging
from tomoprofile.samples import Scan
from tomoprofile.segment.given_mask import enter_mask
from tomoprofile.volume.store import open_store

with rule_logging(snakemake.log[0]):
    start, stop = snakemake.params.slices
    probability = Path(snakemake.input.store).parents[1]
    scan, classes = Scan.model_validate(snakemake.params.scan), Classes.named(**snakemake.params.classes)
    facts = enter_mask(scan, classes, probability, None, start, stop)
    open_store(probability).complete(snakemake.output.record, start, stop, mask=snakemake.params.mask, **facts)
