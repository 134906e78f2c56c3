"""The name of the scan and the finding in two sentences for each class, or that there is none."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ...domains.objects import ObjectsMetadata
from ...network.facts import HeldOutScores
from ...tables import CALIBRATED, at_level
from ..links import Links
from ..numbers import count, depth_range, estimate, length, smallest_kept_um
from ..segmentation import Segmentation, with_segmentation
from ..zones import plateau, whole_domains
from .section import Content


def build(
    domains: dict[str, pd.DataFrame],
    zones: dict[str, pd.DataFrame],
    sizes: dict[str, pd.DataFrame],
    levels: dict[str, dict[str, ObjectsMetadata]],
    segmentation: Segmentation,
    links: Links,
    written: str,
) -> Content:
    """Return the summary of each class that has domains, and what to do where none has."""
    one, *others = levels
    words: dict[str, Any] = {
        "several": bool(others),
        "summaries": {
            name: summary(zones[name], sizes[name], segmentation.scores_of(name))
            for name in levels
            if not domains[name].empty
        },
        "dropped_um": smallest_kept_um(levels[one][CALIBRATED]),  # the same for all classes
        "segmentation": segmentation,
        "links": links,
        "written": written,
    }
    return Content(words)


def summary(zones: pd.DataFrame, sizes: pd.DataFrame, scores: HeldOutScores | None = None) -> str:
    """Return the finding in two sentences for readers who stop there."""
    calibrated = at_level(zones, CALIBRATED)
    first, last = calibrated.iloc[0], calibrated.iloc[plateau(zones)]
    ratio, _ = with_segmentation(estimate(zones, last["zone"], "volume_ratio", 100), scores)
    diameter = estimate(zones, last["zone"], "mean_equivalent_diameter_um")
    has_depth = not math.isnan(last["from_um"])
    text = f"At {_from(last)} from the substrate, domains" if has_depth else "Domains"
    text += f" take up {ratio.text} % of the resin"
    text += f"; they are {diameter.text} µm across on average." if math.isfinite(diameter.value) else "."
    if len(calibrated) > 1:
        near = estimate(zones, first["zone"], "diameter_min_um")
        text += f" Nearest to the substrate ({depth_range(first['from_um'], first['to_um'])}), "
        those = _smallest_of(whole_domains(sizes, first["zone"]), int(first["n_domains"]))
        text += f"{those} is {near.text} µm across." if math.isfinite(near.value) else "no whole domain was found."
    return text


def _smallest_of(whole: int, found: int) -> str:
    if found == 1:
        return "the only domain"
    if whole == 1:
        return f"the only whole domain (of {count(found)})"
    return f"the smallest of {count(whole)} {f'whole domains (of {count(found)})' if whole < found else 'domains'}"


def _from(zone: pd.Series) -> str:
    stop = zone["to_um"]
    open_end = stop is None or not math.isfinite(stop)
    return f"{length(zone['from_um'])} µm and more" if open_end else f"{length(zone['from_um'])} to {length(stop)} µm"
