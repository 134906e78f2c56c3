"""The acceptance gates: how close the results of a simulated scan must come to its truth.

Stricter than :mod:`tomoprofile.run.against_truth`, which a demonstration shows: for scans of at least 256 voxels a side
and bins of 1 um.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tomoprofile.layout import ScanLayout
from tomoprofile.phantom.geometry import PEAK_UM, PLATEAU_FROM_UM, SMALL_FROM_UM
from tomoprofile.run.against_truth import (
    CENTRE,
    CENTROID,
    LARGE_UM,
    NEAR_UM,
    Truth,
    false_small,
    match_large,
    plane_error_um,
    refuse_unmeasured,
)
from tomoprofile.tables import BREAKPOINTS, CALIBRATED, DOMAINS, PROFILE, ZONES, Table, at_level, of_class
from tomoprofile.volume.plane import Plane

BREAK_UM = 3.0  # the break of the profile lies at 40 um, within this
FALL = 0.35  # volume fraction at 27-30 um over that at 40-45 um
RISE_Z = float(stats.norm.ppf(0.99))  # the rise toward the substrate is certain: p < 0.01
SLOPE_Z = float(stats.norm.ppf(0.995))
SPHERICITY = 0.05
DENSITY_PERCENT = 3.0
MEAN_UM = 0.15
THICK_UM = 5.0  # layers whose volume fractions are compared with the truth one by one
_ESTIMATES = ("volume_ratio", "volume_ratio_lo", "volume_ratio_hi", "number_density_per_mm3")
_DOMAINS = ("equivalent_diameter_um", "depth_um", "on_border", "sphericity", "cavities", "flag", *CENTROID)


@dataclass(frozen=True)
class Tolerances:
    """How close to the truth a segmentation must come (A1, A2, A5, A7).

    Attributes
    ----------
    ratio_points : float
        Volume fraction beyond 80 um, in percentage points.
    layer_points : float
        The same in each layer of 5 um.
    diameter_um : float
        Mean equivalent diameter beyond 80 um.
    count_percent : float
        Number of domains there.
    large_percent : float
        Diameter of each large domain near the substrate.
    large_recall : float
        Share of these that must be found.
    most_false : int
        Smaller domains near the substrate, where there are none.
    plane_voxels, plane_deg : float
        Substrate plane, at its worst corner, and its direction.
    """

    ratio_points: float
    layer_points: float
    diameter_um: float
    count_percent: float
    large_percent: float
    large_recall: float
    most_false: int
    plane_voxels: float = 0.25
    plane_deg: float = 0.05


# The true mask, measured from the true plane and from the plane found in the images.
EXACT = Tolerances(1e-6, 1e-6, 0.01, 0, 0.01, 1, 0, 1e-6, 1e-6)
TRUE_MASK = Tolerances(0.02, 0.15, 0.03, 1, 0.01, 1, 0)
SIMPLE = Tolerances(0.1, 0.5, 0.05, 1, 3, 0.97, 0)
HARD = Tolerances(0.2, 0.75, 0.08, 2, 5, 0.9, 1)
CARRIED_UNLABELLED = Tolerances(0.4, 1, 0.2, 5, 5, 0.97, 1)
CARRIED_LABELLED = Tolerances(0.2, 0.75, 0.1, 2, 5, 0.97, 1)
TEXTURED = Tolerances(0.4, 1, 0.2, 5, 5, 0.9, 1)
# Voids take up a twentieth of the volume of domains, and number a few dozen: 5 % of the fraction, 2 in 50.
VOIDS = Tolerances(0.01, 0.05, 0.05, 4, 3, 0.97, 0)


@dataclass(frozen=True)
class Gate:
    """One number and the range in which it must lie.

    Attributes
    ----------
    name : str
        A1 to A9, as in the project's design.
    what : str
        The quantity and its place.
    measured, lowest, highest : float
        In ``unit``.
    unit : str
        Empty for counts and ratios.
    """

    name: str
    what: str
    measured: float
    lowest: float
    highest: float
    unit: str = ""

    @property
    def ok(self) -> bool:
        """Whether the number lies in its range; a missing number does not."""
        return bool(self.lowest <= self.measured <= self.highest)

    def __str__(self) -> str:
        """Return one line: the measured value and the allowed range."""
        unit = f" {self.unit}" if self.unit else ""
        if math.isinf(self.highest):
            allowed = f"at least {self.lowest:.4g}"
        elif math.isinf(self.lowest):
            allowed = f"at most {self.highest:.4g}"
        else:
            allowed = f"{self.lowest:.5g} to {self.highest:.5g}"
        return f"{'ok  ' if self.ok else 'FAIL'} {self.name} {self.what}: {self.measured:.5g}{unit} ({allowed})"


def gates(truth_folder: Path, files: ScanLayout, tolerances: Tolerances, measured: str = "domain") -> list[Gate]:
    """Return the gates A1 to A5 and A7 to A9 for the domains of a simulated scan; for its voids A1, A2, A8 and A9.

    Voids are the same at all depths: they have no plateau, no break, and no large ones near the substrate.

    Parameters
    ----------
    truth_folder : Path
        What :func:`~tomoprofile.phantom.files.write_truth` wrote.
    files : ScanLayout
        Results of the scan, with ``profile.bin_um: 1``.
    tolerances : Tolerances
    measured : {"domain", "void"}
        The class.

    Raises
    ------
    InputError
        When a table or a column is missing, or the class was not measured.
    """
    truth, plane = Truth.read(truth_folder, measured), Plane.load(files.interface)
    refuse_unmeasured(files, measured)

    def rows(table: Table, path: Path, *columns: str) -> pd.DataFrame:
        return of_class(table.read(path, ("class", *columns)), measured)

    domains = rows(DOMAINS, files.domains, *_DOMAINS)
    amounts = ("level", "depth_lo_um", "depth_hi_um", "resin_um3", "domain_um3", *_ESTIMATES)
    own = at_level(rows(PROFILE, files.profile, *amounts), CALIBRATED)
    zones = rows(ZONES, files.zones, "level", "from_um", *_ESTIMATES)
    breaks = rows(BREAKPOINTS, files.breakpoints, "quantity", "depth_um")
    of_domains = (
        []
        if measured != "domain"
        else [
            _no_slope(domains),
            *_shape_of_profile(domains, own, breaks),
            *_near_substrate(truth, domains, tolerances),
            *_plane(truth, plane, tolerances),
        ]
    )
    return [
        *_ratio(truth, own, zones, tolerances),
        *_sizes(truth, domains, tolerances),
        *of_domains,
        *_density(truth, own),
        *_sphericity(truth, domains),
    ]


def _near(name: str, what: str, measured: float, truth: float, tolerance: float, unit: str = "") -> Gate:
    return Gate(name, what, measured, truth - tolerance, truth + tolerance, unit)


def ratio_between(bins: pd.DataFrame, low_um: float, high_um: float) -> float:
    """Return the volume fraction of the bins between two depths."""
    held = bins[(bins["depth_lo_um"] >= low_um - 1e-6) & (bins["depth_hi_um"] <= high_um + 1e-6)]
    return float(held["domain_um3"].sum() / held["resin_um3"].sum()) if len(held) else math.nan


def _ratio(truth: Truth, bins: pd.DataFrame, zones: pd.DataFrame, allowed: Tolerances) -> list[Gate]:
    end = float(bins["depth_hi_um"].max())
    found, true = ratio_between(bins, truth.even_from_um, end), truth.ratio(truth.even_from_um, end)
    lows = np.arange(0, end - THICK_UM + 1e-6, THICK_UM)
    off = [abs(ratio_between(bins, low, low + THICK_UM) - truth.ratio(low, low + THICK_UM)) for low in lows]
    what = f"largest error of the volume fraction in a layer of {THICK_UM:g} um"
    # The zone may reach a little farther than the bins, which omit thin ends, so it has its own truth.
    plateau = zones[zones["from_um"] == PLATEAU_FROM_UM]
    low, high = plateau["volume_ratio_lo"].min(), plateau["volume_ratio_hi"].max()
    low, high = min(low, plateau["volume_ratio"].min()), max(high, plateau["volume_ratio"].max())
    gates_ = [
        _near(
            "A1",
            f"volume fraction beyond {truth.even_from_um:g} um",
            100 * found,
            100 * true,
            allowed.ratio_points,
            "%",
        ),
        Gate("A1", what, 100 * float(np.max(off)), -math.inf, allowed.layer_points, "points"),
    ]
    if allowed is not EXACT:  # without uncertainty of sampling or boundary, the truth is the value itself
        what = "true volume fraction, in the interval widened by the boundary band"
        gates_.append(Gate("A1", what, 100 * truth.ratio(PLATEAU_FROM_UM, math.inf), 100 * low, 100 * high, "%"))
    return gates_


def _sizes(truth: Truth, domains: pd.DataFrame, allowed: Tolerances) -> list[Gate]:
    found, true = (
        table[(table["depth_um"] >= truth.even_from_um) & ~table["on_border"]] for table in (domains, truth.objects)
    )
    means = found["equivalent_diameter_um"].mean(), true["equivalent_diameter_um"].mean()
    where = f"beyond {truth.even_from_um:g} um"
    return [
        _near("A2", f"mean diameter {where}", *means, allowed.diameter_um, "um"),
        _near("A2", f"{truth.measured}s {where}", len(found), len(true), allowed.count_percent / 100 * len(true)),
    ]


def _no_slope(domains: pd.DataFrame) -> Gate:
    found = domains[(domains["depth_um"] >= PLATEAU_FROM_UM) & ~domains["on_border"]]
    fit = stats.linregress(found["depth_um"], found["equivalent_diameter_um"])
    slope = abs(fit.slope) / fit.stderr
    return Gate("A2", "slope of the diameter there, in standard errors", slope, -math.inf, SLOPE_Z)


def _shape_of_profile(domains: pd.DataFrame, bins: pd.DataFrame, breaks: pd.DataFrame) -> list[Gate]:
    whole = domains[~domains["on_border"]]
    middle = whole[(whole["depth_um"] >= SMALL_FROM_UM + 2) & (whole["depth_um"] < PLATEAU_FROM_UM)]
    far = whole[whole["depth_um"] >= PLATEAU_FROM_UM]
    means = (float(part["equivalent_diameter_um"].mean()) for part in (middle, far))
    rise = _excess_z(bins, (PEAK_UM, PEAK_UM + 10), (PLATEAU_FROM_UM, math.inf))
    fall = ratio_between(bins, SMALL_FROM_UM, SMALL_FROM_UM + 3) / ratio_between(bins, PEAK_UM, PEAK_UM + 5)
    found = breaks.loc[breaks["quantity"] == "volume_ratio", "depth_um"].to_numpy()
    nearest = float(found[np.abs(found - PEAK_UM).argmin()]) if len(found) else math.nan
    return [
        _near("A3", "mean diameter before 80 um, compared with that beyond", *means, MEAN_UM, "um"),
        Gate("A3", "rise of the volume fraction at 40-50 um, in standard errors", rise, RISE_Z, math.inf),
        _near("A4", "break of the volume fraction", nearest, PEAK_UM, BREAK_UM, "um"),
        Gate("A4", "volume fraction at 27-30 um over that at 40-45 um", fall, -math.inf, FALL),
    ]


def _excess_z(bins: pd.DataFrame, high: tuple[float, float], low: tuple[float, float]) -> float:
    """Return by how many standard errors one range of depths exceeds another, taking bins as independent."""
    means, variances = [], []
    for start, stop in (high, low):
        part = bins[(bins["depth_lo_um"] >= start) & (bins["depth_hi_um"] <= stop)]
        share = part["resin_um3"] / part["resin_um3"].sum()
        error = (part["volume_ratio_hi"] - part["volume_ratio_lo"]) / (2 * stats.norm.ppf(0.975))
        means.append((share * part["volume_ratio"]).sum())
        variances.append(((share * error) ** 2).sum())
    return float((means[0] - means[1]) / math.sqrt(sum(variances)))


def _near_substrate(truth: Truth, domains: pd.DataFrame, allowed: Tolerances) -> list[Gate]:
    errors, number = match_large(truth, domains)
    large = domains[(domains["equivalent_diameter_um"] > LARGE_UM) & (domains["depth_um"] < NEAR_UM)]
    recall = len(errors) / number
    worst = max(errors) if errors else math.nan
    what = f"of {number} large domains found above {LARGE_UM:g} um"
    return [
        Gate("A5", what, recall, allowed.large_recall, math.inf),
        Gate("A5", "smaller domains within 25 um", false_small(domains), -math.inf, allowed.most_false),
        Gate("A5", "worst diameter of a large domain", worst, -math.inf, allowed.large_percent, "% off"),
        Gate("A5", "cavities in large domains", float(large["cavities"].sum()), -math.inf, 0),
    ]


def _plane(truth: Truth, plane: Plane, allowed: Tolerances) -> list[Gate]:
    between = math.degrees(math.acos(min(1.0, float(np.dot(plane.normal, truth.plane.normal)))))
    off = plane_error_um(truth, plane) / truth.settings["voxel_um"]
    return [
        Gate("A7", "substrate plane at its worst corner", off, -math.inf, allowed.plane_voxels, "voxels off"),
        Gate("A7", "direction of the substrate plane", between, -math.inf, allowed.plane_deg, "degrees off"),
    ]


def _density(truth: Truth, bins: pd.DataFrame) -> list[Gate]:
    """Compare with the objects whose centres lie between the lateral faces, which needs no weights."""
    lateral = [axis for axis in range(3) if axis != truth.plane.axis]
    centres = truth.objects[[CENTRE[axis] for axis in lateral]].to_numpy()
    objects = truth.objects.assign(depth_um=truth.counted_um)
    inside = objects[((centres > 0) & (centres < truth.extent_um[lateral])).all(axis=1)]
    known = bins[bins["number_density_per_mm3"].notna()]
    end = float(known["depth_hi_um"].max())
    found = []
    for low in (SMALL_FROM_UM, PLATEAU_FROM_UM) if truth.measured == "domain" else (truth.even_from_um,):
        part = known[known["depth_lo_um"] >= low]
        measured = (part["number_density_per_mm3"] * part["resin_um3"]).sum() / part["resin_um3"].sum()
        number = ((inside["depth_um"] >= low) & (inside["depth_um"] < end)).sum()
        true = number / (truth.between(low, end)["resin_um3"].sum() * 1e-9)
        # A few objects are a sample: the weights replace those that the faces cut.
        share = DENSITY_PERCENT / 100 if truth.measured == "domain" else 1 / math.sqrt(number)
        what = f"number density from {low:g} um to {end:g} um"
        found.append(_near("A8", what, measured, true, share * true, "/mm^3"))
    return found


def _sphericity(truth: Truth, domains: pd.DataFrame) -> list[Gate]:
    if truth.settings["elongation"] != 1 or truth.settings["touching_ratio"]:
        return []  # the gate is for spheres
    large_enough: NDArray[np.bool_] = ~domains["flag"].str.contains("small_for_surface").to_numpy()
    spheres = domains[large_enough & ~domains["on_border"].to_numpy()]
    return [_near("A9", "mean sphericity of spheres", float(spheres["sphericity"].mean()), 1.0, SPHERICITY)]
