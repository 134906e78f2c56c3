"""The settings of a simulated scan, and the named kinds of scans."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..config_profile import ProfileConfig
from ..errors import ConfigError, Fault

LARGE_DIAMETERS_UM = (10.5, 15.0)

KINDS: dict[str, dict[str, Any]] = {
    # The scan that a model is trained on.
    "A": {},
    # Another beamtime: detector farther away, more noise, lighter resin, and voids that are not domains.
    "B": {
        "distance_mm": 50.0,
        "noise_per_cm": 6.0,
        "density_g_cm3": 1.10,
        "rings_per_cm": 1.0,
        "void_ratio": 0.002,
    },
    # The hard one: faint irregular domains that touch, in a resin with its own structure, poorly reconstructed.
    "C": {
        "density_g_cm3": 1.05,
        "rings_per_cm": 2.0,
        "void_ratio": 0.002,
        "elongation": 1.4,
        "touching_ratio": 0.2,
        "texture_ratio": 0.015,
        "filler_ratio": 0.001,
        "cupping_per_cm": 4.0,
        "streaks_per_cm": 3.0,
    },
}

# The experiment that phantoms imitate: large domains end at 27 um, small ones reach their plateau at 80 um.
PROFILE: dict[str, Any] = {
    "bin_um": 5.0,
    "block_um": 30.0,
    "zones": (
        {"name": "interface", "from_um": 0, "to_um": 27},
        {"name": "transition", "from_um": 27, "to_um": 80},
        {"name": "bulk", "from_um": 80},
    ),
}


@dataclass(frozen=True)
class PhantomSettings:
    """Everything a simulated scan depends on; equal settings give equal scans.

    Attributes
    ----------
    kind : str
        Name of the kind, kept for the records.
    size : tuple of int
        Voxels along (z, y, x); depth grows along +y.
    voxel_um : float
        Edge of the cubic voxels. Below ``gap_um / sqrt(3)``, so that the voxels of two domains never touch.
    seed : int
        Seed of geometry, noise and rings.
    energy_kev : float
        Photon energy, 10 to 30 keV.
    distance_mm : float
        Distance from the sample to the detector.
    density_g_cm3 : float
        Density of the epoxy.
    psf_um : float
        Sigma of the point spread function.
    noise_per_cm : float
        Standard deviation of the noise in 1/cm.
    rings_per_cm : float
        Root mean square of the rings over a slice and its radii, in 1/cm.
    tilt_deg : float
        Angle between the normal of the substrate and y.
    substrate_um : float
        Height of the resin-facing side of the substrate at the middle of the scan.
    alumina_um : float
        Thickness of the Al2O3 line, which belongs to the substrate.
    film_um : float
        Thickness of the resin, with air beyond; 0 when the resin continues. Only with spheres.
    diameter_um, diameter_cv : float
        Mean and coefficient of variation of the lognormal diameters of small domains and voids.
    large_per_mm2 : float
        Large domains near the substrate, per mm² of it. Unless 0, one lies entirely inside the scan.
    void_ratio : float
        Volume fraction of voids in the resin.
    gap_um : float
        Least distance between the surfaces of two objects, and of an object and the substrate. Not kept by fillers.
    elongation : float
        Longest half axis of an ellipsoid, relative to the radius of the sphere of its volume. 1: all are spheres.
    touching_ratio : float
        Fraction of the small domains that are grown together in pairs. The truth has one object for each pair.
    texture_ratio : float
        Standard deviation of the density of the matrix over its mean; refraction and attenuation scale with it.
    texture_um : float
        Distance at which the density's autocorrelation has fallen to 1/e.
    filler_ratio : float
        Volume fraction in the resin of silica spheres of 0.5 to 1.5 um. They count as matrix.
    cupping_per_cm : float
        How much brighter the corners of a slice are than the rotation axis, growing as the square of the distance.
    streaks_per_cm : float
        Height of bright and dark straight bands within the slices.
    """

    kind: str = "A"
    size: tuple[int, int, int] = (256, 256, 256)
    voxel_um: float = 0.5
    seed: int = 1
    energy_kev: float = 20.0
    distance_mm: float = 20.0
    density_g_cm3: float = 1.16
    psf_um: float = 0.4
    noise_per_cm: float = 3.0
    rings_per_cm: float = 0.5
    tilt_deg: float = 0.5
    substrate_um: float = 12.0
    alumina_um: float = 0.8
    film_um: float = 0.0
    diameter_um: float = 3.0
    diameter_cv: float = 0.25
    large_per_mm2: float = 300.0
    void_ratio: float = 0.0
    gap_um: float = 1.0
    elongation: float = 1.0
    touching_ratio: float = 0.0
    texture_ratio: float = 0.0
    texture_um: float = 3.0
    filler_ratio: float = 0.0
    cupping_per_cm: float = 0.0
    streaks_per_cm: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that cannot give the scan they describe."""
        limits = {
            "seed": (0, math.inf),
            "energy_kev": (10, 30),
            "distance_mm": (0, 1000),
            "density_g_cm3": (0.5, 2),
            "psf_um": (0, 10),
            "noise_per_cm": (0, 1000),
            "rings_per_cm": (0, 1000),
            "tilt_deg": (0, 20),
            "alumina_um": (0, 10),
            "film_um": (0, 10_000),
            "diameter_um": (1, 10),
            "diameter_cv": (0.01, 0.5),
            "large_per_mm2": (0, 2000),
            "void_ratio": (0, 0.02),
            "gap_um": (0.1, 5),
            "elongation": (1, 1.45),  # longer large domains would not fit between the substrate and the small ones
            "touching_ratio": (0, 0.5),
            "texture_ratio": (0, 0.2),
            "texture_um": (0.5, 50),
            "filler_ratio": (0, 0.02),
            "cupping_per_cm": (0, 1000),
            "streaks_per_cm": (0, 1000),
        }
        faults = [
            Fault(f"phantom: {name}", str(getattr(self, name)), f"must lie between {low} and {high}", "Correct it.")
            for name, (low, high) in limits.items()
            if not low <= getattr(self, name) <= high
        ]
        if not 0 < self.voxel_um * math.sqrt(3) < self.gap_um:
            problem = f"the voxels of two domains would touch across the gap of {self.gap_um} um"
            faults.append(Fault("phantom: voxel_um", str(self.voxel_um), problem, "Choose smaller voxels."))
        if len(self.size) != 3 or min(self.size) < 1:
            faults.append(Fault("phantom: size", str(self.size), "must be three numbers of voxels", "Give z y x."))
        elif self.large_per_mm2 and min(self.size[0], self.size[2]) * self.voxel_um < self.room_for_large_um:
            problem = f"a large domain needs {self.room_for_large_um:g} um along z and x"
            remedy = "Enlarge the scan, or set `large_per_mm2` to 0."
            faults.append(Fault("phantom: size", str(self.size), problem, remedy))
        elif not 0 < self.substrate_um < self.size[1] * self.voxel_um:
            problem = f"the substrate must end inside the {self.size[1] * self.voxel_um:g} um along y"
            faults.append(Fault("phantom: substrate_um", str(self.substrate_um), problem, "Enlarge the scan along y."))
        if self.film_um and self.irregular:
            remedy = "Set `elongation` to 1 and `touching_ratio` to 0."
            faults.append(Fault("phantom: film_um", str(self.film_um), "a film holds spheres only", remedy))
        if faults:
            raise ConfigError(*faults)

    @property
    def room_for_large_um(self) -> float:
        """Side of a scan that holds the largest domain with some voxels to spare on both sides."""
        return LARGE_DIAMETERS_UM[1] * self.elongation + 4 * self.voxel_um

    @property
    def irregular(self) -> bool:
        """Whether some objects are not separate spheres."""
        return self.elongation > 1 or self.touching_ratio > 0

    @classmethod
    def of_kind(
        cls, kind: str, size: tuple[int, int, int] = (256, 256, 256), seed: int = 1, **changes: Any
    ) -> PhantomSettings:
        """Return the settings of a named kind.

        Parameters
        ----------
        kind : str
            ``A``: the scan that a model is trained on. ``B``: another beamtime, to which the model is transferred.
            ``C``: the hard one.
        size : tuple of int
            Voxels along (z, y, x).
        seed : int
            Seed of geometry, noise and rings.
        **changes
            Any other fields that should differ from the kind.

        Raises
        ------
        ConfigError
            When there is no such kind.
        """
        if kind not in KINDS:
            remedy = f"Kinds: {', '.join(KINDS)}."
            raise ConfigError(Fault("phantom: kind", repr(kind), "unknown kind of phantom", remedy))
        z, y, x = size
        return cls(kind=kind, size=(z, y, x), seed=seed, **{**KINDS[kind], **changes})


def phantom_profile(**changes: Any) -> ProfileConfig:
    """Return :data:`PROFILE` with some keys changed."""
    return ProfileConfig(**PROFILE | changes)


def plain_profile(**changes: Any) -> dict[str, Any]:
    """Return the same as a configuration file has it."""
    return phantom_profile(**changes).model_dump(mode="json")
