"""Profiles and zones against the distance from the substrate."""

from pathlib import Path

from tomoprofile.config import ProfileConfig
from tomoprofile.logs import rule_logging
from tomoprofile.profile.depth import profile_depth

with rule_logging(snakemake.log[0]):
    found = snakemake.input
    profile_depth(
        {"low": Path(found.low), "calibrated": Path(found.calibrated), "high": Path(found.high)},
        {"low": Path(found.low_domains), "calibrated": Path(found.domains), "high": Path(found.high_domains)},
        Path(found.interface),
        ProfileConfig.model_validate(snakemake.params.profile),
        snakemake.params.seed,
        Path(snakemake.output.profile),
        Path(snakemake.output.zones),
        Path(found.familiarity) if found.get("familiarity") else None,
        Path(found.mask) if found.get("mask") else None,
        Path(found.resin),
    )
