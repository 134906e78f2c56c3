"""What a reader must know before trusting a page, the gravest first."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ...shift.alarm import Familiarity
from ...volume.plane import Plane
from ...volume.store import Store
from ..flags import domain_flags, familiarity_flags, interface_flags, profile_flags, segmentation_flags, zone_flags
from ..segmentation import Segmentation
from .section import Content


def build(
    sample: str,
    familiarity: Familiarity | None,
    segmentation: Segmentation,
    interface: dict[str, Any],
    plane: Plane,
    volume: Store,
    zones: pd.DataFrame,
    domains: pd.DataFrame,
    profile: pd.DataFrame,
) -> Content:
    """Return the flags."""
    flags = [
        *familiarity_flags(familiarity, sample),
        *segmentation_flags(segmentation, sample),
        *interface_flags(interface, volume.voxel_size_um[plane.axis]),
    ]
    if not domains.empty:  # without any, that a zone has few goes without saying
        flags += [*zone_flags(zones), *domain_flags(domains), *profile_flags(profile)]
    return Content({"flags": sorted(flags, key=lambda flag: ("error", "warning", "note").index(flag.severity))})
