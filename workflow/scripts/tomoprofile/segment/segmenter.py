"""What segments a scan. Light on purpose: the Snakefile imports it."""

from __future__ import annotations

from ..config import BundleConfig, Config, ThresholdConfig
from ..layout import Layout
from ..samples import Scan


def segmenter_of(scan: Scan, config: Config) -> str:
    """Return what segments a scan: the folder of its model bundle, or the file of its threshold or of its own mask."""
    layout = Layout(config.results)
    if scan.mask:
        return str(layout.scan(scan.sample).mask)
    model = config.models[scan.model]
    if isinstance(model, BundleConfig):
        return model.bundle
    if isinstance(model, ThresholdConfig):
        return str(layout.scan(scan.sample).threshold)
    return str(layout.model(scan.model).folder)
