"""A scan without a substrate: which part of it is sample, and how deep in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import __version__
from ..config_profile import Circle
from ..errors import Fault, StageError
from ..files import sealed_file
from ..logs import LOG
from ..volume.plane import OwnSurface, WithoutSubstrate
from ..volume.store import Store, open_store
from . import edges
from .given import given_plane
from .relief import node_grid
from .resin import REGION, Resin, find_resin

_MOST_WRONG = 0.01  # of the blocks of a scan
_REMEDY = "Write `none` into the column `interface`, or a face of the scan from which depth is measured, `face:z=0`."


def find_sample(volume: Path, spec: str, out: Path, resin_out: Path) -> None:
    """Find the air around a sample and what was not reconstructed; everything else is sample.

    Parameters
    ----------
    volume : Path
        Store of the grey values.
    spec : str
        Column ``interface`` of the sample sheet: ``none``, or the face from which depth is measured.
    out : Path
        Receives that there is no substrate, that face, and how much air there is.
    resin_out : Path
        Receives where air and the outside of the reconstruction are.
    """
    store = open_store(volume)
    around, plane = _around(store), given_plane(spec, store.shape, store.voxel_size_um)
    assert plane is not None
    air = ndimage.binary_dilation(around.beyond, np.ones((3, 3, 3), bool))  # without the blocks at the surface
    LOG.info("no substrate; %s", around.told)
    Resin(around.side, air, around.circle).save(resin_out)
    with sealed_file(out) as partial:
        plane.save(partial, how=spec, **around.told, tomoprofile_version=__version__)


def find_surface(volume: Path, out: Path, distances_out: Path, resin_out: Path) -> None:
    """Find the outer surface of a sample that air surrounds, and the distance of every point from it.

    The surface lies where means over blocks of at least four voxels pass from the grey value of the air half-way to
    that of the sample. Voids that air does not reach through gaps of three blocks are inside.

    Parameters
    ----------
    volume : Path
        Store of the grey values.
    out, distances_out : Path
        Receive how the surface was found, and the distances at the nodes of a grid.
    resin_out : Path
        Receives the outside of the reconstruction.

    Raises
    ------
    StageError
        When no air surrounds the sample.
    """
    store = open_store(volume)
    around = _around(store)
    if not around.beyond.any():
        raise StageError(Fault(str(volume), "", "no air surrounds the sample, so it shows no surface", _REMEDY))
    side, told = around.side, around.told
    surface = _surface_of(_depths_um(around.beyond, side, store), side, store)
    told |= {"accuracy_um": side * min(store.voxel_size_um) / 2, "node_spacing_um": list(surface.spacing_um)}
    LOG.info("depth from the surface of the sample: %s", told)
    # Depths above 0 are sample, up to its surface.
    Resin(side, np.zeros_like(around.beyond), around.circle).save(resin_out)
    with sealed_file(distances_out) as partial, partial.open("wb") as file:
        np.save(file, surface.distances_um, allow_pickle=False)
    with sealed_file(out) as partial:
        surface.save(partial, how=OwnSurface.HOW, **told, tomoprofile_version=__version__)


@dataclass(frozen=True)
class _Around:
    """What surrounds a sample: ``beyond`` are the blocks of ``side`` voxels outside of it, except those of a circle."""

    side: int
    beyond: NDArray[np.bool_]
    circle: Circle | None
    told: dict[str, Any]


def _around(store: Store) -> _Around:
    outside, side = edges.constant_outside(store), edges.block_side(store.shape)
    means = edges.block_means(store, side, outside)
    found, told = find_resin(store, WithoutSubstrate(), means, side, outside)
    beyond = np.zeros(means.shape, bool)
    if told["air"] is not None:
        beyond = _beyond(means, found, side, store)
    circle, filled = found.circle, _filled(means)
    if circle is not None and not _is_filled_outside(filled, circle, side, store):
        # The constant is not what reconstruction leaves in the corners, but a background that was masked.
        circle, beyond = None, beyond | filled
    share = float(beyond.mean())
    air = {"contrast": None, "separation": None} | (told["air"] or {}) | {"share": share} if beyond.any() else None
    radius_um = circle.radius_um if circle else None
    return _Around(side, beyond, circle, {"air": air, "reconstructed_radius_um": radius_um})


def _filled(means: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the blocks that hold the constant of the corners and are joined to them; voids may hold it, too."""
    region = np.ones((REGION,) * 3, bool)
    constant = np.pad(~np.isfinite(means), REGION, mode="edge")
    constant = ndimage.binary_opening(constant, region)[(slice(REGION, -REGION),) * 3]
    labels, _ = ndimage.label(constant)
    corners = labels[len(labels) // 2][[0, 0, -1, -1], [0, -1, 0, -1]]
    return np.isin(labels, corners[corners > 0])


def _is_filled_outside(filled: NDArray[np.bool_], circle: Circle, side: int, store: Store) -> bool:
    """Return whether a circle separates the blocks of the constant from all others, but for those that it cuts."""
    _, dy, dx = store.voxel_size_um
    centre_y, centre_x = circle.centre_um or (0.0, 0.0)
    y, x = ((np.arange(n) + 0.5) * side * edge for n, edge in zip(filled.shape[1:], (dy, dx), strict=True))
    beyond_um = np.hypot(y[:, None] - centre_y, x[None, :] - centre_x) - circle.radius_um
    inside, outside = filled[:, beyond_um < -side * max(dy, dx)], filled[:, beyond_um > side * max(dy, dx)]
    wrong = inside.sum() + (~outside).sum()
    return bool(wrong <= _MOST_WRONG * filled.size)


def _beyond(means: NDArray[np.float32], found: Resin, side: int, store: Store) -> NDArray[np.bool_]:
    """Return the dark blocks that are joined to the air around a sample by ways three blocks wide."""
    centres = [
        np.minimum((np.arange(n) + 0.5) * side, size - 1).astype(np.int64)
        for n, size in zip(means.shape, store.shape, strict=True)
    ]
    air, known = found.is_air(*np.meshgrid(*centres, indexing="ij")), np.isfinite(means)
    region = np.ones((REGION,) * 3, bool)
    core = ndimage.binary_erosion(air, region, border_value=1) & known  # without the rim, which is mixed
    level = (np.median(means[core if core.any() else air & known]) + np.median(means[~air & known])) / 2
    dark = ~known | (means < level)
    wide = ndimage.binary_opening(np.pad(dark, REGION, mode="edge"), region)[(slice(REGION, -REGION),) * 3]
    labels, _ = ndimage.label(wide)
    return np.isin(labels, np.unique(labels[air & wide])) & wide


def _depths_um(beyond: NDArray[np.bool_], side: int, store: Store) -> NDArray[np.float64]:
    """Return the signed distance of the centres of blocks from the surface, positive in the sample."""
    edge_um = [side * edge for edge in store.voxel_size_um]
    inside, outside = (ndimage.distance_transform_edt(part, sampling=edge_um) for part in (~beyond, beyond))
    # Distances between centres; the surface lies half a block from either.
    return np.where(beyond, -outside, inside) + np.where(beyond, 0.5, -0.5) * min(edge_um)


def _surface_of(depth_um: NDArray[np.float64], side: int, store: Store) -> OwnSurface:
    """Return the surface with these distances at the centres of blocks, interpolated at the nodes of a grid."""
    counts, steps = node_grid(store.shape, store.voxel_size_um)
    at = [
        np.clip(np.arange(count) * step / (side * edge) - 0.5, 0, n - 1)
        for count, step, edge, n in zip(counts, steps, store.voxel_size_um, depth_um.shape, strict=True)
    ]
    nodes = ndimage.map_coordinates(depth_um, np.meshgrid(*at, indexing="ij"), order=1)
    return OwnSurface((0.0, 0.0, 0.0), 0.0, nodes.astype(np.float32), steps)
