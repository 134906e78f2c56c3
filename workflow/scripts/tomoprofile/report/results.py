"""What is known about a scan, read when a section of its page first asks for it, and split by measured class here."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..domains.classes import Reference
from ..domains.objects import ObjectsMetadata, read_objects_metadata
from ..errors import Fault, InputError
from ..files import read_record
from ..shift.alarm import Familiarity
from ..tables import (
    BASELINES,
    BREAKPOINTS,
    CALIBRATED,
    CORRELATION,
    DOMAINS,
    OF_CLASSES,
    PHASE,
    PROFILE,
    SIZES,
    THICKNESS,
    of_class,
    read_facts,
)
from ..volume.plane import Plane
from ..volume.store import open_store
from .divisions import Divisions
from .links import Links
from .segmentation import read_segmentation
from .zones import read_zones

_DRAWN = (
    "domain_id",
    "class",
    "volume_um3",
    "equivalent_diameter_um",
    "centroid_z_um",
    "centroid_y_um",
    "centroid_x_um",
    "depth_um",
    "voxels",
    "bbox_z_start",
    "bbox_z_stop",
    "cavities",
    "confidence",
    "on_border",
    "edge_weight",
    "flag",
)


@dataclass(frozen=True)
class SampleFiles:
    """Everything that is known about one scan.

    Attributes
    ----------
    sample : str
        Name of the scan.
    volume, probability : Path
        Stores of grey values and of the probability of each measured class.
    objects : dict of str to Path
        Objects files at the levels ``low``, ``calibrated`` and ``high``.
    domains, profile, zones : Path
        Tables at the calibrated level, and of all levels.
    breakpoints, correlation, sizes : Path
        Where the profile bends, two-point correlation and classes of diameter, at the calibrated level.
    interface : Path
        ``interface.json``.
    baselines : Path
        Thresholds compared with the scan's own segmentation.
    segmenter : Path
        Folder of the model bundle, ``threshold.json`` or ``mask.json``.
    phase, thickness : Path, optional
        Tables of the classes as phases; none where that is not asked for.
    familiarity : Path, optional
        ``familiarity.json``; none for thresholds and given masks.
    classes : Path, optional
        Table of the classes as a whole.
    reference : Reference, optional
        What they were compared with.
    provenance : dict
        Name and value of what else the page should state.
    links : Links
        Where the page leads.
    written : str
        When, in ISO 8601.
    """

    sample: str
    volume: Path
    probability: Path
    objects: dict[str, Path]
    domains: Path
    profile: Path
    zones: Path
    breakpoints: Path
    correlation: Path
    sizes: Path
    interface: Path
    baselines: Path
    segmenter: Path
    phase: Path | None = None
    thickness: Path | None = None
    familiarity: Path | None = None
    classes: Path | None = None
    reference: Reference | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    links: Links = field(default_factory=Links)
    written: str = ""


def _as_is(value: Any) -> Any:
    return value


def _levels(objects: dict[str, Path]) -> dict[str, dict[str, ObjectsMetadata]]:
    return {level: read_objects_metadata(path) for level, path in objects.items()}


def _levels_of(levels: dict[str, dict[str, ObjectsMetadata]], name: str) -> dict[str, ObjectsMetadata]:
    return {level: classes[name] for level, classes in levels.items()}


def _facts_of(facts: dict[str, Any], name: str) -> dict[str, Any]:
    return facts | facts["classes"][name]


def _if_measured(table: pd.DataFrame | None, name: str) -> pd.DataFrame | None:
    return None if table is None else of_class(table, name)


@dataclass(frozen=True)
class Part:
    """A part of the results that a section may need.

    Attributes
    ----------
    file : str
        The attribute of :class:`SampleFiles` from which it comes.
    read : callable
        Returns it, given that attribute.
    of_class : callable, optional
        Returns the part of it that belongs to one class, given what was read and the name of the class. A section of a
        class gets this, a section of the whole scan a dictionary of all classes by name.
    """

    file: str
    read: Callable[[Any], Any] = _as_is
    of_class: Callable[[Any, str], Any] | None = None


PARTS = {
    "sample": Part("sample"),
    "volume": Part("volume", open_store),
    "probability": Part("probability", of_class=open_store),
    "objects": Part("objects", lambda objects: objects[CALIBRATED]),
    "levels": Part("objects", _levels, _levels_of),
    "domains": Part("domains", lambda path: DOMAINS.read(path, _DRAWN), of_class),
    "software": Part("domains", lambda path: read_facts(path).get("tomoprofile_version", "not available")),
    "profile": Part("profile", PROFILE.read, of_class),
    "divisions": Part("profile", Divisions.read),
    "zones": Part("zones", read_zones, operator.getitem),
    "breakpoints": Part("breakpoints", BREAKPOINTS.read, of_class),
    "correlation": Part("correlation", CORRELATION.read, of_class),
    "sizes": Part("sizes", SIZES.read, of_class),
    "phase": Part("phase", lambda path: PHASE.read(path) if path else None, _if_measured),
    "thickness": Part("thickness", lambda path: THICKNESS.read(path) if path else None, _if_measured),
    "summary": Part("classes", lambda path: OF_CLASSES.read(path) if path else None),
    "reference": Part("reference"),
    "plane": Part("interface", Plane.load),
    "interface": Part("interface", read_record),
    "baselines": Part("baselines", BASELINES.read, of_class),
    "block": Part("baselines", read_facts, _facts_of),
    "segmentation": Part("segmenter", read_segmentation),
    "familiarity": Part("familiarity", lambda path: Familiarity.load(path) if path else None),
    "provenance": Part("provenance"),
    "links": Part("links"),
    "written": Part("written"),
}


class Results:
    """What is known about a scan; each file is read once, when a part of it is first asked for.

    Parameters
    ----------
    files : SampleFiles

    Attributes
    ----------
    classes : tuple of str
        Names of the measured classes.
    """

    def __init__(self, files: SampleFiles) -> None:
        self._files = files
        self._read: dict[str, Any] = {}
        self.classes = tuple(self._whole("levels")[CALIBRATED])

    def get(self, name: str, measured: str | None = None) -> Any:
        """Return a part by its name in :data:`PARTS`.

        Parameters
        ----------
        name : str
        measured : str, optional
            The class whose part is wanted; without it, parts that differ by class are a dictionary by class.

        Raises
        ------
        InputError
            When a table or record cannot be read, or lacks a class.
        StoreError
            When a store cannot be read.
        """
        if PARTS[name].of_class is None:
            return self._whole(name)
        if measured is None:
            return {one: self._of_class(name, one) for one in self.classes}
        return self._of_class(name, measured)

    def _of_class(self, name: str, measured: str) -> Any:
        try:
            return PARTS[name].of_class(self._whole(name), measured)  # type: ignore[misc]
        except KeyError:
            file = str(getattr(self._files, PARTS[name].file))
            problem = f"it says nothing of the class {measured}"
            raise InputError(Fault(file, "", problem, "Remove it and run the workflow again.")) from None

    def _whole(self, name: str) -> Any:
        if name not in self._read:
            part = PARTS[name]
            self._read[name] = part.read(getattr(self._files, part.file))
        return self._read[name]
