"""Where columns of a scan pass from the substrate into the resin, and the plane through those points.

This takes two passes over the slices, with one shard in memory at a time. The first finds the axis and the side of the
substrate and a rough plane in block means; the second searches along that axis, voxel by voxel, near the rough plane.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from ..logs import progress
from ..volume.circle import constant_of_corners
from ..volume.plane import Plane
from ..volume.store import Store

COARSE = 192  # blocks along the longest axis at most, so that the memory does not grow with the scan
COLUMNS = 256  # columns along a lateral axis at most, for the same reason
COLUMN_VOXELS = 8  # side of a column: averages out the noise of voxels and smears 10 degrees of tilt by 1.4 voxels
REACH = 6  # voxels on both sides of an edge that are compared; refraction rims fit in
TOLERANCE = 3.0  # voxels from the plane within which a column agrees with it
_TRIALS = 300
_ROUNDS = 6
_FAR = 4.0  # robust standard deviations

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """The change from substrate to resin in block means.

    Attributes
    ----------
    axis : int
        Axis of the depth: 0 z, 1 y, 2 x.
    substrate_first : bool
        Whether the substrate lies at small indices.
    substrate, resin : float
        Stored grey values far from the edge.
    noise : float
        Standard deviation of a block.
    """

    axis: int
    substrate_first: bool
    substrate: float
    resin: float
    noise: float

    @property
    def contrast(self) -> float:
        """Substrate minus resin."""
        return self.substrate - self.resin


@dataclass(frozen=True)
class Sheet:
    """A surface ``c0 + c1 a + c2 b`` above the lateral axes a < b, in micrometres, and how well it fits."""

    coefficients: tuple[float, float, float]
    agrees: NDArray[np.bool_]
    residual_um: float

    def height_um(self, a_um: Floats, b_um: Floats) -> Floats:
        """Return the position along the depth axis."""
        c0, c1, c2 = self.coefficients
        return c0 + c1 * a_um + c2 * b_um


def lateral_axes(axis: int) -> tuple[int, int]:
    """Return the two axes that are not the depth."""
    a, b = (other for other in range(3) if other != axis)
    return a, b


def constant_outside(store: Store) -> float:
    """Return the value that fills the corners of the slices of a cylindrical reconstruction, or NaN."""
    middle = store.shape[0] // 2
    return constant_of_corners(store.read(middle, middle + 1)[0])


def block_side(shape: tuple[int, int, int]) -> int:
    """Return the side in voxels of the blocks of the first, coarse pass."""
    return max(4, -(-max(shape) // COARSE))


def depth_of_blocks_um(
    shape: tuple[int, ...], side: int, plane: Plane, voxel_size_um: tuple[float, float, float]
) -> Floats:
    """Return the depth of the centres of blocks, an array of that shape."""
    z, y, x = ((np.arange(n) + 0.5) * side * edge for n, edge in zip(shape, voxel_size_um, strict=True))
    return np.asarray(plane.depth_um(z[:, None, None], y[None, :, None], x[None, None, :]))


def block_means(store: Store, side: int, outside: float) -> NDArray[np.float32]:
    """Return means over cubes of ``side`` voxels; NaN where less than half a cube was reconstructed."""
    parts = progress(store.iter_shards(), len(store.shards()), "shards (rough)")
    return means_of_parts(parts, store.shape, side, outside)


def means_of_parts(
    parts: Iterable[tuple[int, NDArray]], shape: tuple[int, int, int], side: int, outside: float
) -> NDArray[np.float32]:
    """Return :func:`block_means` of a volume of that shape that is given as parts (first slice, slices)."""
    blocks = tuple(-(-n // side) for n in shape)
    sums, counts = np.zeros(blocks), np.zeros(blocks, np.int32)
    for first, data in parts:
        _add_blocks(data, first, side, outside, sums, counts)
    known = counts * 2 >= side**3
    return np.divide(sums, counts, out=np.full(blocks, np.nan), where=known).astype(np.float32)


def calm(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of each block and its 26 neighbours; unreconstructed blocks take the value of the nearest."""
    unknown = np.isnan(means)
    if unknown.any() and not unknown.all():
        nearest = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
        means = means[tuple(nearest)]
    return ndimage.median_filter(means, 3, mode="nearest")


def find_step(means: NDArray[np.float32]) -> Step | None:
    """Return the axis and side of the substrate, which is the brighter, denser part; None when there is no step.

    Along each axis, the mean profile is split where two constants fit it best in terms of absolute deviations, which
    the bright and dark rims of refraction contrast cannot dominate.
    """
    found: tuple[float, int, float, float] | None = None
    for axis in range(3):
        # Slices entirely outside the reconstruction are left out of the profile.
        rows = np.moveaxis(means, axis, 0).reshape(means.shape[axis], -1)
        known = np.isfinite(rows)
        total, number = np.where(known, rows, 0).sum(axis=1, dtype=np.float64), known.sum(axis=1)
        profile = total[number > 0] / number[number > 0]
        if not len(profile):
            return None
        deviation = _deviation(profile)
        for cut in range(1, len(profile)):
            before, after = profile[:cut], profile[cut:]
            gain = (deviation - _deviation(before) - _deviation(after)) / len(profile)
            if found is None or gain > found[0]:
                found = gain, axis, float(np.median(before)), float(np.median(after))
    if found is None or found[2] == found[3]:
        return None
    _, axis, before_level, after_level = found
    substrate, resin = max(before_level, after_level), min(before_level, after_level)
    calm = means[np.isfinite(means) & (means < (substrate + resin) / 2)]
    noise = 1.4826 * float(np.median(np.abs(calm - np.median(calm)))) if calm.size else 0.0
    return Step(axis, before_level > after_level, substrate, resin, noise)


def rough_sheet(means: NDArray[np.float32], side: int, step: Step, voxel_size_um: tuple[float, float, float]) -> Sheet:
    """Return the surface that best separates the two grey levels in the columns of block means."""
    columns = np.moveaxis(means, step.axis, -1)
    middle, half = (step.substrate + step.resin) / 2, step.contrast / 2
    # Clipping prevents the rims, which are many times as high as the step, from moving the edge.
    votes = np.nan_to_num(np.clip((columns - middle) / half, -1, 1))
    votes = votes if step.substrate_first else -votes
    edge = np.concatenate([np.zeros((*votes.shape[:2], 1)), votes.cumsum(axis=-1)], axis=-1).argmax(axis=-1)
    a, b = lateral_axes(step.axis)
    known = np.isfinite(columns).any(axis=-1)
    row, column = np.nonzero(known)
    a_um, b_um = ((index + 0.5) * side * voxel_size_um[axis] for index, axis in ((row, a), (column, b)))
    edge_um = edge[known] * side * voxel_size_um[step.axis]
    return fit_sheet(a_um, b_um, edge_um, side * voxel_size_um[step.axis])


def column_edges(store: Store, step: Step, rough: Sheet, side: int, outside: float) -> tuple[Floats, Floats, Floats]:
    """Return lateral positions of columns and the position of their edge, all in micrometres.

    The edge is where the grey value has fallen half way from its highest point on the side of the substrate to its
    lowest point on the side of the resin: from the bright to the dark rim under refraction contrast, from level to
    level without. It is NaN where nothing falls by as much as 0.3 of the contrast.

    Parameters
    ----------
    store : Store
        The scan.
    step : Step
        Axis, side and grey levels.
    rough : Sheet
        Where to search.
    side : int
        Voxels in a block of the rough surface.
    outside : float
        See :func:`constant_outside`.

    Returns
    -------
    a_um, b_um, edge_um : arrays (n,)
        One value per column; columns not fully reconstructed near the edge are left out.
    """
    a, b = lateral_axes(step.axis)
    size = store.shape[a], store.shape[b]
    sides = [max(-(-n // COLUMNS), min(COLUMN_VOXELS, max(n // 8, 1))) for n in size]
    n_a, n_b = (n // s for n, s in zip(size, sides, strict=True))
    a_um = (np.arange(n_a) + 0.5)[:, None] * sides[0] * store.voxel_size_um[a]
    b_um = (np.arange(n_b) + 0.5)[None, :] * sides[1] * store.voxel_size_um[b]
    edge_size = store.voxel_size_um[step.axis]
    length = 2 * (3 * side + 2 * REACH) + 1
    start = np.rint(rough.height_um(a_um, b_um) / edge_size).astype(np.int64) - length // 2
    windows = _Windows(step.axis, sides[0], sides[1], start, outside)
    sums, counts = np.zeros((n_a, n_b, length)), np.zeros((n_a, n_b, length), np.int32)
    for first, stop in progress(store.shards(), len(store.shards()), "shards (fine)"):
        if step.axis == 0 and (stop <= start.min() or first >= start.max() + length):
            continue
        _add_windows(store.read(first, stop), first, windows, sums, counts)
    inside = (start[..., None] + np.arange(length) >= 0) & (
        start[..., None] + np.arange(length) < store.shape[step.axis]
    )
    wanted = sides[0] * sides[1] * inside
    # Beyond the ends of the scan the last voxel is repeated, so that an edge near them is still found.
    whole = (counts == wanted).all(axis=-1) & (inside.sum(axis=-1) > 2 * REACH)
    profile = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)[whole]
    index = np.arange(length)[None, :]
    low, high = -start[whole][:, None], store.shape[step.axis] - 1 - start[whole][:, None]
    profile = np.take_along_axis(profile, np.clip(index, low, high), axis=1)
    oriented = profile if step.substrate_first else profile[:, ::-1]
    position = falling_edge(oriented, 0.3 * step.contrast)
    position = position if step.substrate_first else length - position
    grid = np.broadcast_to(a_um, whole.shape)[whole], np.broadcast_to(b_um, whole.shape)[whole]
    return *grid, (start[whole] + position) * edge_size


def falling_edge(profile: Floats, least: float) -> Floats:
    """Return where each profile falls most steeply, in voxels from the outer face of its first voxel.

    Parameters
    ----------
    profile : array (n, length)
        Grey values, substrate first; longer than ``2 * REACH``.
    least : float
        Smallest fall that counts: difference between the means over ``REACH`` voxels on either side.

    Returns
    -------
    array (n,)
        NaN where no fall is large enough.
    """
    n, length = profile.shape
    sums = np.concatenate([np.zeros((n, 1)), profile.cumsum(axis=1)], axis=1)
    means = (sums[:, REACH:] - sums[:, :-REACH]) / REACH
    fall = means[:, :-REACH] - means[:, REACH:]
    face = fall.argmax(axis=1)[:, None] + REACH
    index = np.arange(length)[None, :]
    bright = np.where((index >= face - REACH) & (index <= face), profile, -np.inf)
    top = bright.argmax(axis=1)[:, None]
    dark = np.where((index > top) & (index < face + REACH), profile, np.inf)
    bottom = dark.argmin(axis=1)[:, None]
    half = (bright.max(axis=1) + dark.min(axis=1))[:, None] / 2
    here, following = profile[:, :-1], profile[:, 1:]
    between = (index[:, :-1] >= top) & (index[:, :-1] < bottom)
    crosses = between & (here >= half) & (following < half)
    distance = np.where(crosses, np.abs(index[:, :-1] + 1 - face), length)
    chosen = distance.argmin(axis=1)
    rows = np.arange(n)
    drop = here[rows, chosen] - following[rows, chosen]
    enough = crosses.any(axis=1) & (fall.max(axis=1) >= least)
    part = np.divide(here[rows, chosen] - half[:, 0], drop, out=np.zeros(n), where=enough)
    return np.where(enough, chosen + 0.5 + part, np.nan)


def fit_sheet(a_um: Floats, b_um: Floats, edge_um: Floats, tolerance_um: float) -> Sheet:
    """Fit a surface that most points agree with: random sample consensus, then least squares on those that agree.

    Parameters
    ----------
    a_um, b_um, edge_um : arrays (n,)
        Lateral positions, and position along the depth axis; a NaN counts as a point that does not agree.
    tolerance_um : float
        Distance along the depth axis within which a point agrees.

    Returns
    -------
    Sheet
        ``agrees`` is as long as the input; ``residual_um`` is 1.4826 times the median absolute residual of all points
        that have an edge: the standard deviation if residuals are Gaussian. Points that disagree are included, so that
        outliers cannot hide.

    Notes
    -----
    Fischler and Bolles, Commun. ACM 24 (1981) 381.
    """
    known = np.flatnonzero(np.isfinite(edge_um))
    nothing = Sheet((float("nan"),) * 3, np.zeros(len(edge_um), bool), float("inf"))
    if len(known) < 3:
        return nothing
    rng = np.random.default_rng(0)
    design = np.stack([np.ones(len(known)), a_um[known], b_um[known]], axis=1)
    judges = rng.permutation(len(known))[:2000]
    triples = rng.integers(len(known), size=(_TRIALS, 3))
    triples = triples[np.abs(np.linalg.det(design[triples])) > 1e-9 * np.ptp(a_um) * np.ptp(b_um)]
    if not len(triples):
        return nothing
    tried = np.linalg.solve(design[triples], edge_um[known][triples][..., None])[..., 0]
    misfit = np.abs(design[judges] @ tried.T - edge_um[known][judges][:, None])
    best = tried[(misfit <= tolerance_um).sum(axis=0).argmax()]
    reach = tolerance_um
    for _ in range(_ROUNDS):
        near = np.abs(edge_um[known] - design @ best) <= reach
        best = np.linalg.lstsq(design[near], edge_um[known][near], rcond=None)[0]
        # A pit or lump within the tolerance would tilt the plane; points far off compared with the others are left out.
        spread = 1.4826 * float(np.median(np.abs(edge_um[known] - design @ best)[near]))
        reach = min(tolerance_um, max(_FAR * spread, tolerance_um / 10))
    residual = np.abs(edge_um[known] - design @ best)
    agrees = np.zeros(len(edge_um), bool)
    agrees[known] = residual <= tolerance_um
    c0, c1, c2 = (float(value) for value in best)
    return Sheet((c0, c1, c2), agrees, 1.4826 * float(np.median(residual)))


def plane_of(step: Step, sheet: Sheet) -> Plane:
    """Return the plane of a surface above the lateral axes, its normal into the resin."""
    c0, c1, c2 = sheet.coefficients
    a, b = lateral_axes(step.axis)
    sign = 1.0 if step.substrate_first else -1.0
    normal = [0.0, 0.0, 0.0]
    normal[step.axis], normal[a], normal[b] = sign, -sign * c1, -sign * c2
    return Plane.through((normal[0], normal[1], normal[2]), sign * c0)


def _deviation(values: Floats) -> float:
    return float(np.abs(values - np.median(values)).sum())


@njit(cache=True, nogil=True)
def _add_blocks(data, first, side, outside, sums, counts):  # type: ignore[no-untyped-def]
    for z in range(data.shape[0]):
        i = (first + z) // side
        for y in range(data.shape[1]):
            j = y // side
            for x in range(data.shape[2]):
                value = float(data[z, y, x])
                if value != outside and value == value:  # NaN is unequal to itself
                    sums[i, j, x // side] += value
                    counts[i, j, x // side] += 1


class _Windows(NamedTuple):
    """The windows of the columns: their axis, their sides, and the first voxel of each along the axis."""

    axis: int
    side_a: int
    side_b: int
    start: NDArray[np.int64]
    outside: float


@njit(cache=True, nogil=True)
def _add_windows(data, first, windows, sums, counts):  # type: ignore[no-untyped-def]
    axis, side_a, side_b, start, outside = windows
    length = sums.shape[2]
    for z in range(data.shape[0]):
        for y in range(data.shape[1]):
            for x in range(data.shape[2]):
                if axis == 0:
                    depth, a, b = first + z, y // side_a, x // side_b
                elif axis == 1:
                    depth, a, b = y, (first + z) // side_a, x // side_b
                else:
                    depth, a, b = x, (first + z) // side_a, y // side_b
                if a >= sums.shape[0] or b >= sums.shape[1]:
                    continue
                k = depth - start[a, b]
                if k < 0 or k >= length:
                    continue
                value = float(data[z, y, x])
                if value != outside and value == value:  # NaN is unequal to itself
                    sums[a, b, k] += value
                    counts[a, b, k] += 1
