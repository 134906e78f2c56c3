"""Simple thresholds beside the scan's own segmentation: table, and outlines at the substrate."""

from pathlib import Path

from tomoprofile.baselines.block import SegmentedScan, segment_block
from tomoprofile.baselines.table import write_baselines
from tomoprofile.config import ObjectsConfig
from tomoprofile.files import temporary_folder
from tomoprofile.logs import rule_logging
from tomoprofile.profile.settings import read_settings
from tomoprofile.report.outlines import draw_outlines
from tomoprofile.segment.kinds import segmenter_at

with rule_logging(snakemake.log[0]):
    params, found, out = snakemake.params, snakemake.input, Path(snakemake.output.table)
    scan = SegmentedScan(
        Path(params.volume),
        Path(params.probability),
        Path(found.interface),
        Path(found.resin),
        segmenter_at(Path(params.segmenter)).levels(),
        Path(params.instances) if params.instances else None,
    )
    profile = read_settings(Path(found.profile))
    with temporary_folder(out) as folder:
        block = segment_block(scan, profile, ObjectsConfig.model_validate(params.objects), folder)
        outlines = {name: draw_outlines(block, name, profile.zones[0].to_um) for name in scan.levels}
        write_baselines(out, block, profile, outlines)
