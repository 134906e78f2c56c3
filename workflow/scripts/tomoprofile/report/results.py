"""What is known about a scan, read when the first section of its page asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..domains.objects import ObjectsMetadata, read_objects_metadata
from ..shift.alarm import Familiarity
from ..volume.plane import Plane
from ..volume.store import open_store
from .segmentation import read_segmentation
from .tables import (
    read_breakpoints,
    read_correlation,
    read_domains,
    read_profile,
    read_record,
    read_sizes,
    read_zones,
    software_version,
)


@dataclass(frozen=True)
class SampleFiles:
    """Everything that is known about one scan.

    Attributes
    ----------
    sample : str
        Name of the scan.
    volume, probability : Path
        Stores of grey values and of the probability of being a domain.
    objects : dict of str to Path
        Run files at the levels ``low``, ``calibrated`` and ``high``.
    domains, profile, zones : Path
        Tables at the calibrated level, and of all levels.
    breakpoints, correlation, sizes : Path
        Where the profile bends, two-point correlation and classes of diameter, at the calibrated level.
    interface : Path
        ``interface.json``.
    baselines : Path
        Thresholds beside the scan's own segmentation.
    segmenter : Path
        Folder of the model bundle, ``threshold.json`` or ``mask.json``.
    familiarity : Path, optional
        ``familiarity.json``; none for thresholds and given masks.
    provenance : dict
        Name and value of what else the page should state.
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
    familiarity: Path | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


def _levels(run_files: dict[str, Path]) -> dict[str, ObjectsMetadata]:
    return {level: read_objects_metadata(path) for level, path in run_files.items()}


def _as_is(value: Any) -> Any:
    return value


# What a section may need: the file it comes from, and how it is read.
READERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "sample": ("sample", _as_is),
    "volume": ("volume", open_store),
    "probability": ("probability", open_store),
    "run_file": ("objects", lambda run_files: run_files["calibrated"]),
    "levels": ("objects", _levels),
    "domains": ("domains", read_domains),
    "software": ("domains", software_version),
    "profile": ("profile", read_profile),
    "zones": ("zones", read_zones),
    "breakpoints": ("breakpoints", read_breakpoints),
    "correlation": ("correlation", read_correlation),
    "sizes": ("sizes", read_sizes),
    "plane": ("interface", Plane.load),
    "interface": ("interface", read_record),
    "baselines": ("baselines", _as_is),
    "segmentation": ("segmenter", read_segmentation),
    "model_card": ("segmenter", lambda segmenter: f"models/{segmenter.name}/docs/README.md"),
    "familiarity": ("familiarity", lambda path: Familiarity.load(path) if path else None),
    "provenance": ("provenance", _as_is),
}


class Results:
    """What is known about a scan; each part is read once, when it is first asked for.

    Parameters
    ----------
    files : SampleFiles
    """

    def __init__(self, files: SampleFiles) -> None:
        self._files = files
        self._read: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return a part by its name in :data:`READERS`.

        Raises
        ------
        InputError
            When a table or record cannot be read.
        StoreError
            When a store cannot be read.
        """
        if name not in self._read:
            file, read = READERS[name]
            self._read[name] = read(getattr(self._files, file))
        return self._read[name]
