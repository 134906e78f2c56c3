"""The few numbers a reader takes home."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from ...domains.objects import ObjectsMetadata
from ...tables import at_level
from ..numbers import Estimate, count, depth_range, estimate, smallest_kept_um
from ..segmentation import Segmentation
from ..zones import plateau
from .section import Content


@dataclass(frozen=True)
class Card:
    """One headline number with what a reader must know about it."""

    title: str
    place: str
    value: str
    unit: str
    interval: str
    band: str
    caveat: str


def build(zones: pd.DataFrame, levels: dict[str, ObjectsMetadata], segmentation: Segmentation) -> Content:
    """Return the cards."""
    return Content({"cards": cards(zones, levels["calibrated"]), "segmentation": segmentation})


def cards(zones: pd.DataFrame, objects: ObjectsMetadata) -> list[Card]:
    """Return the headline: the plateau, which is the last zone reached, and the smallest domain near the substrate.

    Without depth both are those of the whole sample.

    Parameters
    ----------
    zones : DataFrame
        ``zones.parquet``.
    objects : ObjectsMetadata
        Conditions of the calibrated level.
    """
    calibrated = at_level(zones, "calibrated")
    first, last = calibrated.iloc[0], calibrated.iloc[plateau(zones)]
    has_depth = not math.isnan(first["from_um"])
    place = depth_range(last["from_um"], last["to_um"])
    ratio = estimate(zones, last["zone"], "volume_ratio", 100)
    diameter = estimate(zones, last["zone"], "mean_equivalent_diameter_um")
    density = estimate(zones, last["zone"], "number_density_per_mm3")
    smallest = estimate(zones, first["zone"], "diameter_min_um")
    levels = [int(n) for n in zones.loc[zones["zone"] == last["zone"], "n_domains"].dropna()]
    dropped = smallest_kept_um(objects)
    return [
        _card("Volume fraction", place, ratio, "%", _convention(ratio, "Share of the resin taken up by domains.")),
        _card("Mean diameter", place, diameter, "µm", _convention(diameter, "Diameter of the sphere of equal volume.")),
        _card(
            "Number density",
            place,
            density,
            "per mm³",
            "Domains per cubic millimetre of resin, corrected for those that the sides of the scan cut.",
        ),
        Card(
            "Domains counted",
            place,
            count(last["n_domains"]),
            "",
            "",
            f"{count(min(levels))}–{count(max(levels))}" if max(levels) > min(levels) else "",
            f"{count(calibrated['n_domains'].sum())} in all zones together." if has_depth else "",
        ),
        _card(
            "Smallest domain near the substrate" if has_depth else "Smallest domain",
            depth_range(first["from_um"], first["to_um"]),
            smallest,
            "µm",
            _of_smallest(int(first["n_domains"]), dropped),
        ),
    ]


def _card(title: str, place: str, number: Estimate, unit: str, caveat: str) -> Card:
    known = math.isfinite(number.value)
    return Card(title, place, number.text, unit if known else "", number.interval, number.band, caveat)


def _of_smallest(n_domains: int, dropped_um: float) -> str:
    if not n_domains:
        return "No domain has its centre there."
    return (
        f"A single domain out of {count(n_domains)} sets this number; see also the 10 % value and the median in the "
        f"table of zones. Objects smaller than {dropped_um:.1f} µm were discarded as noise."
    )


def _convention(number: Estimate, text: str) -> str:
    if number.boundary_dominates:
        return f"{text} Here the position of the boundary matters more than the sampling."
    return text
