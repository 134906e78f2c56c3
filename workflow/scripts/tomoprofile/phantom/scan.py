"""A simulated scan with known truth: geometry, optics and detector combined."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import fft

from ..logs import LOG
from ..volume.plane import Plane
from .artefacts import add_cupping, add_streaks
from .geometry import DOMAIN, FILLER, VOID, Frame, Spheres, place_spheres, substrate_plane
from .imaging import add_noise, add_rings, transfer_filter
from .materials import optical_constants, wavelength_um
from .matrix import add_fillers, matrix_texture
from .painting import TALLIES, paint_ellipsoids, paint_layer, paint_spheres
from .settings import PhantomSettings
from .truth import AIR, MATRIX, SUBSTRATE, merge_touching, object_table

__all__ = ["Phantom", "PhantomSettings", "simulate"]

# Fringes reach this far, and half a large domain fits in; multiplied by the elongation. A test widens the margin.
MARGIN_UM = 8.0


@dataclass(frozen=True)
class Phantom:
    """A simulated scan and its truth.

    Attributes
    ----------
    grey : array (z, y, x) of float32
        What a beamline would reconstruct, in 1/cm.
    labels : array (z, y, x) of uint8
        0 matrix with its fillers, 1 domain, 2 void, 3 substrate, 4 air beyond a film: the material at the centre of the
        voxel.
    occupancy : array (z, y, x) of float32
        Fraction of each voxel filled by domains, 0 to 1.
    objects : DataFrame
        See :func:`~tomoprofile.phantom.truth.object_table`.
    plane : Plane
        Resin-facing side of the substrate.
    settings : PhantomSettings
        Settings of the simulation.
    """

    grey: NDArray[np.float32]
    labels: NDArray[np.uint8]
    occupancy: NDArray[np.float32]
    objects: pd.DataFrame
    plane: Plane
    settings: PhantomSettings


@dataclass(frozen=True)
class Grid:
    """The simulated voxels: the scan and a margin, in a total size that suits the Fourier transform."""

    shape: tuple[int, int, int]
    corner: tuple[int, int, int]
    window: tuple[slice, slice, slice]
    origin_um: NDArray[np.float64]

    @classmethod
    def around(cls, settings: PhantomSettings, margin_um: float) -> Grid:
        margin = math.ceil(margin_um / settings.voxel_um)
        nz, ny, nx = (fft.next_fast_len(n + 2 * margin, real=True) for n in settings.size)
        z, y, x = (slice(margin, margin + n) for n in settings.size)
        return cls((nz, ny, nx), (margin, margin, margin), (z, y, x), np.full(3, -margin * settings.voxel_um))

    def frame(self, voxel_um: float) -> Frame:
        return Frame(self.origin_um, self.origin_um + np.array(self.shape) * voxel_um)


def simulate(settings: PhantomSettings) -> Phantom:
    """Simulate a scan.

    Occupancies of the voxels -> mu and delta -> transfer filter with the blur of the detector -> noise -> rings ->
    streaks -> cupping. Equal settings give equal scans.

    Parameters
    ----------
    settings : PhantomSettings
        Settings of the scan.

    Raises
    ------
    StageError
        When the objects do not fit into the scan.
    """
    seeds = np.random.SeedSequence(settings.seed).spawn(5)
    geometry_seed, noise_seed, rings_seed, texture_seed, streaks_seed = seeds
    plane, spheres, grid = lay_out(settings, np.random.default_rng(geometry_seed))
    texture = None
    if settings.texture_ratio:
        length = settings.texture_um / settings.voxel_um
        texture = matrix_texture(grid.shape, settings.texture_ratio, length, np.random.default_rng(texture_seed))
    occupancy, labels, objects, grey = render(settings, plane, spheres, grid, texture)
    LOG.info("phantom %s: %d objects in %s voxels", settings.kind, len(objects), "x".join(map(str, settings.size)))
    add_noise(grey, settings.noise_per_cm, np.random.default_rng(noise_seed))
    add_rings(grey, settings.rings_per_cm, np.random.default_rng(rings_seed))
    if settings.streaks_per_cm:
        add_streaks(grey, settings.streaks_per_cm, np.random.default_rng(streaks_seed))
    if settings.cupping_per_cm:
        add_cupping(grey, settings.cupping_per_cm)
    return Phantom(grey, labels, occupancy, objects, plane, settings)


def lay_out(settings: PhantomSettings, rng: np.random.Generator) -> tuple[Plane, Spheres, Grid]:
    """Return the substrate plane, all objects, and the grid they lie on."""
    nz, ny, nx = (n * settings.voxel_um for n in settings.size)
    plane = substrate_plane((nz, ny, nx), settings.substrate_um, settings.tilt_deg)
    grid = Grid.around(settings, MARGIN_UM * settings.elongation)
    frame = grid.frame(settings.voxel_um)
    spheres = place_spheres(settings, plane, frame, rng)
    if settings.filler_ratio:
        spheres = add_fillers(spheres, settings, plane, frame, rng)
    if settings.film_um:
        reach = spheres.diameters_um / 2 + settings.gap_um
        spheres = spheres.those(plane.depth_um(*spheres.centres_um.T) + reach <= settings.film_um)
    return plane, spheres, grid


def render(
    settings: PhantomSettings,
    plane: Plane,
    spheres: Spheres,
    grid: Grid,
    texture: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], pd.DataFrame, NDArray[np.float32]]:
    """Return occupancy by domains, labels, object table and noise-free grey values, all for the scan without margin.

    ``texture`` is the relative fluctuation of the density of the matrix on the grid, and is consumed.
    """
    voxel = settings.voxel_um
    wavelength = wavelength_um(settings.energy_kev)
    matrix = optical_constants("epoxy", settings.energy_kev, settings.density_g_cm3)
    mu = np.full(grid.shape, matrix.mu_per_cm, np.float32)
    phase = np.zeros(grid.shape, np.float32)  # relative to the matrix: only differences refract
    share = np.zeros(grid.shape, np.float32)
    labels = np.zeros(settings.size, np.uint8)

    left = None if texture is None else np.ones(grid.shape, np.float32)  # of the matrix, once all else is in place
    to_phase = 4 * math.pi / wavelength * 1e4

    def replace_matrix_by(material: str) -> None:
        constants = optical_constants(material, settings.energy_kev)
        np.add(mu, share * np.float32(constants.mu_per_cm - matrix.mu_per_cm), out=mu)
        per_cm = to_phase * (constants.delta - matrix.delta)
        np.add(phase, share * np.float32(per_cm), out=phase)
        if left is not None:
            np.subtract(left, share, out=left)

    tallies = np.zeros((len(spheres), len(TALLIES)), np.int64)
    occupancy = np.zeros(settings.size, np.float32)
    for kind, material, mark in ((DOMAIN, "water", DOMAIN), (VOID, "air", VOID), (FILLER, "silica", MATRIX)):
        mine = np.flatnonzero(spheres.classes == kind)
        if kind == FILLER and not len(mine):
            continue
        share.fill(0)
        where = (labels, grid.corner, mark)
        if spheres.shapes is None:
            centres, radii = spheres.centres_um[mine], spheres.diameters_um[mine] / 2
            painted = paint_spheres(share, grid.origin_um, voxel, centres, radii, *where)
        else:
            shapes = spheres.shapes
            painted = paint_ellipsoids(share, grid.origin_um, voxel, spheres.centres_um, shapes, mine, *where)
        if kind != FILLER:
            tallies[mine] = painted
        replace_matrix_by(material)
        if kind == DOMAIN:
            occupancy[:] = share[grid.window]
    if settings.film_um:
        nz, ny, nx = plane.normal
        share.fill(0)
        surface = Plane((-nz, -ny, -nx), -plane.offset_um - settings.film_um)
        paint_layer(share, grid.origin_um, voxel, surface, math.inf)
        replace_matrix_by("air")
    behind_alumina = Plane(plane.normal, plane.offset_um - settings.alumina_um)
    layers = (("alumina", plane, settings.alumina_um), ("silicon", behind_alumina, math.inf))
    for material, front, thickness in layers:
        share.fill(0)
        paint_layer(share, grid.origin_um, voxel, front, thickness)
        replace_matrix_by(material)
    z, y, x = ((np.arange(n) + 0.5) * voxel for n in settings.size)
    for index, z_um in enumerate(z):
        depth = plane.depth_um(z_um, y[:, None], x[None, :])
        labels[index][depth <= 0] = SUBSTRATE
        if settings.film_um:
            labels[index][depth > settings.film_um] = AIR
    if texture is not None and left is not None:
        texture *= left
        mu += texture * np.float32(matrix.mu_per_cm)
        phase += texture * np.float32(to_phase * matrix.delta)
    grey = transfer_filter(mu, phase, voxel, wavelength, settings.distance_mm, settings.psf_um)[grid.window]
    spheres, tallies = merge_touching(spheres, tallies, voxel)
    objects = object_table(spheres, tallies, settings.size, voxel, plane)
    return occupancy, labels, objects, np.ascontiguousarray(grey)
