"""Find the objects of a scan at three levels of probability, and measure every domain."""

from pathlib import Path

from tomoprofile.config import ObjectsConfig
from tomoprofile.domains.table import Level, Segmented, measure_domains
from tomoprofile.domains.workers import workers_of
from tomoprofile.logs import rule_logging
from tomoprofile.segment.kinds import segmenter_at

with rule_logging(snakemake.log[0]):
    objects = ObjectsConfig.model_validate(snakemake.params.objects)
    low, high = objects.band
    calibrated = segmenter_at(Path(snakemake.params.segmenter)).levels()
    levels = {"low": dict.fromkeys(calibrated, low), "calibrated": calibrated, "high": dict.fromkeys(calibrated, high)}
    instances = snakemake.params.instances
    scan = Segmented(
        Path(snakemake.params.probability),
        Path(snakemake.params.volume),
        Path(instances) if instances else None,
        is_mask=bool(snakemake.input.get("mask")),
    )
    familiarity = snakemake.input.get("familiarity")
    resources = snakemake.resources
    share = (resources.dask_jobs, snakemake.threads, resources.mem_mb, Path(snakemake.params.workers))
    with workers_of(*share) as workers:
        measure_domains(
            scan,
            Path(snakemake.input.interface),
            {
                name: Level(level, Path(snakemake.output[f"objects_{name}"]), Path(snakemake.output[name]))
                for name, level in levels.items()
            },
            objects,
            one_piece=snakemake.params.one_piece,
            workers=workers,
            familiarity=Path(familiarity) if familiarity else None,
        )
