"""The methods of this scan as a paragraph for a paper, with the numbers and the literature that it needs.

English in any language of the page: it goes into papers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from ...config import OWN_BASE
from ...domains.objects import ObjectsMetadata
from ...network.facts import MeasuredClass, ModelFacts
from ...tables import CALIBRATED, at_level
from ...volume.store import Store
from ..divisions import Divisions
from ..numbers import count, length, scan_size, short, smallest_kept_um
from ..references import References
from ..segmentation import Segmentation
from .section import Content

_SURFACES = {
    "auto": "a plane fitted to the edge of the substrate",
    "mask": "the surface of the substrate, which was given as a mask",
    "slice": "a plane along the slices, set by hand",
    "plane": "a plane set by hand",
    "surface": "the outer surface of the sample",
    "face": "a face of the scan",
}


def build(
    volume: Store,
    segmentation: Segmentation,
    levels: dict[str, dict[str, ObjectsMetadata]],
    interface: dict[str, Any],
    profile: dict[str, pd.DataFrame],
    software: str,
    divisions: Divisions,
) -> Content:
    """Return the paragraph and its references."""
    cite = References()
    objects = {name: of_class[CALIBRATED] for name, of_class in levels.items()}
    (one, *_) = levels.values()
    band = None if segmentation.is_given else (one["low"].level, one["high"].level)
    sentences = [
        _scan(volume),
        *_segmentation(segmentation, objects, cite),
        *_objects(segmentation, objects, cite),
        *_boundary(band if len(levels) == 1 else None),
        *_profile(interface, next(iter(profile.values())), divisions, cite),
        f"All numbers were computed with tomoprofile {software} {cite.mark(_program(software))}.",
    ]
    return Content({"paragraph": " ".join(sentences), "references": cite.cited})


def _program(software: str) -> str:
    return f"The tomoprofile developers: tomoprofile, version {software} (see CITATION.cff in its repository)"


def _scan(volume: Store) -> str:
    voxels, edge = scan_size(volume.shape, volume.voxel_size_um)
    return f"The reconstructed X-ray CT scan has {voxels} voxels (z × y × x) of {edge}."


def _segmentation(segmentation: Segmentation, objects: dict[str, ObjectsMetadata], cite: References) -> Iterator[str]:
    """Yield how the domains were found, whatever found them."""
    if segmentation.model is not None:
        yield from _network(segmentation.model, objects, cite)
    elif segmentation.kind == "threshold":
        filled = " and its holes were filled" if segmentation.facts.get("method") == "threshold_fill" else ""
        side = {"dark": " below", "bright": " above"}.get(segmentation.facts.get("domains are", ""), " beyond")
        threshold = f"a global threshold, found in the scan by Otsu's method {cite('otsu')}"
        yield f"Voxels{side} {threshold}, are domains{filled}."
    elif segmentation.kind == "instances":
        yield "The domains are the objects of a label volume that was made with other software [describe how]."
    else:
        yield "The domains are those of a segmentation that was made with other software [describe how]."


def _network(model: ModelFacts, objects: dict[str, ObjectsMetadata], cite: References) -> Iterator[str]:
    encoder = model.network.encoder
    mark = cite("unet", "monai", *(["efficientnet"] if encoder.startswith("efficientnet") else []))
    n_slices = model.network.in_channels
    sees = "one slice" if n_slices == 1 else f"{n_slices} neighbouring slices"
    yield (
        f"Domains were segmented slice by slice by a two-dimensional U-Net (built with MONAI, with the encoder "
        f"{encoder}, which sees {sees} at once) {mark}."
    )
    starts = {"imagenet": "from ImageNet weights", "none": "from random weights"}
    start = (starts | {OWN_BASE: "from a model of simulated scans"}).get(model.base, "from an earlier model")
    taken = f" in {count(model.steps)} steps" if model.steps else ""
    if model.seen.simulated:
        yield f"It was trained {start}{taken} on simulated scans alone; no label was used."
    else:
        yield f"It was trained {start}{taken} on {_labelled(len(model.labels.training))}."
    several = len(objects) > 1
    for name, known in model.measured.items():
        if name in objects:
            yield _level(known, objects[name].level, f" (class {name})" if several else "", cite)


def _labelled(n: int) -> str:
    return f"{count(n)} labelled slice{'' if n == 1 else 's'}"


def _level(known: MeasuredClass, level: float, of_class: str, cite: References) -> str:
    """Return from which probability voxels are domains, and how well that does on labels that did not train."""
    if not known.calibrated:
        return (
            f"Voxels with an output of {short(level)} or more were taken as domains{of_class}; the labels were too "
            "few to judge each other, so this level is not calibrated and the accuracy is unknown."
        )
    scores = known.held_out.model_dump() if known.held_out else {}
    told = " and ".join(
        f"{name} {short(scores[key])}"
        for key, name in (("dice", "a Dice coefficient of"), ("iou", "an intersection over union of"))
        if scores.get(key) is not None
    )
    accuracy = f", where the segmentation reaches {told}" if told else ""
    return (
        f"Its output was calibrated to a probability {cite('platt')}, and voxels with {short(level)} or more were "
        f"taken as domains{of_class}, the level at which the area found equals the area labelled in cross-validation"
        f"{accuracy}."
    )


def _objects(segmentation: Segmentation, objects: dict[str, ObjectsMetadata], cite: References) -> Iterator[str]:
    one = next(iter(objects.values()))
    least = f"fewer than {one.min_voxels} voxels (equivalent diameter {length(smallest_kept_um(one))} µm)"
    if one.min_slices > 1:
        least += f" or in fewer than {one.min_slices} slices"
    joined = (
        "Each label is one domain"
        if segmentation.kind == "instances"
        else f"Voxels that are connected ({one.connectivity}-connectivity) form one domain"
    )
    named = [f"{count(known.n_domains)}{f' ({name})' if len(objects) > 1 else ''}" for name, known in objects.items()]
    yield f"{joined}; objects of {least} were discarded, and {' and '.join(named)} domains were measured."
    yield (
        "Volumes are counts of voxels, diameters those of spheres of equal volume, and surface areas follow from "
        f"Crofton's formula in 13 directions {cite('legland')} with a correction for chords shorter than a voxel."
    )


def _boundary(band: tuple[float, float] | None) -> Iterator[str]:
    if band:
        low, high = map(short, band)
        yield f"A boundary band compares the same measurement at the levels {low} and {high}."


def _profile(interface: dict[str, Any], profile: pd.DataFrame, divisions: Divisions, cite: References) -> Iterator[str]:
    bins = at_level(profile, CALIBRATED)
    surface = _SURFACES.get(str(interface.get("how", "")).partition(":")[0])
    if surface and len(bins):
        width = float((bins["depth_hi_um"] - bins["depth_lo_um"]).max())
        first, last = float(bins["depth_lo_um"].min()), float(bins["depth_hi_um"].max())
        tilt = interface.get("tilt_deg")
        tilted = f" (tilt {short(tilt, 2)}°)" if isinstance(tilt, int | float) and math.isfinite(tilt) else ""
        yield (
            f"Depth is the distance from {surface}{tilted}; profiles have bins of {length(width)} µm from "
            f"{length(first)} to {length(last)} µm."
        )
    yield (
        "Volume fractions and number densities refer to the resin. Number densities and mean diameters weight whole "
        f"domains against the effect of the sides of the scan {cite('miles', 'lantuejoul')}, nearest-neighbour "
        f"distances are corrected for edges {cite('hanisch')}, and 95 % intervals are expanded percentile intervals "
        f"of a bootstrap over blocks of {length(divisions.settings.block_um)} µm {cite('hesterberg')}."
    )
