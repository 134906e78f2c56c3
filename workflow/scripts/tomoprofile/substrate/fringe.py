"""Where exactly the substrate ends under refraction contrast: a model of its fringes, fitted to the mean profile.

The bright and dark rims of an edge lie on either side of it, but not symmetrically: a thin layer on the substrate, such
as an oxide or a coating, has rims of its own that overlap with those of the edge, which shifts the middle between
bright and dark. At 50 mm from the detector the shift is a quarter of a micrometre. The mean over a whole plane has so
little noise that the overlapping fringes can be separated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares

from ..volume.plane import Plane
from ..volume.store import Store

REACH = 16.0  # voxels on both sides of the plane
STEPS = 8  # samples per voxel: tilt or columns of different height sample between voxels
MOST_SLICES = 64  # are read, spread over the scan: the noise of their mean is low enough
MOST_OFFSET = 2.0  # voxels; anything farther off is another edge
LEAST_EXPLAINED = 0.9  # share of the profile's variance that the model must explain
LAYER_EXPLAINS = 0.5  # share of the residual of an edge alone that a layer must explain to be accepted
_LENGTH, _SAMPLES = 96.0, 1536  # voxels and samples of the modelled edge
# Position of the edge, logarithms of fringe strength and blur, thickness of a layer on the substrate; in voxels.
_LOW, _HIGH = (-MOST_OFFSET, np.log(0.05), np.log(0.2), 1.0), (MOST_OFFSET, np.log(200.0), np.log(4.0), 8.0)
_STRENGTHS, _THICKNESSES = (1.0, 4.0, 16.0, 64.0), (1.5, 4.0)  # starting values of the search

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fringe:
    """Result of the fit.

    Attributes
    ----------
    offset_voxels : float
        Position of the edge, positive toward the resin.
    strength : float
        pi x wavelength x distance / voxel², by which the fringes spread; a fit parameter, not a measurement of either.
    explained : float
        Share of the profile's variance that the model explains.
    """

    offset_voxels: float
    strength: float
    explained: float

    @property
    def trusted(self) -> bool:
        """Whether the model describes the scan well enough to move the plane."""
        return self.explained >= LEAST_EXPLAINED and abs(self.offset_voxels) < 0.99 * MOST_OFFSET


def mean_profile(store: Store, plane: Plane, voxel_um: float, outside: float) -> tuple[Floats, Floats, Floats]:
    """Return the mean grey value by distance from a plane.

    Parameters
    ----------
    store : Store
        The scan.
    plane : Plane
    voxel_um : float
        Voxel edge along the depth, the unit of distance.
    outside : float
        See :func:`.edges.constant_outside`; such voxels are left out.

    Returns
    -------
    distance_voxels, grey, voxels : arrays (n,)
        Middles of bins of an eighth of a voxel, means, and numbers of voxels; bins without voxels are left out.
    """
    n_bins = int(2 * REACH * STEPS)
    sums, counts = np.zeros(n_bins), np.zeros(n_bins)
    z, y, x = ((np.arange(n) + 0.5) * edge for n, edge in zip(store.shape, store.voxel_size_um, strict=True))
    near = [index for index in range(store.shape[0]) if _crosses(plane, float(z[index]), y, x, voxel_um)]
    for index in near[:: -(-len(near) // MOST_SLICES) or 1]:
        depth = plane.depth_um(z[index], y[:, None], x[None, :]) / voxel_um
        image = store.read(index, index + 1)[0]
        held = (np.abs(depth) < REACH) & np.isfinite(image) & (image != outside)
        bins = ((depth[held] + REACH) * STEPS).astype(np.intp)
        sums += np.bincount(bins, image[held].astype(np.float64), n_bins)
        counts += np.bincount(bins, minlength=n_bins)
    known = counts > 0
    middles = (np.arange(n_bins) + 0.5) / STEPS - REACH
    return middles[known], sums[known] / counts[known], counts[known]


def fit_fringe(distance_voxels: Floats, grey: Floats, voxels: Floats) -> Fringe | None:
    """Fit an edge, perhaps with a thin layer on it, in phase and absorption to a mean profile.

    Parameters
    ----------
    distance_voxels, grey, voxels : arrays (n,)
        Output of :func:`mean_profile`.

    Returns
    -------
    Fringe or None
        None when the profile is too short or flat.

    Notes
    -----
    Each step of phase is imaged as sin χ and each step of absorption as cos χ of the weak-object transfer function, χ =
    πλR q² (Ruhlandt and Salditt, Acta Cryst. A72 (2016) 215), with a Gaussian blur and the width of a voxel. Positions,
    strength and blur are searched; for each trial the heights of the steps follow by linear least squares (variable
    projection, Golub and Pereyra, Inverse Problems 19 (2003) R1).
    """
    if len(grey) < 2 * REACH - 2:
        return None
    weight = np.sqrt(voxels / voxels.max())
    total = float(((grey - np.average(grey, weights=weight**2)) ** 2 * weight**2).sum())
    if total <= 0:
        return None

    def misfit(parameters: Floats) -> Floats:
        design = _responses(parameters, distance_voxels) * weight[:, None]
        heights = np.linalg.lstsq(design, grey * weight, rcond=None)[0]
        return np.asarray((design @ heights - grey * weight) / np.sqrt(total))

    def fit(thicknesses: tuple[tuple[float, ...], ...]) -> OptimizeResult:
        starts = [(0.0, np.log(strength), 0.0, *layer) for strength in _STRENGTHS for layer in thicknesses]
        limits = _LOW[: len(starts[0])], _HIGH[: len(starts[0])]
        fits = [least_squares(misfit, start, bounds=limits, max_nfev=200) for start in starts]
        return min(fits, key=lambda found: found.cost)

    best = fit(((),))
    layered = fit(tuple((thickness,) for thickness in _THICKNESSES))
    if layered.cost < (1 - LAYER_EXPLAINS) * best.cost:
        best = layered
    return Fringe(float(best.x[0]), float(np.exp(best.x[1])), 1 - 2 * float(best.cost))


def _crosses(plane: Plane, z_um: float, y: Floats, x: Floats, voxel_um: float) -> bool:
    depth = plane.depth_um(z_um, y[[0, -1], None], x[None, [0, -1]])
    return bool(depth.min() < REACH * voxel_um and depth.max() > -REACH * voxel_um)


def _responses(parameters: Floats, distance: Floats) -> Floats:
    """Return the response to a unit step of each kind, and a constant: array (n, 3), or (n, 5) with a layer."""
    edge, *layer = parameters[0], *parameters[3:]
    strength, blur = np.exp(parameters[1:3])
    spacing = _LENGTH / _SAMPLES
    frequency = np.fft.rfftfreq(_SAMPLES, spacing)
    transfer = np.exp(-2 * (np.pi * blur * frequency) ** 2) * np.sinc(frequency)
    # A running sum belongs to the far face of its sample.
    behind = (np.arange(_SAMPLES) - _SAMPLES // 2 + 0.5) * spacing
    columns = [np.ones_like(distance)]
    for part in (np.sin(strength * frequency**2), np.cos(strength * frequency**2)):
        step = np.cumsum(np.fft.fftshift(np.fft.irfft(part * transfer, _SAMPLES)))
        places = [edge, *(edge - thickness for thickness in layer)]
        columns += [np.interp(distance - place, behind, step) for place in places]
    return np.stack(columns, axis=1)
