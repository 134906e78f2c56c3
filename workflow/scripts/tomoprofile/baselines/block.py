"""One block of a scan, segmented by simple thresholds for comparison with the scan's own segmentation.

The methods are those of :mod:`tomoprofile.segment.threshold` with their default settings. Domains of all masks are
found and measured by the same functions as those of the scan. A threshold separates dark and bright, not classes:
classes of the same grey share its mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..config import ObjectsConfig, ThresholdConfig
from ..config_profile import ProfileConfig
from ..domains.objects import Runs, iter_runs, read_objects_metadata
from ..domains.table import Level, Segmented, measure_domains
from ..errors import Fault, StageError
from ..layout import ScanLayout
from ..logs import LOG
from ..profile.masks import Floats, Grid, Ints, Space
from ..profile.ranges import EVERYWHERE_UM
from ..segment.threshold import fit_threshold, predict_by_threshold
from ..substrate.resin import Resin
from ..tables import CALIBRATED, DOMAINS, of_class, read_rows
from ..volume.plane import Plane
from ..volume.probability import threshold_of
from ..volume.store import Store, create_store, open_store

OWN = "own"
METHODS = (OWN, "otsu", "threshold_fill")
MOST_VOXELS = 512**3
_SUBSTRATE_UM = 20.0  # of substrate are kept, so that pictures show it
Window = tuple[slice, slice, slice]
Grey = Literal["dark", "bright"]


@dataclass(frozen=True)
class SegmentedScan:
    """A scan with its own segmentation.

    Attributes
    ----------
    volume, probability : Path
        Its stores.
    interface, resin : Path
        ``interface.json`` and ``resin.npz``.
    levels : dict of str to float
        Decision level of each measured class.
    instances : Path, optional
        Store of the given labels that are the domains.
    """

    volume: Path
    probability: Path
    interface: Path
    resin: Path
    levels: Mapping[str, float]
    instances: Path | None = None


@dataclass(frozen=True)
class Found:
    """The result of a method for one class in a block.

    Attributes
    ----------
    channel : str
        Its name in the files: the class, or, for a threshold, the grey that it looks for.
    level : float
        Probability from which a voxel belongs to it.
    mask, objects, table : Path
        Store, objects file and table of domains, which may hold other classes as well.
    """

    channel: str
    level: float
    mask: Path
    objects: Path
    table: Path

    def image(self) -> Store:
        """Return its mask or probability."""
        return open_store(self.mask, self.channel)

    def runs(self) -> Iterator[Runs]:
        """Yield its runs, one row group after the other."""
        return iter_runs(self.objects, read_objects_metadata(self.objects)[self.channel])

    def runs_in(self, axis: int, index: int) -> pd.DataFrame:
        """Return its runs that meet a plane across an axis, z or y."""
        table = read_rows(self.objects, filters=[("zyx"[axis], "==", index)])
        return of_class(table.to_pandas(), self.channel)

    def domains(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return columns of its domains, in coordinates of the block."""
        return of_class(DOMAINS.read(self.table, ("class", *columns)), self.channel)


@dataclass(frozen=True)
class Block:
    """The part of a scan that is compared, in stores of its own.

    Attributes
    ----------
    folder : Path
        Holds ``volume.ome.zarr``, for each method ``METHOD.ome.zarr`` (probability), ``METHOD.objects.parquet`` and
        ``METHOD.domains.parquet``, for thresholds ``METHOD_GREY.json``, and ``interface.json``.
    window : tuple of slice
        Where it lies in the scan, in voxels along (z, y, x).
    grid : Grid
        Bins of depth of the whole scan, in which only voxels of the block count.
    own_levels : dict of str to float
        Decision level of each class in the scan's own segmentation.
    domains_are : dict of str to {"dark", "bright"}
        Grey of the scan's own domains of each class against the rest of the resin.
    """

    folder: Path
    window: Window
    grid: Grid
    own_levels: Mapping[str, float]
    domains_are: Mapping[str, Grey]

    @property
    def volume(self) -> Path:
        """Its grey values."""
        return ScanLayout(self.folder).volume.path

    @property
    def interface(self) -> Path:
        """The plane nearest to the substrate, in coordinates of the block: for directions and pictures."""
        return ScanLayout(self.folder).interface

    @property
    def origin_um(self) -> Floats:
        """Position of its outer corner in the scan."""
        return _origin_um(self.window, self.grid)

    @property
    def greys(self) -> tuple[Grey, ...]:
        """The greys of its classes, each once."""
        return tuple(dict.fromkeys(self.domains_are.values()))

    def found(self, method: str, name: str) -> Found:
        """Return the result of a method for one class."""
        channel = name if method == OWN else self.domains_are[name]
        level = self.level(method)
        return Found(channel, level.probability[channel], self.mask(method), level.objects, level.table)

    def threshold(self, method: str, grey: Grey) -> Path:
        """Record of a method's threshold."""
        return self.folder / f"{method}_{grey}.json"

    def mask(self, method: str) -> Path:
        """Store of a method's masks or probabilities."""
        return self.folder / f"{method}.ome.zarr"

    def level(self, method: str) -> Level:
        """Where the domains of a method go."""
        files = (self.folder / f"{method}.{kind}.parquet" for kind in ("objects", "domains"))
        return Level(self.own_levels if method == OWN else dict.fromkeys(self.greys, 0.5), *files)


def segment_block(
    scan: SegmentedScan,
    profile: ProfileConfig,
    objects: ObjectsConfig,
    folder: Path,
    most_voxels: int = MOST_VOXELS,
) -> Block:
    """Cut a block out of a scan, segment it by thresholds, and measure the domains of all masks.

    Parameters
    ----------
    scan : SegmentedScan
    profile : ProfileConfig
        Bins and field of view.
    objects : ObjectsConfig
        What counts as one domain.
    folder : Path
        Where the block is written.
    most_voxels : int
        Largest size of the block.

    Raises
    ------
    StageError
        When the block holds no resin, or its resin a single grey value.
    """
    grey = open_store(scan.volume)
    plane, resin = Plane.load(scan.interface), Resin.load(scan.resin)
    space = Space.of(grey.shape, grey.voxel_size_um, plane, resin, profile.field_of_view)
    window = choose_block(space, most_voxels)
    block = _cut_block(scan, _bins_of(space, window, profile), window, folder)
    instances = ScanLayout(folder).instances.path if scan.instances else None
    if scan.instances and instances:
        _copy(scan.instances, window, instances)
    for method in METHODS:
        if method != OWN:
            _segment(block, method)
        LOG.info("measuring the domains of %s", method)
        segmented = Segmented(block.mask(method), block.volume, instances if method == OWN else None)
        measure_domains(segmented, block.interface, {CALIBRATED: block.level(method)}, objects)
    return block


def choose_block(space: Space, most_voxels: int) -> Window:
    """Return a block of a scan: all of it when it is small, otherwise all depths of a window in its middle.

    Substrate farther than 20 µm behind the plane is left out, and the window lies inside the reconstructed circle.
    """
    shape, plane, circle = space.shape, space.plane, space.view.circle
    if math.prod(shape) <= most_voxels:
        return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])
    if plane.axis is None:
        return _cube(space, most_voxels)
    deep = _along_depth(space)
    first, second = (axis for axis in range(3) if axis != plane.axis)
    sizes = list(shape)
    sizes[plane.axis] = deep.stop - deep.start
    side = math.isqrt(most_voxels // sizes[plane.axis])
    sizes[first] = min(shape[first], side)
    # A short side leaves room for a longer other side.
    sizes[second] = min(shape[second], most_voxels // (sizes[plane.axis] * sizes[first]))
    sizes[first] = min(shape[first], most_voxels // (sizes[plane.axis] * sizes[second]))
    starts = [(n - size) // 2 for n, size in zip(shape, sizes, strict=True)]
    starts[plane.axis] = deep.start
    if circle is not None and circle.centre_um is not None:
        _fit_into_circle(space, circle.radius_um, circle.centre_um, starts, sizes)
    z, y, x = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    return z, y, x


def _cube(space: Space, most_voxels: int) -> Window:
    """Return a cube in the middle of a scan, inside its circle where it has one; longer where a side is short."""
    shape, circle = space.shape, space.view.circle
    sizes = list(shape)
    if circle is not None:
        reach = circle.radius_um * math.sqrt(2)
        sizes[1:] = [
            max(1, min(n, int(reach / edge))) for n, edge in zip(shape[1:], space.voxel_size_um[1:], strict=True)
        ]
    left = most_voxels
    for done, axis in enumerate(sorted(range(3), key=lambda i: sizes[i])):
        sizes[axis] = min(sizes[axis], max(1, int(left ** (1 / (3 - done)) + 1e-9)))
        left //= sizes[axis]
    middles = [n / 2 for n in shape]
    if circle is not None and circle.centre_um is not None:
        middles[1:] = [at / edge for at, edge in zip(circle.centre_um, space.voxel_size_um[1:], strict=True)]
    starts = [
        int(min(max(round(middle - size / 2), 0), n - size))
        for middle, size, n in zip(middles, sizes, shape, strict=True)
    ]
    z, y, x = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    return z, y, x


def _along_depth(space: Space) -> slice:
    """Return the voxels along the depth whose layer holds resin, or substrate that is kept."""
    axis, edges = space.plane.axis, space.voxel_size_um
    ends: list[Any] = [np.array([0.0, n * edge]) for n, edge in zip(space.shape, edges, strict=True)]
    ends[axis] = (np.arange(space.shape[axis]) + 0.5) * edges[axis]
    depths = space.plane.depth_um(*np.meshgrid(*ends, indexing="ij", sparse=True))
    deepest = depths.max(axis=tuple(i for i in range(3) if i != axis))
    kept = np.flatnonzero(deepest > -_SUBSTRATE_UM)
    return slice(int(kept[0]), int(kept[-1]) + 1) if kept.size else slice(0, space.shape[axis])


def _fit_into_circle(
    space: Space, radius_um: float, centre_um: tuple[float, float], starts: list[int], sizes: list[int]
) -> None:
    """Move and shrink a window along y and x, in place, so that the rectangle lies inside a circle of the slice.

    Where depth runs within the slice, the lateral side stays and the ends of the depth are cut; else both shrink alike.
    """
    shape, edges, depth_axis = space.shape, space.voxel_size_um, space.plane.axis
    half = {axis: sizes[axis] * edges[axis] / 2 for axis in (1, 2)}
    if math.hypot(*half.values()) > radius_um:
        lateral = 3 - depth_axis
        if depth_axis == 0 or half[lateral] > radius_um / math.sqrt(2):
            half = dict.fromkeys((1, 2), radius_um / math.sqrt(2))
        else:
            half[depth_axis] = math.sqrt(radius_um**2 - half[lateral] ** 2)
    for axis, reach in half.items():
        middle, reach = centre_um[axis - 1] / edges[axis], reach / edges[axis]
        start = max(starts[axis] if axis == depth_axis else 0, math.ceil(middle - reach - 1e-6))
        end = starts[axis] + sizes[axis] if axis == depth_axis else shape[axis]
        starts[axis], sizes[axis] = start, min(end, math.floor(middle + reach + 1e-6)) - start


def _bins_of(space: Space, window: Window, profile: ProfileConfig) -> Grid:
    """Return the bins of the profile in one lateral block, counting only a window."""
    seen = replace(space, view=space.view.within(window[1], window[2]))
    borders = EVERYWHERE_UM
    if space.plane.has_depth:
        n_bins = max(1, math.floor((space.deepest_um - profile.guard_um) / profile.bin_um) + 1)
        borders = profile.guard_um + profile.bin_um * np.arange(n_bins + 1)
    widest = max(n * edge for n, edge in zip(space.shape, space.voxel_size_um, strict=True))
    return Grid.dividing(seen, borders, widest)


def _cut_block(scan: SegmentedScan, grid: Grid, window: Window, folder: Path) -> Block:
    """Copy a window of a scan: grey values, its own masks, and its plane."""
    plane = grid.plane
    plane.in_window(_origin_um(window, grid)).save(ScanLayout(folder).interface)
    if plane.has_recorded_sample:
        grid.resin.within(window, grid.voxel_size_um).save(ScanLayout(folder).resin)
    block = Block(folder, window, grid, scan.levels, {})
    _copy(scan.volume, window, block.volume)
    _copy(scan.probability, window, block.mask(OWN), tuple(scan.levels))
    sums, counts = _grey_sums(block)
    if not counts.any():
        problem = "the block holds no resin: nothing lies beyond the plane"
        raise StageError(Fault(str(scan.volume), "", problem, "Correct the column `interface` of the sample sheet."))
    # Without any domain, the default of the methods applies.
    bright = [known.all() and top[0] / known[0] > top[1] / known[1] for top, known in zip(sums, counts, strict=True)]
    greys: list[Grey] = ["bright" if one else "dark" for one in bright]
    return replace(block, domains_are=dict(zip(scan.levels, greys, strict=True)))


def _grey_sums(block: Block) -> tuple[Floats, Ints]:
    """Return sum and number of grey values inside the scan's own domains, and in the rest of the resin; by class."""
    grid, window, volume = block.grid, block.window, open_store(block.volume)
    own = [(open_store(block.mask(OWN), name), threshold_of(level)) for name, level in block.own_levels.items()]
    z_um, y_um, x_um = (
        (np.arange(part.start, part.stop) + 0.5) * edge for part, edge in zip(window, grid.voxel_size_um, strict=True)
    )
    y_um, x_um = (axis.ravel() for axis in np.meshgrid(y_um, x_um, indexing="ij"))
    sums, counts = np.zeros((len(own), 2)), np.zeros((len(own), 2), np.int64)
    for start, stop in volume.shards():
        values = volume.read(start, stop).astype(np.float64)
        masks = [store.read(start, stop) >= threshold for store, threshold in own]
        for z in range(start, stop):
            layer, _ = grid.place(np.full(len(y_um), z_um[z]), y_um, x_um)
            resin = (layer >= 0).reshape(volume.shape[1:]) & np.isfinite(values[z - start])
            for number, mask in enumerate(masks):
                inside = mask[z - start]
                for side, chosen in enumerate((resin & inside, resin & ~inside)):
                    sums[number, side] += values[z - start][chosen].sum()
                    counts[number, side] += chosen.sum()
    return sums, counts


def _origin_um(window: Window, grid: Grid) -> Floats:
    return np.array([part.start * edge for part, edge in zip(window, grid.voxel_size_um, strict=True)])


def _copy(source: Path, window: Window, path: Path, channels: Sequence[str] = ()) -> None:
    """Copy a window of a store, or of some of its channels."""
    z, y, x = window
    shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
    like = open_store(source)
    create_store(path, shape, like.dtype, like.voxel_size_um, like.shard_slices, like.grey, channels=channels)
    for channel in channels or (None,):
        store, out = open_store(source, channel), open_store(path, channel)
        for start, stop in out.shards():
            out.write(start, store.read(z.start + start, z.start + stop, y, x))


def _segment(block: Block, method: str) -> None:
    """Segment a block by a threshold, once for each grey of its classes."""
    volume, out = open_store(block.volume), block.mask(method)
    create_store(out, volume.shape, "uint8", volume.voxel_size_um, volume.shard_slices, channels=block.greys)
    for grey in block.greys:
        config, record = ThresholdConfig(method=method, domains_are=grey), block.threshold(method, grey)
        fit_threshold(block.volume, block.interface, config, record)
        predict_by_threshold(volume, open_store(out, grey), record, 0, volume.shape[0])
