"""Where the numbers come from."""

from __future__ import annotations

from typing import Any

from ...domains.objects import ObjectsMetadata
from ...tables import CALIBRATED
from ...volume.store import Store
from ..links import Links
from ..numbers import scan_size, short
from ..segmentation import Segmentation
from .section import Content


def build(
    sample: str,
    provenance: dict[str, Any],
    volume: Store,
    segmentation: Segmentation,
    levels: dict[str, dict[str, ObjectsMetadata]],
    interface: dict[str, Any],
    software: str,
    links: Links,
) -> Content:
    """Return names and values."""
    facts = {"scan": sample, **{str(name): str(value) for name, value in provenance.items()}}
    facts["voxels (z × y × x)"], facts["voxel size"] = scan_size(volume.shape, volume.voxel_size_um)
    one, *others = levels
    for measured, of_class in levels.items() if not segmentation.is_given else ():
        told = ", ".join(f"{level} {short(objects.level)}" for level, objects in of_class.items())
        facts[f"boundary levels, {measured}" if others else "boundary levels"] = told
    smallest = levels[one][CALIBRATED]
    slices = f" in {smallest.min_slices} slices" if smallest.min_slices > 1 else ""
    facts["smallest object"] = f"{smallest.min_voxels} voxels{slices}"
    for name, value in interface.items() if "axis" in interface else ():
        if value in ("", None) or isinstance(value, dict) or name == "residual_map_um":  # its own section has these
            continue
        facts[f"substrate plane: {name.replace('_', ' ')}"] = _in_words(value)
    facts["tables written by tomoprofile"] = software
    return Content({"facts": facts, "links": links})


def _in_words(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, int | float) for part in value):
        return ", ".join(short(part, 5) for part in value)
    return short(value, 4) if isinstance(value, float) else str(value)
