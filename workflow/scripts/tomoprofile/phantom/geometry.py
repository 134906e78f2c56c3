"""Where everything lies in a simulated scan: the substrate plane, domains and voids, alone or grown together.

Objects are also placed in a frame around the scan, so that its faces cut through some of them as in a real local
scan, and fringes of objects just outside reach in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ..errors import Fault, StageError
from ..volume.plane import Plane
from .settings import LARGE_DIAMETERS_UM, PhantomSettings
from .shapes import Shapes, draw_ellipsoids, grow_together, reach_um

DOMAIN, VOID, FILLER = 1, 2, 4
CLASSES = {"domain": DOMAIN, "void": VOID}  # the classes that can be measured
PLATEAU_FROM_UM, PEAK_UM, SMALL_FROM_UM = 80.0, 40.0, 27.0
EVEN_FROM_UM = {"domain": PLATEAU_FROM_UM, "void": 0.0}  # depth from which sizes and amounts are the same everywhere
PLATEAU_RATIO, PEAK_RATIO = 0.040, 0.055
# Share of the tilt towards z and x: both nonzero and different, or a swapped axis would go unnoticed.
_TILT_TOWARDS = (0.6, 0.8)
_ROUNDS = 500


def substrate_plane(box_um: tuple[float, float, float], substrate_um: float, tilt_deg: float) -> Plane:
    """Return the resin-facing side of the substrate: normal near +y, height ``substrate_um`` at mid z and x.

    Parameters
    ----------
    box_um : tuple of float
        Extent of the scan along (z, y, x).
    substrate_um, tilt_deg : float
        Height on the y axis, and angle between normal and y.
    """
    slope = math.tan(math.radians(tilt_deg))
    nz, nx = (share * slope for share in _TILT_TOWARDS)
    return Plane.through((nz, 1.0, nx), nz * box_um[0] / 2 + substrate_um + nx * box_um[2] / 2)


def target_volume_ratio(depth_um: ArrayLike) -> NDArray[np.float64]:
    """Return the volume fraction of small domains in the resin at a depth.

    4.0 % from 80 um on, rising to 5.5 % at 40 um, falling to 0 at 27 um. The peak value is an assumption.
    """
    knots = (SMALL_FROM_UM, PEAK_UM, PLATEAU_FROM_UM)
    return np.interp(depth_um, knots, (0.0, PEAK_RATIO, PLATEAU_RATIO))


@dataclass(frozen=True)
class Spheres:
    """Domains, voids and fillers, some of them outside the scan.

    Attributes
    ----------
    centres_um : array (n, 3)
        Positions (z, y, x).
    diameters_um : array (n,)
        With shapes, the diameters of the spheres of equal volume.
    classes : array (n,) of uint8
        ``DOMAIN``, ``VOID`` or ``FILLER``.
    large : array (n,) of bool
        The large domains near the substrate.
    shapes : Shapes or None
        Shapes of the objects when they are not spheres.
    """

    centres_um: NDArray[np.float64]
    diameters_um: NDArray[np.float64]
    classes: NDArray[np.uint8]
    large: NDArray[np.bool_]
    shapes: Shapes | None = None

    def __len__(self) -> int:
        return len(self.diameters_um)

    def those(self, kept: NDArray[np.bool_]) -> Spheres:
        """Return some of them; only for spheres, because partners of other shapes are numbered."""
        assert self.shapes is None
        return Spheres(self.centres_um[kept], self.diameters_um[kept], self.classes[kept], self.large[kept])


@dataclass(frozen=True)
class Frame:
    """The box in which objects are placed, in micrometres from the corner of the scan."""

    low_um: NDArray[np.float64]
    high_um: NDArray[np.float64]


def place_spheres(settings: PhantomSettings, plane: Plane, frame: Frame, rng: np.random.Generator) -> Spheres:
    """Place large domains, small domains and voids by random sequential addition.

    Each object keeps its depth and is moved sideways until it is far enough from all others: sizes and depths stay
    distributed as drawn, whereas rejection would distort them. Ellipsoids keep the distance of the spheres around them.
    Two domains grown together move as one; their centre of mass has the depth drawn for the first.

    Parameters
    ----------
    settings : PhantomSettings
        What to place.
    plane : Plane
        Resin-facing side of the substrate.
    frame : Frame
        Where to place it.
    rng : numpy.random.Generator
        Random source.

    Raises
    ------
    StageError
        When the objects do not fit.
    """
    box = np.array(settings.size) * settings.voxel_um
    large_centres, large_diameters, large_matrices = _place_large(settings, plane, frame, box, rng)
    small = _draw(lambda depth: target_volume_ratio(depth), PEAK_RATIO, settings, plane, frame, rng)
    voids = _draw(lambda depth: settings.void_ratio * (depth > 0), settings.void_ratio, settings, plane, frame, rng)
    diameters = np.concatenate([small[0], voids[0]])
    depths = np.concatenate([small[1], voids[1]])
    n_large, n_small, n_voids = len(large_diameters), len(small[0]), len(voids[0])
    matrices = _matrices(diameters, settings, rng)
    reaches, centres = reach_um(matrices), np.empty((len(diameters), 3))
    partners = np.full(n_large + len(diameters), -1)
    fixed_centres, fixed_reaches = large_centres, reach_um(large_matrices)

    def place(*what: NDArray[np.float64]) -> NDArray[np.float64]:
        return _place_small(*what, settings.gap_um, plane, frame, rng, widest_stays=settings.irregular)

    # The first small domains form the pairs: they are as random as any. Pairs go first, as they need the most room.
    n_paired = 2 * round(settings.touching_ratio * n_small / 2)
    if n_paired:
        offsets, pair_reaches = grow_together(matrices[0:n_paired:2], matrices[1:n_paired:2], rng)
        middles = place(fixed_centres, fixed_reaches, pair_reaches, depths[0:n_paired:2])
        centres[:n_paired] = (middles[:, None] + offsets).reshape(-1, 3)
        partners[n_large : n_large + n_paired] = n_large + (np.arange(n_paired) ^ 1)
        fixed_centres = np.concatenate([fixed_centres, centres[:n_paired]])
        fixed_reaches = np.concatenate([fixed_reaches, reaches[:n_paired]])
    # A sphere drawn too close to the substrate moves away from it: this can only be a void.
    depths = np.maximum(depths, reaches + settings.gap_um)
    centres[n_paired:] = place(fixed_centres, fixed_reaches, reaches[n_paired:], depths[n_paired:])
    return Spheres(
        np.concatenate([large_centres, centres]),
        np.concatenate([large_diameters, diameters]),
        np.repeat(np.array([DOMAIN, VOID], np.uint8), [n_large + n_small, n_voids]),
        np.repeat([True, False], [n_large, n_small + n_voids]),
        Shapes(np.concatenate([large_matrices, matrices]), partners) if settings.irregular else None,
    )


def _matrices(diameters: NDArray[np.float64], settings: PhantomSettings, rng: np.random.Generator) -> NDArray:
    """Return ellipsoids or, without drawing random numbers, spheres."""
    if settings.elongation > 1:
        return draw_ellipsoids(diameters, settings.elongation, rng)
    return diameters[:, None, None] / 2 * np.eye(3)


def _sideways(plane: Plane, depths: NDArray[np.float64], low: Any, high: Any, rng: np.random.Generator) -> Any:
    """Return random positions at given depths, z and x between ``low`` and ``high``."""
    z = rng.uniform(low[0], high[0], len(depths))
    x = rng.uniform(low[2], high[2], len(depths))
    nz, ny, nx = plane.normal
    return np.stack([z, (plane.offset_um + depths - nz * z - nx * x) / ny, x], axis=1)


def _place_large(
    settings: PhantomSettings, plane: Plane, frame: Frame, box: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Place large domains entirely within 27 um of the substrate, the first of them entirely inside the scan."""
    area_mm2 = np.prod((frame.high_um - frame.low_um)[[0, 2]]) * 1e-6
    number = max(1, round(settings.large_per_mm2 * area_mm2)) if settings.large_per_mm2 else 0
    diameters = rng.uniform(*LARGE_DIAMETERS_UM, number)
    matrices = _matrices(diameters, settings, rng)
    reaches = reach_um(matrices)
    depths = rng.uniform(reaches + settings.gap_um, SMALL_FROM_UM - reaches)
    centres = np.empty((0, 3))
    for index in range(number):
        inset = reaches[index] + 2 * settings.voxel_um
        low, high = (np.full(3, inset), box - inset) if index == 0 else (frame.low_um, frame.high_um)
        for _ in range(_ROUNDS):
            centre = _sideways(plane, depths[index : index + 1], low, high, rng)
            distance = np.linalg.norm(centres - centre, axis=1)
            if np.all(distance >= reaches[:index] + reaches[index] + settings.gap_um):
                centres = np.concatenate([centres, centre])
                break
        else:
            raise _no_room("large domains", number)
    return centres, diameters, matrices


def mean_over_frame(ratio: Any, plane: Plane, frame: Frame) -> float:
    """Return the mean of a function of depth over the frame."""
    axes = [np.arange(low, high, 1.0) + 0.5 for low, high in zip(frame.low_um, frame.high_um, strict=True)]
    return float(ratio(plane.depth_um(*np.meshgrid(*axes, indexing="ij", sparse=True))).mean())


def _draw(
    ratio: Any, highest: float, settings: PhantomSettings, plane: Plane, frame: Frame, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw diameters and depths of spheres whose volumes add up to the target fraction over the frame."""
    if not highest:
        return np.empty(0), np.empty(0)
    target_um3 = mean_over_frame(ratio, plane, frame) * float(np.prod(frame.high_um - frame.low_um))
    sigma = math.sqrt(math.log1p(settings.diameter_cv**2))
    mean_um3 = math.pi / 6 * settings.diameter_um**3 * (1 + settings.diameter_cv**2) ** 3
    drawn = rng.lognormal(math.log(settings.diameter_um) - sigma**2 / 2, sigma, int(2 * target_um3 / mean_um3) + 20)
    number = int(np.searchsorted(np.cumsum(math.pi / 6 * drawn**3), target_um3))
    depths = np.empty(0)
    while len(depths) < number:
        points = rng.uniform(frame.low_um, frame.high_um, (4 * number, 3))
        at = plane.depth_um(*points.T)
        depths = np.concatenate([depths, at[rng.uniform(0, highest, len(at)) < ratio(at)]])
    return drawn[:number], depths[:number]


def _place_small(
    fixed_centres: NDArray[np.float64],
    fixed_radii: NDArray[np.float64],
    radii: NDArray[np.float64],
    depths: NDArray[np.float64],
    gap_um: float,
    plane: Plane,
    frame: Frame,
    rng: np.random.Generator,
    *,
    widest_stays: bool,
) -> NDArray[np.float64]:
    """Move spheres sideways until all keep the gap; each round moves every sphere that is in the way of an earlier one.

    With ``widest_stays`` it moves those in the way of a wider one, because the widest find no room between the others.
    """
    centres = np.empty((len(radii), 3))
    placed = np.zeros(len(radii), bool)
    far = radii.max(initial=0.0) * 2 + gap_um
    for _ in range(_ROUNDS):
        if placed.all():
            return centres
        waiting = np.flatnonzero(~placed)
        centres[waiting] = _sideways(plane, depths[waiting], frame.low_um, frame.high_um, rng)
        bad = np.zeros(len(radii), bool)
        bad[waiting] = (centres[waiting, 1] < frame.low_um[1]) | (centres[waiting, 1] > frame.high_um[1])
        for centre, radius in zip(fixed_centres, fixed_radii, strict=True):
            bad[waiting] |= np.linalg.norm(centres[waiting] - centre, axis=1) < radii[waiting] + radius + gap_um
        pairs = cKDTree(centres).query_pairs(far, output_type="ndarray")
        first, second = pairs.T
        near = np.linalg.norm(centres[first] - centres[second], axis=1) < radii[first] + radii[second] + gap_um
        first, second = first[near], second[near]
        if widest_stays:
            wins = radii[first] >= radii[second]
            winner, loser = np.where(wins, first, second), np.where(wins, second, first)
            bad[loser[~bad[winner]]] = True
        else:
            bad[np.where(placed[second], first, second)] = True
        placed = ~bad
    raise _no_room("domains and voids", len(radii))


def _no_room(what: str, number: int) -> StageError:
    remedy = "Lower `large_per_mm2`, `void_ratio` or `gap_um`, or enlarge the scan."
    return StageError(Fault("phantom", f"{number} {what}", "there is no room to place them without contact", remedy))
