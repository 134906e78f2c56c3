"""Profiles, zones and what else changes with the distance from the substrate."""

from pathlib import Path

from tomoprofile.config_profile import ProfileConfig
from tomoprofile.domains.workers import workers_of
from tomoprofile.logs import rule_logging
from tomoprofile.profile.depth import ProfileInputs, ProfileTables, profile_depth

with rule_logging(snakemake.log[0]):
    found, resources = snakemake.input, snakemake.resources
    share = (resources.dask_jobs, snakemake.threads, resources.mem_mb, Path(snakemake.params.workers))
    with workers_of(*share) as workers:
        inputs = ProfileInputs(
            {"low": Path(found.low), "calibrated": Path(found.calibrated), "high": Path(found.high)},
            {"low": Path(found.low_domains), "calibrated": Path(found.domains), "high": Path(found.high_domains)},
            Path(found.interface),
            resin=Path(found.resin),
            familiarity=Path(found.familiarity) if found.get("familiarity") else None,
            mask=Path(found.mask) if found.get("mask") else None,
        )
        config = ProfileConfig.model_validate(snakemake.params.profile)
        out = ProfileTables(**{name: Path(path) for name, path in snakemake.output.items()})
        profile_depth(inputs, config, snakemake.params.seed, out, workers)
