"""The few numbers a reader takes home."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from ...domains.objects import ObjectsMetadata
from ...network.facts import HeldOutScores
from ...tables import at_level
from ..numbers import Estimate, count, depth_range, estimate, is_the_filter, length, smallest_kept_um, whole_of
from ..segmentation import Segmentation, with_segmentation
from ..zones import plateau, whole_domains
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


def build(
    zones: pd.DataFrame, sizes: pd.DataFrame, levels: dict[str, ObjectsMetadata], segmentation: Segmentation
) -> Content:
    """Return the cards."""
    scores = segmentation.scores_of(str(zones["class"].iloc[0]))
    return Content({"cards": cards(zones, sizes, levels["calibrated"], scores), "segmentation": segmentation})


def cards(
    zones: pd.DataFrame, sizes: pd.DataFrame, objects: ObjectsMetadata, scores: HeldOutScores | None = None
) -> list[Card]:
    """Return the headline: the plateau, which is the last zone reached, and the smallest domain near the substrate.

    Without depth both are those of the whole sample.

    Parameters
    ----------
    zones : DataFrame
        ``zones.parquet``.
    sizes : DataFrame
        ``sizes.parquet``.
    objects : ObjectsMetadata
        Conditions of the calibrated level.
    scores : HeldOutScores, optional
        Of the model that found the domains.
    """
    calibrated = at_level(zones, "calibrated")
    first, last = calibrated.iloc[0], calibrated.iloc[plateau(zones)]
    has_depth = not math.isnan(first["from_um"])
    place = depth_range(last["from_um"], last["to_um"])
    ratio, of_labels = with_segmentation(estimate(zones, last["zone"], "volume_ratio", 100), scores)
    diameter = estimate(zones, last["zone"], "mean_equivalent_diameter_um")
    density = estimate(zones, last["zone"], "number_density_per_mm3")
    smallest = estimate(zones, first["zone"], "diameter_min_um")
    levels = [int(n) for n in zones.loc[zones["zone"] == last["zone"], "n_domains"].dropna()]
    dropped = smallest_kept_um(objects)
    return [
        _card(
            "Volume fraction",
            place,
            ratio,
            "%",
            _convention(ratio, f"Share of the resin taken up by domains.{of_labels}"),
        ),
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
            _in_all_zones(int(calibrated["n_domains"].sum()), objects.n_domains) if has_depth else "",
        ),
        _card(
            "Smallest domain near the substrate" if has_depth else "Smallest domain",
            depth_range(first["from_um"], first["to_um"]),
            smallest,
            "µm",
            _of_smallest(
                smallest.value,
                whole_domains(sizes, first["zone"]),
                whole_of(whole_domains(sizes, first["zone"]), first["n_domains"], has_depth),
                dropped,
            ),
        ),
    ]


def _card(title: str, place: str, number: Estimate, unit: str, caveat: str) -> Card:
    known = math.isfinite(number.value)
    return Card(title, place, number.text, unit if known else "", number.interval, number.band, caveat)


def _in_all_zones(placed: int, found: int) -> str:
    rest = f"; {count(found - placed)} more of this scan lie in none" if 0 < placed < found else ""
    return f"{count(placed)} in all zones together{rest}."


def _of_smallest(um: float, whole: int, those: str, dropped_um: float) -> str:
    if not whole:
        return f"No size is known: {those}."
    filtered = (
        f"This is as small as the size filter allows: objects smaller than {length(dropped_um)} µm were discarded, so "
        "smaller domains may exist."
        if is_the_filter(um, dropped_um)
        else f"Objects smaller than {length(dropped_um)} µm were discarded as noise."
    )
    return (
        f"A single domain out of {those} sets this number; see also the 10 % value and the median in "
        f"the table of zones. {filtered}"
    )


def _convention(number: Estimate, text: str) -> str:
    if number.boundary_dominates:
        return f"{text} Here the position of the boundary matters more than the sampling."
    return text
