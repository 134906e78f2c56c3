"""Each class of a scan as one phase: densities, thickness and anisotropy."""

from pathlib import Path

from tomoprofile.domains.workers import workers_of
from tomoprofile.logs import rule_logging
from tomoprofile.phase.table import SegmentedPhases, measure_phases
from tomoprofile.segment.kinds import segmenter_at

with rule_logging(snakemake.log[0]):
    found, params, resources = snakemake.input, snakemake.params, snakemake.resources
    scan = SegmentedPhases(
        Path(params.probability),
        Path(found.interface),
        Path(found.resin),
        Path(found.profile),
        segmenter_at(Path(params.segmenter)).levels(),
        params.band,
        is_mask=bool(found.get("mask")),
    )
    out = Path(snakemake.output.phase), Path(snakemake.output.thickness)
    with workers_of(resources.dask_jobs, snakemake.threads, resources.mem_mb, Path(params.workers)) as workers:
        measure_phases(scan, params.connectivity, params.seed, out, workers)
