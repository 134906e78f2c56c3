"""Unite objects across slices, shards and slabs, at three levels of probability."""

from pathlib import Path

from tomoprofile.config import ObjectsConfig
from tomoprofile.domains.stitch import stitch_objects
from tomoprofile.logs import rule_logging
from tomoprofile.segment.bundle import decision_level

with rule_logging(snakemake.log[0]):
    objects = ObjectsConfig.model_validate(snakemake.params.objects)
    low, high = objects.band
    levels = {"low": low, "calibrated": decision_level(Path(snakemake.params.segmenter)), "high": high}
    for name, level in levels.items():
        stitch_objects(
            Path(snakemake.params.probability),
            level,
            objects.connectivity,
            objects.min_voxels,
            Path(snakemake.output[name]),
        )
