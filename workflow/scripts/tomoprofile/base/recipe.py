"""What a randomised scan shows: one description drawn from a seed, and why its values lie where they do.

Breadth decides what the base is worth. Trained on a narrow choice of scans, ours was better than ImageNet on scans
like these, and worse on real ones whose domains were ten times as large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

VERSION = 3  # other recipes, other weights

SHAPES = {  # with the share of the scans
    "ball": 0.17,
    "ellipsoid": 0.17,
    "rod": 0.09,
    "fibre": 0.09,
    "plate": 0.07,
    "shell": 0.14,
    "grain": 0.07,
    "blob": 0.08,
    "cluster": 0.07,
    "branch": 0.05,
}
TEXTURES = ("none", "field", "lamellae", "grains")
STEPS = (1, 2, 3, 4, 6, 8)  # every so many slices of the simulated scan are kept
OUTSIDES = ("none", "cylinder", "irregular")


class Range(NamedTuple):
    """Limits of a drawn value, how it is drawn between them, and the reason for the limits."""

    low: float
    high: float
    logarithmic: bool
    reason: str

    def draw(self, rng: np.random.Generator) -> float:
        """Return a value."""
        if self.logarithmic:
            return float(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return float(rng.uniform(self.low, self.high))


RANGES = {
    "diameter": Range(3, 100, True, "below 3 voxels nothing is left to see; beyond 100 a crop shows no whole domain"),
    "spread": Range(0.05, 0.6, False, "lognormal: from fibres drawn to size to a coarse powder"),
    "aspect": Range(1.2, 4, True, "longer bodies are rods or plates, which have their own range"),
    "slenderness": Range(4, 20, True, "of rods; longer ones leave the scan"),
    "flatness": Range(3, 12, True, "of plates; thinner ones are thinner than a voxel"),
    "fraction": Range(0.005, 0.4, True, "below, most crops are empty; above, domains are the matrix"),
    "gap": Range(0.5, 4, False, "voxels between domains that do not touch; fibres are often packed to one voxel"),
    "variation": Range(0, 0.3, False, "of the contrast between the domains of a scan: composition, filling"),
    "rim": Range(0.06, 0.35, True, "thickness of a shell over its radius: from a skin to a thick wall"),
    "core": Range(-0.3, 0.5, False, "contrast of what fills a shell over that of its wall: like the matrix, or nearly"),
    "larger": Range(
        2.5, 5, False, "size of a second class of domains: those near a substrate were four times as large"
    ),
    "texture_amount": Range(
        0.05, 0.6, True, "amplitude over the contrast of domains: stronger, it would be the domains"
    ),
    "texture_length": Range(1, 40, True, "voxels: from grain of the matrix to its bands"),
    "void_share": Range(0.02, 0.2, True, "volume over that of domains: what is rarer and far stronger is no domain"),
    # With weaker and more frequent voids, clear domains were taken for them: one that is cut through its middle looks
    # stronger than its neighbours of which a cap is seen.
    "void_strength": Range(6, 22, True, "contrast over that of domains: air in epoxy has 7 to 22 times that of water"),
    "void_size": Range(0.7, 2, True, "diameter over that of domains: smaller ones would be more than the domains"),
    "filler_fraction": Range(0.0005, 0.01, True, "volume fraction of specks"),
    "filler_size": Range(0.15, 0.5, False, "diameter over that of domains, at least 1.5 voxels"),
    "filler_strength": Range(5, 30, True, "contrast over that of domains: silica in epoxy has 5 to 18 times water's"),
    "slab_share": Range(0.04, 0.35, False, "of the slice: a substrate at its edge"),
    "slab_strength": Range(5, 80, True, "contrast over that of domains: silicon against water in epoxy has 60 times"),
    "tilt_deg": Range(0, 4, False, "of the substrate along z"),
    "outside_share": Range(0.05, 0.35, False, "of the slice: air beside the sample"),
    "energy_kev": Range(10, 30, False, "the optical constants are known there"),
    "distance_mm": Range(1, 100, True, "below, refraction is not seen at these voxels; beyond, another method is used"),
    "voxel_um": Range(0.1, 5, True, "nano-CT to laboratory CT"),
    "density": Range(0.8, 1.25, False, "of a material over its usual one: cure, mixing, swelling"),
    "fringe": Range(0.5, 5, True, "sqrt(wavelength x distance) in voxels: wider ones are not reconstructed like this"),
    "phase_part": Range(0, 1, False, "of invented contrasts: from absorption alone to refraction alone"),
    "blur": Range(0.4, 2, True, "sigma in voxels: the detector, or a scan enlarged afterwards"),
    "cnr": Range(0.5, 20, True, "contrast at the rims over noise: below, only large domains can be seen"),
    "noise_power": Range(0, 1.2, False, "exponent of its spectrum: 1 as reconstructed, less where it was filtered"),
    "noise_blur": Range(0.3, 1.3, False, "sigma in voxels of noise that was filtered or resampled"),
    "rings": Range(0.05, 0.8, True, "over the contrast of domains"),
    "streaks": Range(0.2, 1.5, True, "over the contrast of domains"),
    "cupping": Range(-3, 3, False, "rise to the corners over the contrast of domains: dark corners and bright ones"),
    "shading": Range(0.2, 2, True, "slow changes of brightness over the contrast of domains"),
    "gain": Range(0, 0.5, False, "slow changes of contrast over a slice"),
}
# Of droplets in a film of resin.
DROPLET_RANGES = {
    "diameter": Range(3.5, 16, True, "2 to 8 um in voxels of half a micrometre"),
    "spread": Range(0.1, 0.4, False, "of droplets that grew together"),
    "aspect": Range(1.1, 1.7, False, "of those that a curing resin has pulled"),
    "fraction": Range(0.005, 0.15, True, "from a depleted zone to the bulk"),
    "void_share": Range(0.02, 0.12, True, "few voids"),
    "filler_fraction": Range(0.0003, 0.003, True, "silica"),
    "filler_size": Range(0.125, 0.5, False, "two voxels, over the diameter of the domains"),
    "texture_amount": Range(0.05, 0.4, True, "density of a resin that cured unevenly"),
    "texture_length": Range(2, 12, True, "voxels"),
    "tilt_deg": Range(0, 2, False, "of a wafer that was mounted with care"),
    "slab_strength": Range(30, 90, True, "silicon against water in epoxy"),
    "density": Range(0.88, 1.05, False, "of epoxy over 1.16 g/cm3; at 0.87 it refracts like water"),
    "energy_kev": Range(14, 26, False, "micro-CT at a synchrotron"),
    "distance_mm": Range(8, 80, True, "fringes of two to four voxels"),
    "voxel_um": Range(0.35, 0.7, True, "micro-CT at a synchrotron"),
    "blur": Range(0.5, 1.1, False, "sigma in voxels"),
    "cnr": Range(1.2, 10, True, "contrast at the rims over noise"),
    "rings": Range(0.05, 0.5, True, "over the contrast of domains"),
}


@dataclass(frozen=True)
class Population:
    """The domains.

    Attributes
    ----------
    shape : str
        One of :data:`SHAPES`.
    diameter, spread : float
        Voxels, and the spread of its natural logarithm; the shortest full axis of plates and the thickness of rods.
    aspect : float
        Longest over shortest axis.
    fraction : float
        Volume fraction aimed at; less where domains find no room.
    touching : bool
        Whether domains may overlap.
    gap : float
        Voxels between those that may not.
    aligned : bool
        Whether all long axes have one direction.
    variation : float
        Relative standard deviation of their contrast.
    rim, core : float
        Of shells; 0 for others.
    larger : float
        Size of the larger ones of two classes; 0 for one class.
    """

    shape: str
    diameter: float
    spread: float
    aspect: float
    fraction: float
    touching: bool
    gap: float
    aligned: bool
    variation: float
    rim: float
    core: float
    larger: float


@dataclass(frozen=True)
class Surroundings:
    """All that is background: matrix, distractors, and what lies beside the sample; 0 stands for none.

    Strengths are contrasts over that of domains, with their sign.
    """

    texture: str
    texture_amount: float
    texture_length: float
    void_share: float
    void_strength: float
    void_size: float
    filler_fraction: float
    filler_size: float
    filler_strength: float
    slab_share: float
    slab_strength: float
    tilt_deg: float
    outside: str
    outside_share: float
    circle: bool


@dataclass(frozen=True)
class Imaging:
    """How the scene becomes grey values.

    Attributes
    ----------
    materials : tuple of str
        Matrix and domain, of :data:`~tomoprofile.phantom.materials.MATERIALS`; empty: the contrast is invented.
    densities : tuple of float
        Of both, over their usual ones.
    energy_kev, distance_mm, voxel_um : float
        Of the physical scans; the distance is 0 where refraction does not count.
    fringe : float
        sqrt(wavelength x distance) in voxels.
    phase_part : float
        Of invented contrasts: 0 absorption, 1 refraction.
    bright : bool
        Sign of invented contrasts.
    blur : float
    cnr : float
    noise_power, noise_blur : float
    rings, streaks, cupping, shading, gain : float
        Over the contrast of domains.
    step : int
        Every so many slices are kept; 0: a single picture, its neighbours are itself.
    """

    materials: tuple[str, ...]
    densities: tuple[float, ...]
    energy_kev: float
    distance_mm: float
    voxel_um: float
    fringe: float
    phase_part: float
    bright: bool
    blur: float
    cnr: float
    noise_power: float
    noise_blur: float
    rings: float
    streaks: float
    cupping: float
    shading: float
    gain: float
    step: int


@dataclass(frozen=True)
class Recipe:
    """One scan; equal recipes give equal scans."""

    seed: int
    number: int
    domains: Population
    around: Surroundings
    imaging: Imaging

    def rng(self, purpose: int) -> np.random.Generator:
        """Return a source of random numbers of its own for each purpose."""
        return np.random.default_rng([self.seed, self.number, purpose])
