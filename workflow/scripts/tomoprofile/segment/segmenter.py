"""What segments a scan. Light on purpose: the Snakefile imports it."""

from __future__ import annotations

from ..config import BundleConfig, Config, ThresholdConfig
from ..samples import Scan


def segmenter_of(scan: Scan, config: Config) -> str:
    """Return what segments a scan: the folder of its model bundle, or the file of its threshold or of its own mask."""
    if scan.mask:
        return f"{config.results}/{scan.sample}/mask.json"
    model = config.models[scan.model]
    if isinstance(model, BundleConfig):
        return model.bundle
    return f"{config.results}/" + (
        f"{scan.sample}/threshold.json" if isinstance(model, ThresholdConfig) else f"models/{scan.model}"
    )
