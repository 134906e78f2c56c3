"""Simple thresholds beside the scan's own segmentation: table, and outlines at the substrate."""

from pathlib import Path

from tomoprofile.config import ObjectsConfig, ProfileConfig
from tomoprofile.files import temporary_folder
from tomoprofile.logs import rule_logging
from tomoprofile.profile.baselines import compare_baselines
from tomoprofile.report.baselines import draw_outlines
from tomoprofile.segment.bundle import decision_level

with rule_logging(snakemake.log[0]):
    params, out = snakemake.params, snakemake.output
    level = decision_level(Path(params.segmenter))
    profile = ProfileConfig.model_validate(params.profile)
    with temporary_folder(Path(out.table)) as folder:
        block = compare_baselines(
            Path(params.volume),
            Path(params.probability),
            Path(snakemake.input.interface),
            level,
            profile,
            ObjectsConfig.model_validate(params.objects),
            folder,
            Path(out.table),
            Path(params.instances) if params.instances else None,
        )
        draw_outlines(block, level, profile.zones[0].to_um, Path(out.outlines))
