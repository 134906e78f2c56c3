"""Results of a simulated scan compared with its truth: the acceptance gates of a run."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import Fault, InputError, StageError
from ..layout import ScanLayout, TruthLayout
from ..phantom.geometry import CLASSES, EVEN_FROM_UM, PEAK_UM
from ..tables import CALIBRATED, DOMAINS, PROFILE, ZONES, at_level, of_class, read_columns
from ..volume.plane import Plane

LARGE_UM = 10.0
NEAR_UM = 25.0  # small domains begin at 27 um; two more for the fit of the plane
_RATIO_POINTS = {"domain": 0.3, "void": 0.03}  # a twentieth to a tenth of the true fraction
_DIAMETER_UM, _COUNT, _PLANE_UM, _LARGE_PERCENT = 0.15, 0.05, 1.0, 5.0
_ENOUGH = 20  # domains from which a mean is worth comparing
_SEEN_VOXELS = 5  # by default, what a face leaves of a domain counts as an object from here on
CENTRE = ("centre_z_um", "centre_y_um", "centre_x_um")
CENTROID = ("centroid_z_um", "centroid_y_um", "centroid_x_um")


@dataclass(frozen=True)
class Comparison:
    """One measured number and the true one.

    Attributes
    ----------
    what : str
        The quantity and its place.
    measured, truth, tolerance : float
        In ``unit``.
    unit : str
        Empty for counts.
    """

    what: str
    measured: float
    truth: float
    tolerance: float
    unit: str = ""

    @property
    def ok(self) -> bool:
        """Whether the measured number lies within the tolerance; a missing one does not."""
        return abs(self.measured - self.truth) <= self.tolerance

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        numbers = f"{self.measured:.4g}{unit} (truth {self.truth:.4g}{unit}, tolerance {self.tolerance:.3g}{unit})"
        return f"{'ok  ' if self.ok else 'FAIL'} {self.what}: {numbers}"


@dataclass(frozen=True)
class Truth:
    """The truth about one class of a simulated scan.

    Attributes
    ----------
    measured : {"domain", "void"}
        The class.
    objects : DataFrame
        Those of this class only.
    profile : DataFrame
        The voxelised profile, in bins of 1 um.
    plane : Plane
        Resin-facing side of the substrate.
    extent_um : array (3,)
        Extent of the scan along (z, y, x).
    settings : dict
        Settings of the simulation.
    """

    measured: str
    objects: pd.DataFrame
    profile: pd.DataFrame
    plane: Plane
    extent_um: NDArray[np.float64]
    settings: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, measured: str = "domain") -> Truth:
        """Read what :func:`~tomoprofile.phantom.files.write_truth` wrote about a class.

        Raises
        ------
        InputError
            When a table cannot be read or lacks a column, or the simulation has no such class.
        """
        if measured not in CLASSES:
            remedy = f"Classes: {', '.join(CLASSES)}."
            raise InputError(Fault(str(folder), measured, "a simulated scan has no such class", remedy))
        columns = ("class", "large", "diameter_um", "voxels", "equivalent_diameter_um", "depth_um", "on_border")
        files = TruthLayout(folder)
        objects = read_columns(files.objects, (*columns, *CENTRE, *CENTROID))
        amounts = ("depth_lo_um", "depth_hi_um", "resin_um3", "domain_um3")
        profile = read_columns(files.profile_of(measured), amounts)
        try:
            settings = json.loads(files.settings.read_text())
            extent = np.array(settings["size"]) * settings["voxel_um"]
        except (OSError, KeyError, ValueError) as error:
            problem = f"not the truth of a simulated scan: {error!r}"
            raise InputError(Fault(str(files.settings), "", problem, "Simulate the scan again.")) from None
        mine = objects[objects["class"] == CLASSES[measured]]
        return cls(measured, mine, profile, Plane.load(files.interface), extent, settings)

    @property
    def even_from_um(self) -> float:
        """Depth from which sizes and amounts are the same everywhere."""
        return EVEN_FROM_UM[self.measured]

    def ratio(self, low_um: float, high_um: float) -> float:
        """Return the volume fraction between two depths."""
        bins = self.between(low_um, high_um)
        return float(bins["domain_um3"].sum() / bins["resin_um3"].sum())

    @property
    def counted_um(self) -> NDArray[np.float64]:
        """Depth of the voxel that holds each object's centroid: objects end where the resin does, at whole voxels."""
        edge = float(self.settings["voxel_um"])
        centre = (np.floor(self.objects[list(CENTROID)].to_numpy(np.float64) / edge) + 0.5) * edge
        return np.asarray(self.plane.depth_um(*centre.T))

    def between(self, low_um: float, high_um: float) -> pd.DataFrame:
        """Return the bins between two depths."""
        return self.profile[(self.profile["depth_lo_um"] >= low_um) & (self.profile["depth_hi_um"] <= high_um)]


def measured_classes(files: ScanLayout) -> list[str]:
    """Return the classes in the results of a scan; each has zones, even without any domain."""
    return [str(name) for name in ZONES.read(files.zones, ("class",))["class"].unique()]


def refuse_unmeasured(files: ScanLayout, measured: str) -> None:
    """Raise an :class:`InputError` when the results of a scan have no such class."""
    known = measured_classes(files)
    if measured not in known:
        remedy = f"Measured classes: {', '.join(known)}."
        raise InputError(Fault(str(files.zones), measured, "this class was not measured", remedy))


def compare(truth_folder: str | Path, results_sample_folder: str | Path, measured: str = "domain") -> list[Comparison]:
    """Compare the rows of one class in the tables of a scan with the truth of its simulation.

    The plateau of domains begins at 80 um; a scan that ends before 100 um is compared from 40 um on, and the lines say
    so. Voids are the same at all depths, and only domains include large ones near the substrate. Both sides follow one
    rule at the edges: mean diameter and count refer to domains that touch no face of the scan, placed by the depth of
    their centroid. The number density and mean diameter of the deepest zone are compared with the spheres whose
    *centres* lie between the lateral faces of the scan, which needs no weights; as the measured ones are a weighted
    sample of these, the density has a tolerance of 1/sqrt(n) where that is more than 5 %.

    Parameters
    ----------
    truth_folder : str or Path
        What :func:`~tomoprofile.phantom.files.write_truth` wrote.
    results_sample_folder : str or Path
        Holds ``domains.parquet``, ``profile.parquet``, ``zones.parquet`` and ``interface.json``.
    measured : {"domain", "void"}
        The class.

    Raises
    ------
    InputError
        When a table or a column is missing, or the simulation or the results have no such class.
    StageError
        When the scan is too shallow to be compared.
    """
    files = ScanLayout(results_sample_folder)
    truth = Truth.read(Path(truth_folder), measured)
    refuse_unmeasured(files, measured)
    domains = DOMAINS.read(files.domains, ("class", "equivalent_diameter_um", "depth_um", "on_border", *CENTROID))
    bins = PROFILE.read(files.profile, ("class", "level", "depth_lo_um", "depth_hi_um", "resin_um3", "domain_um3"))
    estimates = ("number_density_per_mm3", "mean_equivalent_diameter_um")
    zones = ZONES.read(files.zones, ("class", "zone", "from_um", "to_um", "level", *estimates))
    domains, bins, zones = (of_class(table, measured) for table in (domains, bins, zones))
    plane = Plane.load(files.interface)
    return [
        *_plateau(truth, domains, at_level(bins, CALIBRATED)),
        *_deepest_zone(truth, at_level(zones, CALIBRATED)),
        *(_near_substrate(truth, domains) if measured == "domain" else []),
        Comparison("worst error of the substrate plane", plane_error_um(truth, plane), 0, _PLANE_UM, "um"),
    ]


def _plateau(truth: Truth, domains: pd.DataFrame, bins: pd.DataFrame) -> list[Comparison]:
    reach = float(truth.profile["depth_hi_um"].max())
    from_um = truth.even_from_um if reach >= truth.even_from_um + 20 else PEAK_UM
    layers = bins[bins["depth_lo_um"] >= from_um]
    expected = truth.objects[(truth.objects["depth_um"] >= from_um) & ~truth.objects["on_border"]]
    if len(expected) < _ENOUGH:
        problem = f"only {len(expected)} {truth.measured}s lie beyond {from_um:g} um from the substrate"
        raise StageError(Fault("phantom", f"{reach:g} um of resin", problem, "Simulate a larger scan."))
    found = domains[(domains["depth_um"] >= from_um) & ~domains["on_border"]]
    where = f"beyond {from_um:g} um"
    ratio, true_ratio = math.nan, truth.ratio(from_um, math.inf)
    if len(layers):
        ratio = float(layers["domain_um3"].sum() / layers["resin_um3"].sum())
        true_ratio = truth.ratio(layers["depth_lo_um"].min(), layers["depth_hi_um"].max())
    means = (float(table["equivalent_diameter_um"].mean()) for table in (found, expected))
    return [
        Comparison(f"volume fraction {where}", 100 * ratio, 100 * true_ratio, _RATIO_POINTS[truth.measured], "%"),
        Comparison(f"mean equivalent diameter {where}", *means, _DIAMETER_UM, "um"),
        Comparison(f"number of {truth.measured}s {where}", len(found), len(expected), _COUNT * len(expected)),
    ]


def _deepest_zone(truth: Truth, zones: pd.DataFrame) -> list[Comparison]:
    """Compare the deepest zone that has enough objects with the spheres whose centres lie in it.

    Nothing is weighted at the far face: domains it cuts are counted by what is left of them, here as in the tables.
    """
    lateral = [axis for axis in range(3) if axis != truth.plane.axis]
    centres = truth.objects[[CENTRE[axis] for axis in lateral]].to_numpy()
    seen = truth.objects["voxels"] >= _SEEN_VOXELS
    objects = truth.objects.assign(depth_um=truth.counted_um)
    inside = objects[((centres > 0) & (centres < truth.extent_um[lateral])).all(axis=1) & seen]
    for zone in zones.sort_values("from_um", ascending=False).itertuples():
        to_um = math.inf if pd.isna(zone.to_um) else zone.to_um
        mine = inside[(inside["depth_um"] >= zone.from_um) & (inside["depth_um"] < to_um)]
        if len(mine) < _ENOUGH:
            continue
        density = len(mine) / (truth.between(zone.from_um, to_um)["resin_um3"].sum() * 1e-9)
        share = max(_COUNT, 1 / math.sqrt(len(mine)))
        diameter, where = float(mine["diameter_um"].mean()), f"in zone {zone.zone}"
        return [
            Comparison(f"number density {where}", zone.number_density_per_mm3, density, share * density, "/mm^3"),
            Comparison(f"mean diameter {where}", zone.mean_equivalent_diameter_um, diameter, _DIAMETER_UM, "um"),
        ]
    problem = f"no zone holds {_ENOUGH} simulated {truth.measured}s"
    raise StageError(Fault("profile.zones", "", problem, "Simulate a larger scan, or configure wider zones."))


def match_large(truth: Truth, domains: pd.DataFrame) -> tuple[list[float], int]:
    """Look for every uncut large domain of the truth among the measured domains above 10 um.

    Returns
    -------
    errors : list of float
        In per cent of the diameter, one for each that was found: a centroid lies within a quarter of the diameter.
    number : int
        Number of large domains in the truth.
    """
    large = truth.objects[truth.objects["large"] & ~truth.objects["on_border"]]
    candidates = domains[domains["equivalent_diameter_um"] > LARGE_UM]
    positions = candidates[list(CENTROID)].to_numpy()
    errors = []
    for row in large.itertuples():
        centre = np.array([getattr(row, name) for name in CENTROID])
        distances = np.linalg.norm(positions - centre, axis=1)
        if len(distances) and distances.min() < row.equivalent_diameter_um / 4:
            found = candidates["equivalent_diameter_um"].iloc[int(distances.argmin())]
            errors.append(100 * abs(found / row.equivalent_diameter_um - 1))
    return errors, len(large)


def false_small(domains: pd.DataFrame) -> int:
    """Return the number of domains of at most 10 um near the substrate, where the truth has only larger ones."""
    small = (domains["equivalent_diameter_um"] <= LARGE_UM) & ~domains["on_border"] & (domains["depth_um"] < NEAR_UM)
    return int(small.sum())


def _near_substrate(truth: Truth, domains: pd.DataFrame) -> list[Comparison]:
    errors, number = match_large(truth, domains)
    what = f"large domains found as domains above {LARGE_UM:g} um"
    comparisons = [
        Comparison(what, len(errors), number, 0),
        Comparison(f"smaller domains within {NEAR_UM:g} um of the substrate", false_small(domains), 0, 0),
    ]
    if errors:
        what = "worst error of a large domain's diameter"
        comparisons.append(Comparison(what, max(errors), 0, _LARGE_PERCENT, "%"))
    return comparisons


def plane_error_um(truth: Truth, measured: Plane) -> float:
    """Return the worst error of a plane where it matters: at the scan's edges, at the true height of the substrate."""
    (nz, ny, nx), (z_end, _, x_end) = truth.plane.normal, truth.extent_um
    corners = [(z, (truth.plane.offset_um - nz * z - nx * x) / ny, x) for z in (0, z_end) for x in (0, x_end)]
    return float(max(abs(measured.depth_um(*corner)) for corner in corners))
