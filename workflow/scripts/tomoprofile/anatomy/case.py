"""A simulated case: what a scanner shows of a torso, its organs, and the motion that made it from the template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..logs import LOG
from ..volume.geometry import Geometry
from .lattice import Floats, Grid, jacobian
from .modes import Drawn, draw, moved
from .scanner import scan
from .settings import LABELS, MODES, AnatomySettings
from .shapes import Points
from .template import template_of
from .tissue import TISSUES, Painting, Textures

_SAME_EVERYWHERE = ("bowel", "pancreas")  # one offset, so that neighbours of equal HU stay equal


@dataclass(frozen=True, eq=False)
class Case:
    """A simulated torso as a site scans it. Axes z, y, x run to superior, posterior and left.

    Attributes
    ----------
    hu : array (z, y, x) of int16
    labels : array (z, y, x) of uint8
        The true organ at the centre of each voxel, by :data:`~tomoprofile.anatomy.settings.LABELS`; 0 elsewhere.
    settings : AnatomySettings
    seed : int
    drawn : Drawn
        Its coefficients, and its motion.
    absent : tuple of str
        Organs that this body lacks; the template has them.
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    settings: AnatomySettings
    seed: int
    drawn: Drawn
    absent: tuple[str, ...]

    @property
    def coefficients(self) -> dict[str, float]:
        """Coefficient of each mode, in standard deviations of the population."""
        return self.drawn.coefficients

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Millimetres between voxels along (z, y, x)."""
        return self.settings.spacing_mm

    @property
    def geometry(self) -> Geometry:
        """Where the voxels lie in the patient."""
        return self.settings.geometry

    def displacement_mm(self) -> Floats:
        """Return the true displacement from this case into the template: array (3, z, y, x), along z, y, x.

        ``case(position) = template(position + displacement(position))`` at each voxel of the case, so that this warps
        an image of the template onto the case. What a registration finds, with the case fixed and the template moving,
        is to be compared with it.
        """
        return self.drawn.back.on(self.settings.grid)

    def inverse_displacement_mm(self) -> Floats:
        """Return the true displacement from the template into this case, at each voxel of the template's grid."""
        return self.drawn.velocity.flow().on(self.settings.grid)

    def jacobian(self) -> Floats:
        """Return the volume in the template of a unit volume in this case, at each voxel: array (z, y, x)."""
        return jacobian(self.drawn.back, self.settings.grid)

    def volumes_ml(self) -> dict[str, float]:
        """Return the volume of each organ on the voxels; 0 for an absent one."""
        counts = np.bincount(self.labels.ravel(), minlength=len(LABELS) + 1)
        voxel_ml = float(np.prod(self.spacing_mm)) / 1e3
        return {name: float(counts[value]) * voxel_ml for name, value in LABELS.items()}


def simulate_case(settings: AnatomySettings, seed: int) -> Case:
    """Simulate a case; equal settings and seeds give equal cases.

    Coefficients are drawn; every voxel is taken back into the template, whose bodies are painted there; then the site
    scans what was painted. Body, tissues and noise have random numbers of their own: the same seed at another site is
    the same body, but for the shifts of its population.

    Parameters
    ----------
    settings : AnatomySettings
    seed : int

    Raises
    ------
    StageError
        When the variations asked for fold every body.
    """
    rng = np.random.default_rng(_seeds(seed)[0])
    drawn = draw(settings, rng)
    absent = ("gallbladder",) if rng.random() < settings.torso.gallbladder_absent else ()
    LOG.info("simulated case %d at site %s: %d draws left out", seed, settings.site.name, drawn.redrawn)
    return render(settings, seed, drawn, absent)


def simulate_template(settings: AnatomySettings, seed: int = 0) -> Case:
    """Simulate the template itself: all coefficients are 0 and no organ is absent; the seed is that of the noise."""
    return render(settings, seed, moved(settings.torso, dict.fromkeys(MODES, 0.0)))


def template_labels(settings: AnatomySettings, absent: tuple[str, ...] = ()) -> NDArray[np.uint8]:
    """Return the labels of the template: array (z, y, x); without the organs that a case lacks, if they are named."""
    z, y, x = settings.grid.positions().reshape(3, -1)
    return template_of(settings.torso).labels(Points(x, y, z), absent).reshape(settings.size)


def _seeds(seed: int) -> list[np.random.SeedSequence]:
    return np.random.SeedSequence(seed).spawn(3)


def render(settings: AnatomySettings, seed: int, drawn: Drawn, absent: tuple[str, ...] = ()) -> Case:
    """Return the case of a body that is given; the seed is that of its tissues and of the noise."""
    grid, template = settings.grid, template_of(settings.torso)
    positions = grid.positions()
    z, y, x = (positions + drawn.back.on(grid)).reshape(3, -1)
    place = template.place(Points(x, y, z))
    _, tissue_seed, noise_seed = _seeds(seed)
    rng = np.random.default_rng(tissue_seed)
    offsets = {name: settings.torso.hu_sd * float(rng.standard_normal()) for name in TISSUES}
    offsets |= dict.fromkeys(_SAME_EVERYWHERE, offsets[_SAME_EVERYWHERE[0]])
    textures = Textures(settings.size, settings.spacing_mm, rng)
    edge = _edge_mm(grid)
    painting = Painting(template, place, positions[1].ravel(), settings.site.phase, edge, textures, offsets)
    hu, labels = (image.reshape(settings.size) for image in painting.paint(absent))
    inside = (place.skin < 0).reshape(settings.size)
    shown = scan(hu, inside, grid, settings.site, np.random.default_rng(noise_seed))
    return Case(shown, labels, settings, seed, drawn, absent)


def _edge_mm(grid: Grid) -> float:
    """Return over what distance voxels average: the edge of a voxel in the slice."""
    return grid.spacing_mm[1]
