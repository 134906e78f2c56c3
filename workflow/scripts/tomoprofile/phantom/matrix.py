"""Inhomogeneities of the resin: density fluctuations and filler particles."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from ..errors import Fault, StageError
from ..volume.plane import Plane
from .geometry import FILLER, Frame, Spheres, mean_over_frame
from .shapes import Shapes, reach_um

if TYPE_CHECKING:
    from .settings import PhantomSettings

FILLER_DIAMETERS_UM = (0.5, 1.5)
_ROUNDS = 500


def matrix_texture(
    shape: tuple[int, int, int], ratio: float, length_voxels: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return relative fluctuations of the density of the matrix: a Gaussian random field with mean 0.

    Its autocorrelation is exp(-(r / length)^2), that of white noise after a Gaussian filter of sigma length / 2.

    Parameters
    ----------
    shape : tuple of int
        Voxels along (z, y, x); the field repeats periodically.
    ratio : float
        Standard deviation.
    length_voxels : float
        Distance at which the autocorrelation has fallen to 1/e.
    rng : numpy.random.Generator
        Random source.
    """
    field = rng.standard_normal(shape, dtype=np.float32)
    gaussian_filter(field, length_voxels / 2, output=field, mode="wrap")
    field -= field.mean(dtype=np.float64)
    field *= ratio / field.std(dtype=np.float64)
    return field


def add_fillers(
    spheres: Spheres, settings: PhantomSettings, plane: Plane, frame: Frame, rng: np.random.Generator
) -> Spheres:
    """Return the objects with filler particles between them, which do not overlap with anything.

    Parameters
    ----------
    spheres : Spheres
        Domains and voids.
    settings : PhantomSettings
        Its ``filler_ratio`` is their volume fraction in the resin; diameters are uniform from 0.5 to 1.5 um.
    plane : Plane
        Resin-facing side of the substrate.
    frame : Frame
        Where to place them.
    rng : numpy.random.Generator
        Random source.

    Raises
    ------
    StageError
        When they do not fit.
    """
    low, high = FILLER_DIAMETERS_UM
    resin_um3 = mean_over_frame(lambda depth: depth > 0, plane, frame) * float(np.prod(frame.high_um - frame.low_um))
    mean_um3 = math.pi / 24 * (high**4 - low**4) / (high - low)
    radii = rng.uniform(low, high, round(settings.filler_ratio * resin_um3 / mean_um3)) / 2
    centres = np.empty((len(radii), 3))
    reaches = spheres.diameters_um / 2 if spheres.shapes is None else reach_um(spheres.shapes.matrices_um)
    bad = np.ones(len(radii), bool)
    for _ in range(_ROUNDS):
        if not bad.any():
            return _joined(spheres, centres, radii)
        centres[bad] = rng.uniform(frame.low_um, frame.high_um, (int(bad.sum()), 3))
        bad = plane.depth_um(*centres.T) < radii
        tree = cKDTree(centres)
        for centre, reach in zip(spheres.centres_um, reaches, strict=True):
            near = tree.query_ball_point(centre, reach + high / 2)
            bad[near] |= np.linalg.norm(centres[near] - centre, axis=1) < radii[near] + reach
        first, second = tree.query_pairs(high, output_type="ndarray").T
        close = np.linalg.norm(centres[first] - centres[second], axis=1) < radii[first] + radii[second]
        bad[second[close]] = True
    problem = "there is no room to place them without contact"
    raise StageError(Fault("phantom", f"{len(radii)} fillers", problem, "Lower `filler_ratio`."))


def _joined(spheres: Spheres, centres: NDArray[np.float64], radii: NDArray[np.float64]) -> Spheres:
    shapes = spheres.shapes
    if shapes is not None:
        matrices = np.concatenate([shapes.matrices_um, radii[:, None, None] * np.eye(3)])
        shapes = Shapes(matrices, np.concatenate([shapes.partners, np.full(len(radii), -1)]))
    return replace(
        spheres,
        centres_um=np.concatenate([spheres.centres_um, centres]),
        diameters_um=np.concatenate([spheres.diameters_um, 2 * radii]),
        classes=np.concatenate([spheres.classes, np.full(len(radii), FILLER, np.uint8)]),
        large=np.concatenate([spheres.large, np.zeros(len(radii), bool)]),
        shapes=shapes,
    )
