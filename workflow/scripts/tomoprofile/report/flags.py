"""What a reader must know before trusting a page, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..domains.objects import ObjectsMetadata
from ..shift.alarm import NO_LABEL, Familiarity
from ..substrate.given import face_in_words
from ..tables import FLAGS, OF_MODEL, at_level, has_flag
from .numbers import depth_range, is_the_filter, length, percent, short
from .segmentation import MeasuredFacts, Segmentation
from .zones import plateau

_TILT_DEG = 2.0  # phantoms and mounted samples stay below; more suggests a wrong plane
_RESIDUAL_VOXELS = 1.0
_SHARE_OF_ONE = 0.2  # a single object with more of all domain volume is a leak or a percolating network
_BAND_FACTOR = 2.0
_HOLLOW = 0.05  # share of the large domains; digitisation makes none in a domain that is found whole
_COARSE = {"small_for_axes": 0.5, "small_for_surface": 0.1}  # shares of all domains above which shapes are unusable
_SURE = 0.8  # mean probability; in simulated scans false domains lie below and nearly all true ones above 0.9
_PIECE_VOXELS = 20  # of a domain in one slice; whole ones of this size have three slices or more
_DOUBTFUL = 0.05  # share of the whole domains of a zone
_MOST_NAMES = 5
_LOOK = "check the dashed line, and the arrow from it into the resin, in the pictures"


@dataclass(frozen=True)
class Flag:
    """One thing to know.

    Attributes
    ----------
    severity : {"error", "warning", "note"}
        Notes belong to every measurement; warnings ask for a look before the numbers are used.
    title, text : str
        In words.
    """

    severity: str
    title: str
    text: str


def profile_flags(profile: pd.DataFrame) -> list[Flag]:
    """Return one note for each reason in the bins of the calibrated level, with the depths it holds for."""
    bins = at_level(profile, "calibrated")
    if bins["depth_lo_um"].isna().all():
        return []  # without depth the one zone says it
    flags = []
    for reason in _reasons(bins["flag"]):
        title, text = _words(reason)
        depths = _depths(bins, has_flag(bins, reason))
        flags.append(Flag("note", title, f"{depths}: {text}. Shown hollow in the profile."))
    return flags


def zone_flags(zones: pd.DataFrame) -> list[Flag]:
    """Return a warning for each reason that touches a whole zone, and for numbers that depend on the boundary level."""
    flags = []
    for row in at_level(zones, "calibrated").itertuples():
        if math.isnan(row.volume_ratio):
            text = f"The scan has no resin {depth_range(row.from_um, row.to_um)} from the substrate."
            flags.append(Flag("warning", f"Zone {row.zone} not reached", text))
            continue
        for reason in filter(None, str(row.flag).split(";")):
            title, text = _words(reason)
            # Every scan ends somewhere: the bins say where, and a zone need not be distrusted for reaching its end.
            if reason not in FLAGS or (FLAGS[reason].severity != "note" and reason not in OF_MODEL):
                flags.append(Flag("warning", f"{title} in zone {row.zone}", f"{text[0].upper()}{text[1:]}."))
    last = zones[zones["zone"] == at_level(zones, "calibrated")["zone"].iloc[plateau(zones)]]
    low, high = last["volume_ratio"].min(), last["volume_ratio"].max()
    if low > 0 and high / low > _BAND_FACTOR:
        text = (
            f"Between the boundary levels the volume fraction of the plateau changes from {short(100 * low)} to "
            f"{short(100 * high)} %. The segmentation is unsure where domains end, or the voxels are too coarse."
        )
        flags.append(Flag("warning", "The boundary decides the result", text))
    return flags


def filter_flags(zones: pd.DataFrame, kept_um: float) -> list[Flag]:
    """Return a warning when the smallest domain nearest to the substrate is as small as the size filter allows."""
    first = at_level(zones, "calibrated").iloc[0]
    if not is_the_filter(first["diameter_min_um"], kept_um):
        return []
    near = f" {depth_range(first['from_um'], first['to_um'])} from the substrate"
    text = (
        f"The smallest domain{'' if math.isnan(first['from_um']) else near}, "
        f"{short(first['diameter_min_um'])} µm, is as small as the size filter allows ({length(kept_um)} µm, "
        "objects.min_voxels): it says where the filter cuts, not how small domains are."
    )
    return [Flag("warning", "The smallest domain is the size filter", text)]


def one_piece_flags(level: ObjectsMetadata) -> list[Flag]:
    """Return how much was left out of a class of which only the largest object is kept."""
    number, voxels = level.left_out or (0, 0)
    if not number:
        return []
    volume = short(voxels * math.prod(level.voxel_size_um))
    objects = "1 smaller object" if number == 1 else f"{number} smaller objects"
    verb = "was" if number == 1 else "were"
    text = f"{objects} with {volume} µm³ {verb} left out, as the class is one body (one_piece of the model)."
    return [Flag("note", "Smaller objects left out", text)]


def model_flags(zones: pd.DataFrame) -> list[Flag]:
    """Return one flag when the table says that the scan is unlike those its model has seen."""
    found = [name for name in OF_MODEL if has_flag(zones, name).any()]
    text = "Its numbers may be far off: label the slice that the report names before you use them."
    return [Flag(FLAGS[name].severity, FLAGS[name].title, text) for name in found]


def familiarity_flags(familiarity: Familiarity | None, sample: str) -> list[Flag]:
    """Return what the comparison of a scan with those of its model says, and which slice to label."""
    if familiarity is None or familiarity.status == "inside":
        return []
    if familiarity.status == "unknown":
        return [Flag("warning", "Model not compared with the scan", f"There is {familiarity.reasons[0]}.")]
    wanted = {
        "outside": "do not use them before you have labelled one slice of this scan.",
        "edge": "to be sure, label one slice of this scan.",
    }
    image = f"to_label/{sample}_z{familiarity.label_slice:05d}.tif"
    text = (
        f"Differences: {'; '.join(familiarity.reasons)}. How far off the numbers are is unknown: "
        f"{wanted[familiarity.status]} Take slice {familiarity.label_slice}: {image}, with a mask to correct in "
        "to_label/prelabels. Name the folder of the corrected mask in the column labels of the sheet and run again; a "
        "model used as it is becomes `base` of a new one."
    )
    reason = FLAGS[familiarity.flag]
    if familiarity.reasons == [NO_LABEL]:
        return [Flag(reason.severity, "No label was used", text.replace("Differences: no", "No", 1))]
    return [Flag(reason.severity, reason.title, text)]


def interface_flags(
    record: dict[str, Any], shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]
) -> list[Flag]:
    """Return what is doubtful about the substrate plane.

    Parameters
    ----------
    record : dict
        ``interface.json``.
    shape : tuple of int
        Voxels of the scan along (z, y, x).
    voxel_size_um : tuple of float
        Voxel edges along (z, y, x).
    """
    if "axis" not in record:
        return []  # there is no plane
    flags = []
    if record.get("warning"):
        flags.append(Flag("warning", "Substrate plane", str(record["warning"])))
    how = str(record.get("how", ""))
    if how.startswith("plane"):
        text = f"It was given in the sample sheet, not fitted to the scan: {_LOOK}."
        flags.append(Flag("note", "Substrate plane given by hand", text))
    if how.startswith("slice"):
        text = (
            f"It was given as {how}, not fitted. {face_in_words(how, shape[0], voxel_size_um[0])} Please {_LOOK}. A "
            "tilt of the substrate then smears every depth: half a degree over 1 mm is 8.7 µm."
        )
        flags.append(Flag("warning", "Substrate plane given by hand", text))
    tilt = record.get("tilt_deg")
    if isinstance(tilt, int | float) and tilt > _TILT_DEG:
        tilted = f"The substrate is tilted by {short(tilt, 2)}° against the voxel grid."
        text = f"{tilted} Depths follow the tilt; check the plane."
        flags.append(Flag("warning", "Tilted substrate", text))
    residual = record.get("residual_um")
    follows = "node_spacing_um" in record  # a mask: depths follow the surface, however far it leaves the plane
    voxel_um = voxel_size_um["zyx".index(record["axis"])]
    if isinstance(residual, int | float) and residual > _RESIDUAL_VOXELS * voxel_um and not follows:
        text = f"The substrate deviates from a plane by {short(residual, 2)} µm rms; depths are no better than that."
        flags.append(Flag("warning", "Rough or bent substrate", text))
    return flags


def segmentation_flags(segmentation: Segmentation, sample: str) -> list[Flag]:
    """Return what is doubtful about how the domains of a scan were found."""
    if segmentation.is_given:
        text = (
            f"No model of this workflow found the domains: they are {segmentation.method}. Its accuracy was not "
            "measured here. The uncertainty of its boundary is unknown; do not read this as zero uncertainty."
        )
        return [Flag("note", "Segmentation of your own", text)]
    if segmentation.kind == "threshold":
        text = (
            "A global threshold does not recognise the inside of domains with bright and dark rims: large domains come "
            "out too small or hollow. Use it as a baseline."
        )
        return [Flag("warning", "Segmented by a threshold", text)]
    if not segmentation.labelled or sample in segmentation.labelled:
        return []
    names = ", ".join(segmentation.labelled[:_MOST_NAMES])
    more = len(segmentation.labelled) - _MOST_NAMES
    text = (
        f"No slice of this scan was labelled; the model learned from {names}{f' and {more} more' * (more > 0)}. "
        "Accuracy was measured there, not here: compare the outlines below with what you see."
    )
    return [Flag("note", "Model from another scan", text)]


def level_flags(segmentation: Segmentation) -> list[Flag]:
    """Return what is doubtful about the decision levels of a network."""
    if segmentation.kind != "network" or _without_labels(segmentation):
        return []
    classes = segmentation.classes
    return naming_classes({name: _level_flags(found) for name, found in classes.items()}, classes)


def _without_labels(segmentation: Segmentation) -> bool:
    """Return whether no label was used, which the alarm says: nothing that labels would tell is missing then."""
    return segmentation.model is not None and segmentation.model.seen.simulated


def _level_flags(found: MeasuredFacts) -> list[Flag]:
    if not found.calibrated:
        text = (
            "The labels are too few to judge each other, so the decision level is not set from data and no accuracy is "
            "known. Label one more slice."
        )
        return [Flag("warning", "Uncalibrated decision level", text)]
    if found.at_its_limit:
        text = (
            "No level gives the domains that were found the outlines of the labels: labels may be drawn too wide or "
            "too tight, or the model is poor."
        )
        return [Flag("warning", "Decision level at its limit", text)]
    return []


def naming_classes(found: Mapping[str, list[Flag]], classes: Iterable[str]) -> list[Flag]:
    """Return the flags of several classes, each once; a flag that not all classes share names its classes.

    Parameters
    ----------
    found : dict of list of Flag
        By class.
    classes : iterable of str
        All measured classes.
    """
    everyone = list(classes)
    flags = []
    for flag in dict.fromkeys(flag for of_class in found.values() for flag in of_class):
        names = [name for name in everyone if flag in found.get(name, ())]
        flags.append(flag if names == everyone else replace(flag, title=f"{flag.title} ({', '.join(names)})"))
    return flags


def domain_flags(domains: pd.DataFrame) -> list[Flag]:
    """Return what the domains say about the segmentation: leaks, rims without inside, voxels too coarse for shapes."""
    return [*_one_slice(domains), *_dominating(domains), *_hollow(domains), *_coarse(domains)]


def doubtful_flags(zones: pd.DataFrame, domains: pd.DataFrame, slice_um: float) -> list[Flag]:
    """Return a warning for each zone in which many domains of a network may be none, or pieces of others.

    Parameters
    ----------
    zones, domains : DataFrame
        Of one class.
    slice_um : float
        Thickness of a slice.
    """
    flags = []
    one_slice = (domains["bbox_z_stop"] - domains["bbox_z_start"] == 1) & (domains["voxels"] >= _PIECE_VOXELS)
    doubtful = (domains["confidence"] < _SURE) | (one_slice & ~domains["on_border"])
    for zone in at_level(zones, "calibrated").itertuples():
        end = math.inf if pd.isna(zone.to_um) else zone.to_um
        inside = domains["depth_um"].between(zone.from_um, end, inclusive="left") | math.isnan(zone.from_um)
        whole = domains[inside & (domains["edge_weight"] > 0)]
        these = doubtful[whole.index]
        if not 1 < these.sum() < len(whole) or these.mean() <= _DOUBTFUL:
            continue
        rest = whole[~these]
        without = np.average(rest["equivalent_diameter_um"], weights=rest["edge_weight"])
        fewer = whole.loc[these, "edge_weight"].sum() / whole["edge_weight"].sum()
        place = int(whole.loc[these, "centroid_z_um"].median() / slice_um)
        text = (
            f"{int(these.sum())} of the {len(whole)} whole domains there are unsure (mean probability below {_SURE:g}) "
            "or lie in one slice alone: something else that looks like a domain, or a piece of one that was not joined "
            f"to it. Without them the mean diameter would be {short(without)} µm instead of "
            f"{short(zone.mean_equivalent_diameter_um)} µm, and the number density {percent(fewer)} % lower; the "
            "volume fraction hardly depends on them. The column confidence of the table of domains shows which they "
            "are. "
            f"A label near slice {place} teaches the model the difference."
        )
        flags.append(Flag("warning", f"Doubtful domains in zone {zone.zone}", text))
    return flags


def _one_slice(domains: pd.DataFrame) -> list[Flag]:
    reason = FLAGS["one_slice"]
    text = f"{reason.sentence[0].upper()}{reason.sentence[1:]}."
    return [Flag(reason.severity, reason.title, text)] if has_flag(domains, "one_slice").any() else []


def _dominating(domains: pd.DataFrame) -> list[Flag]:
    total = domains["volume_um3"].sum()
    if len(domains) < 2 or not total > 0:
        return []
    share = domains["volume_um3"].max() / total
    if share <= _SHARE_OF_ONE:
        return []
    depth = domains.loc[domains["volume_um3"].idxmax(), "depth_um"]
    place = "" if math.isnan(depth) else f", at {length(depth)} µm from the substrate,"
    text = (
        f"A single object{place} holds {percent(share)} % of all domain volume: "
        "the segmentation may have leaked, or domains touch."
    )
    return [Flag("warning", "One object dominates", text)]


def _hollow(domains: pd.DataFrame) -> list[Flag]:
    # A domain of a few voxels cannot show a cavity.
    large = domains[~has_flag(domains, "small_for_axes")]
    hollow = int((large["cavities"] > 0).sum())
    if not len(large) or hollow <= _HOLLOW * len(large):
        return []
    text = (
        f"{hollow} of the {len(large)} domains of more than 8 voxels diameter hold enclosed background: their inside "
        "may not have been recognised, and their volumes and the volume fraction are then too small. Check the "
        "pictures below."
    )
    return [Flag("warning", "Cavities found: were only rims segmented?", text)]


def _coarse(domains: pd.DataFrame) -> list[Flag]:
    shares = {reason: float(has_flag(domains, reason).mean()) for reason in _COARSE} if len(domains) else {}
    if not any(share > _COARSE[reason] for reason, share in shares.items()):
        return []
    text = (
        f"{percent(shares['small_for_axes'])} % of the domains are less than 8 voxels across: do not use their axes, "
        f"elongation, flatness and tilt. {percent(shares['small_for_surface'])} % are less than 4: nor their surface, "
        "sphericity and compactness. Sizes, places and all numbers on this page are not affected."
    )
    return [Flag("note", "Voxels too coarse for shapes", text)]


def worst(flags: list[Flag]) -> str:
    """Return the severest kind among flags: error, warning, note, or ok when there are none."""
    found = {flag.severity for flag in flags}
    return next((severity for severity in ("error", "warning", "note") if severity in found), "ok")


def _reasons(flags: pd.Series) -> list[str]:
    found = {reason for flag in flags for reason in flag.split(";") if reason}
    order = list(FLAGS)
    return sorted(found, key=lambda reason: (order.index(reason) if reason in order else len(order), reason))


def _words(reason: str) -> tuple[str, str]:
    """Return title and sentence of a flag; one from another program is shown as it is."""
    if reason not in FLAGS:
        return reason.replace("_", " ").capitalize(), reason.replace("_", " ")
    return FLAGS[reason].title, FLAGS[reason].sentence


def _depths(bins: pd.DataFrame, flagged: pd.Series) -> str:
    stretches: list[list[float]] = []
    end = math.nan
    for row in bins[flagged].itertuples():
        if stretches and math.isclose(row.depth_lo_um, end, abs_tol=1e-6):
            stretches[-1][1] = row.depth_hi_um
        else:
            stretches.append([row.depth_lo_um, row.depth_hi_um])
        end = row.depth_hi_um
    return ", ".join(f"{length(start)}–{length(stop)}" for start, stop in stretches) + " µm"
