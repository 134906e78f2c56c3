"""A mask or a label volume that came with the scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ...config import Config
from ...config_profile import Section
from ...errors import InputError
from ...files import not_what_is_expected, read_record
from ...labels.classes import Classes
from ...layout import Layout, ScanLayout
from ...samples import Scan
from ..segmenter import Cost, Description, Segmenter, level_of

_WHAT = "the record of a given mask"
_VOXELS = 30e6  # per core second
_METHODS = {"mask": "those of a given mask", "instances": "those of a given label volume"}
_TOLD_ELSEWHERE = ("decision_level", "method", "sha256_of_slabs")


@dataclass(frozen=True)
class GivenMask(Segmenter):
    """The user's own segmentation: no model of the configuration is used.

    Parameters
    ----------
    shown : tuple of str
        The measured classes that it shows; empty if only its record is known.
    """

    shown: tuple[str, ...] = ()

    section = Section

    @classmethod
    def of(cls, scan: Scan, config: Config) -> Self | None:
        """Return it for a scan whose sheet names a mask."""
        if scan.own_mask is None:
            return None
        model = config.models.get(scan.model)
        return cls(cls.place(scan, config), model=model, shown=Classes.of_mask(scan.own_mask, model).measured)

    @classmethod
    def place(cls, scan: Scan, config: Config) -> Path:
        """Return the record of the entered mask."""
        return Layout(config.results).scan(scan.sample).mask

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Its record has a name of its own."""
        return path.name == ScanLayout("").mask.name

    @property
    def cost(self) -> Cost:
        """Computing time of entering it."""
        return Cost(cores=1 / _VOXELS)

    @property
    def summary(self) -> str:
        """What it is, in a few words."""
        return "a given mask"

    @property
    def classes(self) -> tuple[str, ...]:
        """The first class that the row's model measures; of a map of classes, all of them."""
        return self.shown or self._entered()

    def levels(self) -> dict[str, float]:
        """Return the level of its record; any separates 0 from 1."""
        return dict.fromkeys(self._entered(), level_of(self.path, _WHAT))

    def _entered(self) -> tuple[str, ...]:
        """Return the classes in its record."""
        voxels = read_record(self.path, _WHAT).get("voxels")
        if not isinstance(voxels, dict):
            raise InputError(not_what_is_expected(self.path, _WHAT, "it does not say how many voxels each class has"))
        return tuple(voxels)

    def describe(self) -> Description:
        """Return what its record says."""
        record = read_record(self.path, _WHAT)
        method = str(record.get("method"))
        told = {name: value for name, value in record.items() if name not in _TOLD_ELSEWHERE}
        return Description(_METHODS.get(method, _METHODS["mask"]), method, told)

    def provenance(self) -> dict[str, Any]:
        """Return its record."""
        return {self.path.stem: read_record(self.path, _WHAT)}
