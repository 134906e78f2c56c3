"""A finished scan as an export sees it: what was measured in it, and how its axes lay in the raw file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..config import read_model
from ..domains.objects import ObjectsMetadata, read_objects_metadata
from ..errors import Fault, InputError, TomoprofileError
from ..files import read_record
from ..labels.classes import values_of
from ..layout import Layout, ScanLayout
from ..logs import LOG
from ..volume.geometry import Geometry
from ..volume.store import Store, open_store

_SAME_EDGE = 0.01  # voxel edges of header and sheet that differ by more are not rounded, but different


@dataclass(frozen=True)
class FinishedScan:
    """The results of a scan.

    Attributes
    ----------
    sample : str
        Its name.
    files : ScanLayout
        Where they are.
    """

    sample: str
    files: ScanLayout

    @cached_property
    def classes(self) -> dict[str, ObjectsMetadata]:
        """How voxels became domains, by class.

        Raises
        ------
        InputError
            When the voxels of the domains were not kept, or not measured yet.
        """
        objects = self.files.objects_at("calibrated")
        if not objects.exists():
            raise InputError(self._missing(objects, "the voxels of the domains"))
        return read_objects_metadata(objects)

    @cached_property
    def class_values(self) -> dict[str, int]:
        """What stands for each measured class in a map of them all: as in the settings of its model, else 1, 2, ..."""
        try:
            record = read_record(self.files.provenance)
            raw = record["config"]["models"].get(record["raw"]["row"]["model"])
            model = read_model(raw) if raw else None
        except (TomoprofileError, LookupError, TypeError, ValueError):
            model = None
        return values_of(tuple(self.classes), model)

    @cached_property
    def volume(self) -> Store:
        """The grey values.

        Raises
        ------
        InputError
            When they were not kept, or not converted yet.
        """
        path = self.files.volume.path
        if not path.exists():
            raise InputError(self._missing(path, "the grey values"))
        return open_store(path)

    @property
    def slice_axis(self) -> int:
        """Axis of the raw file that became z."""
        return int(self.volume.attributes.get("source", {}).get("slice_axis", 0))

    @property
    def raw_axes(self) -> tuple[int, int, int]:
        """Which of the stored axes (z, y, x) each axis of the raw file is."""
        first, second, third = np.argsort([self.slice_axis, *(axis for axis in range(3) if axis != self.slice_axis)])
        return int(first), int(second), int(third)

    @cached_property
    def geometry(self) -> Geometry:
        """From stored voxel indices to millimetres.

        That of the raw file; where it has none, x, y and z in multiples of the voxel size from the first voxel on.
        """
        edges = self.volume.voxel_size_um
        known = self.volume.geometry
        if known is None:
            dz, dy, dx = (edge / 1000 for edge in edges)
            return Geometry(((0, 0, dx, 0), (0, dy, 0, 0), (dz, 0, 0, 0), (0, 0, 0, 1)))
        spacing = np.linalg.norm(np.asarray(known.affine)[:3, :3], axis=0) * 1000
        if (np.abs(spacing / edges - 1) > _SAME_EDGE).any():
            LOG.warning(
                "%s: the raw file gives voxels of %s um and the sheet %s um (z, y, x). NIfTI, NRRD and meshes lie on "
                "the raw file, in its millimetres; tables and TIFF have the voxel size of the sheet",
                self.sample,
                _lengths(spacing),
                _lengths(edges),
            )
        return known

    def chosen(self, names: list[str]) -> list[ObjectsMetadata]:
        """Return measured classes by name; all for an empty list.

        Raises
        ------
        InputError
            When a class was not measured.
        """
        unknown = [name for name in names if name not in self.classes]
        if unknown:
            remedy = f"Measured classes: {', '.join(self.classes)}."
            raise InputError(Fault(self.sample, ", ".join(unknown), "the class was not measured", remedy))
        return [self.classes[name] for name in names or self.classes]

    def _missing(self, path: Path, what: str) -> Fault:
        if self.files.discarded.exists():
            problem = f"{what} were removed at the end of the run, as `keep: minimal` asks for"
            return Fault(str(path), "", problem, "Set `keep: all` and run the workflow again.")
        remedy = "Run the workflow until this scan is finished; `tomoprofile status` shows how far it is."
        return Fault(str(path), "", f"{what} are not there", remedy)


def finished_scan(results: Path, sample: str) -> FinishedScan:
    """Return the results of a scan by its name.

    Raises
    ------
    InputError
        When the results folder holds no such scan.
    """
    files = Layout(results).scan(sample)
    known = scans_in(results)
    if sample not in known:
        if not known:
            remedy = "Run the workflow, or give the results folder of a run with `--results`."
            raise InputError(Fault(str(results), sample, "there are no results of any scan yet", remedy))
        near = difflib.get_close_matches(sample, known, 1)
        told = f"Did you mean {near[0]}? " if near else ""
        told += f"Scans there: {', '.join(known)}."
        raise InputError(Fault(str(results), sample, "the results hold no such scan", told))
    return FinishedScan(sample, files)


def scans_in(results: Path) -> list[str]:
    """Return the names of the scans in a results folder: those with anything that a stage has written."""
    if not results.is_dir():
        return []
    folders = sorted(path for path in results.iterdir() if path.is_dir())
    found = ((folder.name, ScanLayout(folder)) for folder in folders)
    return [name for name, files in found if files.check.exists() or files.domains.exists()]


def _lengths(edges: tuple[float, ...] | np.ndarray) -> str:
    return " x ".join(f"{edge:g}" for edge in edges)
