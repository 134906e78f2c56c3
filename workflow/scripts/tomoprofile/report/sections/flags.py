"""What a reader must know before trusting a page, the most serious first."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ...domains.objects import ObjectsMetadata
from ...shift.alarm import Familiarity
from ...tables import CALIBRATED
from ...volume.store import Store
from ..flags import (
    domain_flags,
    doubtful_flags,
    familiarity_flags,
    filter_flags,
    interface_flags,
    level_flags,
    naming_classes,
    one_piece_flags,
    profile_flags,
    segmentation_flags,
    zone_flags,
)
from ..numbers import smallest_kept_um
from ..segmentation import Segmentation
from ..weak import weak_flags
from .section import Content


def build(
    sample: str,
    familiarity: Familiarity | None,
    segmentation: Segmentation,
    interface: dict[str, Any],
    volume: Store,
    zones: dict[str, pd.DataFrame],
    domains: dict[str, pd.DataFrame],
    profile: dict[str, pd.DataFrame],
    levels: dict[str, dict[str, ObjectsMetadata]],
) -> Content:
    """Return the flags of the scan and those of its classes."""
    is_learned = segmentation.kind == "network"
    found = {
        name: [
            *zone_flags(zones[name]),
            *filter_flags(zones[name], smallest_kept_um(levels[name][CALIBRATED])),
            *domain_flags(domains[name]),
            *(doubtful_flags(zones[name], domains[name], volume.voxel_size_um[0]) if is_learned else []),
            *profile_flags(profile[name]),
            *one_piece_flags(levels[name][CALIBRATED]),
        ]
        for name in zones
        if not domains[name].empty  # without any domains, that a zone has few goes without saying
    }
    flags = [
        *weak_flags(segmentation),
        *familiarity_flags(familiarity, sample),
        *segmentation_flags(segmentation, sample),
        *level_flags(segmentation),
        *interface_flags(interface, volume.shape, volume.voxel_size_um),
        *naming_classes(found, zones),
    ]
    return Content({"flags": sorted(flags, key=lambda flag: ("error", "warning", "note").index(flag.severity))})
