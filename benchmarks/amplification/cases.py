"""The cases of every task: simulated torsos, variants of a real case, and phantoms, all made once and kept.

Numbers up to 99 are the pool, of which each seed labels some; those from 200 on are tests, those from 400 on are kept
for tuning. -1 is the template: of torsos the body from which nothing differs, of variants one further variant.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomoprofile import __version__
from tomoprofile.amplify.grid import Case, Grid
from tomoprofile.anatomy.case import Case as Body
from tomoprofile.anatomy.case import render, simulate_case, simulate_template
from tomoprofile.anatomy.modes import draw_coefficients, moved, velocities
from tomoprofile.anatomy.settings import LABELS, MODES, AnatomySettings
from tomoprofile.anatomy.shapes import Points
from tomoprofile.anatomy.template import template_of
from tomoprofile.anatomy.variants import simulate_variant
from tomoprofile.phantom.scan import simulate
from tomoprofile.phantom.settings import PhantomSettings

from ..cells.benchmark import ROOT, Size
from ..cells.single import kept
from .plan import POOLS, TESTED, TUNING_CASES, Task

FIRST_TEST, FIRST_TUNING, TEMPLATE = 200, 400, -1
REAL = ROOT.parent / "shared/data/abdominal_ct_apache2/patient1_abdomen_pelvis"
# Values in the file of the real case.
ORGANS = {
    "spleen": 1,
    "kidney_right": 2,
    "kidney_left": 3,
    "gallbladder": 4,
    "liver": 5,
    "stomach": 6,
    "pancreas": 7,
    "aorta": 52,
    "vena_cava": 63,
}
# So few steps teach a small network few organs; these are the ones that the numbers to be reached are of.
LEARNED_ORGANS = ("liver", "spleen", "kidney_left", "kidney_right", "aorta")
_DOMAINS = {"domain": 1}  # of phantoms; voids are background
REAL_MM = 4.5  # edge of the voxels of variants; those of the file are 3 mm
DOMINANT = 3
_AIR_HU = -300.0
PHANTOM = (32, 96, 96)  # voxels of a case of a phantom
# Kind, what differs from it, and the seed of case 0, so that no two populations have the same domains.
PHANTOMS: dict[str, tuple[str, dict[str, float], int]] = {
    "phantom": ("C", {}, 5000),
    "phantom_A": ("A", {}, 6000),
    "phantom_B": ("B", {}, 7000),
    "phantom_C": ("C", {}, 8000),
    # Of none of these beamtimes: distance, noise and resin lie between those of A and B, the energy above all.
    "phantom_D": ("A", {"distance_mm": 35.0, "energy_kev": 25.0, "noise_per_cm": 5.0, "density_g_cm3": 1.12}, 9000),
}
_ABOVE_SUBSTRATE = 32  # rows that hold the substrate and its fringes: cut off


@dataclass(frozen=True)
class Labelled:
    """A case and its true labels.

    Attributes
    ----------
    name : str
    grey : array (z, y, x) of float32
    labels : array (z, y, x) of uint8
    spacing_mm : tuple of float
    """

    name: str
    grey: NDArray[np.float32]
    labels: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]

    @property
    def in_air(self) -> bool:
        """Whether it is a body, with air around it."""
        return bool(self.grey.min() < _AIR_HU)

    def unlabelled(self) -> Case:
        """Return the image for registration, on axes that run as those of stores without a place in space do."""
        affine = np.diag([*self.spacing_mm, 1.0])
        affine[:3, :3] = _USUAL @ affine[:3, :3]
        return Case(self.name, self.grey, Grid.of(self.grey.shape, affine))


_USUAL = np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])


def classes_of(population: str) -> dict[str, int]:
    """Return names and indices of the classes, background first."""
    learned = _DOMAINS if population in PHANTOMS else LEARNED_ORGANS
    return {name: index for index, name in enumerate(("background", *learned))}


def truth_of(population: str, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return indices of classes for the labels of a case; whatever is not learned is background."""
    values = _DOMAINS if population in PHANTOMS else LABELS
    index_of = np.zeros(256, np.uint8)
    for name, index in classes_of(population).items():
        if index:
            index_of[values[name]] = index
    return index_of[labels]


def body_of(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the largest thing that is no air, filled: the body without the table."""
    parts, _ = ndimage.label(ndimage.binary_opening(hu > _AIR_HU, iterations=2))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(parts == sizes.argmax())


def missing(task: str) -> str:
    """Return why a task cannot be run here, or an empty text."""
    return "" if task not in ("variants", "real") or REAL.is_dir() else f"there is nothing at {REAL}"


def pool(task: str, seed: int) -> list[int]:
    """Return the cases of a pool in the order in which they are labelled."""
    return np.random.default_rng([17, seed]).permutation(POOLS[task]).tolist()


def tests(task: Task, tuning: bool) -> dict[str, list[tuple[str, int]]]:
    """Return population and number of the cases of each test."""
    if tuning:
        return {"tuning": [("A", FIRST_TUNING + n) for n in range(TUNING_CASES)]}
    population_of = {name: "phantom" if name == "C" else name.split("-")[-1] for name in task.tests}
    return {name: [(one, FIRST_TEST + n) for n in range(TESTED)] for name, one in population_of.items()}


def case(population: str, number: int, size: Size, work: Path) -> Labelled:
    """Return a case.

    Parameters
    ----------
    population : str
        Name of a site of torsos, ``three`` (torsos in which only the dominant modes vary), ``variants``, or one of
        :data:`PHANTOMS`.
    number : int
    size : tuple of int
        Voxels of torsos.
    work : Path
        Where it is kept.
    """
    shape = "x".join(map(str, size))
    path = work / "cases" / f"{population}_{shape}_{number}_{__version__}.npz"
    stored = kept(path, lambda: _made(population, number, size))
    spacing = tuple(float(edge) for edge in stored["spacing_mm"])
    return Labelled(f"{population}{number:03d}", stored["grey"], stored["labels"], spacing)  # type: ignore[arg-type]


def _made(population: str, number: int, size: Size) -> dict[str, NDArray]:
    if population in PHANTOMS:
        return _phantom(population, number)
    if population == "variants":
        return _variant(number)
    settings = AnatomySettings.of_site("A" if population == "three" else population, size=size)
    if number == TEMPLATE:
        body = simulate_template(settings)
    elif population == "three":
        body = _few_modes(settings, number)
    else:
        body = simulate_case(settings, number)
    return _stored(body.hu, body.labels, body.spacing_mm)


def _stored(grey: NDArray, labels: NDArray, spacing_mm: tuple[float, ...]) -> dict[str, NDArray]:
    return {"grey": grey.astype(np.float32), "labels": labels.astype(np.uint8), "spacing_mm": np.array(spacing_mm)}


def dominant(settings: AnatomySettings) -> list[str]:
    """Return the modes that move most, by their mean square within the body."""
    z, y, x = settings.grid.positions().reshape(3, -1)
    inside = template_of(settings.torso).place(Points(x, y, z)).skin < 0
    energy = {
        mode: float((field.on(settings.grid).reshape(3, -1)[:, inside] ** 2).mean())
        for mode, field in velocities(settings.torso).items()
    }
    return sorted(MODES, key=lambda mode: -energy[mode])[:DOMINANT]


def _few_modes(settings: AnatomySettings, number: int) -> Body:
    drawn = draw_coefficients(settings, np.random.default_rng([number, DOMINANT]))
    few = dominant(settings)
    return render(settings, number, moved(settings.torso, {mode: drawn[mode] * (mode in few) for mode in MODES}))


def real_case() -> tuple[NDArray[np.float32], NDArray[np.uint8], float]:
    """Return HU and organs (z, y, x) of the real case, and the edge of its voxels in mm.

    As in the torsos, axes run to superior, posterior and left.
    """
    found = []
    for name in ("example_ct", "example_seg_fast_force_split"):
        file = nibabel.as_closest_canonical(nibabel.load(REAL / f"{name}.nii.gz"))  # to right, anterior, superior
        found.append(np.asarray(file.dataobj)[::-1, ::-1].transpose(2, 1, 0))  # type: ignore[attr-defined]
    hu, values = found
    labels = np.zeros(values.shape, np.uint8)
    for organ, value in ORGANS.items():
        labels[values == value] = LABELS[organ]
    return hu.astype(np.float32), labels, 3.0


def _variant(number: int) -> dict[str, NDArray]:
    hu, labels, edge = real_case()
    made = simulate_variant(hu, labels, (edge,) * 3, seed=number + 1)
    shape = tuple(round(n * edge / REAL_MM) for n in hu.shape)
    factors = [n / old for n, old in zip(shape, hu.shape, strict=True)]
    smooth = ndimage.gaussian_filter(made.image, 0.5 * REAL_MM / edge)
    small = ndimage.zoom(smooth, factors, order=1, grid_mode=True, mode="nearest")
    few = ndimage.zoom(made.labels, factors, order=0, grid_mode=True, mode="nearest")
    return _stored(small, few, tuple(edge / factor for factor in factors))


def _phantom(population: str, number: int) -> dict[str, NDArray]:
    settings = phantom_settings(population, number)
    made = simulate(settings)
    cut = slice(_ABOVE_SUBSTRATE, None)
    return _stored(made.grey[:, cut], made.labels[:, cut], (settings.voxel_um / 1000,) * 3)


def phantom_settings(population: str, number: int) -> PhantomSettings:
    """Return the settings of a scan of a phantom, with the rows of the substrate."""
    z, y, x = PHANTOM
    kind, changes, first = PHANTOMS[population]
    # Large domains lie at the substrate, and the scan is too small for them.
    return PhantomSettings.of_kind(kind, (z, y + _ABOVE_SUBSTRATE, x), first + number, large_per_mm2=0, **changes)
