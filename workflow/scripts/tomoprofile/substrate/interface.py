"""The plane between substrate and resin: found in the grey values, or taken from the sample sheet (P42)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..errors import ConfigError, Fault, StageError
from ..files import whole_file
from ..logs import LOG
from ..samples import parse_interface
from ..volume.plane import Plane
from ..volume.store import Store, open_store
from . import edges
from .candidates import COMPARABLE, STEP_VOXELS, other_part, two_planes
from .fringe import fit_fringe, mean_profile
from .resin import find_resin

MAX_TILT_DEG = 10.0
MAX_RESIDUAL_VOXELS = 3.0
LEAST_AGREEMENT = 0.6
LEAST_COLUMNS = 9
END_VOXELS = 5
MAP_SIDE = 32
_REMEDY = (
    "Look at the scan and write `slice:INDEX` or `plane:nz,ny,nx,offset_um` into the `interface` column of the sample "
    "sheet."
)


def fit_interface(volume: Path, spec: str, out: Path, resin_out: Path) -> None:
    """Find the plane from which depth is measured, and what beyond it is resin.

    Parameters
    ----------
    volume : Path
        Store of the grey values.
    spec : str
        Cell of the sample sheet. ``auto``: fit it. ``slice:N``: the outer face of slice N, resin at larger z;
        ``slice:N:below``: its inner face, resin at smaller z. ``plane:nz,ny,nx,offset_um``: the points p with
        n . p = offset, normal n of any length pointing into the resin.
    out : Path
        Receives the plane, ``how``, ``residual_um`` (robust standard deviation of columns, null when given by hand),
        ``n_columns``, ``inlier_fraction``, ``warning``, for fits the grey values of both sides and a map of residuals,
        and how much air lies beyond the plane.
    resin_out : Path
        Receives where air and the outside of the reconstruction are.

    Raises
    ------
    ConfigError
        When the plane of the sample sheet leaves no resin in the scan.
    StageError
        When no plane was found that could be trusted.
    """
    store = open_store(volume)
    try:
        kind, numbers = parse_interface(spec)
    except ValueError as error:
        raise ConfigError(Fault("sample sheet: interface", repr(spec), str(error), "Correct the cell.")) from None
    outside, side = edges.constant_outside(store), edges.block_side(store.shape)
    means = edges.block_means(store, side, outside)
    how: dict[str, Any] = {"residual_um": None, "n_columns": 0, "inlier_fraction": None, "warning": ""}
    if kind == "auto":
        plane, found = find_interface(store, means, side, outside)
        how |= found
    elif kind == "slice":
        index, sign = numbers
        if not 0 <= index < store.shape[0]:
            problem = f"the scan {volume} has the slices 0 to {store.shape[0] - 1}"
            raise ConfigError(Fault("sample sheet: interface", spec, problem, "Correct the index."))
        face = index if sign > 0 else index + 1
        plane = Plane((sign, 0.0, 0.0), sign * face * store.voxel_size_um[0])
    else:
        nz, ny, nx, offset_um = numbers
        plane = Plane.through((nz, ny, nx), offset_um)
    if max(depths.max() for depths in plane.end_depths_um(store.shape, store.voxel_size_um)) <= 0:
        problem = f"no part of the scan {volume} lies on the side of the resin"
        raise ConfigError(Fault("sample sheet: interface", spec, problem, "Reverse the normal or correct the offset."))
    resin, told = find_resin(store, plane, means, side, outside)
    how |= told
    LOG.info("interface: %s, tilt %.2f degrees, %s", plane, plane.tilt_deg, {**how, "residual_map_um": "..."})
    resin.save(resin_out)
    with whole_file(out) as partial:
        plane.save(partial, how=spec, **how, tomoprofile_version=__version__)


def find_interface(store: Store, means: NDArray[np.float32], side: int, outside: float) -> tuple[Plane, dict[str, Any]]:
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

    Returns
    -------
    plane : Plane
        Its normal points into the resin.
    how : dict
        What ``interface.json`` tells about the fit.

    Raises
    ------
    StageError
        When there is no contrast, when the columns do not agree on a plane or nearly as well on another, when it is
        tilted by more than 10 degrees or lies at the very end of the scan, or when another part of the scan could be
        the substrate: depths from it would be wrong without anybody noticing.
    """
    where = str(store.path)

    def refuse(problem: str, got: str = "") -> StageError:
        return StageError(Fault(where, got, problem, _REMEDY))

    step = edges.find_step(means)
    if step is None or step.contrast <= step.noise:
        raise refuse("no substrate was found: no end of the scan is brighter than the rest")
    rough = edges.rough_sheet(means, side, step, store.voxel_size_um)
    if not rough.agrees.any():
        raise refuse("no substrate was found: its edge lies elsewhere in every column")
    a_um, b_um, edge_um = edges.column_edges(store, step, rough, side, outside)
    voxel_um = store.voxel_size_um[step.axis]
    sheet = edges.fit_sheet(a_um, b_um, edge_um, edges.TOLERANCE * voxel_um)
    share = float(sheet.agrees.mean()) if sheet.agrees.size else 0.0
    both = two_planes(a_um, b_um, edge_um, STEP_VOXELS * voxel_um)
    if both is not None:
        raise refuse(
            f"the substrate's edge has a step: {100 * both[0]:.0f} % of the columns lie on one plane and "
            f"{100 * both[1]:.0f} % on another"
        )
    if sheet.agrees.sum() < LEAST_COLUMNS or share < LEAST_AGREEMENT:
        problem = f"the substrate's edge is no plane: {100 * share:.0f} % of {len(edge_um)} columns agree on one"
        raise refuse(problem, f"needed {100 * LEAST_AGREEMENT:.0f} % and {LEAST_COLUMNS} columns")
    if sheet.residual_um > MAX_RESIDUAL_VOXELS * voxel_um:
        raise refuse("the substrate's edge deviates too far from a plane", f"{sheet.residual_um:.2f} um")
    plane = edges.plane_of(step, sheet)
    if plane.axis != step.axis or plane.tilt_deg > MAX_TILT_DEG:
        raise refuse(
            f"the plane found is tilted by more than {MAX_TILT_DEG:g} degrees", f"{plane.tilt_deg:.1f} degrees"
        )
    middle = [n * edge / 2 for n, edge in zip(store.shape, store.voxel_size_um, strict=True)]
    a, b = edges.lateral_axes(step.axis)
    height = float(sheet.height_um(np.array(middle[a]), np.array(middle[b]))) / voxel_um
    if not END_VOXELS <= height <= store.shape[step.axis] - END_VOXELS:
        raise refuse("the plane found lies at the very end of the scan", f"voxel {height:.1f} along {'zyx'[step.axis]}")
    depth_um = edges.depth_of_blocks_um(means.shape, side, plane, store.voxel_size_um)
    doubt, where_share = other_part(means, depth_um, side * voxel_um, step)
    if where_share >= COMPARABLE:
        raise refuse(f"the plane found may be the wrong one: {doubt}, in {100 * where_share:.0f} % of the columns")
    fringe = fit_fringe(*mean_profile(store, plane, voxel_um, outside))
    moved_um = fringe.offset_voxels * voxel_um if fringe and fringe.trusted else 0.0
    grey = store.grey
    how = {
        "residual_um": sheet.residual_um,
        "n_columns": len(edge_um),
        "inlier_fraction": share,
        "warning": _warning(store, plane, share),
        "substrate_grey": grey.slope * step.substrate + grey.offset,
        "resin_grey": grey.slope * step.resin + grey.offset,
        "grey_unit": grey.unit,
        "residual_map_um": residual_map(store.shape, store.voxel_size_um, plane, a_um, b_um, edge_um),
        "fringe_moved_um": moved_um if fringe and fringe.trusted else None,
        "fringe_explained": fringe.explained if fringe else None,
    }
    return Plane(plane.normal, plane.offset_um + moved_um), how


def residual_map(
    shape: tuple[int, int, int],
    voxel_size_um: tuple[float, float, float],
    plane: Plane,
    a_um: edges.Floats,
    b_um: edges.Floats,
    edge_um: edges.Floats,
) -> list[list[float | None]]:
    """Return how far the substrate's edge lies from the plane, positive where it reaches into the resin.

    Means over at most 32 x 32 equal parts of the two axes along the substrate, in their order; None where no edge was
    found.
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
