"""The plane between substrate and resin: fitted to the grey values, or taken from the sample sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..errors import ConfigError, Fault, StageError
from ..files import sealed_file
from ..logs import LOG
from ..volume.plane import Plane
from ..volume.store import Store, open_store
from . import edges
from .doubts import DOUBTS, LEAST_AGREEMENT, Doubt, Fit
from .fringe import fit_fringe, mean_profile
from .given import given_plane
from .resin import find_resin

MAP_SIDE = 32
_REMEDY = (
    "Look at the scan and write into the `interface` column of the sample sheet: `none` for a sample without a "
    "substrate, `slice:INDEX` (its first slice of resin) or `plane:nz,ny,nx,offset_um`."
)


def fit_interface(volume: Path, spec: str, out: Path, resin_out: Path) -> None:
    """Find the plane from which depth is measured, and the resin beyond it.

    Parameters
    ----------
    volume : Path
        Store of the grey values.
    spec : str
        Cell of the sample sheet. ``auto``: fit it; otherwise see :func:`~.given.given_plane`.
    out : Path
        Receives the plane, ``how``, ``residual_um`` (robust standard deviation of columns, null for a given plane),
        ``n_columns``, ``inlier_fraction``, ``warning``, for fits the grey values of both sides and a map of residuals,
        and how much air lies beyond the plane.
    resin_out : Path
        Receives where air and the outside of the reconstruction are.

    Raises
    ------
    ConfigError
        When the plane of the sample sheet leaves no resin in the scan.
    StageError
        When no trustworthy plane was found.
    """
    store = open_store(volume)
    given = given_plane(spec, store.shape, store.voxel_size_um)
    outside, side = edges.constant_outside(store), edges.block_side(store.shape)
    means = edges.block_means(store, side, outside)
    how: dict[str, Any] = {"residual_um": None, "n_columns": 0, "inlier_fraction": None, "warning": ""}
    if given is None:
        plane, found = find_interface(store, means, side, outside)
        how |= found
    else:
        plane = given
    if max(depths.max() for depths in plane.end_depths_um(store.shape, store.voxel_size_um)) <= 0:
        problem = f"no part of the scan {volume} lies on the resin side"
        raise ConfigError(Fault("sample sheet: interface", spec, problem, "Reverse the normal or correct the offset."))
    resin, told = find_resin(store, plane, means, side, outside)
    how |= told
    LOG.info("interface: %s, tilt %.2f degrees, %s", plane, plane.tilt_deg, {**how, "residual_map_um": "..."})
    resin.save(resin_out)
    with sealed_file(out) as partial:
        plane.save(partial, how=spec, **how, tomoprofile_version=__version__)


def find_interface(
    store: Store, means: NDArray[np.float32], side: int, outside: float, doubts: Sequence[Doubt] = DOUBTS
) -> tuple[Plane, dict[str, Any]]:
    """Fit the plane at which the brighter substrate, at one end of any axis, passes into the resin.

    Parameters
    ----------
    store : Store
        Grey values.
    means : array (blocks along z, y, x)
        See :func:`.edges.block_means`.
    side : int
        Voxels in a block.
    outside : float
        See :func:`.edges.constant_outside`.
    doubts : sequence of callables
        Checks of a fit: each returns the problem and the value, or None.

    Returns
    -------
    plane : Plane
        Its normal points into the resin.
    how : dict
        What ``interface.json`` says about the fit.

    Raises
    ------
    StageError
        When there is no contrast, when the columns do not agree on a plane or agree almost as well on another, when it
        is tilted by more than 10 degrees or lies at the very end of the scan, or when another part of the scan could be
        the substrate: depths would be wrong without anyone noticing.
    """
    fit = _fit(store, means, side, outside)
    for doubt in doubts:
        found = doubt(fit)
        if found:
            raise _refusal(store, *found)
    fringe = fit_fringe(*mean_profile(store, fit.plane, fit.voxel_um, outside))
    trusted = fringe is not None and fringe.trusted
    moved_um = fringe.offset_voxels * fit.voxel_um if fringe and trusted else 0.0
    how = {
        **_told(fit),
        "fringe_moved_um": moved_um if trusted else None,
        "fringe_explained": fringe.explained if fringe else None,
    }
    return Plane(fit.plane.normal, fit.plane.offset_um + moved_um), how


def _fit(store: Store, means: NDArray[np.float32], side: int, outside: float) -> Fit:
    step = edges.find_step(means)
    if step is None or step.contrast <= step.noise:
        raise _refusal(store, "no substrate found: neither end of the scan is brighter than the rest along any axis")
    rough = edges.rough_sheet(means, side, step, store.voxel_size_um)
    if not rough.agrees.any():
        raise _refusal(store, "no substrate found: its edge lies at a different depth in every column")
    columns = edges.column_edges(store, step, rough, side, outside)
    sheet = edges.fit_sheet(*columns, edges.TOLERANCE * store.voxel_size_um[step.axis])
    return Fit(store, means, side, step, *columns, sheet)


def _refusal(store: Store, problem: str, got: str = "") -> StageError:
    return StageError(Fault(str(store.path), got, problem, _REMEDY))


def _told(fit: Fit) -> dict[str, Any]:
    store, grey = fit.store, fit.store.grey
    return {
        "residual_um": fit.sheet.residual_um,
        "n_columns": len(fit.edge_um),
        "inlier_fraction": fit.share,
        "warning": _warning(store, fit.plane, fit.share),
        "substrate_grey": grey.slope * fit.step.substrate + grey.offset,
        "resin_grey": grey.slope * fit.step.resin + grey.offset,
        "grey_unit": grey.unit,
        "residual_map_um": residual_map(store.shape, store.voxel_size_um, fit.plane, fit.a_um, fit.b_um, fit.edge_um),
    }


def residual_map(
    shape: tuple[int, int, int],
    voxel_size_um: tuple[float, float, float],
    plane: Plane,
    a_um: edges.Floats,
    b_um: edges.Floats,
    edge_um: edges.Floats,
) -> list[list[float | None]]:
    """Return how far the substrate's edge lies from the plane, positive where it reaches into the resin.

    Means over at most 32 x 32 equal parts of the two lateral axes, in their order; None where no edge was found.
    """
    axes = edges.lateral_axes(plane.axis)
    position: list[Any] = [0.0, 0.0, 0.0]
    position[axes[0]], position[axes[1]], position[plane.axis] = a_um, b_um, edge_um
    deviation = plane.depth_um(*position)
    known = np.isfinite(deviation)
    size = [shape[axis] * voxel_size_um[axis] for axis in axes]
    parts = [int(np.clip(len(np.unique(at)), 1, MAP_SIDE)) for at in (a_um, b_um)]
    total, *_ = np.histogram2d(a_um[known], b_um[known], parts, [(0, size[0]), (0, size[1])], weights=deviation[known])
    number, *_ = np.histogram2d(a_um[known], b_um[known], parts, [(0, size[0]), (0, size[1])])
    return [
        [round(float(t / n), 4) if n else None for t, n in zip(*row, strict=True)]
        for row in zip(total, number, strict=True)
    ]


def _warning(store: Store, plane: Plane, share: float) -> str:
    warnings = []
    if share < (1 + LEAST_AGREEMENT) / 2:
        warnings.append(f"only {100 * share:.0f} % of the columns agree on the plane")
    near, _ = plane.end_depths_um(store.shape, store.voxel_size_um)
    if near.max() > 0:
        warnings.append("the substrate leaves the scan at a corner, and domains are cut there")
    return "; ".join(warnings)
