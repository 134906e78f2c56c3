"""A global threshold, found separately in each scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...config import Config, ThresholdConfig
from ...files import read_record
from ...layout import Layout, ScanLayout
from ...samples import Scan
from ..segmenter import ONE_CLASS, Cost, Description, Segmenter, Slab, level_of

_WHAT = "a threshold file"
_VOXELS = 5e6  # per core second
_METHODS = {"otsu": "global threshold (Otsu)", "threshold_fill": "global threshold, holes filled"}


class Threshold(Segmenter):
    """Otsu's threshold, with or without hole filling."""

    section = ThresholdConfig
    fitted_by = "fit_threshold"

    @classmethod
    def place(cls, scan: Scan, config: Config) -> Path:
        """Return the file of the scan's own threshold."""
        return Layout(config.results).scan(scan.sample).threshold

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Its record has a name of its own."""
        return path.name == ScanLayout("").threshold.name

    @property
    def cost(self) -> Cost:
        """No network."""
        return Cost(cores=1 / _VOXELS)

    @property
    def summary(self) -> str:
        """Which threshold it is."""
        return f"{self.name}: {self.model.method}"

    @property
    def classes(self) -> tuple[str, ...]:
        """It separates domains from everything else."""
        return (ONE_CLASS,)

    def levels(self) -> dict[str, float]:
        """Return the level of its record: a voxel is 0 or 1."""
        return {ONE_CLASS: level_of(self.path, _WHAT)}

    def describe(self) -> Description:
        """Return what its record says."""
        record = read_record(self.path, _WHAT)
        words = _METHODS.get(str(record.get("method")), "global threshold")
        told = {name: value for name, value in record.items() if name not in ("decision_level", "interface")}
        return Description(words, "threshold", told)

    def provenance(self) -> dict[str, Any]:
        """Return its record."""
        return {self.path.stem: read_record(self.path, _WHAT)}

    def predict(self, slab: Slab) -> dict[str, str]:
        """Write 0 or 1, on the CPU."""
        from ...volume.store import open_store
        from ..threshold import predict_by_threshold

        out = open_store(slab.probability, ONE_CLASS)
        predict_by_threshold(open_store(slab.volume), out, self.path, slab.start, slab.stop)
        return {"device": "cpu", "engine": "threshold", "precision": "float32"}
