"""Simple thresholds beside the scan's own segmentation: table, and outlines at the substrate."""

from pathlib import Path

from tomoprofile.baselines.thresholds import segment_block, write_baselines
from tomoprofile.config import ObjectsConfig, ProfileConfig
from tomoprofile.files import temporary_folder
from tomoprofile.logs import rule_logging
from tomoprofile.network.bundle import decision_level
from tomoprofile.report.outlines import draw_outlines

with rule_logging(snakemake.log[0]):
    params, found, out = snakemake.params, snakemake.input, Path(snakemake.output.table)
    level = decision_level(Path(params.segmenter))
    profile = ProfileConfig.model_validate(params.profile)
    with temporary_folder(out) as folder:
        block = segment_block(
            Path(params.volume),
            Path(params.probability),
            Path(found.interface),
            Path(found.resin),
            level,
            profile,
            ObjectsConfig.model_validate(params.objects),
            folder,
            Path(params.instances) if params.instances else None,
        )
        write_baselines(out, block, level, profile, draw_outlines(block, level, profile.zones[0].to_um))
