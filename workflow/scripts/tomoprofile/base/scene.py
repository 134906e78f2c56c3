"""The scene of a randomised scan: which part fills which share of each voxel, and the label."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import candidates
from .bodies import FREE, Canvas, place
from .fields import cells, layers, random_field
from .recipe import Recipe

# Of a scan: a crop of 160 has a little room. Many small scans teach more than few large ones, of which a training saw
# 300 crops each; and with its margin the grid is 48 x 192 x 192, whose Fourier transforms are quick.
SIZE = (32, 168, 168)
DOMAIN, VOID, FILLER, SLAB, LINE, AIR = range(1, 7)  # owners of voxels
_MARGIN = (8, 12, 12)  # fringes of what lies beyond the scan reach into it
_WIDE_MARGIN = (8, 24, 24)  # of a slab or of air, whose fringes are strong; the grid repeats periodically
# Domains in a scan with distractors: where there are one or two, nothing says which is the rule, which the exception.
_RULE = 4
_PURPOSES = {"large": 1, "domains": 2, "voids": 3, "fillers": 4, "beside": 5, "texture": 6}

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """What is where, on the grid with its margin.

    Attributes
    ----------
    owner : array (z, y, x) of uint8
        What the centre of each voxel lies in: 0 the matrix, :data:`DOMAIN` with its core, and so on.
    parts : dict
        Share of each voxel (z, y, x) that a part fills, float32, for ``domain`` and ``core`` times the contrast of the
        single body; ``texture``: fluctuations of the matrix with a standard deviation of about 1.
    filled : array (z, y, x) of float32
        Share of each voxel that domains fill.
    window : tuple of slice
        The scan in the grid.
    """

    owner: NDArray[np.uint8]
    parts: dict[str, NDArray[np.float32]]
    filled: NDArray[np.float32]
    window: tuple[slice, slice, slice]

    @property
    def label(self) -> NDArray[np.uint8]:
        """The label (z, y, x) of the scan: 1 in domains, else 0."""
        return (self.owner[self.window] == DOMAIN).astype(np.uint8)

    @property
    def sample(self) -> NDArray[np.bool_]:
        """Where the scan shows the sample: neither a slab nor air."""
        return ~np.isin(self.owner[self.window], (SLAB, LINE, AIR))


def build_scene(recipe: Recipe, size: Shape = SIZE) -> Scene:
    """Return the scene of a recipe.

    Parameters
    ----------
    recipe : Recipe
    size : tuple of int
        Voxels of the scan along (z, y, x).
    """
    around = recipe.around
    margin = _WIDE_MARGIN if around.slab_share or around.outside != "none" else _MARGIN
    shape = tuple(n + 2 * m for n, m in zip(size, margin, strict=True))
    window = tuple(slice(m, m + n) for n, m in zip(size, margin, strict=True))
    owner = np.zeros(shape, np.uint8)
    parts: dict[str, NDArray[np.float32]] = {}
    _beside(recipe, owner, parts, size, margin)
    canvas = _canvas(owner)
    _domains(recipe, canvas)
    parts |= {"domain": canvas.wall, "core": canvas.core}
    if not recipe.domains.core:
        del parts["core"]
    _distractors(recipe, owner, parts)
    if around.texture != "none":
        parts["texture"] = _texture(recipe, shape) * _matrix(shape, parts, canvas.share)
    return Scene(owner, parts, canvas.share, window)


def _canvas(owner: NDArray[np.uint8]) -> Canvas:
    return Canvas(owner, *(np.zeros(owner.shape, np.float32) for _ in range(3)))


def _domains(recipe: Recipe, canvas: Canvas) -> None:
    domains, shape = recipe.domains, canvas.owner.shape
    room = int((canvas.owner == FREE).sum())
    wanted = max(1, round(domains.fraction * room))
    if domains.shape in ("grain", "blob"):
        _fill(canvas, _grains(recipe, shape) if domains.shape == "grain" else _blobs(recipe, shape))
        return
    rng, painted = recipe.rng(_PURPOSES["large"]), 0
    if domains.larger:
        part = round(wanted * rng.uniform(0.1, 0.4))
        bodies = candidates.domains(domains, shape, part, domains.larger, rng)
        painted = place(canvas, bodies, DOMAIN, domains.gap, domains.touching, part)
    bodies = candidates.domains(domains, shape, wanted, 1.0, recipe.rng(_PURPOSES["domains"]))
    place(canvas, bodies, DOMAIN, domains.gap, domains.touching, wanted - painted)


def _fill(canvas: Canvas, share: NDArray[np.float32]) -> None:
    share[canvas.owner != FREE] = 0
    canvas.owner[share > 0.5] = DOMAIN
    canvas.share[:] = canvas.wall[:] = share


def _grains(recipe: Recipe, shape: Shape) -> NDArray[np.float32]:
    """Return polyhedra: some of the cells that fill space."""
    domains, rng = recipe.domains, recipe.rng(_PURPOSES["domains"])
    stretch = domains.aspect ** (np.array([0.0, 0.5, 1.0])[rng.permutation(3)] - 0.5)
    number, wall = cells(shape, domains.diameter * 0.9, stretch, rng)
    chosen = rng.random(number.max() + 1) < 1.2 * domains.fraction
    gap = 0.0 if domains.touching else min(domains.gap, 0.4 * domains.diameter)
    return np.clip(0.5 + wall - np.float32(gap / 2), 0, 1) * chosen[number]


def _blobs(recipe: Recipe, shape: Shape) -> NDArray[np.float32]:
    """Return where a random field is high."""
    domains = recipe.domains
    length = 0.8 * domains.diameter
    field = random_field(shape, length, recipe.rng(_PURPOSES["domains"]), band=True)
    level = np.quantile(field[::2, ::3, ::3], 1 - domains.fraction)
    return np.clip(0.5 + (field - np.float32(level)) * np.float32(length / 1.5), 0, 1)


def _distractors(recipe: Recipe, owner: NDArray[np.uint8], parts: dict[str, NDArray[np.float32]]) -> None:
    """Add voids and fillers, which are less than the domains in volume and have another contrast."""
    around, domains = recipe.around, recipe.domains
    filled = int((owner == DOMAIN).sum())
    speck = float(np.clip(around.filler_size * domains.diameter, 1.5, 8))
    as_many = 2 * filled * min(1.0, speck / domains.diameter) ** 3
    wanted = {
        "void": (VOID, around.void_share * filled, around.void_size * domains.diameter, domains.spread),
        "filler": (FILLER, min(around.filler_fraction * owner.size, as_many), speck, 0.2),
    }
    for name, (code, voxels, diameter, spread) in wanted.items():
        if voxels < 1 or filled < _RULE * domains.diameter**3 / 2:
            continue
        rng, canvas = recipe.rng(_PURPOSES[name + "s"]), _canvas(owner)
        flat = name == "void" and rng.random() < 0.2
        size = float(np.clip(diameter, 1.5, 60))
        bodies = candidates.specks(size, spread, flat, owner.shape, int(voxels), rng)
        place(canvas, bodies, code, 1.0, False, int(voxels))
        parts[name] = canvas.wall


def _texture(recipe: Recipe, shape: Shape) -> NDArray[np.float32]:
    around, rng = recipe.around, recipe.rng(_PURPOSES["texture"])
    if around.texture == "lamellae":
        return layers(shape, max(4.0, around.texture_length), rng)
    if around.texture == "field":
        return random_field(shape, around.texture_length, rng)
    number, _ = cells(shape, max(6.0, around.texture_length), np.ones(3), rng)
    return rng.standard_normal(number.max() + 1).astype(np.float32)[number]


def _matrix(shape: Shape, parts: dict[str, NDArray[np.float32]], filled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the share of each voxel that the matrix fills."""
    left = np.ones(shape, np.float32) - filled
    for name, share in parts.items():
        if name not in ("domain", "core"):
            left -= share
    return np.clip(left, 0, 1, out=left)


def _beside(
    recipe: Recipe, owner: NDArray[np.uint8], parts: dict[str, NDArray[np.float32]], size: Shape, margin: Shape
) -> None:
    """Add a substrate with a thin layer on it, or the air around a sample."""
    around, rng = recipe.around, recipe.rng(_PURPOSES["beside"])
    z, y, x = (np.arange(n, dtype=np.float32) - m for n, m in zip(owner.shape, margin, strict=True))
    if around.slab_share:
        angle = float(rng.choice([rng.uniform(0, 2 * math.pi), math.pi / 2 * rng.integers(4)], p=[0.4, 0.6]))
        across = np.float32(math.cos(angle)) * y[:, None] + np.float32(math.sin(angle)) * x[None, :]
        inside = across[margin[1] : margin[1] + size[1], margin[2] : margin[2] + size[2]]
        border = np.quantile(inside, around.slab_share)
        tilt = np.float32(math.tan(math.radians(around.tilt_deg)))
        depth = (across - np.float32(border))[None] + (tilt * (z - size[0] / 2))[:, None, None]
        line = np.float32(rng.uniform(1, 3) * (rng.random() < 0.6))
        parts["slab"] = np.clip(0.5 - depth - line, 0, 1)
        if line:
            parts["line"] = np.clip(0.5 - depth, 0, 1) - parts["slab"]
            owner[depth <= 0] = LINE
        owner[depth + line <= 0] = SLAB
    if around.outside != "none":
        middle = (np.array(size[1:]) / 2) * rng.uniform(0.8, 1.2, 2)
        dy, dx = y[:, None] - np.float32(middle[0]), x[None, :] - np.float32(middle[1])
        radius, towards = np.hypot(dy, dx), np.arctan2(dy, dx)
        if around.outside == "irregular":
            for wave in range(2, 7):
                radius = radius * (1 + rng.uniform(0, 0.25) / wave * np.cos(wave * towards + rng.uniform(0, 7)))
        inside = radius[margin[1] : margin[1] + size[1], margin[2] : margin[2] + size[2]]
        border = np.quantile(inside, 1 - around.outside_share)
        parts["air"] = np.broadcast_to(np.clip(0.5 + radius - np.float32(border), 0, 1), owner.shape).copy()
        owner[:, radius > border] = AIR
