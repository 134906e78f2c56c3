"""From a scene to grey values: contrast, refraction, blur, noise and artefacts, then the scale the network sees."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from ..phantom.artefacts import add_cupping, add_streaks
from ..phantom.imaging import add_rings, propagator
from ..phantom.materials import OpticalConstants, optical_constants, wavelength_um
from ..volume.grey import normalise
from .fields import slow_plane
from .recipe import Imaging, Recipe
from .scene import SIZE, Scene, build_scene

_LEAST_VOID = 6.0  # a real material that is no stronger than this beside the domains would be one of them
_USUAL_Q = 0.2  # cycles per voxel at which contrasts are compared
_RIM = 2  # voxels to both sides of a border
_CORE_SHARE = 0.05  # of a wall's contrast: a core that is the matrix itself
_PURPOSES = {"noise": 11, "artefacts": 12, "contrast": 13, "circle": 14, "scale": 15}

Vector = NDArray[np.float64]  # attenuation and phase against the matrix


class SimulatedScan(NamedTuple):
    """A scan as the network sees scans.

    Attributes
    ----------
    grey : array (z, y, x) of float16
        Normalised as :func:`~tomoprofile.volume.grey.normalise` does; float16 halves what is kept.
    label : array (z, y, x) of uint8
        1 in domains, else 0.
    step : int
        0: a single picture; its neighbours are itself.
    """

    grey: NDArray[np.float16]
    label: NDArray[np.uint8]
    step: int

    def stack(self, z: int, neighbours: int) -> NDArray[np.float16]:
        """Return a slice between its neighbours (channels, y, x); at the ends slices repeat."""
        chosen = np.arange(z - neighbours, z + neighbours + 1) if self.step else np.full(2 * neighbours + 1, z)
        return self.grey[np.clip(chosen, 0, len(self.grey) - 1)]


def simulate(recipe: Recipe, size: tuple[int, int, int] = SIZE) -> SimulatedScan:
    """Return the scan of a recipe; equal recipes give equal scans.

    Parameters
    ----------
    recipe : Recipe
    size : tuple of int
        Voxels along (z, y, x), before slices are left out.
    """
    scene = build_scene(recipe, size)
    imaging = recipe.imaging
    grey = _image(recipe, scene)
    label, sample = scene.label, scene.sample
    keep = slice(None, None, max(imaging.step, 1))
    grey, label, sample = (np.ascontiguousarray(part[keep]) for part in (grey, label, sample))
    _add_artefacts(grey, recipe)
    _add_noise(grey, imaging, recipe.rng(_PURPOSES["noise"]))
    inside = _reconstructed(grey, recipe)
    label *= inside
    sample &= inside
    return SimulatedScan(_scaled(grey, sample, recipe).astype(np.float16), label, imaging.step)


def contrasts(recipe: Recipe) -> dict[str, Vector]:
    """Return attenuation and phase of each part of a scene against the matrix, in units that only compare."""
    around, imaging, rng = recipe.around, recipe.imaging, recipe.rng(_PURPOSES["contrast"])
    domain, matrix = _physical(imaging) if imaging.materials else _invented(imaging, rng)
    strength = _strength(domain, imaging)
    known: dict[str, Vector] = {"domain": domain, "core": recipe.domains.core * domain}
    known["texture"] = matrix
    wanted = {"void": around.void_strength, "filler": around.filler_strength, "slab": around.slab_strength}
    for name, factor in wanted.items():
        known[name] = _turned(domain, imaging, rng) * factor
    known["line"] = known["slab"] * rng.uniform(0.3, 1.5)
    known["air"] = known["slab"] * -1.0
    if imaging.materials:  # air instead of the matrix, where that is stronger than the domains
        known["air"] = -matrix
        if "air" not in imaging.materials and _strength(matrix, imaging) > _LEAST_VOID * strength:
            known["void"] = -matrix
    return known


def _physical(imaging: Imaging) -> tuple[Vector, Vector]:
    """Return domain against matrix, and matrix against air."""
    energy, phase = imaging.energy_kev, 4 * math.pi / wavelength_um(imaging.energy_kev) * 1e4
    first, second = (
        density * _vector(optical_constants(name, energy), phase)
        for name, density in zip(imaging.materials, imaging.densities, strict=True)
    )
    return second - first, first


def _vector(constants: OpticalConstants, phase: float) -> Vector:
    return np.array([constants.mu_per_cm, phase * constants.delta])


def _invented(imaging: Imaging, rng: np.random.Generator) -> tuple[Vector, Vector]:
    sign = 1.0 if imaging.bright else -1.0
    scale = max(_phase_weight(imaging), 1e-3)
    domain = sign * np.array([1 - imaging.phase_part, imaging.phase_part * rng.choice((-1, 1)) / scale])
    if scale == 1e-3:
        domain = np.array([sign, 0.0])
    part = rng.random() * (scale > 1e-3)
    return domain, np.array([1 - part, part / scale])


def _turned(domain: Vector, imaging: Imaging, rng: np.random.Generator) -> Vector:
    """Return a contrast as strong as that of domains, with another ratio of attenuation and phase now and then."""
    if rng.random() < 0.5:
        return domain
    weight = _phase_weight(imaging)
    part = rng.random() * (weight > 1e-3)
    return _strength(domain, imaging) * np.array([1 - part, part / max(weight, 1e-3)])


def _phase_weight(imaging: Imaging) -> float:
    return math.sin(min(math.pi / 2, math.pi * (imaging.fringe * _USUAL_Q) ** 2))


def _strength(contrast: Vector, imaging: Imaging) -> float:
    """Return how strong a contrast looks at a border."""
    return float(np.hypot(contrast[0], contrast[1] * _phase_weight(imaging)))


def _image(recipe: Recipe, scene: Scene) -> NDArray[np.float32]:
    """Return the scan without noise (z, y, x), the contrast at the rims of domains being 1."""
    imaging, known = recipe.imaging, contrasts(recipe)
    texture = scene.parts.get("texture")
    others = {name: share for name, share in scene.parts.items() if name != "texture"}
    grey = _seen(others, known, imaging, scene)
    grey /= _contrast_at_rims(grey, scene.label, scene.sample)
    if texture is not None:  # by itself, as its strength is a matter of how it looks beside the domains
        field = _seen({"texture": texture}, known, imaging, scene)
        grey += field * np.float32(recipe.around.texture_amount / max(float(field.std()), 1e-12))
    return grey


def _seen(
    parts: dict[str, NDArray[np.float32]], known: dict[str, Vector], imaging: Imaging, scene: Scene
) -> NDArray[np.float32]:
    """Return what a detector sees of some parts, in the window of the scan."""
    shape, window = scene.owner.shape, scene.window
    # Voxels of 1 um: the wavelength times the distance is then the square of the fringe.
    along, plane = (part.astype(np.complex64) for part in propagator(shape, 1.0, imaging.fringe**2, imaging.blur))
    seen = np.zeros((shape[0], *plane.shape), np.complex64)
    for volume, (mu, phase) in _maps(parts, known):
        spectrum = fft.rfftn(volume)
        for index, factor in enumerate(along):
            kernel = factor * plane
            seen[index] += spectrum[index] * (np.float32(mu) * kernel.real + np.float32(phase) * kernel.imag)
    chosen = fft.ifft(seen, axis=0, overwrite_x=True)[window[0]]
    return np.ascontiguousarray(fft.irfft2(chosen, s=shape[1:])[:, *window[1:]])


def _maps(parts: dict[str, NDArray[np.float32]], known: dict[str, Vector]) -> list[tuple[NDArray[np.float32], Vector]]:
    """Return maps and the contrast of each: one where all contrasts are multiples of one another, else two."""
    contrast = np.array([known[name] for name in parts])
    strongest = contrast[np.linalg.norm(contrast, axis=1).argmax()]
    times = contrast @ strongest / max(float(strongest @ strongest), 1e-30)
    if np.allclose(times[:, None] * strongest, contrast, rtol=1e-6, atol=1e-6 * float(np.abs(strongest).min())):
        return [(_mixed(parts, times), strongest)]
    return [(_mixed(parts, column), unit) for column, unit in zip(contrast.T, np.eye(2), strict=True)]


def _mixed(parts: dict[str, NDArray[np.float32]], weights: Vector) -> NDArray[np.float32]:
    mixed = np.zeros_like(next(iter(parts.values())))
    for share, weight in zip(parts.values(), weights, strict=True):
        mixed += share * np.float32(weight)
    return mixed


def _contrast_at_rims(grey: NDArray, label: NDArray[np.uint8], sample: NDArray[np.bool_]) -> np.float32:
    """Return how far grey values at the border of domains lie from the matrix: the unit of everything that follows."""
    chosen = slice(None, None, 4)
    mask = label[chosen] == 1
    near = ndimage.binary_dilation(mask, _disc(), iterations=_RIM) & ~ndimage.binary_erosion(
        mask, _disc(), iterations=_RIM
    )
    matrix = sample[chosen] & ~mask
    if not near.any() or not matrix.any():
        return np.float32(max(float(grey.std()), 1e-12))
    away = np.abs(grey[chosen][near] - np.median(grey[chosen][matrix]))
    return np.float32(max(float(np.percentile(away, 75)), 1e-12))


def _disc() -> NDArray[np.bool_]:
    return ndimage.generate_binary_structure(2, 1)[None]


def _add_artefacts(grey: NDArray[np.float32], recipe: Recipe) -> None:
    imaging, rng = recipe.imaging, recipe.rng(_PURPOSES["artefacts"])
    shape = grey.shape[1:]
    if imaging.gain:
        middle = np.float32(np.median(grey[:, ::4, ::4]))
        grey -= middle
        grey *= 1 + np.float32(imaging.gain) * slow_plane(shape, 1.0, rng)
    if imaging.shading:
        grey += np.float32(imaging.shading) * slow_plane(shape, 1.2, rng)
    if imaging.cupping:
        add_cupping(grey, imaging.cupping)
    if imaging.streaks:
        add_streaks(grey, imaging.streaks, rng)
    if imaging.rings:
        far = tuple(float(n * rng.uniform(-1.5, 2.5)) for n in shape)
        add_rings(grey, imaging.rings, rng, far if rng.random() < 0.5 else None)


def _add_noise(grey: NDArray[np.float32], imaging: Imaging, rng: np.random.Generator) -> None:
    """Add noise whose power grows as a power of the frequency in the plane; filtered, it is correlated along z too."""
    _, ny, nx = grey.shape
    q = np.hypot(fft.fftfreq(ny)[:, None], fft.rfftfreq(nx)[None, :])
    amplitude = q ** (imaging.noise_power / 2) * np.exp(-2 * math.pi**2 * imaging.noise_blur**2 * q**2)
    noise = rng.standard_normal(grey.shape, dtype=np.float32)
    if imaging.noise_blur and imaging.step == 1:
        ndimage.gaussian_filter1d(noise, imaging.noise_blur, axis=0, output=noise)
    spectrum = fft.rfft2(noise, overwrite_x=True)
    spectrum *= amplitude.astype(np.float32)
    noise = fft.irfft2(spectrum, s=(ny, nx), overwrite_x=True)
    grey += noise * np.float32(1 / imaging.cnr / max(float(noise.std()), 1e-12))


def _reconstructed(grey: NDArray[np.float32], recipe: Recipe) -> NDArray[np.bool_]:
    """Set what lies outside of the reconstructed circle to a constant; return what lies inside."""
    if not recipe.around.circle:
        return np.ones(grey.shape[1:], bool)
    rng = recipe.rng(_PURPOSES["circle"])
    ny, nx = grey.shape[1:]
    y, x = np.arange(ny)[:, None] - (ny - 1) / 2, np.arange(nx)[None, :] - (nx - 1) / 2
    inside = np.hypot(y, x) < rng.uniform(0.46, 0.55) * min(ny, nx)
    values = grey[::4, ::4, ::4]
    grey[:, ~inside] = rng.choice([values.min(), np.median(values), values.max(), np.median(values) - 3 * values.std()])
    return inside


def _scaled(grey: NDArray[np.float32], sample: NDArray[np.bool_], recipe: Recipe) -> NDArray[np.float32]:
    """Return normalised grey values: by centre and spread of the sample, in half of the scans not quite."""
    rng = recipe.rng(_PURPOSES["scale"])
    values = grey[::3, ::2, ::2][sample[::3, ::2, ::2]]
    if values.size < 100:
        values = grey[::3, ::2, ::2].ravel()
    centre = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - centre)))
    if rng.random() < 0.5:
        centre, spread = centre + 0.2 * spread * rng.standard_normal(), spread * math.exp(0.15 * rng.standard_normal())
    return normalise(grey, centre, max(spread, 1e-6))
