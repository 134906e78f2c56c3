"""Pairs of refraction contrast: labels are deformed, and physics draws what a beamline would see of them.

A deformed fringe would have the wrong width. The deformations are those that
:class:`~tomoprofile.amplify.pairs.Drawing` would draw for `elastic` with the same seed, so both kinds of pairs differ
in the image alone. Of the imaging everything is known here, as it is of a simulated scan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprofile.amplify.appearance import varied
from tomoprofile.amplify.grid import Case
from tomoprofile.amplify.pairs import LabelledCase
from tomoprofile.amplify.register import LEAST_JACOBIAN
from tomoprofile.amplify.sample import SampleSettings, elastic, map_to_source
from tomoprofile.amplify.warp import warped
from tomoprofile.config import UNetConfig
from tomoprofile.labels.drawn import DrawnSlice
from tomoprofile.phantom.artefacts import add_cupping, add_streaks
from tomoprofile.phantom.imaging import add_noise, add_rings, transfer_filter
from tomoprofile.phantom.materials import optical_constants, wavelength_um
from tomoprofile.phantom.matrix import matrix_texture
from tomoprofile.phantom.settings import PhantomSettings
from tomoprofile.volume.grey import normalise

MARGIN = 16  # voxels around the case in which fringes end
SLICES = 8  # of a pair
_TRIES = 5
_MATERIALS = {1: "water"}  # of the class that is labelled; voids and fillers are not


def pairs(
    sources: Sequence[LabelledCase], settings: SampleSettings, optics: PhantomSettings, config: UNetConfig, seed: int
) -> Iterator[tuple[dict[str, Any], list[DrawnSlice]]]:
    """Yield record and slices of pairs until enough are accepted; ``optics`` are those of their beamline."""
    accepted = 0
    for index in range(config.amplify.pairs * _TRIES):
        record, slices = _pair(sources, settings, optics, config.neighbours, seed, index)
        accepted += bool(slices)
        yield record, slices
        if accepted == config.amplify.pairs:
            return


def _pair(
    sources: Sequence[LabelledCase],
    settings: SampleSettings,
    optics: PhantomSettings,
    neighbours: int,
    seed: int,
    index: int,
) -> tuple[dict[str, Any], list[DrawnSlice]]:
    rng = np.random.default_rng([seed, index])
    source = sources[int(rng.integers(len(sources)))]
    weights, coefficients = elastic(source.own, settings, rng)
    small = source.own.case
    field, least = map_to_source(source.own, coefficients, None)
    record = {"index": index, "kind": "physics", "source": source.case.name, "seed": seed, "min_jacobian": least}
    record |= {"weights": [float(weight) for weight in weights], "accepted": least > LEAST_JACOBIAN}
    if not record["accepted"]:
        return record, []
    depth = len(small.image)
    chosen = sorted(rng.choice(depth, min(SLICES, depth), replace=False).tolist())
    label = source.case.block(0, depth)[1]
    shares = {
        value: warped(Case(small.name, (label == value).astype(np.float32), small.grid), small.grid, field)[0]
        for value in _MATERIALS
    }
    image = imaged(shares, optics, rng)
    mask = (shares[1] > 0.5).astype(np.uint8)
    looks = source.appearance
    grey = normalise(varied(image, settings.appearance, rng), looks.centre, looks.spread)
    around = np.arange(-neighbours, neighbours + 1)
    groups = tuple(sorted({*source.groups.values()}))
    return record, [
        DrawnSlice(index, "physics", source.case.name, z, groups, grey[np.clip(z + around, 0, depth - 1)], mask[z])
        for z in chosen
    ]


def imaged(
    shares: dict[int, NDArray[np.float32]], settings: PhantomSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return what a beamline would reconstruct of materials that fill shares (z, y, x) of the voxels.

    The same steps as :func:`tomoprofile.phantom.scan.simulate` takes for a phantom. Beyond the case its structure is
    mirrored.

    Parameters
    ----------
    shares : dict
        By class, which must be one of a known material; the rest is epoxy.
    settings : PhantomSettings
        Optics, detector and artefacts.
    rng : numpy.random.Generator
    """
    wider = {value: np.pad(share, MARGIN, mode="reflect") for value, share in shares.items()}
    shape = next(iter(wider.values())).shape
    wavelength = wavelength_um(settings.energy_kev)
    matrix = optical_constants("epoxy", settings.energy_kev, settings.density_g_cm3)
    mu, phase = np.full(shape, matrix.mu_per_cm, np.float32), np.zeros(shape, np.float32)
    left = np.ones(shape, np.float32)
    to_phase = 4 * math.pi / wavelength * 1e4
    for value, share in wider.items():
        constants = optical_constants(_MATERIALS[value], settings.energy_kev)
        mu += share * np.float32(constants.mu_per_cm - matrix.mu_per_cm)
        phase += share * np.float32(to_phase * (constants.delta - matrix.delta))
        left -= share
    if settings.texture_ratio:
        texture = left * matrix_texture(shape, settings.texture_ratio, settings.texture_um / settings.voxel_um, rng)
        mu += texture * np.float32(matrix.mu_per_cm)
        phase += texture * np.float32(to_phase * matrix.delta)
    inner = tuple(slice(MARGIN, -MARGIN) for _ in shape)
    grey = transfer_filter(mu, phase, settings.voxel_um, wavelength, settings.distance_mm, settings.psf_um)[inner]
    grey = np.ascontiguousarray(grey, np.float32)
    add_noise(grey, settings.noise_per_cm, rng)
    add_rings(grey, settings.rings_per_cm, rng)
    if settings.streaks_per_cm:
        add_streaks(grey, settings.streaks_per_cm, rng)
    if settings.cupping_per_cm:
        add_cupping(grey, settings.cupping_per_cm)
    return grey
