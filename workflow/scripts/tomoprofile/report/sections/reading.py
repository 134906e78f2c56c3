"""What the words of the page mean."""

from __future__ import annotations

from ...domains.objects import ObjectsMetadata
from ...tables import CALIBRATED
from ..numbers import smallest_kept_um
from ..segmentation import Segmentation
from .section import Content


def build(segmentation: Segmentation, levels: dict[str, dict[str, ObjectsMetadata]]) -> Content:
    """Return what the explanations depend on."""
    one, *others = levels.values()
    words = {"segmentation": segmentation, "levels": None if others else one}
    return Content(words | {"dropped_um": smallest_kept_um(one[CALIBRATED])})
