"""What a simulated torso and the site that scans it depend on.

The numbers are textbook orders of magnitude, not measured on any group of patients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import ConfigError, Fault
from ..volume.geometry import Geometry
from .lattice import Grid

LABELS = {
    "liver": 1,
    "spleen": 2,
    "kidney_left": 3,
    "kidney_right": 4,
    "gallbladder": 5,
    "stomach": 6,
    "pancreas": 7,
    "aorta": 8,
    "vena_cava": 9,
}
# How bodies differ: of the whole body, of places in it, of the sizes of organs.
MODES = (
    "size",
    "flattening",
    "fat",
    "respiration",
    "bend",
    "riedel",
    "kidney_height",
    "liver",
    "spleen",
    "stomach",
    "gallbladder",
    "kidneys",
    "pancreas",
)
_WIDTH_MM, _HEIGHT_MM = 392.0, 288.0  # field of view: from right to left, and from inferior to superior
# Where every case lies, for whatever voxels.
FIELD = Grid((-_HEIGHT_MM / 2, -_WIDTH_MM / 2, -_WIDTH_MM / 2), (_HEIGHT_MM, _WIDTH_MM, _WIDTH_MM), (2, 2, 2))
_MOST_SHIFT = 1.5  # of the mean of a mode at a site, in standard deviations
_MOST_VOXELS = 512**3


def _faults(owner: str, settings: Any, limits: dict[str, tuple[float, float]]) -> list[Fault]:
    return [
        Fault(f"{owner}: {name}", str(getattr(settings, name)), f"must lie between {low:g} and {high:g}", "Correct it.")
        for name, (low, high) in limits.items()
        if not low <= getattr(settings, name) <= high
    ]


@dataclass(frozen=True)
class Torso:
    """The bodies of a population.

    Volumes are lognormal: mean and coefficient of variation (``cv``) hold for all modes together.

    Attributes
    ----------
    width_mm, depth_mm : float
        Of the template, from skin to skin at the height of the first lumbar vertebra.
    fat_mm : float
        Median thickness of the fat below the skin; thicker in front, thinner at the back.
    liver_ml, spleen_ml, kidney_ml, gallbladder_ml, stomach_ml, pancreas_ml : float
        Mean volumes; of the kidney, each.
    liver_cv, spleen_cv, kidney_cv, gallbladder_cv, stomach_cv, pancreas_cv : float
        Coefficients of variation.
    gallbladder_absent : float
        Probability that there is none.
    aorta_mm, vena_cava_mm : float
        Diameters.
    size_sd, flattening_sd, fat_sd : float
        Standard deviations of the logarithms of body length, of width over depth, and of the fat's thickness.
    respiration_mm, bend_mm, riedel_mm, kidney_height_mm : float
        Standard deviations of the heights of the diaphragm, of the middle of the spine to the side, of the lower tip of
        the liver, and of the kidneys. The diaphragm of the template is in the middle of its range of 40 mm.
    hu_sd : float
        Standard deviation of the HU of a tissue between cases.
    """

    width_mm: float = 320.0
    depth_mm: float = 230.0
    fat_mm: float = 16.0
    liver_ml: float = 1500.0
    liver_cv: float = 0.20
    spleen_ml: float = 200.0
    spleen_cv: float = 0.40
    kidney_ml: float = 160.0
    kidney_cv: float = 0.15
    gallbladder_ml: float = 40.0
    gallbladder_cv: float = 0.50
    gallbladder_absent: float = 0.15
    stomach_ml: float = 370.0
    stomach_cv: float = 0.28
    pancreas_ml: float = 80.0
    pancreas_cv: float = 0.25
    aorta_mm: float = 20.0
    vena_cava_mm: float = 22.0
    size_sd: float = 0.03
    flattening_sd: float = 0.05
    fat_sd: float = 0.45
    respiration_mm: float = 10.0
    bend_mm: float = 10.0
    riedel_mm: float = 12.0
    kidney_height_mm: float = 9.0
    hu_sd: float = 4.0

    def __post_init__(self) -> None:
        """Refuse numbers that are those of no torso; outside of these limits organs would not find their places."""
        cv = {
            f"{organ}_cv": (0.0, 0.8) for organ in ("liver", "spleen", "kidney", "gallbladder", "stomach", "pancreas")
        }
        limits = {
            "width_mm": (260, 380),
            "depth_mm": (190, 270),
            "fat_mm": (8, 30),
            "liver_ml": (900, 2200),
            "spleen_ml": (80, 400),
            "kidney_ml": (80, 250),
            "gallbladder_ml": (10, 90),
            "stomach_ml": (150, 700),
            "pancreas_ml": (40, 140),
            **cv,
            "gallbladder_absent": (0, 1),
            "aorta_mm": (12, 35),
            "vena_cava_mm": (12, 35),
            "size_sd": (0, 0.1),
            "flattening_sd": (0, 0.15),
            "fat_sd": (0, 0.8),
            "respiration_mm": (0, 30),
            "bend_mm": (0, 30),
            "riedel_mm": (0, 40),
            "kidney_height_mm": (0, 30),
            "hu_sd": (0, 20),
        }
        if faults := _faults("torso", self, limits):
            raise ConfigError(*faults)


@dataclass(frozen=True)
class Site:
    """A scanner, how it is used, and whom it scans.

    Attributes
    ----------
    name : str
        For the records.
    phase : {"native", "portal venous"}
        Of the contrast agent.
    kernel_mm : float
        Sigma of the reconstruction kernel in the slice.
    noise_hu : float
        Standard deviation of the noise.
    slice_mm : float
        Thickness of a slice; voxels lie closer or farther apart, see :class:`AnatomySettings`.
    table, arms : bool
        Whether the table, and arms beside the body, are in view.
    shifts : tuple of (str, float)
        By how many standard deviations the mean of a mode differs from that of the other sites.
    """

    name: str = "A"
    phase: Literal["native", "portal venous"] = "portal venous"
    kernel_mm: float = 0.7
    noise_hu: float = 10.0
    slice_mm: float = 3.0
    table: bool = True
    arms: bool = False
    shifts: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no scanner of bodies."""
        faults = _faults("site", self, {"kernel_mm": (0, 3), "noise_hu": (0, 100), "slice_mm": (0.5, 10)})
        if self.phase not in ("native", "portal venous"):
            remedy = "Choose `native` or `portal venous`."
            faults.append(Fault("site: phase", repr(self.phase), "unknown contrast phase", remedy))
        for mode, shift in self.shifts:
            if mode not in MODES:
                faults.append(Fault("site: shifts", repr(mode), "unknown mode", f"Modes: {', '.join(MODES)}."))
            elif not abs(shift) <= _MOST_SHIFT:
                problem = f"the mean of a mode may differ by at most {_MOST_SHIFT:g} standard deviations"
                faults.append(Fault(f"site: shifts: {mode}", str(shift), problem, "Correct it."))
        if faults:
            raise ConfigError(*faults)


SITES = {
    # Portal venous phase, as most abdominal CT; a usual scanner and population.
    "A": Site(),
    # A sharp kernel with more noise, thin slices, heavier patients.
    "B": Site("B", kernel_mm=0.4, noise_hu=18.0, slice_mm=1.5, shifts=(("fat", 1.0), ("size", 0.5))),
    # The hard one: no contrast agent, thick smooth slices at low dose, arms in view, large spleens and livers.
    "C": Site("C", "native", 1.2, 25.0, 5.0, arms=True, shifts=(("spleen", 1.5), ("liver", 0.7), ("fat", -0.7))),
    # Little noise, thick slices, deep inspiration, small flat bodies.
    "D": Site("D", "portal venous", 1.0, 6.0, 5.0, shifts=(("respiration", 1.2), ("size", -1.0), ("flattening", 0.8))),
}


@dataclass(frozen=True)
class AnatomySettings:
    """Everything but the seed that a simulated case depends on.

    Attributes
    ----------
    size : tuple of int
        Voxels along (z, y, x): to superior, posterior and left. The field of view is 288 mm high and 392 mm wide, and
        the voxels of a slice are square, so that (96, 88, 112) gives 3 x 3.5 x 3.5 mm. Thicker slices than that
        overlap and thinner ones have gaps.
    torso : Torso
    site : Site
    """

    size: tuple[int, int, int] = (96, 88, 112)
    torso: Torso = field(default_factory=Torso)
    site: Site = SITES["A"]

    def __post_init__(self) -> None:
        """Refuse sizes that are none, or would not fit into memory."""
        if len(self.size) != 3 or min(self.size) < 16 or math.prod(self.size) > _MOST_VOXELS:
            problem = "must be three numbers of voxels, each at least 16, and 512 x 512 x 512 at most"
            raise ConfigError(Fault("anatomy: size", str(self.size), problem, "Give z y x."))

    @classmethod
    def of_site(cls, site: str, **changes: Any) -> AnatomySettings:
        """Return the settings of a named site.

        Raises
        ------
        ConfigError
            When there is no such site.
        """
        if site not in SITES:
            raise ConfigError(Fault("anatomy: site", repr(site), "unknown site", f"Sites: {', '.join(SITES)}."))
        return cls(site=SITES[site], **changes)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Millimetres between voxels along (z, y, x)."""
        across = _WIDTH_MM / self.size[2]
        return _HEIGHT_MM / self.size[0], across, across

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Centre of voxel (0, 0, 0) along (z, y, x); zero is the middle of the template."""
        z, y, x = (-(n - 1) / 2 * edge for n, edge in zip(self.size, self.spacing_mm, strict=True))
        return z, y, x

    @property
    def grid(self) -> Grid:
        """The centres of the voxels."""
        return Grid(self.origin_mm, self.spacing_mm, self.size)

    @property
    def geometry(self) -> Geometry:
        """Where the voxels lie in the patient: z, y, x run to superior, posterior and left."""
        return Geometry.from_lps(self.origin_mm[::-1], ((1, 0, 0), (0, 1, 0), (0, 0, 1)), self.spacing_mm[::-1])
