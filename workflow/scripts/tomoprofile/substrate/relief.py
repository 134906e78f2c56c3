"""A rough or curved substrate: its surface from a mask, and the distance of every point from it.

The surface is a height for each small column of voxels along the depth: where the substrate ends. Cavities in the
substrate and specks in the resin do not move it, because the height is the one that contradicts the fewest voxels. A
mean over a column a few voxels wide is exact to a fraction of a voxel, as the volume below it is. Overhangs cannot be
represented.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from .. import __version__
from ..errors import Fault, InputError, StageError
from ..files import sealed_file
from ..logs import LOG, progress
from ..samples import Scan
from ..volume.masks import not_zero, read_mask
from ..volume.plane import Plane, Relief
from ..volume.readers import ScanReader
from ..volume.store import open_store
from . import edges
from .interface import residual_map
from .resin import find_resin

HEIGHTS = 512  # columns along a lateral axis at most, so that the memory does not grow with the scan
NODES = 128  # along the longest axis at most, for the same reason
LEAST_VOXELS = 4  # side of a column and spacing of nodes
LEAST_KNOWN = 0.5  # of the columns must show where substrate ends
MOST_DISAGREEING = 0.1  # voxels that contradict the surface, relative to those of the substrate
_MARGIN = 0.25  # of each side, by which the surface is extended beyond the scan: perpendiculars may come from there
_SHARD = 32


@dataclass(frozen=True)
class Heights:
    """A surface above the two axes along the substrate.

    Attributes
    ----------
    along_um : array (columns a, columns b)
        Position along the depth axis; NaN where the scan does not show it.
    a_um, b_um : array (columns a,), (columns b,)
        Middles of the columns.
    """

    along_um: edges.Floats
    a_um: edges.Floats
    b_um: edges.Floats


def enter_substrate(
    scan: Scan, volume: Path, out: Path, distances_out: Path, resin_out: Path, mask_state: str = ""
) -> None:
    """Write ``interface.json``, ``substrate_distance.npy`` and ``resin.npz`` of a scan with a mask of its substrate.

    Parameters
    ----------
    scan : Scan
        With ``mask:PATH`` in its column ``interface``; all voxels but 0 are substrate.
    volume : Path
        Store of the grey values.
    out, distances_out, resin_out : Path
        Receive the plane that fits best, the distances from the surface, and where resin is.
    mask_state : str
        In which state the files of the mask are, for the record.

    Raises
    ------
    InputError
        When the mask cannot be read or its shape differs from that of its scan.
    StageError
        When it does not show one body at one end of the scan.
    """
    mask = scan.substrate_mask
    assert mask is not None
    reader, where = read_mask(scan, mask, open_store(volume).geometry), mask.place
    step = _step_of(reader, where)
    heights, disagreeing = heights_of(reader, where, step, scan.voxel_size_um)
    known = np.isfinite(heights.along_um)
    remedy = "Export a mask in which only the substrate is not 0."
    if known.mean() < LEAST_KNOWN:
        problem = "in most columns along the depth the mask does not show where the substrate ends"
        raise StageError(Fault(where, f"{100 * known.mean():.0f} % of the columns show it", problem, remedy))
    if disagreeing > MOST_DISAGREEING:
        problem = "the mask is not one solid body at one end of the scan: it has holes, or voxels elsewhere"
        raise StageError(Fault(where, f"{100 * disagreeing:.0f} % of its voxels", problem, remedy))
    relief, sheet = relief_of(heights, step, scan.shape, scan.voxel_size_um)
    a_um, b_um = np.meshgrid(heights.a_um, heights.b_um, indexing="ij")
    store = open_store(volume)
    side, outside = edges.block_side(store.shape), edges.constant_outside(store)
    resin, told = find_resin(store, relief, edges.block_means(store, side, outside), side, outside)
    plane = Plane(relief.normal, relief.offset_um)
    how = {
        "how": scan.interface,
        "residual_um": sheet.residual_um,
        "n_columns": int(known.sum()),
        "inlier_fraction": None,
        "warning": "",
        "share_disagreeing": disagreeing,
        "mask_state": mask_state,
        "node_spacing_um": list(relief.spacing_um),
        "residual_map_um": residual_map(scan.shape, scan.voxel_size_um, plane, a_um, b_um, heights.along_um),
        **told,
    }
    LOG.info("interface: relief about %s, tilt %.2f degrees", plane, plane.tilt_deg)
    resin.save(resin_out)
    with sealed_file(distances_out) as partial, partial.open("wb") as file:
        np.save(file, relief.distances_um, allow_pickle=False)
    with sealed_file(out) as partial:
        relief.save(partial, **how, tomoprofile_version=__version__)


def heights_of(
    reader: ScanReader, where: str, step: edges.Step, voxel_size_um: tuple[float, float, float]
) -> tuple[Heights, float]:
    """Return where the substrate ends along the depth, and the fraction of its voxels that contradicts this.

    Parameters
    ----------
    reader : ScanReader
        The mask.
    where : str
        The mask, for messages.
    step : Step
        Axis and side of the substrate.
    voxel_size_um : tuple of float
    """
    a, b = edges.lateral_axes(step.axis)
    size = reader.shape[a], reader.shape[b]
    n, sign = reader.shape[step.axis], 1 if step.substrate_first else -1
    cut, best, count = (np.zeros(size, np.int32) for _ in range(3))
    for first, inside in _parts(reader, where):
        votes = np.where(inside, sign, -sign).astype(np.int32)
        if step.axis == 0:
            _follow(votes, first, cut, best, count)
        else:
            rows = slice(first, first + len(inside))
            total = np.moveaxis(votes, step.axis, -1).cumsum(axis=-1, dtype=np.int32)
            total = np.concatenate([np.zeros((*total.shape[:2], 1), np.int32), total], axis=-1)
            cut[rows], best[rows], count[rows] = total.argmax(axis=-1), total.max(axis=-1), total[..., -1]
    substrate = (n + sign * count) // 2
    before = substrate if sign > 0 else n - substrate  # votes for a cut behind the last voxel
    height = np.where((cut > 0) & (cut < n), cut, np.nan) * voxel_size_um[step.axis]
    shown = np.isfinite(height)
    wrong = float((before - best)[shown].sum() / max(int(substrate[shown].sum()), 1))
    sides = [min(max(LEAST_VOXELS, -(-m // HEIGHTS)), m) for m in size]
    parts = [m // s for m, s in zip(size, sides, strict=True)]
    whole = height[: parts[0] * sides[0], : parts[1] * sides[1]].reshape(parts[0], sides[0], parts[1], sides[1])
    middles = ((np.arange(m) + 0.5) * s * voxel_size_um[axis] for m, s, axis in zip(parts, sides, (a, b), strict=True))
    return Heights(whole.mean(axis=(1, 3)), *middles), wrong


def relief_of(
    heights: Heights, step: edges.Step, shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]
) -> tuple[Relief, edges.Sheet]:
    """Return the relief with these heights, and how well a plane fits them.

    Distances to the triangles between the heights are exact.
    """
    a_um, b_um = np.meshgrid(heights.a_um, heights.b_um, indexing="ij")
    known = np.isfinite(heights.along_um)
    design = np.stack([np.ones(known.sum()), a_um[known], b_um[known]], axis=1)
    best = np.linalg.lstsq(design, heights.along_um[known], rcond=None)[0]
    deviation = heights.along_um - (best[0] + best[1] * a_um + best[2] * b_um)
    residual = 1.4826 * float(np.median(np.abs(deviation[known])))
    sheet = edges.Sheet((float(best[0]), float(best[1]), float(best[2])), known.ravel(), residual)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    deviation = deviation[tuple(nearest)]
    # Beyond the scan the surface continues with the same slope.
    margin = [max(1, round(_MARGIN * m)) for m in deviation.shape]
    deviation = np.pad(deviation, [(m, m) for m in margin], mode="reflect", reflect_type="odd")
    a_long, b_long = (_longer(at, m) for at, m in zip((heights.a_um, heights.b_um), margin, strict=True))
    surface = sheet.height_um(a_long[:, None], b_long[None, :]) + deviation
    plane = edges.plane_of(step, sheet)
    counts, steps = node_grid(shape, voxel_size_um)
    nodes = np.meshgrid(*[np.arange(count) * one for count, one in zip(counts, steps, strict=True)], indexing="ij")
    a, b = edges.lateral_axes(step.axis)
    at = np.stack([nodes[step.axis].ravel(), nodes[a].ravel(), nodes[b].ravel()], axis=1)
    points = np.stack([surface, *np.meshgrid(a_long, b_long, indexing="ij")], axis=-1)
    _, vertex = cKDTree(points.reshape(-1, 3)).query(at, workers=-1)
    sign = 1.0 if step.substrate_first else -1.0
    distance = _signed_distances(at, vertex, points, sign).reshape(counts).astype(np.float32)
    return Relief(plane.normal, plane.offset_um, distance, steps), sheet


def node_grid(
    shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]
) -> tuple[list[int], tuple[float, float, float]]:
    """Return number and spacing of the nodes along each axis, the first and the last at the ends of the scan."""
    sides = [n * edge for n, edge in zip(shape, voxel_size_um, strict=True)]
    spacing = max(max(sides) / NODES, LEAST_VOXELS * min(voxel_size_um))
    counts = [max(2, int(np.ceil(side / spacing)) + 1) for side in sides]
    z, y, x = (side / (count - 1) for side, count in zip(sides, counts, strict=True))
    return counts, (z, y, x)


def _parts(reader: ScanReader, where: str) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    depth = reader.shape[0]
    starts = range(0, depth, _SHARD)
    for first in progress(starts, len(starts), "parts of the mask"):
        part = reader.read(first, min(first + _SHARD, depth))
        yield first, np.stack([not_zero(plane, where, first + z) for z, plane in enumerate(part)])


def _step_of(reader: ScanReader, where: str) -> edges.Step:
    side = edges.block_side(reader.shape)
    parts = ((first, inside.astype(np.uint8)) for first, inside in _parts(reader, where))
    step = edges.find_step(edges.means_of_parts(parts, reader.shape, side, float("nan")))
    if step is None or step.contrast < 0.5:
        problem = "the mask shows no substrate at one end of the scan"
        raise InputError(Fault(where, "", problem, "Export a mask in which only the substrate is not 0."))
    return step


def _follow(votes: NDArray[np.int32], first: int, cut: Any, best: Any, count: Any) -> None:
    """Update the sums of votes along z, slice by slice."""
    for z, plane in enumerate(votes, start=first):
        count += plane
        better = count > best
        best[better], cut[better] = count[better], z + 1


def _longer(at_um: edges.Floats, margin: int) -> edges.Floats:
    step = at_um[1] - at_um[0] if len(at_um) > 1 else 2 * at_um[0]
    return at_um[0] + step * np.arange(-margin, len(at_um) + margin)


@njit(cache=True, nogil=True)
def _signed_distances(at, vertex, points, sign):  # type: ignore[no-untyped-def]
    """Return the distance of each point to the triangles around its nearest vertex, negative in the substrate."""
    rows, columns = points.shape[0], points.shape[1]
    da, db = points[1, 0, 1] - points[0, 0, 1], points[0, 1, 2] - points[0, 0, 2]
    found = np.empty(len(at))
    for place in range(len(at)):
        p = at[place]
        i, j = vertex[place] // columns, vertex[place] % columns
        least = np.inf
        for row in range(max(i - 1, 0), min(i + 1, rows - 1)):
            for column in range(max(j - 1, 0), min(j + 1, columns - 1)):
                q, r = points[row, column], points[row + 1, column + 1]
                least = min(least, _to_triangle(p, q, points[row + 1, column], r))
                least = min(least, _to_triangle(p, q, points[row, column + 1], r))
        # The height directly above or below, on the same triangles, decides the side.
        u = min(max((p[1] - points[0, 0, 1]) / da, 0.0), rows - 1.0)
        v = min(max((p[2] - points[0, 0, 2]) / db, 0.0), columns - 1.0)
        row, column = min(int(u), rows - 2), min(int(v), columns - 2)
        u, v = u - row, v - column
        q, r = points[row, column, 0], points[row + 1, column + 1, 0]
        if u >= v:
            corner = points[row + 1, column, 0]
            height = q + u * (corner - q) + v * (r - corner)
        else:
            corner = points[row, column + 1, 0]
            height = q + v * (corner - q) + u * (r - corner)
        found[place] = np.sqrt(least) if sign * (p[0] - height) >= 0 else -np.sqrt(least)
    return found


@njit(cache=True, nogil=True)
def _to_triangle(p, a, b, c):  # type: ignore[no-untyped-def]
    """Return the squared distance of a point to a triangle (Ericson, Real-Time Collision Detection, 2005, 5.1.5)."""
    ab, ac, ap, bp, cp = b - a, c - a, p - a, p - b, p - c
    d1, d2 = (ab * ap).sum(), (ac * ap).sum()
    d3, d4 = (ab * bp).sum(), (ac * bp).sum()
    d5, d6 = (ab * cp).sum(), (ac * cp).sum()
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    if d1 <= 0 and d2 <= 0:
        nearest = a
    elif d3 >= 0 and d4 <= d3:
        nearest = b
    elif d6 >= 0 and d5 <= d6:
        nearest = c
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        nearest = a + ab * (d1 / (d1 - d3))
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        nearest = a + ac * (d2 / (d2 - d6))
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        nearest = b + (c - b) * ((d4 - d3) / ((d4 - d3) + (d5 - d6)))
    else:
        nearest = a + ab * (vb / (va + vb + vc)) + ac * (vc / (va + vb + vc))
    return ((p - nearest) ** 2).sum()
