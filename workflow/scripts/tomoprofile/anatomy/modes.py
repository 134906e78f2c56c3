"""How bodies differ: the modes of variation, as velocities that act on the template.

A case is the template moved along ``sum(coefficient * velocity)`` for a unit of time. Coefficients are normal and
independent; the velocity of a mode is that of one standard deviation.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..errors import Fault, StageError
from .frame import Place, place, stretched
from .lattice import Field, Floats, Grid, folds
from .organs import LEFT_KIDNEY, LIVER_TIP, RIGHT_KIDNEY
from .settings import FIELD, LABELS, MODES, AnatomySettings, Torso
from .shapes import Points
from .template import log_sd, measured_grid, template_of
from .wall import spine_bend

MOST_DRAWS = 20
_LATTICE_MM, _MARGIN_MM = 12.0, 42.0
_CHECKED_MM = 6.0  # between the places where folds are looked for, whatever the voxels
# Modes that change the size of organs: which, and over what distance around their middle (x, y, z).
_SWELLING: dict[str, tuple[tuple[str, ...], tuple[float, float, float]]] = {
    "liver": (("liver",), (72, 66, 60)),
    "spleen": (("spleen",), (33, 40, 46)),
    "stomach": (("stomach",), (44, 42, 44)),
    "gallbladder": (("gallbladder",), (26, 26, 34)),
    "kidneys": (("kidney_left", "kidney_right"), (36, 34, 60)),
    "pancreas": (("pancreas",), (60, 30, 32)),
}
_ROUNDS = 4  # of the search for the speeds of organs, which depend on each other


@functools.lru_cache(maxsize=4)
def velocities(torso: Torso) -> dict[str, Field]:
    """Return the velocity of each of :data:`MODES`, in millimetres per standard deviation.

    The speeds at which organs swell are those with which their volumes, by all modes together, vary as asked for.
    """
    lattice = Grid.around(FIELD, _LATTICE_MM, _MARGIN_MM)
    z, y, x = (part.ravel() for part in lattice.positions())
    there = place(stretched(Points(x, y, z), torso), torso.fat_mm)
    body = {
        "size": lambda: torso.size_sd * np.stack([z, y, x]),
        "flattening": lambda: torso.flattening_sd / 2 * np.stack([0 * z, -y, x]),
        "fat": lambda: _fat(there, torso),
        "respiration": lambda: _along(0, -torso.respiration_mm * _respiration(there)),
        "bend": lambda: _along(2, torso.bend_mm * spine_bend(z)),
        "riedel": lambda: _along(0, -torso.riedel_mm * _near(there, LIVER_TIP, (38, 45, 45))),
        "kidney_height": lambda: _along(0, torso.kidney_height_mm * _near_kidneys(there, (42, 40, 75))),
    }
    found = {mode: _field(lattice, make()) for mode, make in body.items()}
    found |= {mode: _field(lattice, _swelling(there, *_SWELLING[mode], torso)) for mode in _SWELLING}
    speeds = _speeds(torso, found)
    return {mode: found[mode].times(speeds.get(mode, 1.0)) for mode in MODES}


def velocity_of(torso: Torso, coefficients: Mapping[str, float]) -> Field:
    """Return the velocity of a case: the sum of its modes."""
    parts = velocities(torso)
    total = sum(np.float32(coefficients[mode]) * parts[mode].coefficients for mode in MODES)
    return Field(parts["size"].lattice, np.asarray(total, np.float32))


def basis(settings: AnatomySettings) -> Floats:
    """Return the true modes on the voxels of a case: array (modes, 3, z, y, x), in millimetres along z, y, x."""
    return np.stack([velocities(settings.torso)[mode].on(settings.grid) for mode in MODES])


class Drawn(NamedTuple):
    """How a case differs from the template.

    Attributes
    ----------
    coefficients : dict of str to float
        Of the modes, in standard deviations, with the shifts of the site.
    velocity : Field
        The template follows it for a unit of time.
    back : Field
        Displacement from the case into the template.
    redrawn : int
        How many draws were left out because some place would have lost nine tenths of its volume, or more.
    """

    coefficients: dict[str, float]
    velocity: Field
    back: Field
    redrawn: int


def moved(torso: Torso, coefficients: Mapping[str, float], redrawn: int = 0) -> Drawn:
    """Return a case with given coefficients."""
    velocity = velocity_of(torso, coefficients)
    return Drawn(dict(coefficients), velocity, velocity.times(-1).flow(), redrawn)


def draw(settings: AnatomySettings, rng: np.random.Generator) -> Drawn:
    """Draw the coefficients of a case.

    Raises
    ------
    StageError
        When none of :data:`MOST_DRAWS` draws is left.
    """
    for redrawn in range(MOST_DRAWS):
        drawn = moved(settings.torso, draw_coefficients(settings, rng), redrawn)
        if not folds(drawn.back, Grid.around(FIELD, _CHECKED_MM, 0)):
            return drawn
    problem = f"in each of {MOST_DRAWS} draws some place changed its volume more than tenfold"
    raise StageError(Fault("torso", "", problem, "Choose smaller variations."))


def draw_coefficients(settings: AnatomySettings, rng: np.random.Generator) -> dict[str, float]:
    """Draw independent normal coefficients, with the shifts of the site, whatever they do to a body."""
    shifts = dict(settings.site.shifts)
    numbers = rng.standard_normal(len(MODES))
    return {mode: float(number) + shifts.get(mode, 0.0) for mode, number in zip(MODES, numbers, strict=True)}


def _field(lattice: Grid, vectors: Floats) -> Field:
    return Field.through(lattice, np.asarray(vectors, np.float32).reshape(3, *lattice.size))


def _along(axis: int, values: Floats) -> Floats:
    vectors = np.zeros((3, values.size), np.float32)
    vectors[axis] = values
    return vectors


def _near(there: Place, centre: tuple[float, float, float], reach: tuple[float, float, float]) -> Floats:
    """Return 1 at a point of the drawn template (x, y, z), falling to 0 over some distance."""
    return np.exp(-sum(((v - c) / r) ** 2 for v, c, r in zip(there.points, centre, reach, strict=True)) / 2)


def _near_kidneys(there: Place, reach: tuple[float, float, float]) -> Floats:
    return _near(there, LEFT_KIDNEY, reach) + _near(there, RIGHT_KIDNEY, reach)


def _fat(there: Place, torso: Torso) -> Floats:
    """Return velocities away from the muscles, which grow across the layer of fat and stay the same beyond it."""
    depth = np.logaddexp(0, there.muscle / 3) * 3
    far = 2.0 * torso.fat_mm
    speed = torso.fat_sd * far * np.tanh(depth / far)
    x, y, _ = there.points
    length = np.maximum(np.hypot(x, y * 1.4), 1)
    return np.stack([0 * x, speed * y * 1.4 / length, speed * x / length])


def _respiration(there: Place) -> Floats:
    """Return 1 at the diaphragm, falling to the feet and to the wall, which does not follow it."""
    x, y, z = there.points
    below = np.exp(-((np.minimum(z - 85, 0) / 130) ** 2) / 2) * np.exp(-((np.maximum(z - 100, 0) / 120) ** 2) / 2)
    inside = 1 / (1 + np.exp((there.cavity + 8) / 6))
    return below * inside * (1 - np.exp(-(x**2 + (y - 60) ** 2) / (2 * 30.0**2)))


def _swelling(there: Place, names: tuple[str, ...], reach: tuple[float, float, float], torso: Torso) -> Floats:
    """Return velocities away from the middle of organs; the share by which lengths grow there is 1."""
    total = np.zeros((3, there.points.x.size), np.float32)
    labels = template_of(torso).labels(_measured(torso))
    points = stretched(_measured(torso), torso)
    x, y, z = there.points
    for name in names:
        centre = tuple(float(values[labels == LABELS[name]].mean()) for values in points)
        near = _near(there, centre, reach)
        total += np.stack([z - centre[2], y - centre[1], x - centre[0]]) * near
    return total


def _measured(torso: Torso) -> Points:
    z, y, x = (part.ravel() for part in measured_grid(torso).positions())
    return Points(x, y, z)


def _speeds(torso: Torso, found: Mapping[str, Field]) -> dict[str, float]:
    """Return by which numbers to multiply the swelling of organs.

    To first order the logarithm of a volume changes by the mean divergence of the velocity inside it.
    """
    grid = measured_grid(torso)
    labels = template_of(torso).labels(_measured(torso)).reshape(grid.size)
    inside = {mode: labels == LABELS[names[0]] for mode, (names, _) in _SWELLING.items()}
    growth = {}
    for mode, field in found.items():
        divergence = field.divergence_on(grid)
        growth[mode] = {organ: float(divergence[where].mean()) for organ, where in inside.items()}
    speeds = dict.fromkeys(_SWELLING, 0.0)
    for _ in range(_ROUNDS):
        for organ in _SWELLING:
            kind = "kidney" if organ == "kidneys" else organ
            wanted = log_sd(getattr(torso, f"{kind}_cv")) ** 2
            others = sum((speeds.get(mode, 1.0) * growth[mode][organ]) ** 2 for mode in found if mode != organ)
            speeds[organ] = max(wanted - others, 0.0) ** 0.5 / growth[organ][organ]
    return speeds
