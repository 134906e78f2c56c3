"""What the words of the page mean."""

from __future__ import annotations

from ...domains.objects import ObjectsMetadata
from ..numbers import smallest_kept_um
from ..segmentation import Segmentation
from .section import Content


def build(segmentation: Segmentation, levels: dict[str, ObjectsMetadata]) -> Content:
    """Return what the explanations depend on."""
    dropped_um = smallest_kept_um(levels["calibrated"])
    return Content({"segmentation": segmentation, "levels": levels, "dropped_um": dropped_um})
