"""A mask or a label volume that came with the scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from ...config import Config, Section
from ...layout import Layout, ScanLayout
from ...samples import Scan
from ..segmenter import ONE_CLASS, Cost, Description, Segmenter, level_of, read_record

_WHAT = "the record of a given mask"
_VOXELS = 30e6  # in a core second
_METHODS = {"mask": "those of a mask that was given", "instances": "those of a label volume that was given"}
_TOLD_ELSEWHERE = ("decision_level", "method", "sha256_of_slabs")


class GivenMask(Segmenter):
    """The user's own segmentation: no model of the configuration is asked for."""

    section = Section

    @classmethod
    def of(cls, scan: Scan, config: Config) -> Self | None:
        """Return it for a scan whose sheet names a mask."""
        return cls(cls.place(scan, config)) if scan.mask else None

    @classmethod
    def place(cls, scan: Scan, config: Config) -> Path:
        """Return the record that says that the mask was entered."""
        return Layout(config.results).scan(scan.sample).mask

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """It is a record of its own name."""
        return path.name == ScanLayout("").mask.name

    @property
    def cost(self) -> Cost:
        """What entering it takes."""
        return Cost(cores=1 / _VOXELS)

    @property
    def summary(self) -> str:
        """That it was given."""
        return "a mask that was given"

    def levels(self) -> dict[str, float]:
        """Return the level of its record: any says the same of 0 and 1."""
        return {ONE_CLASS: level_of(self.path, _WHAT)}

    def describe(self) -> Description:
        """Return what its record says."""
        record = read_record(self.path, _WHAT)
        method = str(record.get("method"))
        told = {name: value for name, value in record.items() if name not in _TOLD_ELSEWHERE}
        return Description(_METHODS.get(method, _METHODS["mask"]), method, told)

    def provenance(self) -> dict[str, Any]:
        """Return its record."""
        return {self.path.stem: read_record(self.path, _WHAT)}
